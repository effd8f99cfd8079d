"""Shapes of histograms: stable variances, number of variations, tails of scores."""
