"""Trends, scores and findings while snapshots come: appended ones in, what is new out, stored when asked."""

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from owtrend import __version__
from owtrend.compute.live.packed import pack, unpack
from owtrend.compute.live.rows import LiveRows
from owtrend.compute.live.run import LiveRun, LiveUpdate, Past
from owtrend.compute.stale import reference_digest, runs_before, runs_in_time, score_settings
from owtrend.compute.update_incidents import rejoin
from owtrend.compute.update_scores import AXES, outcome_of
from owtrend.config import Config
from owtrend.errors import OutOfStepError
from owtrend.model.finding import Finding, Score
from owtrend.model.registry import Registry, segments_of
from owtrend.model.rows import Accumulation
from owtrend.model.snapshot import Snapshot
from owtrend.outliers.component_scores import recalled_components
from owtrend.outliers.histogram_scores import expected_wait, recalled_pools
from owtrend.outliers.interruptions import Setup
from owtrend.outliers.reference_pool import ScoreSettings
from owtrend.quality.acceptance import accepted_lines
from owtrend.quality.incident import Incident, RunFindings, incidents
from owtrend.quality.journal import Journal
from owtrend.quality.results import origins, store_incidents
from owtrend.store import versions
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.transaction import Transaction
from owtrend.trends.run_trends import path_of
from owtrend.trends.settings import existing, settings_hash

__all__ = ["Live", "LiveUpdate", "live"]

_RUNS_KEPT = 2  # of a subsystem in memory


@dataclass
class _Subsystem:
    """Runs of a subsystem that are on, in order of arrival, and the segments of its store."""

    registry: Registry
    runs: dict[int, "_Run"]


@dataclass
class _Run:
    """A run that is on."""

    live: LiveRun
    accumulation: int
    digest: bytes
    latest: int  # time of the last row, shown or not [ns]
    hidden: list[int]  # times of rows after the last that changed [ns]
    previous: int | None  # the run before it that it can be compared with
    known: bool = False  # whether its rows so far have the content of the last row of the run before


@contextlib.contextmanager
def live(store: Store) -> Iterator["Live"]:
    """Open a `Live`, which is the only derived writer of the store until it is closed.

    Raises
    ------
    StoreLockedError
        If another process computes on this store.
    """
    with store.writer("derived") as begin:
        yield Live(store, begin)


