"""Change points and scores on public series with labels (TCPD, NAB), beside plain baselines: prints two tables.

``python -m benchmarks.studies.labelled_series FOLDER``, with the folders ``tcpd`` and ``nab`` inside. Nothing is tuned
to them.
"""

import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from owtrend.kernels.series.changepoint import segments
from owtrend.trends.changepoint import change_points, noticed
from owtrend.trends.zscore import mad_zscore

MARGIN = 5  # points by which a change may be off, as in TCPD
PROBATION = 0.15  # of a series, at most 750 points, in which nothing counts, as in NAB
FALSE = 0.11  # what a false alarm costs in NAB's standard profile; a window missed costs 1


def trend(value: Sequence[float] | NDArray, time: NDArray | None = None) -> xr.Dataset:
    """A series as a trend without errors."""
    steps = pd.date_range("2000", periods=len(value), freq="60s").to_numpy() if time is None else time
    return xr.Dataset({"value": ("time", np.asarray(value, dtype=float))}, coords={"time": steps})


def ours(value: Sequence[float]) -> list[int]:
    """By `owtrend.change_points`."""
    return change_points(trend(value))["index"].tolist()


def ours_without_drifts(value: Sequence[float]) -> list[int]:
    """Those that are no drift."""
    found = change_points(trend(value))
    return found["index"][~found["drift"]].tolist()


def plain(value: Sequence[float]) -> list[int]:
    """The usual least squares at a penalty of 2 log(n) sigma**2 (ruptures' PELT), sigma from plain differences."""
    numbers = np.asarray(value, dtype=float)
    sigma = np.full(len(numbers), max(np.diff(numbers).std() / np.sqrt(2), 1e-12))
    return segments(numbers, sigma, 2 * np.log(len(numbers)), 1).tolist()


METHODS: dict[str, Callable[[Sequence[float]], list[int]]] = {
    "owtrend": ours, "owtrend, no drifts": ours_without_drifts, "plain PELT, 2 log n": plain, "none": lambda _: [],
}  # fmt: skip


def f1(annotations: Sequence[Sequence[int]], found: Sequence[int]) -> float:
    """Of change points, the begin included, within five points (van den Burg, Williams, arXiv:2003.06222, eq. 4)."""

    def hit(truth: set[int]) -> int:
        left, count = sorted({0, *found}), 0
        for one in sorted(truth):
            near = [other for other in left if abs(other - one) <= MARGIN]
            if near:
                left.remove(min(near, key=lambda other: abs(other - one)))
                count += 1
        return count

    sets = [{0, *one} for one in annotations]
    precision = hit(set().union(*sets)) / len({0, *found})
    recall = float(np.mean([hit(one) / len(one) for one in sets]))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def cover(annotations: Sequence[Sequence[int]], found: Sequence[int], n: int) -> float:
    """How well segments cover those of each person, in the mean (the same, eq. 6)."""
    mine = [set(range(a, b)) for a, b in pairwise(sorted({0, n, *found}))]
    scores = []
    for one in annotations:
        pieces = [set(range(a, b)) for a, b in pairwise(sorted({0, n, *one}))]
        scores.append(sum(len(p) * max(len(p & m) / len(p | m) for m in mine) for p in pieces) / n)
    return float(np.mean(scores))


def tcpd(folder: Path) -> pd.DataFrame:
    """F1 and covering of each series and method."""
    rows = []
    for name, people in json.loads((folder / "annotations.json").read_text()).items():
        value = json.loads((folder / f"{name}.json").read_text())["series"][0]["raw"]
        row: dict[str, object] = {"series": name}
        for method, function in METHODS.items():
            found = function(value)
            scores = f1(list(people.values()), found), cover(list(people.values()), found, len(value))
            row[method] = f"{scores[0]:.2f} / {scores[1]:.2f} ({len(found)})"
            row[f"{method} F1"], row[f"{method} cover"] = scores
        rows.append(row)
    return pd.DataFrame(rows)


