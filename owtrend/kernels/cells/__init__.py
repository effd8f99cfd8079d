"""Rows of cells: increments, projections, integers that floats hold exactly."""
