"""A simulated detector: its histograms, faults and files."""
