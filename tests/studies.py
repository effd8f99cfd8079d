"""Sizes of studies of many repetitions: small ones every time, whole ones with ``-m study``, before a release."""

from collections.abc import Iterable
from typing import Any

import pytest

__all__ = ["cases", "sizes"]


def sizes(quick: Any, whole: Any) -> list[Any]:
    """Parameters of a test that repeats something: a quick size, and the size that has its full power."""
    both = [one if isinstance(one, tuple) else (one,) for one in (quick, whole)]
    return [pytest.param(*both[0], id="quick"), pytest.param(*both[1], id="whole", marks=pytest.mark.study)]


def cases(whole: Iterable[Any], quick: Iterable[Any]) -> list[Any]:
    """Parameters of a test of similar cases: those in ``quick`` run every time, all of them with ``-m study``."""
    usual = list(quick)
    return [
        pytest.param(*(case if isinstance(case, tuple) else (case,)), marks=() if case in usual else pytest.mark.study)
        for case in whole
    ]
