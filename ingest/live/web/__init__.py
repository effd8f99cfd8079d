"""Uploads by HTTP, the tokens of senders, and metrics."""
