"""Cells that change together, and how often they do."""
