"""Alarms: what rules and incidents become for people; each is announced once and resolved once."""
