"""Numba and NumPy functions on blocks of (time, cell): no labels, no I/O, no options. Nothing compiles at import."""
