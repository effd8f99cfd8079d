"""Incidents: findings joined to what a person is shown once."""
