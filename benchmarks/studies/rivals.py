"""Baselines on the same archive: AutoDQM's beta-binomial comparison and the trend check of ALICE O2.

The good runs, in which no fault changed any content, are given to them, as a shifter would pick references. Weighted
histograms are left out, as they are no counts; of profiles the bin entries are compared.
"""

import json
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray
from scipy import special

import owtrend
from benchmarks.studies.incidents import COLUMNS
from owtrend import Archive
from owtrend.errors import BinningChangedError
from owtrend.histograms.subsystem_slice import TimeSlice
from owtrend.kernels.two_sample import beta_binomial

__all__ = ["autodqm_by_report", "autodqm_by_run", "autodqm_tuned", "good_runs", "o2_example", "o2_tpc", "o2_tuned",
           "outlying", "references", "trend_check"]  # fmt: skip

# The defaults of AutoDQM's plug-in (AutoDQM/AutoDQM, plugins/beta_binomial.py; arXiv:2501.13789).
CHI2_CUT, PULL_CUT, TOLERANCE, MIN_ENTRIES = 10.0, 10.0, 0.01, 1
REFERENCES = 5
LEAST_Q = 1e-300  # 37 sigma
MINUTE = np.timedelta64(60, "s")
Floats = NDArray[np.float64]


def good_runs(store: Path) -> dict[str, list[int]]:
    """Runs of each subsystem in which no fault changed a histogram, from ``truth.json`` next to the store."""
    truth = json.loads((store.parent / "truth.json").read_text())
    bad = {(fault["subsystem"], fault["run"]) for fault in truth["faults"] if fault["histograms"]}
    return {name: [run for run in truth["runs"] if (name, run) not in bad] for name in owtrend.open(store).subsystems}


def references(run: int, good: Sequence[int]) -> list[int]:
    """The last five good runs before; if there is none, the first five after, which only an archive has."""
    return [other for other in good if other < run][-REFERENCES:] or [other for other in good if other > run][
        :REFERENCES
    ]


def outlying(data: Floats, references: Floats) -> tuple[Floats, Floats]:
    """AutoDQM's reduced chi2 and largest pull of each row of ``data`` against several ``references``.

    The relative probabilities q of a bin are averaged over the references; its pull is ``sqrt(chi2.isf(q, 1))``, chi2
    the mean square over the n bins that are not empty everywhere. The largest pull is corrected for n trials. Both are
    NaN where a row is empty or a count negative.

    Parameters
    ----------
    data, references
        Counts, shape ``(row, bin)``.
    """
    table = beta_binomial.log_factorials()
    valid = (data.sum(axis=1) >= MIN_ENTRIES) & (data >= 0).all(axis=1)
    rows = np.ascontiguousarray(data[valid], dtype=np.float64)
    q = np.zeros_like(rows)
    for reference in references.astype(np.float64):
        believed, wholes = beta_binomial.shrunk(reference, reference.sum(), TOLERANCE)
        z = beta_binomial.beta_binomial(rows, rows.sum(axis=1), believed, wholes, True, table)
        q += np.maximum(special.erfc(np.abs(z) / np.sqrt(2)), LEAST_Q) / len(references)
    pulls = -special.ndtri(np.minimum(q, 1) / 2)
    used = np.count_nonzero(rows + references.sum(axis=0), axis=1)
    out = np.full((2, len(data)), np.nan)
    out[0, valid] = (pulls**2).sum(axis=1) / used
    alone = special.erfc(pulls.max(axis=1, initial=0) / np.sqrt(2))
    with np.errstate(divide="ignore"):
        anywhere = -np.expm1(used * np.log1p(-alone))
    out[1, valid] = -special.ndtri(np.maximum(anywhere, LEAST_Q) / 2)
    return out[0], out[1]


def trend_check(value: Floats, error: Floats, points: int, low: float, high: float) -> Floats:
    """O2's ``StdDeviation`` check: distance of each point from the mean of earlier ones in errors, NaN where allowed.

    Allowed is ``mean + low * error`` to ``mean + high * error``. The error of the mean of the last ``points`` before,
    s / sqrt(n), and the error of the point are added in quadrature (AliceO2Group/QualityControl,
    Modules/Common/src/TrendCheck.cxx, ``getGraphStatistics`` and ``getThresholds``). The first two are always allowed.
    """
    out = np.full(len(value), np.nan)
    for t in range(2, len(value)):
        before = value[max(t - points, 0) : t]
        away = value[t] - before.mean()
        total = np.hypot(before.std(ddof=1) / np.sqrt(len(before)), np.nan_to_num(error[t]))
        if not low * total <= away <= high * total:
            out[t] = away / total if total else np.copysign(np.inf, away)
    return out


def autodqm_by_run(store: Path) -> pd.DataFrame:
    """Findings of whole runs, raised at their end: all of a run against good runs, as AutoDQM is used."""
    archive, lines = owtrend.open(store), []
    for subsystem, run, name, counts, references_counts in _compared(archive, good_runs(store)):
        ends = archive.runs.loc[run, "start"] - MINUTE, archive.runs.loc[run, "stop"]
        chi2, pull = outlying(counts[None], references_counts)
        lines += _judged((subsystem, run, name, *ends), chi2[0], pull[0], PULL_CUT)
    findings = pd.DataFrame(lines, columns=list(COLUMNS))
    return findings.assign(raised=findings["stop"])


