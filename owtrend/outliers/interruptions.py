"""Interruptions of the sending, which are certain: restarts, gaps, silence, missing histograms, other binnings."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.kernels.cells.difference import gaps
from owtrend.kernels.two_sample.tails import log_upper
from owtrend.model.axis import Axis
from owtrend.model.finding import Finding, Score
from owtrend.model.wording import minutes, name_list, plural
from owtrend.outliers.activity import RunActivity, in_ns
from owtrend.outliers.components import Components, learn
from owtrend.store.reader import SubsystemReader

__all__ = ["interruptions", "interruptions_in"]

_SILENT = 3  # times the normal wait between reports
_LUCK = -6.0  # log of the chance of such silence while a run goes on
_BLUR = 0.4  # of the spacing of snapshots: the uncertainty of a wait
_MOST = 0.5  # fraction of the histograms from which on a finding is about the whole subsystem

Found = tuple[Score, NDArray[np.intp], int, int, str]  # score, histograms, (start, stop] in ns, words after the names


def interruptions(view: SubsystemReader, subsystem: str, run: int) -> list[Finding]:
    """Findings in one stored run, from what its rows hold and which histograms changed in them; they are certain.

    Needs the stored trends of the run.
    """
    activity = RunActivity.from_store(view, run)
    entries = list(view.registry.histograms.values())
    binnings = {
        number: [(int(piece.rows[0]), piece.axes) for piece in run_histogram.by_binning(view, run, entry)]
        for number, entry in enumerate(entries)
        if len(entry.segments) > 1
    }
    late = view.rows(view.run_index(run)).time[len(activity.times) :].tolist()
    return interruptions_in(activity, subsystem, run, [entry.name for entry in entries], binnings, late)


def interruptions_in(
    activity: RunActivity, subsystem: str, run: int, names: Sequence[str],
    binnings: Mapping[int, Sequence[tuple[int, tuple[Axis, ...]]]], late: Sequence[int],
) -> list[Finding]:  # fmt: skip
    """The same from the states of all rows so far.

    Parameters
    ----------
    binnings
        First row and axes of each binning, of the histograms by their numbers.
    late
        Times of the snapshots after the last that changed [ns].
    """
    wait = in_ns(activity.wait)
    ends = activity.times.astype("datetime64[ns]").view("int64").tolist()
    begins = [ends[0] - wait, *ends[:-1]]
    held = int(activity.held.any(axis=0).sum())
    components = learn(activity.reported)
    found: list[Found] = [
        *_restarts(activity, begins, ends), *_gaps(activity, begins, ends), *_absences(activity, begins, ends),
        *_silences(activity, components, ends, wait), *_binnings(binnings, begins, ends),
        *_after_end(activity, components, ends, wait, late),
    ]  # fmt: skip
    findings = []
    for score, which, start, stop, words in found:
        every = len(which) == 0 or len(which) > _MOST * held
        chosen = [names[number] for number in which]
        all_of_many = every and len(chosen) > 1
        subject = f"all {len(chosen)} histograms " if all_of_many else f"{name_list(chosen)} " if chosen else ""
        findings.append(
            Finding(
                subsystem=subsystem, run=run, histograms=() if every else tuple(chosen), start=start, stop=stop,
                score=score, certain=True, why=f"{subject}{words}", report=wait,
            )
        )  # fmt: skip
    return findings


def _restarts(activity: RunActivity, begins: list[int], ends: list[int]) -> Iterator[Found]:
    for row in np.flatnonzero(activity.restarted.any(axis=1)).tolist():
        yield Score.RESTART, np.flatnonzero(activity.restarted[row]), begins[row], ends[row], "restarted from zero"


def _gaps(activity: RunActivity, begins: list[int], ends: list[int]) -> Iterator[Found]:
    times = activity.times.astype("datetime64[ns]")
    spacing = np.median(np.diff(times.view("int64"))) if len(times) > 1 else 0
    for row in np.flatnonzero(gaps(times)).tolist():
        length = ends[row] - begins[row]
        words = f"{plural(round(length / spacing) - 1, 'snapshot')} missing: none for {minutes(length)}"
        yield Score.GAP, np.empty(0, dtype=np.intp), begins[row], ends[row], words


def _absences(activity: RunActivity, begins: list[int], ends: list[int]) -> Iterator[Found]:
    """Histograms that were there before and are missing now; those missing in the same rows together."""
    gone = np.logical_or.accumulate(activity.held, axis=0) & ~activity.held
    for first, last, which in _stretches(gone):
        words = "missing" if last == len(ends) - 1 else "missing for a while"
        yield Score.ABSENT, which, begins[first], ends[last], f"{'is' if len(which) == 1 else 'are'} {words}"


def _silences(activity: RunActivity, components: Components, ends: list[int], wait: int) -> Iterator[Found]:
    """Components that waited for more than three times as long as normal, up to their next report."""
    for number in range(components.count):
        members = components.members(number)
        rows = np.flatnonzero(activity.reported[:, members].any(axis=1)).tolist()
        for begin, row in zip(rows, [*rows[1:], len(ends) - 1], strict=True):
            if ends[row] - ends[begin] > _SILENT * wait:
                words = f"did not change for {minutes(ends[row] - ends[begin])}, normally for {minutes(wait)}"
                yield Score.SILENT, members, ends[begin], ends[row], words


def _binnings(
    binnings: Mapping[int, Sequence[tuple[int, tuple[Axis, ...]]]], begins: list[int], ends: list[int]
) -> Iterator[Found]:
    for number, known in sorted(binnings.items()):
        for (_, before), (row, after) in pairwise(known):
            bins, old = (" x ".join(str(len(axis)) for axis in axes) for axes in (after, before))
            words = f"changed its binning: {bins} bins, {old} before"
            yield Score.BINNING, np.array([number], dtype=np.intp), begins[row], ends[row], words


def _after_end(
    activity: RunActivity, components: Components, ends: list[int], wait: int, late: Sequence[int]
) -> Iterator[Found]:  # fmt: skip
    """Snapshots after the last report of a run, if that many without any are unlikely during a run.

    Components that have waited for long are due to report: waits are taken as normal, with the spread they had before.
    """
    reported = activity.reported
    if not late or not reported.any():
        return
    at = np.array(ends)
    reports = [at[reported[:, components.members(number)].any(axis=1)] for number in range(components.count)]
    waits = np.concatenate([np.diff(times) for times in reports])
    spacing = float(np.median(np.diff(at))) if len(at) > 1 else float(wait)
    spread = max(_spread(waits), _BLUR * spacing) if len(waits) else float(wait)
    age = np.array([ends[-1] - times[-1] for times in reports])
    more = late[-1] - ends[-1]
    log_p = sum(log_upper((a + more - wait) / spread) - log_upper((a - wait) / spread) for a in age.tolist())
    if log_p < _LUCK:
        words = f"{plural(len(late), 'snapshot')} after the end of the run, with nothing new"
        yield Score.AFTER_END, np.empty(0, dtype=np.intp), ends[-1], late[-1], words


def _spread(waits: NDArray[np.int64]) -> float:
    """Standard deviation, without waits during which snapshots were missing."""
    off = np.abs(waits - np.median(waits))
    return float(waits[off <= 5 * max(float(np.median(off)), 1.0)].std())


def _stretches(bad: NDArray[np.bool_]) -> Iterator[tuple[int, int, NDArray[np.intp]]]:
    """First and last row of each unbroken stretch of True, and its columns; equal stretches together."""
    found: dict[tuple[int, int], list[int]] = {}
    for column in np.flatnonzero(bad.any(axis=0)).tolist():
        edges = np.diff(np.concatenate([[False], bad[:, column], [False]]).astype(np.int8))
        for first, behind in zip(
            np.flatnonzero(edges == 1).tolist(), np.flatnonzero(edges == -1).tolist(), strict=True
        ):
            found.setdefault((first, behind - 1), []).append(column)
    for (first, last), columns in sorted(found.items()):
        yield first, last, np.array(columns, dtype=np.intp)
