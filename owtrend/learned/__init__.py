"""Models learned from good runs: shapes of histograms, all trends together."""