def autodqm_by_report(store: Path, pull_cut: float = PULL_CUT) -> pd.DataFrame:
    """Findings of the increment of each report, against whole good runs.

    A histogram that changed its bins in the run is not compared after the change.
    """
    archive, lines = owtrend.open(store), []
    for subsystem, run, name, counts, references_counts in _compared(archive, good_runs(store)):
        increments = owtrend.increments(_first_binning(archive, subsystem, name, run))
        reported, times = increments["reported"].values, increments["time"].values
        part = increments["bin_entries" if "bin_entries" in increments else "contents"].values[reported]
        if part[0].size != counts.size:
            continue
        starts = [times[0] - MINUTE, *times[reported][:-1]]
        judged = zip(starts, times[reported], *outlying(part.reshape(len(part), -1), references_counts), strict=True)
        for start, stop, chi2, pull in judged:
            lines += _judged((subsystem, run, name, start, stop), chi2, pull, pull_cut)
    return pd.DataFrame(lines, columns=list(COLUMNS))


def autodqm_tuned(store: Path) -> pd.DataFrame:
    """`autodqm_by_report` with the lowest cut on the pull that makes at most one false incident in eight hours.

    Set, as for `o2_tuned`, with the clean simulated shifts of seeds 1 to 6: 4 incidents in 48 hours.
    """
    return autodqm_by_report(store, pull_cut=3.5)


def o2_example(store: Path) -> pd.DataFrame:
    """Findings by O2's trend check as configured in its documentation: five points, -2 to 5 errors."""
    return _trend_findings(store, 5, -2, 5)


def o2_tpc(store: Path) -> pd.DataFrame:
    """Findings by O2's trend check with ten points and 6 errors, which is Bad for its TPC."""
    return _trend_findings(store, 10, -6, 6)


def o2_tuned(store: Path) -> pd.DataFrame:
    """Findings by O2's trend check with ten points, its limit set to at most one false incident in eight hours.

    Set with the clean simulated shifts of seeds 1 to 6: 4 incidents in 48 hours; 30 errors make 9.
    """
    return _trend_findings(store, 10, -40, 40)


def _trend_findings(store: Path, points: int, low: float, high: float) -> pd.DataFrame:
    """Findings in the mean along x and the entries per second; each run is a trend, each report a point."""
    archive = owtrend.open(store)
    lines = []
    for subsystem in archive.subsystems:
        trends = archive.trends(subsystem, reductors=["mean_x", "rate"]).load()
        for run in np.unique(trends["run"].values).tolist():
            of_run = trends.isel({trends["run"].dims[0]: trends["run"].values == run})
            times, names = of_run["time"].values, of_run["histogram"].values.tolist()
            for (column, name), score in product(enumerate(names), of_run["reductor"].values.tolist()):
                trend = of_run.isel(histogram=column).sel(reductor=score)
                value, reported = trend["value"].values, trend["reported"].values
                rows = np.flatnonzero(reported & np.isfinite(value))
                off = trend_check(value[rows], trend["error"].values[rows], points, low, high)
                for row in np.flatnonzero(~np.isnan(off)):
                    before = times[: rows[row]][reported[: rows[row]]]
                    start = before[-1] if len(before) else times[0] - MINUTE
                    why = f"{score}: {off[row]:+.1f} errors from the mean of the points before"
                    lines.append((subsystem, run, name, start, times[rows[row]], score, off[row], why))
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _compared(archive: Archive, good: dict[str, list[int]]) -> Iterator[tuple[str, int, str, Floats, Floats]]:
    """Subsystem, run, histogram, its counts in the whole run, and those of its references, ``(reference, bin)``.

    References that are empty or have another number of bins are left out. Counts from before a restart are included.
    """
    for subsystem in archive.subsystems:
        runs = [run for run, names in archive.runs["subsystems"].items() if subsystem in names.split(", ")]
        wholes = {run: _counts(archive.time_slice(subsystem, run)) for run in runs}
        for run, histograms in wholes.items():
            chosen = [wholes[other] for other in references(run, good[subsystem]) if other in wholes]
            for name, counts in histograms.items():
                found = [reference.get(name, np.empty(0)) for reference in chosen]
                found = [reference for reference in found if reference.size == counts.size and reference.any()]
                if found:
                    yield subsystem, run, name, counts, np.array(found)


def _counts(whole: TimeSlice) -> dict[str, Floats]:
    """Counts of each histogram that is not weighted, without flow bins."""
    counts = {}
    for histogram in whole.values():
        part, twin = ("bin_entries", "bin_sumw2") if histogram.kind == "MEAN" else ("contents", "sumw2")
        parts = histogram.parts
        weighted = twin in parts and not np.array_equal(parts[twin], parts[part])
        if not (weighted or histogram.gauge):
            counts[histogram.name] = histogram.part(part, flow=False).ravel().astype(np.float64)
    return counts


def _first_binning(archive: Archive, subsystem: str, name: str, run: int) -> xr.Dataset:
    try:
        return archive.histogram(subsystem, name, run).load()
    except BinningChangedError:
        return archive.histogram(subsystem, name, run, binning=0).load()


def _judged(place: tuple[Any, ...], chi2: float, pull: float, pull_cut: float) -> list[tuple[Any, ...]]:
    """A finding if one of the cuts is exceeded; NaN exceeds none."""
    if not (chi2 > CHI2_CUT or pull > pull_cut):
        return []
    return [(*place, "beta_binomial", pull, f"chi2' {chi2:.3g}, largest pull {pull:.3g}")]
