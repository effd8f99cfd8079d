"""A small detector whose stored numbers are known: `python -m tests.compute.golden` writes them to tests/data/golden
anew.

Do that after a version in `owtrend.store.versions` was raised, and look at what changed.
"""

import json
import tempfile
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

import owtrend
from owtrend.compute import compute
from owtrend.config import Config
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram
from owtrend.store import versions
from tests import builders

FILE = Path(__file__).parent.parent / "data" / "golden" / "numbers.npz"
RUNS = tuple(range(300000, 300006))
SNAPSHOTS = 24
CONFIG = Config.model_validate(
    {"subsystems": {"EMC": {"events": "events", "reductors": {"amplitude": ["quantile_x(0.9)", "mean_x(x=1:5)"]}}}}
)
_AXIS, _SIDE = Axis.spaced(12, 0.0, 6.0), Axis.spaced(4, 0.0, 1.0)


def numbers(store: str | Path) -> dict[str, NDArray[Any]]:
    """All that `compute` stores of the small detector; keys are ``family:array``, see `owtrend.store.versions`."""
    for run in RUNS:
        builders.append(store, builders.snapshots(list(_snapshots(run)), run, minutes=count(0, 2)))
    compute.compute(store, config=CONFIG, workers=0)
    view = owtrend.open(store).stored("EMC")
    run_indices = [view.run_index(run) for run in RUNS]
    rows, histograms = slice(0, SNAPSHOTS), slice(0, len(view.registry.histograms))
    made = {f"trends:{name}": view.trends.block(name, run_indices, rows) for name in ("value", "error", "state")}
    made |= {f"trends:{name}": view.trends.block(name, run_indices) for name in ("run_value", "run_error")}
    scores = np.array(view.scores.names)
    z, null = view.scores.block("z", run_indices, rows), view.scores.block("null", run_indices)
    flagged = view.scores.block("flagged", run_indices, rows)
    of_components = np.isin(scores, ("fraction", "rate"))
    made["histogram:z"], made["component:z"] = z[..., ~of_components], z[..., of_components]
    made["histogram:total"] = view.scores.block("total", run_indices, rows)
    made["histogram:flagged"], made["component:flagged"] = flagged & 1, flagged & ~np.uint8(1)
    half = null.shape[3] // 2
    made["histogram:null"], made["component:null"] = null[..., :half, :], null[..., half:, :]
    made["findings:lines"] = np.array(view.scores.lines(run_indices))
    return {name: values[:, :, histograms] if values.ndim > 3 else values for name, values in made.items()}


def versions_of() -> dict[str, int]:
    """The versions that numbers are made by, of the families in `numbers`."""
    return {"trends": versions.TRENDS, **versions.SCORES}


def _snapshots(run: int) -> Iterator[dict[str, Histogram]]:
    """Cumulative histograms of three components, one of which reports in each snapshot."""
    number = RUNS.index(run)
    shape = 60.0 + 40 * np.sin(np.arange(12) / 2)
    totals: dict[str, NDArray[Any]] = {}
    for snapshot in range(SNAPSHOTS):
        made = {}
        for column, name in enumerate(("amplitude", "energy", "events", "position", "rate", "time")):
            expected = shape / (1 + column / 3) * (snapshot % 3 == (0, 0, 0, 1, 2, 2)[column])
            if number == 4 and name == "amplitude" and snapshot > 12:
                expected[7] *= 4  # a hot channel
            if number == 5 and name in ("rate", "time") and snapshot > 11:
                expected = 0.5 * expected  # half a component
            if number == 5 and name == "energy" and snapshot > 14:
                expected = 0 * expected  # dead
            gained = _like_poisson(expected, 1000 * number + 100 * column + snapshot)
            totals[name] = totals.get(name, 0) + gained
            if number == 3 and name == "position" and snapshot == 8:
                totals[name] = gained  # restarted
            made[name] = _counts(totals[name])
        gained = _like_poisson(shape * (snapshot % 3 == 1), 7000 + 1000 * number + snapshot)
        totals["sum"] = totals.get("sum", 0) + gained
        totals["sum of squares"] = totals.get("sum of squares", 0) + 2 * gained
        made["weighted"] = _counts(1.5 * totals["sum"], sumw2=totals["sum of squares"])
        made["profile"] = _profile(totals["sum"], np.arange(12) / 4 + (0.2 if number == 4 else 0.0))
        made["map"] = _map(totals["amplitude"])
        if number == 2 and snapshot > 6:
            del made["time"]
        yield made


def _like_poisson(expected: NDArray[Any], seed: int) -> NDArray[Any]:
    """Counts that spread like Poisson's, the same on every machine: no generator of numbers is."""
    at = (0.5 + (np.arange(len(expected)) + 31 * seed) * 0.6180339887498949) % 1
    return np.maximum(np.round(expected + np.sqrt(expected) * ndtri(at)), 0)


def _counts(inside: NDArray[Any], sumw2: NDArray[Any] | None = None) -> Histogram:
    contents, x = np.pad(inside, 1), _AXIS.edges[:-1] + 0.25
    squares = inside if sumw2 is None else sumw2
    sums = {"entries": inside.sum(), "tsumw": inside.sum(), "tsumw2": squares.sum()}
    sums |= {"tsumwx": (inside * x).sum(), "tsumwx2": (inside * x**2).sum()}
    parts = {"contents": contents} if sumw2 is None else {"contents": contents, "sumw2": np.pad(sumw2, 1)}
    return Histogram(path=("?",), class_name="TH1D", axes=(_AXIS,), parts=parts, sums=sums)


def _profile(entries: NDArray[Any], mean: NDArray[Any]) -> Histogram:
    x = _AXIS.edges[:-1] + 0.25
    sums = {"entries": entries.sum(), "tsumw": entries.sum(), "tsumw2": entries.sum()}
    sums |= {"tsumwx": (entries * x).sum(), "tsumwx2": (entries * x**2).sum()}
    sums |= {"tsumwy": (entries * mean).sum(), "tsumwy2": (entries * (mean**2 + 0.25)).sum()}
    parts = {"sumwy": entries * mean, "sumwy2": entries * (mean**2 + 0.25), "bin_entries": entries}
    padded = {name: np.pad(values, 1) for name, values in parts.items()}
    return Histogram(path=("?",), class_name="TProfile", axes=(_AXIS,), parts=padded, sums=sums)


def _map(inside: NDArray[Any]) -> Histogram:
    counts = np.zeros((14, 6))
    counts[1:13, 1:5] = np.floor(inside[:, None] / (1 + np.arange(4)))
    x, y = (_AXIS.edges[:-1] + 0.25)[:, None], (_SIDE.edges[:-1] + 0.125)[None]
    n = counts[1:13, 1:5]
    sums = {"entries": n.sum(), "tsumw": n.sum(), "tsumw2": n.sum(), "tsumwx": (n * x).sum()}
    sums |= {"tsumwx2": (n * x**2).sum(), "tsumwy": (n * y).sum(), "tsumwy2": (n * y**2).sum()}
    sums["tsumwxy"] = (n * x * y).sum()
    parts = {"contents": counts.ravel(order="F")}
    return Histogram(path=("?",), class_name="TH2D", axes=(_AXIS, _SIDE), parts=parts, sums=sums)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        made = numbers(Path(folder) / "store")
    np.savez_compressed(FILE, versions=np.array(json.dumps(versions_of())), **made)
    print(f"{FILE.name}: {len(made)} arrays, versions {versions_of()}")
