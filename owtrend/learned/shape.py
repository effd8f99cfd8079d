"""A histogram's usual shapes, learned from good reports, and each new report beside them: score, chance, why."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.errors import UsageError
from owtrend.kernels.shapes.anscombe import around_worst, mean_shares, pulls, variation
from owtrend.kernels.shapes.parallel_analysis import variations as variations_of
from owtrend.kernels.shapes.pareto_tail import chances
from owtrend.learned.report_counts import Reports
from owtrend.learned.shape_models import ShapeModel, model_of
from owtrend.model.axis import Axis
from owtrend.model.wording import bin_range, counted, run_names

__all__ = ["LOOKS", "Learned", "learn_shape"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LOOKS = ("shape", "bin", "reach")
TOLD = 0.05  # chance below which it is said why
_FEWEST = 8  # good reports
_LIMIT, _SPREAD, _ROUNDS = 5.0, 6.0, 5  # |pull| from which on a bin is not trusted, also in medians; in how many rounds
_BLOCKS = 5  # of a single run


def learn_shape(
    histogram: xr.Dataset, model: str | Callable[[], ShapeModel] = "pca", *, variations: int | None = None,
    leave_out: Sequence[Any] = (), version: str = "",
) -> "Learned":  # fmt: skip
    """The shapes that a histogram takes in good reports.

    Parameters
    ----------
    histogram
        As `Archive.histogram` gives it: cumulative contents of good runs. Rows that did not report are left out. Flow
        bins do not count. A bin that lost entries counts as empty.
    model
        One of `owtrend.learned.shape_models.MODELS`, or a class of your own, see
        `owtrend.learned.shape_models.ShapeModel`.
    variations
        In how many ways good shapes vary; None: as many as are beyond noise. Each principal component of the stabilised
        residuals counts whose singular value is above that of 19 copies of what is left with random signs (Hong,
        Sheng, Dobriban, arXiv:2012.02985), which keep the noise of each bin and report, whatever it is, and undo what
        bins have in common. A report that is more than half of a component alone is no good one: it is left out, and
        told in ``left_out``.
    leave_out
        Intervals ``(start, stop]``, UTC, whose reports are not good.
    version
        Of the archive, to be told by the result.

    Raises
    ------
    DimsError
        If it is no histogram with rows in time, or a profile or gauge: they have no counts to share.
    UsageError
        If there are fewer than 8 good reports.
    NotFoundError
        If there is no such model.
    """
    name, maker = model_of(model)
    reports = Reports.of(histogram)
    bad = np.zeros(len(reports.times), dtype=bool)
    for start, stop in leave_out:
        bad |= (reports.times > np.datetime64(start, "ns")) & (reports.begins < np.datetime64(stop, "ns"))
    kept, lone, found = variations_of(reports.counts, np.flatnonzero(~bad))
    if len(kept) < _FEWEST:
        raise UsageError(
            f"{reports.name}: {len(kept)} good reports, and {len(reports.times) - len(kept)} that are not; "
            f"at least {_FEWEST} are needed: give more runs"
        )
    ways = found if variations is None else variations
    counts, runs = reports.counts[kept], reports.runs[kept]
    fitted = maker()
    fitted.fit(counts, ways)
    left_out = tuple(reports.times[np.sort(np.concatenate([np.flatnonzero(bad), lone]))])
    share = mean_shares(counts)
    held_out = np.full((len(counts), len(LOOKS)), np.nan)
    groups = runs if len(set(runs.tolist())) > 1 else np.arange(len(runs)) * _BLOCKS // len(runs)
    for group in np.unique(groups):
        others = groups != group
        one = maker()
        one.fit(counts[others], ways)
        compared = _Compared.of(one, counts[~others], mean_shares(counts[others]))
        held_out[~others] = compared.looks
    excess = max(1.0, float(np.median(held_out[:, 0])))
    held_out[:, 0] /= excess
    held_out[:, 1] /= np.sqrt(excess)
    return Learned(
        name=reports.name, model_name=name, model=fitted, variations=ways, runs=tuple(sorted(set(runs.tolist()))),
        reports=len(counts), left_out=left_out, version=version, axes=reports.axes, share=share, excess=excess,
        held_out=held_out,
    )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Learned:
    """A model of a histogram's usual shapes and what it was trained on. It can be pickled.

    Parameters
    ----------
    name
        Of the histogram.
    model_name, model
        The fitted `ShapeModel`.
    variations
        In how many ways good shapes vary.
    runs, reports, version
        It was trained on: runs, how many reports of them, and the version of the archive.
    left_out
        Times of the reports of these runs that are not good.
    axes
        Of the histogram.
    share
        Mean share of each bin in good reports, flat.
    excess
        Median chi2 by its degrees of freedom of good reports that the model had not seen, if above 1: pulls and scores
        are given in units that have it taken out.
    held_out
        Scores by `LOOKS` of each good report, ``(report, look)``, by a model trained without its run; without the fifth
        of the reports about it where there is a single run.
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

    def __repr__(self) -> str:
        ways = f"{self.variations} way{'s' * (self.variations != 1)} to vary"
        made_of = f"{self.reports} reports of {len(self.runs)} run{'s' * (len(self.runs) != 1)}"
        return f"<owtrend.Learned {self.model_name} of {self.name}: {ways}, from {made_of}>"

    def score(self, histogram: xr.Dataset) -> xr.Dataset:
        """How each report of a histogram differs from what good reports look like.

        Parameters
        ----------
        histogram
            As `Archive.histogram` gives it, cumulative; rows that did not report, or counted nothing, are left out.

        Returns
        -------
        :
            Over ``time`` (or ``snapshot``), the end of each report; ``start`` is its begin. With

            - ``expected`` and ``pull`` per bin: what a good report with these counts would hold, bins that do not
              agree left aside, and 2 sqrt(n + 3/8) - 2 sqrt(expected + 3/8) by the root of ``excess``.
            - ``score``: the sum of squared pulls by what is expected of it.
            - ``look_score``, ``look_p_value`` along ``look``: ``shape``, that score; ``bin``, the largest |pull|;
              ``reach``, how far the model had to go from the mean shape (Hellinger's distance, 0 to 1), which is what
              tells that a usual variation went farther than usual.
            - ``p_value``: of the smallest chance of these, times their number; ``p_low``, ``p_high``: the same with
              the ends of the 90 % interval that the number of held-out reports leaves. See
              `owtrend.kernels.shapes.pareto_tail.chances`.
            - ``why``: in words, where ``p_value`` < 0.05; else empty.

        Raises
        ------
        DimsError, BinningChangedError
            If it is no histogram with rows in time, or its bins are others.
        """
        reports = Reports.of(histogram, self.axes)
        compared = _Compared.of(self.model, reports.counts, self.share)
        looks = compared.looks / np.array([self.excess, np.sqrt(self.excess), 1.0])
        p, low, high = (np.empty_like(looks) for _ in range(3))
        for number in range(len(LOOKS)):
            p[:, number], low[:, number], high[:, number] = chances(self.held_out[:, number], looks[:, number])
        tried = np.isfinite(p).sum(axis=1)
        least = np.argmin(np.where(np.isnan(p), np.inf, p), axis=1)
        every = np.arange(len(p))
        total, bottom, top = (np.minimum(one[every, least] * tried, 1.0) for one in (p, low, high))
        size = np.sqrt(self.excess)
        compared = _Compared(compared.counts, compared.expected, compared.pulls / size, looks)
        words = [
            self._why(compared, row, LOOKS[least[row]], float(total[row])) if total[row] < TOLD else ""
            for row in range(len(p))
        ]
        shape = (len(p), *(len(axis) for axis in self.axes))
        dims = (reports.dim, *reports.bins)
        made = xr.Dataset(
            {
                "score": (reports.dim, looks[:, 0]), "p_value": (reports.dim, total),
                "p_low": (reports.dim, bottom), "p_high": (reports.dim, top),
                "look_score": ((reports.dim, "look"), looks), "look_p_value": ((reports.dim, "look"), p),
                "pull": (dims, compared.pulls.reshape(shape)),
                "expected": (dims, (compared.expected * reports.weights[:, None]).reshape(shape)),
                "why": (reports.dim, np.array(words, dtype=object)),
            },
            coords={**reports.coords, "look": list(LOOKS)},
        )  # fmt: skip
        told = {"name": self.name, "model": self.model_name, "variations": self.variations, "excess": self.excess}
        return made.assign_attrs(told, runs=self.runs, reports=self.reports)

    def _why(self, compared: "_Compared", row: int, look: str, chance: float) -> str:
        """One sentence."""
        beside = f"beside {self.reports} good reports of {run_names(self.runs)}; p = {chance:.2g}"
        if look == "reach":
            usual = np.nanmax(self.held_out[:, 2])
            return (
                f"farther from the mean shape than good reports go: {compared.looks[row, 2]:.3g}, of which {usual:.3g} "
                f"was the most ({beside})"
            )
        shape = tuple(len(axis) for axis in self.axes)
        box = around_worst(*(one[row].reshape(shape) for one in (compared.counts, compared.expected, compared.pulls)))
        where = ", ".join(bin_range(self.axes, number, one.start + 1, one.stop) for number, one in enumerate(box))
        seen, wanted = (float(one[row].reshape(shape)[box].sum()) for one in (compared.counts, compared.expected))
        text = f"{where}: {counted(seen, wanted)}"
        if look == "shape":
            least, most = np.nanquantile(self.held_out[:, 0], [0.05, 0.95])
            text = (
                f"another shape: chi2 {compared.looks[row, 0]:.3g} per degree of freedom, where {least:.3g} to "
                f"{most:.3g} is usual; most of all {text}"
            )
        return f"{text} ({beside})"


