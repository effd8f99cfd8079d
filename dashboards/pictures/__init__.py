"""Histograms, trends, scores and pulls drawn with HoloViews."""
