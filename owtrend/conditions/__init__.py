"""Conditions of runs that come from elsewhere: period, beam, energy, rates; joined on run, or on time within a run."""

from owtrend.conditions.stored import Conditions, add, remove
from owtrend.conditions.table import ConditionTable

__all__ = ["ConditionTable", "Conditions", "add", "remove"]
