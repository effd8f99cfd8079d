"""Snapshots while the detector runs, from its wire to the store."""
