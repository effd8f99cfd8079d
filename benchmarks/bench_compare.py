"""Histograms compared with references: pulls, scores of one report and of a snapshot, a pass over an archive."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from benchmarks.bench_compute import gigabytes
from benchmarks.inputs import Compare, Size, Source
from ingest.simulator.detector import COMPONENTS, histograms
from owtrend.compute import cluster
from owtrend.compute.update_scores import rescore
from owtrend.config import Config
from owtrend.kernels.two_sample import beta_binomial, report
from owtrend.kernels.two_sample.lines import line_bounds, line_sums
from owtrend.outliers import histogram_scores
from owtrend.outliers.monitor import Counts, HistogramMonitor
from owtrend.store.repository import Store


@pytest.fixture
def counts(size: Size, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Rows of counts (time, cell) and a reference of ten times as many; few if tiny."""
    shape = rng.gamma(2, 10, 5000 if size.warm_up else 100)
    return rng.poisson(shape, (64 if size.warm_up else 2, len(shape))).astype(float), rng.poisson(10 * shape) * 1.0


def scipy_pulls(data: NDArray, reference: NDArray, totals: NDArray) -> NDArray:
    """The same by SciPy: three probabilities per bin, and the inverse of chi2."""
    n = data.sum(axis=1, keepdims=True)
    mean = n * reference / totals
    law = [n, reference + 1, totals - reference + 1]
    at_most = np.maximum(*(stats.betabinom.pmf(np.floor(mean) + more, *law) for more in (0, 1)))
    q = np.minimum(stats.betabinom.pmf(data, *law) / at_most, 1)
    return np.sign(data - mean) * np.sqrt(stats.chi2.isf(np.maximum(q, 1e-300), 1))


def test_beta_binomial(counts: tuple[NDArray, NDArray], compare: Compare) -> None:
    """The log of the probability of each bin given the reference, against SciPy's ``betabinom.logpmf``."""
    data, plain = counts
    totals, table = np.full_like(plain, plain.sum()), beta_binomial.log_factorials()
    law = data.sum(axis=1, keepdims=True), plain + 1, totals - plain + 1

    def ours() -> NDArray:
        return beta_binomial.log_beta_binomial(data, plain, totals, table)

    np.testing.assert_allclose(ours(), stats.betabinom.logpmf(data, *law), rtol=1e-6, atol=1e-6)
    compare(
        "beta-binomial", f"{data.shape[0]} x {data.shape[1]:,}", ours, "SciPy",
        lambda: stats.betabinom.logpmf(data, *law), amount=1e-6 * data.size, rate_unit="M cells/s",
        target=">= 70 M cells/s", at_most=3,
    )  # fmt: skip


def test_beta_binomial_pulls(counts: tuple[NDArray, NDArray], compare: Compare) -> None:
    """AutoDQM's pulls with its tolerance, against SciPy's ``betabinom`` and ``chi2.isf``."""
    data, plain = counts
    reference, totals = beta_binomial.shrunk(plain, plain.sum(), 0.01)
    table, amount = beta_binomial.log_factorials(), data.sum(axis=1)

    def ours() -> NDArray:
        return beta_binomial.beta_binomial(data, amount, reference, totals, True, table)

    theirs = scipy_pulls(data, reference, totals)
    np.testing.assert_allclose(np.abs(ours()), np.abs(theirs), atol=2e-4)
    compare(
        "AutoDQM's pulls", f"{data.shape[0]} x {data.shape[1]:,}", ours, "SciPy",
        lambda: scipy_pulls(data, reference, totals), amount=1e-6 * data.size, rate_unit="M cells/s", at_most=3,
    )  # fmt: skip


