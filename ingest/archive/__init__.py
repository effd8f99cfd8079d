"""Whole archives of files converted to a store."""
