"""Change points and scores on public series with labels (TCPD, NAB), and of plain baselines: prints two tables.

``python -m benchmarks.studies.labelled_series FOLDER``, with the folders ``tcpd`` and ``nab`` inside. Nothing is tuned
to these series.
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

Floats = NDArray[np.float64]
Labelled = tuple[Floats, list[tuple[int, int]], NDArray[np.bool_]]  # scores, windows, points that count

MARGIN = 5  # points by which a change may be off, as in TCPD
PROBATION = 0.15  # first part of a series, at most 750 points, that does not count, as in NAB
FALSE = 0.11  # cost of a false alarm in NAB's standard profile; a missed window costs 1


def trend(value: Sequence[float] | Floats, time: Floats | None = None) -> xr.Dataset:
    """A series as a trend without errors."""
    steps = pd.date_range("2000", periods=len(value), freq="60s").to_numpy() if time is None else time
    return xr.Dataset({"value": ("time", np.asarray(value, dtype=float))}, coords={"time": steps})


def ours(value: Sequence[float]) -> list[int]:
    """Change points by `owtrend.change_points`."""
    return change_points(trend(value))["index"].tolist()


def ours_without_drifts(value: Sequence[float]) -> list[int]:
    """Change points that are no drift."""
    found = change_points(trend(value))
    return found["index"][~found["drift"]].tolist()


def plain(value: Sequence[float]) -> list[int]:
    """Standard least squares at a penalty of 2 log(n) sigma**2 (ruptures' PELT), sigma from plain differences."""
    numbers = np.asarray(value, dtype=float)
    sigma = np.full(len(numbers), max(np.diff(numbers).std() / np.sqrt(2), 1e-12))
    return segments(numbers, sigma, 2 * np.log(len(numbers)), 1).tolist()


METHODS: dict[str, Callable[[Sequence[float]], list[int]]] = {
    "owtrend": ours, "owtrend, no drifts": ours_without_drifts, "plain PELT, 2 log n": plain, "none": lambda _: [],
}  # fmt: skip


def f1(annotations: Sequence[Sequence[int]], found: Sequence[int]) -> float:
    """F1 of change points, the begin included, within five points (van den Burg, Williams, arXiv:2003.06222, eq. 4)."""

    def hit(truth: set[int]) -> int:
        left, count = sorted({0, *found}), 0
        for true in sorted(truth):
            near = [point for point in left if abs(point - true) <= MARGIN]
            if near:
                left.remove(min(near, key=lambda point: abs(point - true)))
                count += 1
        return count

    sets = [{0, *one} for one in annotations]
    precision = hit(set().union(*sets)) / len({0, *found})
    recall = float(np.mean([hit(one) / len(one) for one in sets]))
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def cover(annotations: Sequence[Sequence[int]], found: Sequence[int], n: int) -> float:
    """Mean over annotators of how well segments cover theirs (the same, eq. 6)."""
    segments_found = [set(range(a, b)) for a, b in pairwise(sorted({0, n, *found}))]
    scores = []
    for annotation in annotations:
        pieces = [set(range(a, b)) for a, b in pairwise(sorted({0, n, *annotation}))]
        scores.append(sum(len(p) * max(len(p & m) / len(p | m) for m in segments_found) for p in pieces) / n)
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


def nab_score(series: Sequence[Labelled], limit: float) -> tuple[float, int, int]:
    """NAB's standard profile, 0 for no alarm and 100 for one at the begin of each window; windows found; false alarms.

    Each of ``series`` has scores, windows as rows, and a mask of the rows that count (Lavin, Ahmad, arXiv:1510.03336).
    """
    total, windows_seen, found, false = 0.0, 0, 0, 0
    for score, windows, counts in series:
        alarms = np.flatnonzero(counts & (score >= limit))
        inside = np.zeros(len(score), dtype=bool)
        for first, last in windows:
            windows_seen += 1
            inside[first : last + 1] = True
            hits = alarms[(alarms >= first) & (alarms <= last)]
            if len(hits):
                position = -(last - hits[0] + 1) / (last - first + 1)
                total += (2 / (1 + np.exp(5 * position)) - 1) / (2 / (1 + np.exp(-5)) - 1)
                found += 1
            else:
                total -= 1
        for alarm in alarms[~inside[alarms]]:
            false += 1
            before = [window for window in windows if window[1] < alarm]
            position = (alarm - before[-1][1]) / max(before[-1][1] - before[-1][0], 1) if before else np.inf
            total += FALSE * (2 / (1 + np.exp(min(5 * position, 700))) - 1 if position < 3 else -1)
    return 100 * (total + windows_seen) / (2 * windows_seen), found, false


def _spaced(score: Floats, apart: int = 30) -> Floats:
    """Scores that exceed all of the points just before them, else 0, so that each incident counts once."""
    highest = pd.Series(score).rolling(apart, 1).max().shift(1, fill_value=0)
    return np.where(score >= highest, score, 0)


def mad(value: Floats, time: Floats) -> Floats:
    """Scores by `owtrend.trends.zscore.mad_zscore` with the last 200 points."""
    scored = mad_zscore(trend(value, time), window=200, least=50)
    return np.nan_to_num(np.abs(scored["score"].values), posinf=1e3)


def steps(value: Floats, time: Floats) -> Floats:
    """Significance at each alarm of `owtrend.trends.changepoint.noticed`, else 0."""
    out = np.zeros(len(value))
    for raised, clear in noticed(trend(value, time))[["raised", "significance"]].itertuples(index=False):
        out[raised] = clear
    return out


def sliding(value: Floats, _: Floats) -> Floats:
    """Distance from the mean of the last 200 points in units of their standard deviation."""
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
            result = {"NAB": round(score, 1), "found": found, "false": false}
            rows.append({"detector": name, "limit": f"{limit:.1f} ({label})", **result})
    return pd.DataFrame(rows)


def main(folder: Path) -> None:
    """Print both tables."""
    changes = tcpd(folder / "tcpd")
    print(changes[["series", *METHODS]].to_string(index=False))
    print(changes[[f"{one} {score}" for one in METHODS for score in ("F1", "cover")]].mean().round(3).to_string())
    print(nab(folder / "nab").to_string(index=False))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