def test_one_comparison(counts: tuple[NDArray, NDArray], compare: Compare) -> None:
    """`kernels.two_sample.report`: chi2 and its moments, the least likely bin, window and shift of one row after the
    other; against chi2 and Kolmogorov distance in NumPy.
    """
    data, reference = counts
    sizes = np.array(reference.shape)
    bounds, moments = line_bounds(reference.shape), np.empty((3, 0))
    known = reference, line_sums(reference, sizes), moments
    result, scatter = np.zeros(1, dtype=report.DIFFERENCE), np.zeros((len(report.SCATTER), 3))
    plain = np.zeros(len(report.SCATTER))
    null = np.array([[np.inf, 1.0, 0.0]] * len(report.SCATTER))  # independent fills, known for certain

    def ours() -> None:
        for row in data:
            report.compare((row, line_sums(row, sizes), moments), known, bounds, 10.0, null, result[0], scatter, plain)

    def theirs() -> None:
        for row in data:
            n, whole = row.sum(), reference.sum()
            both = row + reference
            np.sum((whole * row - n * reference) ** 2 / np.where(both > 0, both, 1)) / (n * whole)
            np.abs(np.cumsum(row) / n - np.cumsum(reference) / whole).max()

    compare(
        "one comparison", f"{data.shape[0]} x {data.shape[1]:,}", ours, "NumPy, less", theirs, amount=1e-6 * data.size,
        rate_unit="M cells/s",
    )  # fmt: skip


def test_all_scores_of_a_live_snapshot(size: Size, compare: Compare, rng: np.random.Generator) -> None:
    """A report of every histogram of EMC, TPC and HLT against five runs and against its own run, all scores, in one
    thread; compared with NumPy's chi2 of each against the same five runs.
    """
    watched: list[tuple[HistogramMonitor, Counts]] = []
    for subsystem in COMPONENTS:
        for histogram in histograms(subsystem, 1.0 if size.warm_up else 0.01):
            cells = np.array(histogram.density.shape[:0:-1], dtype=np.int64)
            expected = 5 * histogram.density.sum(axis=0).ravel()

            def report(times: float, cells: NDArray = cells, expected: NDArray = expected) -> Counts:
                return Counts(rng.poisson(times * expected).astype(float), cells)

            monitor = HistogramMonitor(report(60))
            for _ in range(6):
                monitor.accept(report(1))
            watched.append((monitor, report(1)))
    bins = sum(len(report.counts) for _, report in watched)

    def ours() -> None:
        for monitor, report in watched:
            vars(report).pop("line_sums", None)
            monitor.test(report)

    def theirs() -> None:
        for monitor, report in watched:
            assert monitor.reference is not None
            d, r = report.counts, monitor.reference.counts
            both = d + r
            np.sum((r.sum() * d - d.sum() * r) ** 2 / np.where(both > 0, both, 1))

    compare(
        "a live snapshot", f"{len(watched)} histograms, {bins:,} cells", ours, "NumPy's chi2", theirs,
        amount=1e-6 * bins, rate_unit="M cells/s", target="< 1 s", at_most=3,
    )  # fmt: skip


def test_a_pass_over_an_archive(source: Source, size: Size, store: Path, compare: Compare) -> None:
    """All scores of all reports of all runs, stored, on the threads of this process; against reading the cells alone.
    Inputs that are not simulated have five times as much to do, as every histogram changes in every snapshot.
    """
    opened = Store.open(store)

    def ours() -> None:
        with opened.writer("derived") as begin, cluster.runner(0, None, tasks=1) as runner:
            rescore(opened, begin, runner, Config(), force=True)

    def theirs() -> None:
        reader = opened.reader()
        for name in reader.subsystems:
            view = reader.subsystem(name)
            entries = list(view.registry.histograms.values())
            for run in view.run_indices:
                for _ in histogram_scores.Prefetched(view, view.run_index(run), entries).windows():
                    pass

    compare(
        "a pass", f"{source.label}, {size.copies} times", ours, "reading alone", theirs, amount=gigabytes(store),
        rate_unit="GB/s", target=">= 0.5 GB/s", at_most=3,
    )  # fmt: skip
