"""The command `owtrend`."""
