"""Snapshots of the HLT over ZeroMQ: its messages, a receiver, and a sender for tests and replays."""
