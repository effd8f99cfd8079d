"""Calibration of the p-values of each score with many good histograms, at 0.5 to 100 counts a bin.

``python -m benchmarks.studies.calibration --trials 10000`` simulates pairs of one shape, and prints the tables of
docs/explanation/calibration.md in forty minutes on one core, half of them for the table by component.
"""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from owtrend.comparison.pair import Pair
from owtrend.comparison.pulls import beta_binomial_pulls
from owtrend.comparison.scores import SCORES, parse
from owtrend.kernels.two_sample.statistics import exact_pulls
from owtrend.model.axis import Axis
from owtrend.outliers.components import learn_cells

OCCUPANCIES = (0.5, 2, 5, 20, 100)  # counts a bin, on average
REFERENCES = {"as large": 1, "10 times": 10, "1,000 times": 1000}
SHAPES = ((10,), (100,), (12, 12))
LEVELS = (0.05, 0.01, 0.001)
BY_DEFAULT_PULLS = (
    "chi2_ndf", "ks", "max_pull", "bad_bins(3)", "homogeneity", "chi2_permutation", "ks_permutation", "min_p",
)  # fmt: skip
BY_EXACT_PULLS = ("max_pull", "bad_bins(3)")
SECTORS, PER_SECTOR, COMPONENTS = 18, 10, 5
FULLER = (2000,)  # counts a bin: here every histogram shows that components are ahead of each other
SLICE, CYCLE, JITTER = 60, 5.0, 0.7  # minutes
RUNS = 20  # from which the map of components is learned

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Verdict:
    """Verdict on the p-values of one score in one case; the worst has the lowest rank."""

    word: str
    below: tuple[float, ...]  # fraction of p-values at each of LEVELS or below

    @property
    def rank(self) -> int:
        return ("NOT calibrated", "conservative", "uniform", "no p-value").index(self.word)

    def __str__(self) -> str:
        bold = "**" if self.word == "NOT calibrated" else ""
        return f"{bold}{self.word}{bold} ({', '.join(f'{share:.2g}' for share in self.below)})"


def verdict(p: Floats) -> Verdict:
    """Not calibrated if more than a fraction a is at a or below, else uniform by Kolmogorov's test (p > 0.01).

    More means more than the binomial error allows: as many are there by luck less than once in a thousand times. All
    else is conservative. Pairs without a p-value, as where one is empty, are left out.
    """
    p = p[~np.isnan(p)]
    if not len(p):
        return Verdict("no p-value", ())
    below = tuple(float((p <= level).mean()) for level in LEVELS)
    if any(stats.binom.sf(np.sum(p <= level) - 1, len(p), level) <= 0.001 for level in LEVELS):
        return Verdict("NOT calibrated", below)
    return Verdict("uniform" if stats.kstest(p, "uniform").pvalue > 0.01 else "conservative", below)


def paired(
    data: Floats, reference: Floats, component: NDArray[np.intp], pull: str, *, scale: float | None = None
) -> Pair:
    """The pair of a histogram of counts and its reference as in `owtrend.compare`, by integral or a known scale."""
    flat, flat_reference = data.ravel()[None], reference.ravel()
    scales, pulls = np.ones((1, component.max() + 1)), np.zeros_like(flat)
    for number in range(component.max() + 1):
        cells = np.flatnonzero(component == number)
        part, reference_part = np.ascontiguousarray(flat[:, cells]), flat_reference[cells]
        if scale is not None or reference_part.sum() > 0:
            scales[0, number] = part.sum() / reference_part.sum() if scale is None else scale
        if pull == "exact":
            pulls[:, cells] = exact_pulls(part, reference_part, scales[:, number])
        else:
            by_total = scale is None and bool(reference_part.sum())
            pulls[:, cells] = beta_binomial_pulls(
                part, reference_part, reference_part.sum(), scales[:, number], 0.01, by_total=by_total
            )
    axes = tuple(Axis(np.arange(bins + 1.0), regular=True) for bins in data.shape)
    rows = data[None]
    return Pair(
        rows, rows, reference, reference, scales, pulls.reshape(rows.shape), rows.reshape(1, -1).sum(axis=1), axes,
        "UU", "UU", scale is not None, component,
    )  # fmt: skip


def p_values(pairs: Iterator[tuple[Floats, Floats]], component: NDArray[np.intp]) -> dict[str, Floats]:
    """P-values of each score for all pairs of data and reference."""
    found: dict[str, list[float]] = {}
    for data, reference in pairs:
        for pull, names in (("beta_binomial", BY_DEFAULT_PULLS), ("exact", BY_EXACT_PULLS)):
            pair = paired(data, reference, component, pull)
            for name in names:
                shown = f"{name}, exact pulls" if pull == "exact" else name
                found.setdefault(shown, []).append(float(parse(name)(pair).p_value[0]))
    return {name: np.array(values) for name, values in found.items()}


def good(
    rng: np.random.Generator, trials: int, shape: Sequence[int], occupancy: float, times: float
) -> Iterator[tuple[Floats, Floats]]:
    """Pairs of one shape, nine times as full at one end as at the other; the reference ``times`` as large."""
    expected = occupancy * np.linspace(0.2, 1.8, int(np.prod(shape))).reshape(shape)
    for _ in range(trials):
        yield rng.poisson(expected).astype(float), rng.poisson(times * expected).astype(float)