@dataclass(frozen=True, eq=False)
class _Compared:
    """Reports beside what a model expects: all ``(report, cell)``, and ``looks``, their scores by `LOOKS`."""

    counts: Floats
    expected: Floats
    pulls: Floats
    looks: Floats

    @classmethod
    def of(cls, model: ShapeModel, counts: Floats, share: Floats) -> "_Compared":
        """What does not agree is left aside, and the rest told again what is expected, until that does not change.

        A bin is trusted if |pull| < 5, or 6 times the median where that is more: where shapes vary, or one bin takes
        half of all counts, many are off at first. The first pulls are those from the mean shape, scaled robustly.
        """
        trusted = np.ones(counts.shape, dtype=bool)
        expected = model.expected(counts, trusted)
        pull = pulls(counts, expected)
        rows = np.flatnonzero(np.abs(pull).max(axis=1) > _LIMIT)
        beside = pulls(counts[rows], _scaled(counts[rows], share))
        for _ in range(_ROUNDS if len(rows) else 0):
            size = np.abs(beside)
            now = size < np.maximum(_LIMIT, _SPREAD * np.median(size, axis=1, keepdims=True))
            changed = (now != trusted[rows]).any(axis=1)
            rows, now = rows[changed], now[changed]
            if not len(rows):
                break
            trusted[rows] = now
            expected[rows] = model.expected(counts[rows], now)
            beside = pull[rows] = pulls(counts[rows], expected[rows])
        varied = variation(expected).sum(axis=1)
        freedom = np.maximum(varied * (1 - model.parameters / counts.shape[1]), 1e-300)
        looks = np.full((len(counts), len(LOOKS)), np.nan)
        looks[:, 0] = np.einsum("tb,tb->t", pull, pull) / freedom
        looks[:, 1] = np.abs(pull).max(axis=1)
        if model.parameters > 1:
            total = np.maximum(expected.sum(axis=1), 1e-300)
            looks[:, 2] = np.sqrt(np.maximum(1 - np.sqrt(expected) @ np.sqrt(share) / np.sqrt(total), 0.0))
        return cls(counts, expected, pull, looks)


def _scaled(counts: Floats, share: Floats) -> Floats:
    """The mean shape, scaled to each report by the median of bins, weighted by share; by a quarter of it at least."""
    ratio = counts / share
    order = np.argsort(ratio, axis=1)
    half = (np.cumsum(share[order], axis=1) < 0.5).sum(axis=1)
    at = order[np.arange(len(counts)), np.minimum(half, counts.shape[1] - 1)]
    scale = np.maximum(ratio[np.arange(len(counts)), at], counts.sum(axis=1) / 4)
    return np.asarray(scale[:, None] * share, dtype=np.float64)
