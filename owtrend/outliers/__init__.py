"""Outliers: reports and components that differ from other runs and from their own past."""
