"""Trends: reductors of histograms over time, change points and outliers in them."""