class Live:
    """Computes what is new in runs that are on; with each row the very numbers of one pass of `compute` over the run.

    It holds the present snapshot of each run and the sums that scores need, whatever the length of the run. A run that
    it does not know, that got a late row, or whose thresholds changed is read from the store.
    """

    def __init__(self, store: Store, begin: Callable[[], Transaction], journal: str | None = None) -> None:
        self._journal, self._accepted = journal, list[str]()
        self._store, self._begin = store, begin
        self._config = Config()
        self._subsystems: dict[str, _Subsystem] = {}
        self._histograms: tuple[int, ...] = ()  # of each subsystem
        self._scores: dict[str, ScoreSettings] = {}
        self._runs_on: set[int] = set()
        self._before: list[RunFindings] = []  # runs whose incidents may reach into those that are on
        self._known: list[Incident] = []  # of all runs before these

    def take(
        self, snapshots: Sequence[Snapshot], accumulation: int = Accumulation.CUMULATIVE
    ) -> list[LiveUpdate]:  # fmt: skip
        """Take snapshots that were appended to the store, in that order; returns what is new in each of their runs."""
        parts = [(snapshot, self._parts(snapshot)) for snapshot in snapshots]
        settings = self._settings()
        updates = []
        for snapshot, values in parts:
            name, run, time = str(snapshot.subsystem), int(snapshot.run or 0), _nanoseconds(snapshot)
            running = self._subsystems[name].runs.get(run)
            try:
                if running is None:
                    running = self._begun(name, snapshot, time, accumulation, settings[name])
                if running is None or time <= running.latest:
                    raise OutOfStepError("a late row, or a run that is not known")
                if running.known and running.digest not in (b"", snapshot.digest):
                    raise OutOfStepError("its first rows may be those of the run before")
                running.live.require_settings(settings[name], self._config)
                self._add(running, snapshot, values, time)
            except OutOfStepError:
                view = self._store.reader().subsystem(name)
                running = self._from_store(view, run, snapshot.mode or "", accumulation, settings[name])
            self._subsystems[name].runs[run] = running
            updates.append(running.live.update())
        return updates

    def incidents(self) -> list[Incident]:
        """Incidents in order of time, those of the runs that are on joined with what the store has of runs before."""
        on = {run for known in self._subsystems.values() for run in known.runs}
        if self._runs_on != on:
            self._runs_on, self._before, self._known = on, *_stored_before(self._store.reader(), on)
        findings: dict[int, list[Finding]] = {}
        previous: dict[int, dict[str, int]] = {}
        start: dict[int, int] = {}
        for name, known in self._subsystems.items():
            for run, running in known.runs.items():
                findings.setdefault(run, []).extend(running.live.findings)
                begin = int(running.live.activity.times[0].view("int64"))
                start[run] = min(begin, start.get(run, begin))
                if running.previous is not None:
                    previous.setdefault(run, {})[name] = running.previous
        order = sorted(start, key=lambda run: (start[run], run))
        now = [RunFindings(run, findings[run], previous.get(run, {})) for run in order]
        return incidents([*self._before, *now], self._known)

    def go_on(self, subsystem: str, run: int) -> None:
        """Bring a stored run up to date: its new rows only, where a state of the others is kept."""
        reader = self._store.reader()
        view = reader.subsystem(subsystem)
        self._subsystems.setdefault(subsystem, _Subsystem(view.registry, {}))
        settings = self._settings()[subsystem]
        mode, accumulation = (view.per_run[name][view.run_index(run)] for name in ("mode", "accumulation"))
        self._subsystems[subsystem].runs[run] = self._from_store(view, run, str(mode), int(accumulation), settings)

    def write(self, *, state: bool = False) -> str:
        """Store what is not stored yet, in one commit; returns the version.

        Parameters
        ----------
        state
            Also keep what a later process needs to go on from here, of the latest run of each subsystem: some bytes for
            each cell.
        """
        reader = self._store.reader()
        transaction = self._begin()
        for name, known in self._subsystems.items():
            histograms = known.registry.histograms.values()
            for running in known.runs.values():
                transaction.trends(name).prepare(list(map(path_of, histograms)), running.live.names)
                transaction.scores(name).prepare(len(histograms), AXES)
        transaction.commit("make room for trends and scores")
        transaction = self._begin()
        for name, known in self._subsystems.items():
            view, outcomes = reader.subsystem(name), dict[int, bytes]()
            for run in sorted(known.runs, key=lambda run: _start(view, run)):
                running = known.runs[run]
                if running.live.new.trends:
                    basis = _write(transaction, view, running, self._config, outcomes)
                    if state and run == max(known.runs, key=lambda one: _start(view, one)):
                        made_from = _made_from(view, running.live, self._config, basis)
                        transaction.write_state(name, run, made_from, pack(running.live.state()))
        transaction.commit("trends and scores of what is new")
        reader = self._store.reader()
        rejoin(reader, self._begin, self._accepted)
        if accepted_lines(Journal(self._store.location, self._journal), reader) != self._accepted:
            self._histograms = ()  # people accepted another level: the settings are read again
        return self._store.reader().version

    def _parts(self, snapshot: Snapshot) -> list[tuple[Any, Any]]:
        """A snapshot as segments of the store with their values; new ones are registered as the store has them."""
        name = str(snapshot.subsystem)
        if name not in self._subsystems:
            reader = self._store.reader()
            registry = reader.subsystem(name).registry if name in reader.registered else Registry()
            self._subsystems[name] = _Subsystem(registry, {})
        known = self._subsystems[name]
        parts = [pair for histogram in snapshot.values() for pair in segments_of(histogram, known.registry)]
        new = [segment for segment, _ in parts if segment.offset < 0 and known.registry.get(segment.key) is None]
        if new:
            known.registry = known.registry.extended(new)
            for running in known.runs.values():
                running.live.rows.extend(known.registry)
            parts = [pair for histogram in snapshot.values() for pair in segments_of(histogram, known.registry)]
        return parts

    def _settings(self) -> dict[str, ScoreSettings]:
        """Settings of the scores; the store is asked when there are more histograms than before."""
        known = tuple(len(one.registry.histograms) for one in self._subsystems.values())
        if known != self._histograms:
            reader = self._store.reader()
            self._config = existing(reader.config, reader)
            self._accepted = accepted_lines(Journal(self._store.location, self._journal), reader)
            self._histograms, self._scores = known, score_settings(self._config, reader, self._accepted)
        return self._scores

    def _begun(
        self, name: str, snapshot: Snapshot, time: int, accumulation: int, settings: ScoreSettings
    ) -> _Run | None:
        """A run that begins with this snapshot, if the store has no row of it before that."""
        view = self._store.reader().subsystem(name)
        run = int(snapshot.run or 0)
        if run not in view.run_indices or len(view.rows(view.run_index(run))) > 1:
            return None
        running = self._run(view, run, snapshot.mode or "", accumulation, settings)
        running.known = view.begins_as_known(view.run_index(run))
        return running

    def _run(
        self, view: SubsystemReader, run: int, mode: str, accumulation: int, settings: ScoreSettings
    ) -> _Run:  # fmt: skip
        name = view.name
        rows = LiveRows(view.where, run, accumulation)
        rows.extend(self._subsystems[name].registry)
        past = self._past(view, name, run, settings)
        setup = Setup.before(view, run, settings.epochs)
        begun = LiveRun(rows, name, mode, past, setup, settings, self._config)
        return _Run(begun, accumulation, b"", -(2**62), [], self._previous(view, run, mode))

    def _previous(self, view: SubsystemReader, run: int, mode: str) -> int | None:
        """The run of the same mode before one, that has scores or is on."""
        start, on = _start(view, run), self._subsystems[view.name].runs
        known = [
            one for one, run_index in view.run_indices.items()
            if _start(view, one) < start and view.per_run["mode"][run_index] == mode
            and (one in on or view.scores.revisions[run_index])
        ]  # fmt: skip
        return max(known, key=lambda one: _start(view, one), default=None)

    def _past(self, view: SubsystemReader, name: str, run: int, settings: ScoreSettings) -> Past:
        """The runs before, from memory where the last of them is on, else from the store."""
        runs = self._subsystems[name].runs
        start = _start(view, run)
        order = [one for one in runs_in_time(view) if one != run and _start(view, one) < start]
        before = list(runs_before([*order, run], len(order), settings))
        latest = max((one for one in runs if one != run), key=lambda one: _start(view, one), default=None)
        if latest is not None and _start(view, latest) < start and run not in settings.epochs:
            newer = [one for one in order if _start(view, one) > _start(view, latest)]
            if not newer:
                past = runs[latest].live.followed_by()
                for old in [one for one in runs if one != run][: -_RUNS_KEPT + 1]:
                    if not runs[old].live.new.trends:
                        del runs[old]
                return past
        scored = view.scores.revisions == view.per_run["revision"]
        before = [one for one in before if scored[view.run_index(one)]]
        histograms = list(view.registry.histograms.values())
        return Past(
            lambda: recalled_pools(view, before, histograms, 0, settings),
            recalled_components(view, before, settings),
            expected_wait(view, before[-1] if before else None),
            settings,
        )

    def _add(self, running: _Run, snapshot: Snapshot, parts: Sequence[Any], time: int) -> None:
        """Go on with a row that is later than all others."""
        rows = running.live.rows
        same = snapshot.digest == running.digest and running.accumulation != Accumulation.RESET
        running.latest = time
        if same:  # it is shown when something changes after it
            running.hidden.append(time)
            running.live.look_for_interruptions(running.hidden)
            return
        for hidden in running.hidden:
            rows.repeat(hidden)
            running.live.take()
        running.hidden, running.digest = [], snapshot.digest
        rows.append(parts, time)
        running.live.take()

    def _from_store(
        self, view: SubsystemReader, run: int, mode: str, accumulation: int, settings: ScoreSettings
    ) -> _Run:  # fmt: skip
        """A stored run, from the state that is kept of it on, or else from its first row on."""
        running = self._run(view, run, mode, accumulation, settings)
        if (kept := view.state(run)) is not None and kept[0] == _kept_from(view, run, kept[0], running, self._config):
            running.live.restore(unpack(kept[1]), view)
        try:
            running.live.catch_up(view)
        except OutOfStepError:  # a labelled axis has more labels, or earlier rows are seen in another light
            running = self._run(view, run, mode, accumulation, settings)
            running.live.catch_up(view, looked=True)
        if (before := self._subsystems[view.name].runs.get(run)) is not None:
            running.live.known = before.live.known
        rows = view.own_rows(view.run_index(run))
        running.latest, running.digest = int(rows.time[-1]), rows.digest[-1].tobytes()
        running.hidden = rows.time[running.live.rows_done :].tolist()
        return running


