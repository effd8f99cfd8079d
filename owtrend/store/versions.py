"""Versions of the formulas behind stored numbers.

Raise a version when its formulas change the numbers: stored values stay readable, marked stale, until `owtrend
compute` replaces them. `tests/compute/test_golden.py` fails when numbers change and their version did not.
"""

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["BEFORE_VERSIONS", "INCIDENTS", "SCORES", "TRENDS"]

BEFORE_VERSIONS = 1  # version of what was stored before versions were kept

TRENDS = 12  # increments, reductions, reductors, fits
SCORES: Mapping[str, int] = MappingProxyType(
    {
        "trends": TRENDS,  # scores are made from their states and entries
        "histogram": 7,  # scores of the bins of one histogram
        "component": 6,  # fractions in a component, rates of components
        "findings": 12,  # interruptions, changes between runs, and the bins, sides and words of all findings
    }
)

INCIDENTS = 2  # the rule that joins findings