def nab_score(series: Sequence[tuple[NDArray, list[tuple[int, int]], NDArray]], limit: float) -> tuple[float, int, int]:
    """NAB's standard profile, 0 for no alarm and 100 for one at the begin of each window; windows found; false alarms.

    Each of ``series``: scores, windows as rows, whether a row counts (Lavin, Ahmad, arXiv:1510.03336).
    """
    total, windows_, found, false = 0.0, 0, 0, 0
    for score, windows, counts in series:
        alarms = np.flatnonzero(counts & (score >= limit))
        inside = np.zeros(len(score), dtype=bool)
        for first, last in windows:
            windows_ += 1
            inside[first : last + 1] = True
            hits = alarms[(alarms >= first) & (alarms <= last)]
            if len(hits):
                place = -(last - hits[0] + 1) / (last - first + 1)
                total += (2 / (1 + np.exp(5 * place)) - 1) / (2 / (1 + np.exp(-5)) - 1)
                found += 1
            else:
                total -= 1
        for alarm in alarms[~inside[alarms]]:
            false += 1
            before = [window for window in windows if window[1] < alarm]
            place = (alarm - before[-1][1]) / max(before[-1][1] - before[-1][0], 1) if before else np.inf
            total += FALSE * (2 / (1 + np.exp(min(5 * place, 700))) - 1 if place < 3 else -1)
    return 100 * (total + windows_) / (2 * windows_), found, false


def _spaced(score: NDArray, apart: int = 30) -> NDArray:
    """Only scores above all of the points just before them, as one incident."""
    highest = pd.Series(score).rolling(apart, 1).max().shift(1, fill_value=0)
    return np.where(score >= highest, score, 0)


def mad(value: NDArray, time: NDArray) -> NDArray:
    """`owtrend.trends.zscore.mad_zscore` of the last 200 points."""
    scored = mad_zscore(trend(value, time), window=200, least=50)
    return np.nan_to_num(np.abs(scored["score"].values), posinf=1e3)


def steps(value: NDArray, time: NDArray) -> NDArray:
    """`owtrend.trends.changepoint.noticed`: the significance at each alarm, else 0."""
    out = np.zeros(len(value))
    for raised, clear in noticed(trend(value, time))[["raised", "significance"]].itertuples(index=False):
        out[raised] = clear
    return out


def sliding(value: NDArray, _: NDArray) -> NDArray:
    """Plain: distance from the mean of the last 200 points in units of their standard deviation."""
    past = pd.Series(value).shift(1).rolling(200, 50)
    with np.errstate(divide="ignore", invalid="ignore"):
        score = np.abs(value - past.mean().to_numpy()) / past.std().to_numpy()
    return np.nan_to_num(score, posinf=1e3)


DETECTORS = {"mad_zscore, 200 points": mad, "noticed": steps, "plain z, 200 points": sliding}


def nab(folder: Path) -> pd.DataFrame:
    """NAB's score of each detector at the best limit for all series, as NAB does it, and at a fixed one."""
    labelled = json.loads((folder / "combined_windows.json").read_text())
    rows = []
    for name, function in DETECTORS.items():
        series = []
        for path, windows in labelled.items():
            table = pd.read_csv(folder / "data" / path, parse_dates=["timestamp"])
            time = table["timestamp"].to_numpy().astype("datetime64[ns]")
            ends = [tuple(np.searchsorted(time, pd.to_datetime(w).to_numpy())) for w in windows]
            rows_of = [(int(a), min(int(b), len(time) - 1)) for a, b in ends]
            counts = np.arange(len(time)) >= min(PROBATION * len(time), 750)
            series.append((_spaced(function(table["value"].to_numpy(dtype=float), time)), rows_of, counts))
        limits = np.unique(np.quantile(np.concatenate([one[0] for one in series]), 1 - np.logspace(-5, -1, 80)))
        best = max(limits[limits > 0], key=lambda limit: nab_score(series, limit)[0])
        for label, limit in (("best", best), ("fixed", 6.0)):
            score, found, false = nab_score(series, limit)
            told = {"NAB": round(score, 1), "found": found, "false": false}
            rows.append({"detector": name, "limit": f"{limit:.1f} ({label})", **told})
    return pd.DataFrame(rows)


def main(folder: Path) -> None:
    """Print both tables."""
    changes = tcpd(folder / "tcpd")
    print(changes[["series", *METHODS]].to_string(index=False))
    print(changes[[f"{one} {score}" for one in METHODS for score in ("F1", "cover")]].mean().round(3).to_string())
    print(nab(folder / "nab").to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