def _write(
    transaction: Transaction, view: SubsystemReader, running: _Run, config: Config, outcomes: dict[int, bytes]
) -> bytes:
    """Write what is new of a run, and note its outcome; returns a digest of its references."""
    live_run, settings = running.live, running.live.settings
    run, name = live_run.rows.run, live_run.subsystem
    run_index, new = view.run_index(run), live_run.taken()
    missing = len(view.own_rows(run_index)) - live_run.rows_done - len(running.hidden)
    revision = max(int(view.per_run["revision"][run_index]) - missing, 1)  # each row raised it by one
    trends = new.joined_trends() | live_run.trends.totals(view, run)
    writer = transaction.trends(name)
    writer.write(
        live_run.names, {run_index: trends}, {run_index: revision}, settings_hash(config, view), first=new.first
    )
    writer.amend(live_run.names, run_index, new.amended)
    components = live_run.components.arrays
    flagged = live_run.flagged_bins | components["flagged"]
    null = np.concatenate([live_run.scores.null(), live_run.components.null()], axis=2)
    scores, rows = new.joined_scores(), slice(new.first, live_run.rows_done)
    of_components = [components[one][rows, :, None] for one in ("fraction", "rate")]
    thresholds = settings.thresholds(live_run.activity.waits).astype(np.float32)
    arrays = {
        "z": np.concatenate([scores["z"], *of_components], axis=2), "total": scores["total"], "flagged": flagged[rows],
        "threshold_of_row": thresholds[rows], "null": null,
    }  # fmt: skip
    outcomes[run] = outcome_of(flagged, null)
    basis = _basis(view, run, settings, outcomes)
    lines = [finding.to_json() for finding in live_run.findings]
    made_from = revision, basis, outcomes[run], float(thresholds[-1])
    score_writer = transaction.scores(name)
    score_writer.write(
        AXES, {run_index: arrays}, {run_index: lines}, {run_index: made_from}, settings.digest, first=new.first
    )
    earlier = slice(new.components_from, new.first)
    if earlier.start < earlier.stop:
        amended = {one.value: components[one.value][earlier] for one in (Score.FRACTION, Score.RATE)}
        score_writer.amend(run_index, earlier.start, amended, flagged[earlier])
    return basis