def empty(rng: np.random.Generator, trials: int, occupancy: float, times: float) -> Floats:
    """P-values of the score `empty` for a bin with few counts, at a known scale."""
    component, score, found = np.zeros(1, dtype=np.intp), parse("empty"), []
    for data, reference in zip(
        rng.poisson(occupancy, (trials, 1)), rng.poisson(times * occupancy, (trials, 1)), strict=True
    ):
        pair = paired(data.astype(float), reference.astype(float), component, "exact", scale=1 / times)
        found.append(float(score(pair).p_value[0]))
    return np.array(found)


def sectors() -> NDArray[np.intp]:
    """Component of each bin: sectors in turn."""
    return np.repeat(np.arange(SECTORS) % COMPONENTS, PER_SECTOR)


def ahead(rng: np.random.Generator, times: float) -> Floats:
    """Exposure of each component in ``times`` slices [slices]: begin and end are its last reports before."""
    before, after = rng.uniform(0, CYCLE, (2, COMPONENTS))
    return times + (before - after) / SLICE


def jittered(rng: np.random.Generator, trials: int, occupancy: float, times: float) -> Iterator[tuple[Floats, Floats]]:
    """Pairs as from `good`, with an exposure for each component."""
    expected, component = occupancy * np.linspace(0.2, 1.8, SECTORS * PER_SECTOR), sectors()
    for _ in range(trials):
        data, reference = (rng.poisson(expected * ahead(rng, whole)[component]).astype(float) for whole in (1, times))
        yield data, reference


def learned(rng: np.random.Generator, occupancy: float) -> NDArray[np.intp]:
    """Map of components learned from the snapshots, one a minute, of some runs of an hour."""
    component, changed = sectors(), []
    rate = occupancy / SLICE * np.linspace(0.2, 1.8, SECTORS * PER_SECTOR)
    for _ in range(RUNS):
        waits = rng.normal(CYCLE, JITTER, (COMPONENTS, 2 * SLICE // int(CYCLE))).clip(min=JITTER)
        reports = waits.cumsum(axis=1) - CYCLE * rng.random((COMPONENTS, 1))
        last = np.array([[row[row <= end].max(initial=0) for row in reports] for end in range(SLICE + 1)])
        expected = np.diff(last, axis=0)[:, component] * rate
        changed.append(rng.poisson(expected) > 0)
    return learn_cells(np.concatenate(changed)).labels


def one_scale(trials: int, occupancies: Sequence[float] = OCCUPANCIES, seed: int = 20_180_601) -> Iterator[str]:
    """Tables in Markdown, line by line: the worst verdict of each score over `SHAPES`."""
    for label, times in REFERENCES.items():
        table: dict[str, list[Verdict]] = {}
        for occupancy in occupancies:
            worst: dict[str, list[Verdict]] = {}
            for shape in SHAPES:
                rng = np.random.default_rng([seed, int(10 * occupancy), times, *shape])
                flat = np.zeros(int(np.prod(shape)), dtype=np.intp)
                for name, p in p_values(good(rng, trials, shape, occupancy, times), flat).items():
                    worst.setdefault(name, []).append(verdict(p))
            rng = np.random.default_rng([seed, int(10 * occupancy), times])
            worst["empty"] = [verdict(empty(rng, trials, occupancy, times))]
            for name, verdicts in worst.items():
                table.setdefault(name, []).append(min(verdicts, key=_order))
        yield from _lines(f"Reference {label}" + (" as large" if times > 1 else " as the data"), occupancies, table)


def by_component(
    trials: int, occupancies: Sequence[float] = (*OCCUPANCIES, *FULLER), times: int = 10, seed: int = 20_180_601
) -> Iterator[str]:
    """A table in Markdown, line by line: components ahead of each other, without a map and with the learned one."""
    table: dict[str, list[Any]] = {}
    for occupancy in occupancies:
        _, found = np.unique(
            learned(np.random.default_rng([seed, int(10 * occupancy)]), occupancy), return_inverse=True
        )
        table.setdefault("components found", []).append(found.max() + 1)
        for with_map, component in ((", no map", np.zeros_like(found)), (", with the map", found)):
            rng = np.random.default_rng([seed, int(10 * occupancy), times, SECTORS])
            for name, p in p_values(jittered(rng, trials, occupancy, times), component).items():
                table.setdefault(name + with_map, []).append(verdict(p))
    ordered = dict(sorted(table.items(), key=lambda line: line[0].split(", ")[:-1]))
    yield from _lines(f"Components ahead of each other, reference {times} times as large", occupancies, ordered)


def _order(verdict: Verdict) -> tuple[int, float]:
    """Key that sorts the worst first; of equal ones the one with the most small p-values."""
    return verdict.rank, -verdict.below[0] if verdict.below else 0.0


def _lines(title: str, occupancies: Sequence[float], table: dict[str, list[Any]]) -> Iterator[str]:
    yield f"### {title}"
    yield ""
    yield "| score | " + " | ".join(f"{occupancy:g} a bin" for occupancy in occupancies) + " |"
    yield "|---" * (len(occupancies) + 1) + "|"
    for name, verdicts in table.items():
        score, *rest = name.split(", ")
        shown = ", ".join([f"`{score}`" if score.partition("(")[0] in SCORES else score, *rest])
        yield f"| {shown} | " + " | ".join(map(str, verdicts)) + " |"
    yield ""


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=10_000, help="pairs of each kind (default: %(default)s)")
    trials = parser.parse_args(arguments).trials
    for line in chain(one_scale(trials), by_component(trials)):
        print(line, flush=True)


if __name__ == "__main__":
    main()
