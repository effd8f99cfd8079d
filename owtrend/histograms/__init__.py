"""Stored histograms, one or all, labelled and lazy."""