def _basis(view: SubsystemReader, run: int, settings: ScoreSettings, outcomes: Mapping[int, bytes]) -> bytes:
    """Digest of the references of a run; ``outcomes`` are those that are not stored yet."""
    start = _start(view, run)
    order = [one for one in view.run_indices if one != run and _start(view, one) < start]
    order = [one for one in sorted(order, key=lambda one: _start(view, one)) if one in outcomes or _is_made(view, one)]
    return reference_digest(view, [*order, run], len(order), settings, made=outcomes)


def _made_from(view: SubsystemReader, run: LiveRun, config: Config, basis: bytes, rows: int | None = None) -> str:
    """All that the state of a run depends on, as text: how many rows, and a digest of them and of the settings."""
    count = run.rows_done if rows is None else rows
    known = view.own_rows(view.run_index(run.rows.run))
    digest = hashlib.blake2b(digest_size=16)
    for part in (known.time[:count], known.digest[:count], known.layout[:count]):
        digest.update(np.ascontiguousarray(part).tobytes())
    formulas = repr((versions.TRENDS, sorted(versions.SCORES.items()), run.settings, run.mode, __version__))
    digest.update(formulas.encode() + settings_hash(config, view) + basis)
    return f"{count} {digest.hexdigest()}"


def _kept_from(view: SubsystemReader, run: int, kept: str, running: _Run, config: Config) -> str:
    """What a kept state would be made from if it fitted the run as it is now."""
    rows = int(kept.split()[0])
    if rows > len(view.times(view.run_index(run))):
        return ""
    return _made_from(view, running.live, config, _basis(view, run, running.live.settings, {}), rows)


def _stored_before(reader: Reader, on: set[int]) -> tuple[list[RunFindings], list[Incident]]:
    """Stored runs whose incidents reach into the runs that are on, with their findings; and the incidents before."""
    stored, joined = store_incidents(reader), set(on)
    while more := [one for one in stored if joined & set(one.runs) and not joined >= set(one.runs)]:
        joined |= {run for one in more for run in one.runs}
    views = [reader.subsystem(name) for name in reader.subsystems]
    before = [
        RunFindings(
            origin.run,
            [
                Finding.from_json(line) for view in views if origin.run in view.run_indices
                for line in view.scores.lines([view.run_indices[origin.run]])
            ],
            origin.previous,
        )
        for origin in origins(reader) if origin.run in joined - on
    ]  # fmt: skip
    return before, [one for one in stored if not joined & set(one.runs)]


def _is_made(view: SubsystemReader, run: int) -> bool:
    """True if a run has trends of what it is now."""
    run_index = view.run_index(run)
    return bool(view.trends.revisions[run_index] == view.per_run["revision"][run_index])


def _start(view: SubsystemReader, run: int) -> tuple[int, int]:
    """Where a run stands in the order of time; of runs that begin at once the smaller number is first."""
    return int(view.per_run["start"][view.run_index(run)]), run


def _nanoseconds(snapshot: Snapshot) -> int:
    assert snapshot.time is not None, "appended snapshots have a time"
    return int(snapshot.time.astype("datetime64[ns]").astype(np.int64))
