"""Upkeep of a store: checks, repairs, upgrades."""
