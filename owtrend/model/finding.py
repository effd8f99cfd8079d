"""Findings: what is wrong, where, since when, how significant, and why."""

import json
import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Self

import pandas as pd

from owtrend.model.rows import Bits

__all__ = ["COLUMNS", "EARLIER_NAMES", "Finding", "Flagged", "Score", "table"]

COLUMNS = ("subsystem", "run", "histogram", "start", "stop", "score", "z", "certain", "why", "histograms")


class Score(StrEnum):
    """Names of the scores, and of certain findings, as stored."""

    CHI2 = "chi2"
    BIN = "bin"
    WINDOW = "window"
    SHIFT = "shift"
    PROFILE_CHI2 = "profile_chi2"
    PROFILE_BIN = "profile_bin"
    FRACTION = "fraction"
    RATE = "rate"
    # certain
    RESTART = "restart"
    GAP = "gap"
    ABSENT = "absent"
    SILENT = "silent"
    BINNING = "binning"
    AFTER_END = "after_end"
    UNREADABLE = "unreadable"


EARLIER_NAMES = {  # of scores, in stores of before version 2
    "shape": Score.CHI2.value,
    "strip": Score.WINDOW.value,
    "means": Score.PROFILE_CHI2.value,
    "mean": Score.PROFILE_BIN.value,
    "share": Score.FRACTION.value,
}


class Flagged(Bits):
    """Bits of the stored ``flagged``."""

    BINS = 1
    FRACTION = 2  # its fraction in its component, or that of another histogram of the component
    RATE = 4  # the rate of its component
    CONTRIBUTES = 8  # it is the histogram that makes the fraction wrong


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong in ``(start, stop]``, ns UTC.

    Parameters
    ----------
    histograms
        Displayed names of the histograms concerned; none: the whole snapshot.
    score
        Name of the score that found it, see `Score`.
    z
        Significance, corrected for all comparisons of that report [normal standard deviations]; NaN if certain.
    why
        Reason in words.
    report
        Typical time between two reports there [ns].
    certain
        True for what is no statistical statement, such as a restart.
    """

    subsystem: str
    run: int
    histograms: tuple[str, ...]
    start: int
    stop: int
    score: str
    z: float = math.nan
    why: str
    report: int
    certain: bool = False

    def to_json(self) -> str:
        """One line of JSON; a certain finding has an infinite z there."""
        fields = asdict(self)
        if fields.pop("certain"):
            fields["z"] = math.inf
        return json.dumps(fields)

    @classmethod
    def from_json(cls, line: str) -> Self:
        """The finding written by `to_json`; without z (null) it is certain, too."""
        fields = json.loads(line)
        certain = fields["z"] is None or math.isinf(fields["z"])
        fields |= {"z": math.nan if certain else fields["z"], "certain": certain}
        score = EARLIER_NAMES.get(fields["score"], fields["score"])
        return cls(**{**fields, "histograms": tuple(fields["histograms"]), "score": score})


def table(findings: Iterable[Finding]) -> pd.DataFrame:
    """Findings in order of time: `COLUMNS`, and ``report``, the typical time between reports; times are UTC.

    ``histogram`` is the name where one histogram is concerned, else None; ``histograms`` has all names.
    """
    ordered = sorted(findings, key=lambda one: (one.start, one.stop, one.subsystem, one.histograms))
    rows = pd.DataFrame([asdict(one) for one in ordered], columns=[*Finding.__dataclass_fields__])
    names = [one.histograms[0] if len(one.histograms) == 1 else None for one in ordered]
    rows["histogram"] = pd.Series(names, index=rows.index, dtype=object)
    for column in ("start", "stop"):
        rows[column] = pd.to_datetime(rows[column].astype("int64"), unit="ns")
    rows["report"] = pd.to_timedelta(rows["report"].astype("int64"), unit="ns")
    rows["certain"] = rows["certain"].astype(bool)
    return rows[[*COLUMNS, "report"]]
