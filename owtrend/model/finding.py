"""What is flagged, since when, and why; and the incidents that flags make together."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Self

import pandas as pd

__all__ = ["COLUMNS", "EARLIER_NAMES", "Finding", "incidents", "table"]

COLUMNS = ("subsystem", "run", "histogram", "start", "stop", "score", "z", "why", "histograms")
EARLIER_NAMES = {  # of scores, in stores of before version 2
    "shape": "chi2",
    "strip": "window",
    "means": "profile_chi2",
    "mean": "profile_bin",
    "share": "fraction",
}
_NEAR = 2  # reports that two flags of one incident may be apart


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something wrong in ``(start, stop]``, ns UTC.

    Parameters
    ----------
    histograms
        Displayed names of those it concerns; none: the whole snapshot.
    score
        That found it.
    z
        How sure: normal standard deviations, after all that was looked at in that report. Infinite for what is no
        matter of chance, such as a restart.
    why
        In words.
    report
        Usual time between two reports there [ns].
    """

    subsystem: str
    run: int
    histograms: tuple[str, ...]
    start: int
    stop: int
    score: str
    z: float
    why: str
    report: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Self:
        fields = json.loads(line)
        score = EARLIER_NAMES.get(fields["score"], fields["score"])
        return cls(**{**fields, "histograms": tuple(fields["histograms"]), "score": score})


def table(flags: Iterable[Finding]) -> pd.DataFrame:
    """Flags in order of time: `COLUMNS`, and ``report``, the usual time between reports; times are UTC.

    ``histogram`` is the name where it concerns one, else None; ``histograms`` all of them.
    """
    held = sorted(flags, key=lambda flag: (flag.start, flag.stop, flag.subsystem, flag.histograms))
    made = pd.DataFrame([asdict(flag) for flag in held], columns=[*Finding.__dataclass_fields__])
    names = [flag.histograms[0] if len(flag.histograms) == 1 else None for flag in held]
    made["histogram"] = pd.Series(names, index=made.index, dtype=object)
    for column in ("start", "stop"):
        made[column] = pd.to_datetime(made[column].astype("int64"), unit="ns")
    made["report"] = pd.to_timedelta(made["report"].astype("int64"), unit="ns")
    return made[[*COLUMNS, "report"]]


def incidents(flags: pd.DataFrame) -> pd.DataFrame:
    """Findings joined to incidents, of which a person is notified once, in order of time.

    Flags of one subsystem at most two reports apart are one incident, and so are those of several subsystems that
    overlap; whatever scores found them.

    Returns
    -------
    :
        ``start``, ``stop``, ``runs``, ``subsystems``, ``histograms`` (how many; 0 if it concerns whole snapshots),
        ``flags`` (how many), and of the flag that is surest ``histogram``, ``score``, ``z``, ``why``; the first of
        them where several are as sure.
    """
    groups = [group for _, of_one in flags.groupby("subsystem", sort=False) for group in _near(of_one)]
    groups.sort(key=lambda group: group["start"].min())
    joined: list[list[pd.DataFrame]] = []
    until = None
    for group in groups:
        if until is not None and group["start"].min() < until:
            joined[-1].append(group)
            until = max(until, group["stop"].max())
        else:
            joined.append([group])
            until = group["stop"].max()
    return pd.DataFrame([_told(pd.concat(groups)) for groups in joined], columns=[*_INCIDENT])


_INCIDENT = ("start", "stop", "runs", "subsystems", "histograms", "flags", "histogram", "score", "z", "why")


def _near(flags: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """The flags of one subsystem, apart where more than two reports lie between."""
    ordered = flags.sort_values("start", kind="stable")
    until = ordered["stop"].cummax().shift()
    apart = ordered["start"] - until > _NEAR * ordered["report"]
    return [group for _, group in ordered.groupby(apart.cumsum(), sort=True)]


def _told(flags: pd.DataFrame) -> dict[str, object]:
    surest = flags.sort_values(["z", "start"], ascending=[False, True], kind="stable").iloc[0]
    names: set[str] = {name for held in flags["histograms"] for name in held}
    return {
        "start": flags["start"].min(), "stop": flags["stop"].max(), "runs": _sorted(flags["run"]),
        "subsystems": _sorted(flags["subsystem"]), "histograms": len(names), "flags": len(flags),
        "histogram": surest["histograms"][0] if surest["histograms"] else None, "score": surest["score"],
        "z": surest["z"], "why": surest["why"],
    }  # fmt: skip


def _sorted(values: Sequence[object] | pd.Series) -> tuple[object, ...]:
    return tuple(sorted(set(values)))
