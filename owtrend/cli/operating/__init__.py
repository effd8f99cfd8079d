"""Verbs of those who run a store: conditions, good runs, passes, the schedule."""
