"""Judging rules before they are switched on: backtests over an archive, what a change alters, the load on people."""
