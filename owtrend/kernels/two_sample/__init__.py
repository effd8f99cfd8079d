"""Two histograms compared: statistics, p-values, patches of bad bins."""
