"""How much histograms count beside each other: in their component, and components beside the others of a subsystem.

A component sends all its histograms at one moment, so that their counts have the same exposure: shares need no clock.
Components report in turn, each at its own time, and nobody tells when what a snapshot holds was counted: up to one
snapshot earlier. What this allows is no deviation.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.kernels.components.rate_deviation import PHASE, deviations
from owtrend.model.finding import Finding
from owtrend.outliers.components import Components, learn
from owtrend.outliers.explain import why
from owtrend.outliers.histogram_scores import (
    NULL_RUNS,
    NULLS,
    Rules,
    ScoreArrays,
    in_ns,
    median_wait,
    threshold_of,
    usual,
    warm_up,
)
from owtrend.outliers.monitor import KNOWN_RUNS, LOOKS, SCORES, Null, Sample, Watched, summary
from owtrend.store.reader import SubsystemReader
from owtrend.trends.run_trends import HELD, REPORTED, RESTART

__all__ = ["RATE", "SHARE", "SHARE_NULLS", "score_components"]

SHARE, RATE, BLAMED = 2, 4, 8  # bits of flagged: shares in its component, its component, and that it is to blame
SHARE_NULLS = tuple(f"fraction {name}" for name in NULLS)
_BIN = SCORES.index("bin")
_LEARNED_FROM = 5  # runs
_FEW = 3  # components, of which a majority tells what is usual


@dataclass(frozen=True, eq=False)
class _Run:
    """What a run was: when histograms reported, and what they counted in all and while their share was as usual."""

    run: int
    mode: str
    reported: NDArray[np.bool_]
    good: NDArray[np.float64]
    doubtful: NDArray[np.bool_]
    together: NDArray[np.float64]  # while all of them reported, by interpolation; NaN of who did not all that time
    clean: NDArray[np.bool_]  # neither share nor rate was off
    length: float  # seconds
    null: NDArray[np.float64]


def score_components(
    view: SubsystemReader, subsystem: str, runs: Sequence[int], before: Sequence[int], rules: Rules,
    flagged: Mapping[int, NDArray[np.uint8]],
) -> Iterator[tuple[int, ScoreArrays, list[Finding]]]:  # fmt: skip
    """Shares and rates of some runs, run after run; arguments as of `owtrend.outliers.histogram_scores.score_runs`.

    Parameters
    ----------
    flagged
        Of each of ``runs`` what is flagged of the bins, ``(time, histogram)``: such a report tells no usual share.

    Returns
    -------
    :
        Of each run ``share``, ``rate`` (time, histogram): normal z; ``flagged`` (time, histogram); ``null`` (histogram,
        look, score + 1, 3); and its flags.
    """
    held: deque[_Run] = deque(maxlen=max(NULL_RUNS, warm_up(rules), _LEARNED_FROM))
    for run in before:
        run_index = view.run_index(run)
        state, entries = _read(view, run)
        reported = state & REPORTED > 0
        index = run_index, slice(0, len(reported)), slice(0, reported.shape[1])
        null = view.null_block(run_index, index[2], LOOKS, SHARE_NULLS)
        held.append(_past(view, run, reported, entries, view.score_block("flagged", *index), null))
    for run in runs:
        yield run, *_one_run(view, subsystem, run, held, rules, flagged[run] > 0)


def _read(view: SubsystemReader, run: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """The state of each histogram in each row, and the entries it gained; gauges count nothing."""
    run_index, number = view.run_index(run), len(view.registry.histograms)
    rows = slice(0, len(view.times(run_index)))
    state = view.trend_block("state", run_index, rows, slice(0, number))
    at = view.trend_names[1].index("entries")
    entries = np.nan_to_num(view.trend_block("value", run_index, rows, slice(0, number), [at])[..., 0]).clip(min=0)
    gauges = np.array([entry.first.gauge for entry in view.registry.histograms.values()])
    return np.where(gauges, 0, state), np.where(gauges, 0.0, entries)


def _past(
    view: SubsystemReader, run: int, reported: NDArray[np.bool_], entries: NDArray[np.float64],
    flagged: NDArray[np.uint8], null: NDArray[np.float64],
) -> _Run:  # fmt: skip
    run_index = view.run_index(run)
    off = flagged & SHARE > 0
    counted = np.where(reported, entries, 0.0)
    doubtful = 2 * (off & reported).sum(axis=0) > reported.sum(axis=0)
    good = np.where(doubtful, counted.sum(axis=0), np.where(off, 0.0, counted).sum(axis=0))
    times = view.times(run_index)
    clean = np.logical_not((flagged & (SHARE | RATE) > 0).any(axis=0))
    mode = view.per_run["mode"][run_index]
    together, length = _together(times, reported, counted)
    return _Run(run, mode, reported, good, doubtful, together, clean, length, null)


def _together(
    times: NDArray[np.datetime64], reported: NDArray[np.bool_], counted: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """What histograms counted between the last first report of one and the first last one, and how long that is [s]."""
    made = np.full(counted.shape[1], np.nan)
    seconds = (times - times[0]) / np.timedelta64(1, "s")
    middle = seconds - np.diff(seconds, prepend=seconds[0] - 60.0) / 2
    columns = np.flatnonzero(reported.sum(axis=0) > 2)
    if not len(columns):
        return made, 0.0
    first = middle[reported[:, columns].argmax(axis=0)]
    last = middle[len(middle) - 1 - reported[::-1, columns].argmax(axis=0)]
    begin, end = np.quantile(first, 0.9, method="higher"), np.quantile(last, 0.1, method="lower")
    for column in columns[(first <= begin) & (last >= end)].tolist():
        rows = reported[:, column]
        made[column] = np.diff(np.interp((begin, end), middle[rows], np.cumsum(counted[rows, column])))[0]
    return made, float(end - begin)


def _one_run(
    view: SubsystemReader, subsystem: str, run: int, held: deque[_Run], rules: Rules, spoiled: NDArray[np.bool_]
) -> tuple[ScoreArrays, list[Finding]]:
    run_index = view.run_index(run)
    times, mode = view.times(run_index), view.per_run["mode"][run_index]
    state, entries = _read(view, run)
    reported = state & REPORTED > 0
    shape = reported.shape
    out: ScoreArrays = {
        "fraction": np.full(shape, np.nan, dtype=np.float32),
        "rate": np.full(shape, np.nan, dtype=np.float32),
        "flagged": np.zeros(shape, dtype=np.uint8),
        "null": np.full((shape[1], len(LOOKS), len(SCORES) + 1, 3), np.nan, dtype=np.float32),
    }
    components = learn(
        np.concatenate([*(_padded(one.reported, shape[1]) for one in list(held)[-_LEARNED_FROM:]), reported])
    )
    wait = median_wait(times, reported)
    told = _Told(view, subsystem, run, times, in_ns(wait), threshold_of(rules, wait))
    alike = [one for one in held if one.mode == mode]
    flags: list[Finding] = []
    for number in range(components.count):
        members = _members(components, number, alike, rules)
        if len(members) > 1:
            flags += _shares(told, members, state, entries, spoiled, alike, rules, out)
    if components.count >= _FEW:
        flags += _rates(told, components, state, entries, alike, rules, out)
    held.append(_past(view, run, reported, entries, out["flagged"], out["null"].astype(np.float64)))
    return out, flags


@dataclass(frozen=True)
class _Told:
    """What all flags of a run share."""

    view: SubsystemReader
    subsystem: str
    run: int
    times: NDArray[np.datetime64]
    wait: int
    threshold: float

    def flag(self, histograms: Sequence[str], begin: int, row: int, score: str, z: float, text: str) -> Finding:
        """Of the rows after ``begin`` (-1: since the run began) up to ``row``."""
        start = in_ns(self.times[begin]) if begin >= 0 else in_ns(self.times[0]) - self.wait
        return Finding(
            subsystem=self.subsystem, run=self.run, histograms=tuple(histograms), start=start,
            stop=in_ns(self.times[row]), score=score, z=round(z, 3), why=text, report=self.wait,
        )  # fmt: skip

    @property
    def names(self) -> list[str]:
        return [entry.name for entry in self.view.registry.histograms.values()]


def _members(components: Components, number: int, alike: Sequence[_Run], rules: Rules) -> NDArray[np.intp]:
    """The histograms of a component that surely are, and that runs before have, too."""
    members = components.members(number)
    if components.count > 1:
        members = members[components.certain[members]]
    for one in _reference(alike, members, rules):
        members = members[_grown(one.good, members.max(initial=0) + 1)[members] > 0]
    return members


def _reference(alike: Sequence[_Run], members: NDArray[np.intp], rules: Rules) -> list[_Run]:
    """The last good runs, or, if those before were all wrong throughout, these."""
    wrong = [bool(_grown(one.doubtful, members.max(initial=0) + 1)[members].any()) for one in alike]
    known = usual(wrong, rules.adapt_after)
    return [one for one, good in zip(alike, known, strict=True) if good][-rules.last :]


def _shares(
    told: _Told, members: NDArray[np.intp], state: NDArray[np.uint8], entries: NDArray[np.float64],
    spoiled: NDArray[np.bool_], alike: Sequence[_Run], rules: Rules, out: ScoreArrays,
) -> list[Finding]:  # fmt: skip
    """One component: its histograms as the bins of one."""
    sizes = np.array([len(members)], dtype=np.int64)
    chosen = _reference(alike, members, rules)
    pool = Sample(np.sum([one.good[members] for one in chosen], axis=0), sizes) if chosen else None
    nulls = [one for one in alike if len(one.null) > members[0] and np.isfinite(one.null[members[0]]).any()]
    wrong = [bool(_grown(one.doubtful, members[-1] + 1)[members].any()) for one in nulls]
    told_by = usual(wrong, rules.adapt_after)
    own = [one.null[members[0]] for one, good in zip(nulls, told_by, strict=True) if good][-NULL_RUNS:]
    watched = Watched(pool, Null.of(own) if len(own) >= KNOWN_RUNS else None, scores=(_BIN,))
    names = [told.names[member] for member in members]
    flags = []
    begin = -1
    there = np.all(state[:, members] & HELD > 0, axis=1)
    for row in np.flatnonzero((state[:, members] & REPORTED > 0).any(axis=1)).tolist():
        if not there[max(begin, 0) : row + 1].all():  # who was away counted for longer than the others
            out["flagged"][row, members] |= SHARE
            begin = row
            continue
        sample = Sample(np.ascontiguousarray(entries[row, members]), sizes)
        finding = watched.look(sample)
        if finding is not None:
            out["fraction"][row, members] = finding.total
            if finding.total > told.threshold:
                worst = int(finding.told[7])
                if (bad := spoiled[row, members]).any() and not bad[worst]:  # of two it is the one with other bins, too
                    worst = int(np.argmax(bad))
                out["flagged"][row, members] |= SHARE
                out["flagged"][row, members[worst]] |= BLAMED
                told_of = watched.pair(finding, sample), (), [one.run for one in chosen], names, worst
                text = f"fraction of its component: {why(finding, *told_of)}"
                flags.append(told.flag([names[worst]], begin, row, "fraction", finding.total, text))
                begin = row
                continue
        begin = row
        if spoiled[row, members].any():
            out["flagged"][row, members] |= SHARE
        else:
            watched.learn(sample)
    if watched.seen:
        out["null"][members] = summary(watched.seen)
    return flags


def _rates(
    told: _Told, components: Components, state: NDArray[np.uint8], entries: NDArray[np.float64],
    alike: Sequence[_Run], rules: Rules, out: ScoreArrays,
) -> list[Finding]:  # fmt: skip
    """Components beside each other, apart before and after a restart, as what came right before it is lost."""
    reported = state & REPORTED > 0
    seconds = (told.times - told.times[0]) / np.timedelta64(1, "s")
    spacing = float(np.median(np.diff(seconds))) if len(seconds) > 1 else 60.0
    blur = np.diff(seconds, prepend=seconds[0] - spacing)
    runs = alike[-rules.last :]
    expected, certainty = _expected(components, runs), 0.0
    if runs:
        certainty = PHASE * spacing / max(float(np.mean([one.length for one in runs])), spacing)
    flags = []
    again = np.flatnonzero((state & RESTART > 0).any(axis=1)).tolist()
    for first, last in pairwise([0, *again, len(seconds)]):
        chosen, rows, counted = [], [], []
        for number in range(components.count):
            members = components.members(number)
            mine = first + np.flatnonzero(reported[first:last, members].any(axis=1))
            if len(mine) > 1:
                chosen.append(number)
                rows.append(mine)
                counted.append(np.cumsum(np.where(reported, entries, 0.0)[mine][:, members].sum(axis=1)))
        if len(chosen) < _FEW:
            continue
        of_chosen = deviations(
            [seconds[mine] - blur[mine] / 2 for mine in rows], counted, [blur[mine] for mine in rows],
            expected[np.ix_(chosen, chosen)], certainty,
        )  # fmt: skip
        for number, mine, z, size, pool in zip(chosen, rows, *of_chosen, strict=True):
            members = components.members(number)
            out["rate"][np.ix_(mine, members)] = z[:, None]
            names = [told.names[member] for member in members]
            what = (
                f"{names[0]} and {len(names) - 1} more of its component count"
                if len(names) > 1
                else f"{names[0]} counts"
            )
            for at in np.flatnonzero(z > told.threshold).tolist():
                out["flagged"][mine[at], members] |= RATE
                more = f"{abs(size[at]):.0%} {'more' if size[at] > 0 else 'less'}"
                beside = _beside([one.run for one in runs]) if pool[at] else "before in this run"
                text = f"{what} {more} than usual beside the other components ({beside})"
                begin = int(mine[at - 1]) if at else first - 1
                flags.append(told.flag(names, begin, int(mine[at]), "rate", float(min(z[at], 99)), text))
    return flags


def _expected(components: Components, runs: Sequence[_Run]) -> NDArray[np.float64]:
    """Log of the ratio of each component's counts to each other's: the mean over runs in which both were clean."""
    counts = np.full((len(runs), components.count), np.nan)
    for number in range(components.count):
        members = components.members(number)
        most = int(members.max(initial=0)) + 1
        for row, one in enumerate(runs):
            total = _grown(one.together, most)[members].sum()
            if one.length > 0 and total > 0 and _grown(one.clean, most)[members].all():
                counts[row, number] = np.log(total)
    ratios = counts[:, :, None] - counts[:, None, :]
    known = np.isfinite(ratios).sum(axis=0)
    return np.where(known > 0, np.nansum(ratios, axis=0) / np.maximum(known, 1), np.nan)


def _beside(runs: Sequence[int]) -> str:
    return f"in run {runs[0]}" if len(runs) == 1 else f"in {len(runs)} runs, {min(runs)} to {max(runs)}"


def _grown(values: NDArray[Any], size: int) -> NDArray[Any]:
    """With zeros for histograms that were not known then."""
    return np.pad(values, (0, max(size - len(values), 0)))


def _padded(reported: NDArray[np.bool_], histograms: int) -> NDArray[np.bool_]:
    return np.pad(reported, ((0, 0), (0, histograms - reported.shape[1])))
