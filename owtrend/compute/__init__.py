"""Computation of stored trends and scores, in this process or on a cluster."""
