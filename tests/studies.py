"""Sizes of studies of many repetitions: small ones for every day, whole ones among the slow tests."""

from typing import Any

import pytest

__all__ = ["sizes"]


def sizes(quick: Any, whole: Any) -> list[Any]:
    """Parameters of a test that repeats something: a quick size, and the size that has its full power."""
    return [pytest.param(quick, id="quick"), pytest.param(whole, id="whole", marks=pytest.mark.slow)]
