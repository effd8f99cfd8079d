"""Shapes of histograms: stable variances, how many ways they vary, tails of scores."""
