"""Shapes of a histogram learned from good reports, and scores of new reports against them: p-value and reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.display import Display, Displayed
from owtrend.errors import UsageError
from owtrend.kernels.shapes.anscombe import around_worst, mean_shares, pulls, variation
from owtrend.kernels.shapes.parallel_analysis import variations as variations_of
from owtrend.kernels.shapes.pareto_tail import tail_probability
from owtrend.learned.report_counts import ReportCounts
from owtrend.learned.shape_models import ShapeModel, shape_model_by_name
from owtrend.model.axis import Axis
from owtrend.model.wording import bin_range, counted, plural, run_names

__all__ = ["STATISTICS", "Learned", "learn_shape"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

STATISTICS = ("chi2", "max_pull", "distance")  # chi2 per degree of freedom, largest |pull|, from the mean shape
EXPLAINED = 0.05  # p-value below which the reason is given
_FEWEST = 8  # good reports
_LIMIT, _MEDIANS = 5.0, 6.0  # a bin is not trusted if its |pull| is above both, the second in medians of all |pull|
_ROUNDS = 5  # at most, of choosing trusted bins
_BLOCKS = 5  # that a single run is cut into, each held out in turn


def learn_shape(
    histogram: xr.Dataset, model: str | Callable[[], ShapeModel] = "pca", *, variations: int | None = None,
    leave_out: Sequence[Any] = (), version: str = "",
) -> "Learned":  # fmt: skip
    """Learn the shapes that a histogram takes in good reports.

    Parameters
    ----------
    histogram
        From `Archive.histogram`: cumulative contents of good runs. Rows that did not report are left out. Flow bins do
        not count. A bin that lost entries counts as empty.
    model
        One of `owtrend.learned.shape_models.MODELS`, or a class of your own, see
        `owtrend.learned.shape_models.ShapeModel`.
    variations
        In how many ways good shapes vary; None: as many as are beyond noise. A principal component of the stabilised
        residuals counts if its singular value is above those of 19 copies of the rest with random signs (Hong, Sheng,
        Dobriban, arXiv:2012.02985), which keep the noise of each bin and report and undo what bins have in common. A
        report that alone is more than half of a component is not good: it is left out and listed in ``left_out``.
    leave_out
        Intervals ``(start, stop]``, UTC, whose reports are not good.
    version
        Version of the archive, kept in the result.

    Raises
    ------
    DimsError
        If it is no histogram with rows in time, or a profile or gauge, which have no counts.
    UsageError
        If there are fewer than 8 good reports.
    NotFoundError
        If there is no such model.
    """
    name, make_model = shape_model_by_name(model)
    reports = ReportCounts.from_histogram(histogram)
    bad = np.zeros(len(reports.times), dtype=bool)
    for start, stop in leave_out:
        bad |= (reports.times > np.datetime64(start, "ns")) & (reports.begins < np.datetime64(stop, "ns"))
    kept, lone, ways_found = variations_of(reports.counts, np.flatnonzero(~bad))
    if len(kept) < _FEWEST:
        raise UsageError(
            f"{reports.name}: {len(kept)} good reports, and {len(reports.times) - len(kept)} that are not; "
            f"at least {_FEWEST} are needed: give more runs"
        )
    ways = ways_found if variations is None else variations
    counts, runs = reports.counts[kept], reports.runs[kept]
    fitted = make_model()
    fitted.fit(counts, ways)
    left_out = tuple(reports.times[np.sort(np.concatenate([np.flatnonzero(bad), lone]))])
    share = mean_shares(counts)
    held_out = np.full((len(counts), len(STATISTICS)), np.nan)
    groups = runs if len(set(runs.tolist())) > 1 else np.arange(len(runs)) * _BLOCKS // len(runs)
    for group in np.unique(groups):
        others = groups != group
        without = make_model()
        without.fit(counts[others], ways)
        held_out[~others] = _Compared.with_model(without, counts[~others], mean_shares(counts[others])).statistics
    excess = max(1.0, float(np.median(held_out[:, 0])))
    held_out[:, 0] /= excess
    held_out[:, 1] /= np.sqrt(excess)
    return Learned(
        name=reports.name, model_name=name, model=fitted, variations=ways, runs=tuple(sorted(set(runs.tolist()))),
        reports=len(counts), left_out=left_out, version=version, axes=reports.axes, share=share, excess=excess,
        held_out=held_out,
    )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class Learned(Displayed):
    """A model of the shapes of a histogram in good reports, and its training data. It can be pickled.

    Parameters
    ----------
    name, axes
        Name and axes of the histogram.
    model_name, model
        The fitted `ShapeModel`.
    variations
        In how many ways good shapes vary.
    runs, reports, version
        Training data: the runs, their number of reports, and the version of the archive.
    left_out
        Times of the reports of these runs that are not good.
    share
        Mean fraction of the counts in each bin of good reports, flat.
    excess
        Median chi2 per degree of freedom of good reports that the model had not seen, if above 1: chi2 is divided by
        it, pulls by its root.
    held_out
        `STATISTICS` of each good report, ``(report, statistic)``, from a model trained without its run; of a single
        run, without the fifth of the reports around it.
    """

    name: str
    model_name: str
    model: ShapeModel
    variations: int
    runs: tuple[int, ...]
    reports: int
    left_out: tuple[np.datetime64, ...]
    version: str
    axes: tuple[Axis, ...]
    share: Floats
    excess: float
    held_out: Floats

    def _display(self) -> Display:
        ways = plural(self.variations, "way")
        source = f"{plural(self.reports, 'report')} of {plural(len(self.runs), 'run')}"
        return Display(
            f"{self.model_name} of {self.name}, {ways} to vary, from {source}",
            {"left out": plural(len(self.left_out), "report")},
            [f"scores = learned.score(archive.histogram(..., {self.name!r}, run=...))",
             "scores.why  # in words, where p_value < 0.05"],
        )  # fmt: skip

    def score(self, histogram: xr.Dataset) -> xr.Dataset:
        """Score each report of a histogram against the shapes of good reports.

        Parameters
        ----------
        histogram
            From `Archive.histogram`, cumulative; rows that did not report, or counted nothing, are left out.

        Returns
        -------
        :
            Over ``time`` (or ``snapshot``), the end of each report; ``start`` is its begin. With

            - ``expected`` per bin: contents of a good report with these counts, fitted to the bins that agree.
            - ``pull`` per bin: 2 sqrt(n + 3/8) - 2 sqrt(expected + 3/8), divided by the root of ``excess``.
            - ``score``: the sum of squared pulls divided by its expectation.
            - ``statistic``, ``statistic_p_value`` along ``statistic_name``: ``chi2``, which is ``score``; ``max_pull``,
              the largest |pull|; ``distance`` of the fitted shape from the mean shape (Hellinger, 0 to 1), which is
              large where a known variation goes farther than in good reports.
            - ``p_value``: the smallest p-value of these times their number; ``p_low``, ``p_high``: the same for the
              ends of its 90 % interval. See `owtrend.kernels.shapes.pareto_tail.tail_probability`.
            - ``why``: the reason in words, where ``p_value`` < 0.05; else empty.

        Raises
        ------
        DimsError, BinningChangedError
            If it is no histogram with rows in time, or its bins differ.
        """
        reports = ReportCounts.from_histogram(histogram, self.axes)
        compared = _Compared.with_model(self.model, reports.counts, self.share)
        statistics = compared.statistics / np.array([self.excess, np.sqrt(self.excess), 1.0])
        p, low, high = (np.empty_like(statistics) for _ in range(3))
        for number in range(len(STATISTICS)):
            tail = tail_probability(self.held_out[:, number], statistics[:, number])
            p[:, number], low[:, number], high[:, number] = tail
        tried = np.isfinite(p).sum(axis=1)
        least = np.argmin(np.where(np.isnan(p), np.inf, p), axis=1)
        rows = np.arange(len(p))
        p_value, p_low, p_high = (np.minimum(array[rows, least] * tried, 1.0) for array in (p, low, high))
        compared = replace(compared, pulls=compared.pulls / np.sqrt(self.excess), statistics=statistics)
        reasons = [
            self._reason(compared, row, STATISTICS[least[row]], float(p_value[row])) if p_value[row] < EXPLAINED else ""
            for row in range(len(p))
        ]
        shape = (len(p), *(len(axis) for axis in self.axes))
        dims = (reports.dim, *reports.bins)
        scored = xr.Dataset(
            {
                "score": (reports.dim, statistics[:, 0]), "p_value": (reports.dim, p_value),
                "p_low": (reports.dim, p_low), "p_high": (reports.dim, p_high),
                "statistic": ((reports.dim, "statistic_name"), statistics),
                "statistic_p_value": ((reports.dim, "statistic_name"), p),
                "pull": (dims, compared.pulls.reshape(shape)),
                "expected": (dims, (compared.expected * reports.weights[:, None]).reshape(shape)),
                "why": (reports.dim, np.array(reasons, dtype=object)),
            },
            coords={**reports.coords, "statistic_name": list(STATISTICS)},
        )  # fmt: skip
        attrs = {"name": self.name, "model": self.model_name, "variations": self.variations, "excess": self.excess}
        return scored.assign_attrs(attrs, runs=self.runs, reports=self.reports)

    def _reason(self, compared: "_Compared", row: int, statistic: str, p_value: float) -> str:
        """One sentence on the statistic with the smallest p-value."""
        reference = f"compared with {self.reports} good reports of {run_names(self.runs)}; p = {p_value:.2g}"
        if statistic == "distance":
            farthest = np.nanmax(self.held_out[:, 2])
            return (
                f"farther from the mean shape than any good report: {compared.statistics[row, 2]:.3g}, at most "
                f"{farthest:.3g} in good ones ({reference})"
            )
        shape = tuple(len(axis) for axis in self.axes)
        counts, expected, pull = (
            array[row].reshape(shape) for array in (compared.counts, compared.expected, compared.pulls)
        )
        box = around_worst(counts, expected, pull)
        where = ", ".join(bin_range(self.axes, number, bins.start + 1, bins.stop) for number, bins in enumerate(box))
        text = f"{where}: {counted(float(counts[box].sum()), float(expected[box].sum()))}"
        if statistic == "chi2":
            least, most = np.nanquantile(self.held_out[:, 0], [0.05, 0.95])
            text = (
                f"another shape: chi2 {compared.statistics[row, 0]:.3g} per degree of freedom, normally {least:.3g} to "
                f"{most:.3g}; largest difference {text}"
            )
        return f"{text} ({reference})"


@dataclass(frozen=True, eq=False)
class _Compared:
    """Reports compared with a model, ``(report, cell)``, and their `STATISTICS`, ``(report, statistic)``."""

    counts: Floats
    expected: Floats
    pulls: Floats
    statistics: Floats

    @classmethod
    def with_model(cls, model: ShapeModel, counts: Floats, share: Floats) -> "_Compared":
        """Fit the model to the bins that agree with it, until these do not change.

        A bin is trusted if |pull| < 5, or 6 times the median where that is more: where shapes vary, or one bin has
        half of all counts, many are off at first. The first pulls are against the mean shape, scaled robustly.
        """
        trusted = np.ones(counts.shape, dtype=bool)
        expected = model.expected(counts, trusted)
        pull = pulls(counts, expected)
        rows = np.flatnonzero(np.abs(pull).max(axis=1) > _LIMIT)
        pull_rows = pulls(counts[rows], _scaled(counts[rows], share))
        for _ in range(_ROUNDS if len(rows) else 0):
            size = np.abs(pull_rows)
            now = size < np.maximum(_LIMIT, _MEDIANS * np.median(size, axis=1, keepdims=True))
            changed = (now != trusted[rows]).any(axis=1)
            rows, now = rows[changed], now[changed]
            if not len(rows):
                break
            trusted[rows] = now
            expected[rows] = model.expected(counts[rows], now)
            pull_rows = pull[rows] = pulls(counts[rows], expected[rows])
        expectation = variation(expected).sum(axis=1)
        freedom = np.maximum(expectation * (1 - model.parameters / counts.shape[1]), 1e-300)
        statistics = np.full((len(counts), len(STATISTICS)), np.nan)
        statistics[:, 0] = np.einsum("tb,tb->t", pull, pull) / freedom
        statistics[:, 1] = np.abs(pull).max(axis=1)
        if model.parameters > 1:
            total = np.maximum(expected.sum(axis=1), 1e-300)
            statistics[:, 2] = np.sqrt(np.maximum(1 - np.sqrt(expected) @ np.sqrt(share) / np.sqrt(total), 0.0))
        return cls(counts, expected, pull, statistics)


def _scaled(counts: Floats, share: Floats) -> Floats:
    """The mean shape scaled to each report by the median of the bins, weighted by share, but by a quarter at least."""
    ratio = counts / share
    order = np.argsort(ratio, axis=1)
    half = (np.cumsum(share[order], axis=1) < 0.5).sum(axis=1)
    median_bin = order[np.arange(len(counts)), np.minimum(half, counts.shape[1] - 1)]
    scale = np.maximum(ratio[np.arange(len(counts)), median_bin], counts.sum(axis=1) / 4)
    return np.asarray(scale[:, None] * share, dtype=np.float64)
