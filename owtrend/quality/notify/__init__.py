"""Notifications: what people are to learn of alarms, as messages that arrive once."""
