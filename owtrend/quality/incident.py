"""Incidents: findings that belong together, of which a person is notified once."""

from collections.abc import Iterable, Sequence

import pandas as pd

__all__ = ["COLUMNS", "incidents"]

COLUMNS = (
    "start", "stop", "runs", "subsystems", "histograms", "findings", "histogram", "score", "z", "certain", "why",
)  # fmt: skip
_NEAR = 2  # reports that two findings of one incident may be apart


def incidents(findings: pd.DataFrame) -> pd.DataFrame:
    """Join findings to incidents, in order of time.

    Findings of one subsystem at most two reports apart are one incident, whatever scores found them. Incidents of
    several subsystems that overlap are one.

    Parameters
    ----------
    findings
        As from `owtrend.model.finding.table`.

    Returns
    -------
    :
        ``start``, ``stop``, ``runs``, ``subsystems``, ``histograms`` (how many; 0 if it concerns whole snapshots),
        ``findings`` (how many), and of the most significant finding ``histogram``, ``score``, ``z``,
        ``certain``, ``why``; of several that are equally significant, the first.
    """
    groups = [group for _, in_one in findings.groupby("subsystem", sort=False) for group in _near(in_one)]
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
    return pd.DataFrame([_incident(pd.concat(groups)) for groups in joined], columns=[*COLUMNS])


def _near(findings: pd.DataFrame) -> Iterable[pd.DataFrame]:
    """Findings of one subsystem, split where more than two reports lie between them."""
    ordered = findings.sort_values("start", kind="stable")
    until = ordered["stop"].cummax().shift()
    apart = ordered["start"] - until > _NEAR * ordered["report"]
    return [group for _, group in ordered.groupby(apart.cumsum(), sort=True)]


def _incident(findings: pd.DataFrame) -> dict[str, object]:
    order = ["certain", "z", "start"]
    top = findings.sort_values(order, ascending=[False, False, True], kind="stable").iloc[0]
    names: set[str] = {name for held in findings["histograms"] for name in held}
    return {
        "start": findings["start"].min(), "stop": findings["stop"].max(), "runs": _sorted(findings["run"]),
        "subsystems": _sorted(findings["subsystem"]), "histograms": len(names), "findings": len(findings),
        "histogram": top["histograms"][0] if top["histograms"] else None, "score": top["score"],
        "z": top["z"], "certain": bool(top["certain"]), "why": top["why"],
    }  # fmt: skip


def _sorted(values: Sequence[object] | pd.Series) -> tuple[object, ...]:
    return tuple(sorted(set(values)))
