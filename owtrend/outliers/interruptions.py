"""Interruptions of the sending, and what is there in other runs and not in this one; all of it is certain."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from owtrend.histograms import run_histogram
from owtrend.kernels.cells.difference import gaps
from owtrend.kernels.two_sample.tails import log_upper
from owtrend.model.axis import Axis, common_axes
from owtrend.model.finding import Finding, Score
from owtrend.model.registry import HistogramEntry
from owtrend.model.rows import State
from owtrend.model.wording import minutes, name_list, plural
from owtrend.outliers.activity import RunActivity, in_ns
from owtrend.outliers.components import Components, learn
from owtrend.outliers.reference_pool import NULL_RUNS
from owtrend.store.reader import SubsystemReader

__all__ = ["Setup", "interruptions", "interruptions_in"]

_SILENT = 3  # times the normal wait between reports
_KNOWN_WAITS, _REGULAR = 6, 2  # waits from which on a component has its own normal one; if longer ones are so at most
_LUCK = -6.0  # log of the chance of such silence while a run goes on
_BLUR = 0.4  # of the spacing of snapshots: the uncertainty of a wait
_MOST = 0.5  # fraction of the histograms from which on a finding is about the whole subsystem

_COMPARED = 5  # runs; what none of them had is new
_PROPOSED = 3  # likely new names in a finding
_ALIKE = 0.5  # of `difflib.SequenceMatcher.ratio`, from which on a new name is likely that of what is gone

Found = tuple[Score, NDArray[np.intp], int, int, str]  # score, histograms, (start, stop] in ns, words after the names
Binnings = Mapping[int, Sequence[tuple[int, tuple[Axis, ...]]]]


@dataclass(frozen=True)
class Setup:
    """What comparable runs before one had: runs of its mode and epoch; histograms by their order in the registry.

    Parameters
    ----------
    run
        The last of them.
    axes
        Those of its histograms, at its end.
    known
        The histograms of the last five.
    """

    run: int
    axes: Mapping[int, tuple[Axis, ...]]
    known: frozenset[int]

    @classmethod
    def before(cls, view: SubsystemReader, run: int, epochs: Sequence[int] = ()) -> "Setup | None":
        """The setup of the runs before one; None if it is the first. ``epochs``: the runs with which epochs begin."""
        start, mode, run_indices = view.per_run["start"], view.per_run["mode"], view.run_indices
        order = sorted(run_indices, key=lambda one: (int(start[run_indices[one]]), one))
        number = order.index(run)
        first = max((at for at in range(number + 1) if order[at] in epochs), default=0)
        same = mode[run_indices[run]]
        runs = [one for one in order[max(first, number - NULL_RUNS) : number] if mode[run_indices[one]] == same]
        if not runs:
            return None
        entries = list(view.registry.histograms.values())
        held = [_held(view, one, entries) for one in runs[-_COMPARED:]]
        axes = {}
        for column in np.flatnonzero(held[-1]).tolist():
            segments = entries[column].segments
            several = len({segment.binning for _, segment in segments}) > 1
            pieces = run_histogram.by_binning(view, runs[-1], entries[column]) if several else []
            axes[column] = pieces[-1].axes if pieces else segments[0][1].axes
        return cls(runs[-1], axes, frozenset(np.flatnonzero(np.any(held, axis=0)).tolist()))


def _held(view: SubsystemReader, run: int, entries: Sequence[HistogramEntry]) -> NDArray[np.bool_]:
    """Which histograms any row of a run holds."""
    used: NDArray[np.bool_] = np.any(view.holds[np.unique(view.layout(view.run_index(run)))], axis=0)
    return np.array([any(used[number] for number, _ in entry.segments) for entry in entries], dtype=np.bool_)


def interruptions(view: SubsystemReader, subsystem: str, run: int, epochs: Sequence[int] = ()) -> list[Finding]:
    """Findings in one stored run, from what its rows hold and which histograms changed in them; they are certain.

    Needs the stored trends of the run. ``epochs`` as of `Setup.before`.
    """
    activity = RunActivity.from_store(view, run)
    entries = list(view.registry.histograms.values())
    binnings = {
        number: [(int(piece.rows[0]), piece.axes) for piece in run_histogram.by_binning(view, run, entry)]
        for number, entry in enumerate(entries)
        if len(entry.segments) > 1
    }
    late = view.own_rows(view.run_index(run)).time[len(activity.times) :].tolist()
    return interruptions_in(activity, subsystem, run, entries, binnings, late, Setup.before(view, run, epochs))


def interruptions_in(
    activity: RunActivity, subsystem: str, run: int, entries: Sequence[HistogramEntry], binnings: Binnings,
    late: Sequence[int], setup: Setup | None,
) -> list[Finding]:  # fmt: skip
    """The same from the states of all rows so far.

    Parameters
    ----------
    binnings
        First row and axes of each binning, of the histograms by their numbers.
    late
        Times of the snapshots after the last that changed [ns].
    setup
        What the run is compared with.
    """
    names = [entry.name for entry in entries]
    wait = in_ns(activity.wait)
    ends = activity.times.astype("datetime64[ns]").view("int64").tolist()
    begins = [ends[0] - wait, *ends[:-1]]
    held = int(activity.held.any(axis=0).sum())
    components = learn(activity.reported)
    found: list[Found] = [
        *_restarts(activity, begins, ends), *_unknown_gains(activity, begins, ends),
        *_gaps(activity, begins, ends), *_absences(activity, begins, ends),
        *_silences(activity, components, ends, wait), *_binnings(binnings, begins, ends),
        *_after_end(activity, components, ends, wait, late),
    ]  # fmt: skip
    if setup is not None:
        found += _changes(setup, activity, entries, binnings, begins, ends)
    findings = []
    for score, which, start, stop, words in found:
        named = score in (Score.GONE, Score.NEW)
        every = len(which) == 0 or (len(which) > _MOST * held and not named)
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


def _unknown_gains(activity: RunActivity, begins: list[int], ends: list[int]) -> Iterator[Found]:
    """Rows out of order, and of the reports in a row in which bins were full or scaled the first."""
    out, lost, scaled = (bit.is_set(activity.state) for bit in (State.OUT_OF_ORDER, State.LOST, State.MOVED))
    for row in np.flatnonzero(out.any(axis=1)).tolist():
        words = "came out of order: the content is of another time, and takes part in no increment"
        yield Score.OUT_OF_ORDER, np.flatnonzero(out[row]), begins[row], ends[row], words
    none = np.zeros_like(lost[:1])
    reports = np.where(activity.reported | lost, np.arange(1, len(ends) + 1)[:, None], 0)
    before = np.maximum.accumulate(np.concatenate([none, reports[:-1]]), axis=0)  # 0: none
    for which, words in (
        (lost & scaled, "had all bins multiplied by a factor: the gain is not known"),
        (lost & ~scaled, "reached the largest content of a bin: gains are not known from here on"),
    ):
        began = which & ~np.take_along_axis(np.concatenate([none, which]), before, axis=0)
        for row in np.flatnonzero(began.any(axis=1)).tolist():
            yield Score.LOST, np.flatnonzero(began[row]), begins[row], ends[row], words


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
    """Components that waited for more than three times as long as normal, up to their next report, or up to now."""
    for number in range(components.count):
        members = components.members(number)
        rows = np.flatnonzero((activity.reported | activity.lost)[:, members].any(axis=1)).tolist()
        usual = _usual_wait(np.diff([ends[row] for row in rows]), wait)
        for begin, row in zip(rows, [*rows[1:], len(ends) - 1], strict=True):
            if ends[row] - ends[begin] > _SILENT * usual:
                words = f"did not change for {minutes(ends[row] - ends[begin])}, normally for {minutes(usual)}"
                yield Score.SILENT, members, ends[begin], ends[row], words


def _usual_wait(waits: NDArray[np.int64], of_all: int) -> int:
    """Wait of a component that is normal [ns]: its own if it is regular, else at least that of all histograms."""
    if len(waits) < _KNOWN_WAITS:
        return of_all
    own = int(np.median(waits))
    regular = np.sort(waits)[-2] <= _REGULAR * own  # one may be the silence
    return own if regular else max(own, of_all)


def _binnings(
    binnings: Mapping[int, Sequence[tuple[int, tuple[Axis, ...]]]], begins: list[int], ends: list[int]
) -> Iterator[Found]:
    for number, known in sorted(binnings.items()):
        for (_, before), (row, after) in pairwise(known):
            bins, old = (" x ".join(str(len(axis)) for axis in axes) for axes in (after, before))
            words = f"changed its binning: {bins} bins, {old} before"
            yield Score.BINNING, np.array([number], dtype=np.intp), begins[row], ends[row], words


def _changes(
    setup: Setup, activity: RunActivity, entries: Sequence[HistogramEntry], binnings: Binnings, begins: list[int],
    ends: list[int],
) -> Iterator[Found]:  # fmt: skip
    """What the run before had and this one has not, what is new, and what has other bins now."""
    first_row = np.where(activity.held.any(axis=0), activity.held.argmax(axis=0), -1)
    new = [number for number in np.flatnonzero(first_row >= 0).tolist() if number not in setup.known]
    gone = [number for number in sorted(setup.axes) if first_row[number] < 0]
    if gone:
        words = f"{'is' if len(gone) == 1 else 'are'} gone: run {setup.run} had {'it' if len(gone) == 1 else 'them'}"
        yield Score.GONE, np.array(gone), begins[0], ends[0], words + _new_names(entries, gone, new)
    for row in sorted({int(first_row[number]) for number in new}):
        which = [number for number in new if first_row[number] == row]
        words = f"{'is' if len(which) == 1 else 'are'} new: no run before had {'it' if len(which) == 1 else 'them'}"
        yield Score.NEW, np.array(which), begins[row], ends[row], words
    for number, known in sorted(binnings.items()):
        before = setup.axes.get(number)
        if known and before is not None and common_axes([before, known[0][1]]) is None:
            bins, old = (" x ".join(axis.text for axis in axes) for axes in (known[0][1], before))
            words = f"has other bins than in run {setup.run}: {bins}; before {old}"
            yield Score.BINNING, np.array([number]), begins[known[0][0]], ends[known[0][0]], words


def _new_names(entries: Sequence[HistogramEntry], gone: Sequence[int], new: Sequence[int]) -> str:
    """Likely new names of the first histograms that are gone: new ones of their class and bins, alike in name."""
    pairs = []
    left = list(new)
    for number in gone[:_PROPOSED]:
        binning = entries[number].segments[-1][1].binning[1:]
        candidates = {entries[one].name: one for one in left if entries[one].segments[-1][1].binning[1:] == binning}
        for name in difflib.get_close_matches(entries[number].name, candidates, n=1, cutoff=_ALIKE):
            left.remove(candidates[name])
            pairs.append(name if len(gone) == 1 else f"{name} for {entries[number].name}")
    return f"; instead there is {', '.join(pairs)}" if pairs else ""


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
