"""One state of a store, read lazily: subsystems, runs, rows and cells, with the tail."""

import copy
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from owtrend.display import Display, Displayed, quoted
from owtrend.errors import NotFoundError, StoreError, near_runs, reading
from owtrend.model.registry import Layouts, Registry, Segment
from owtrend.model.rows import (
    MANY_LAYOUTS,
    SUMMARY,
    NotStored,
    RowFlag,
    RunRows,
    State,
    TailRow,
    carried_over,
    merged_order,
    unchanged,
)
from owtrend.model.wording import plural
from owtrend.modules import Origin
from owtrend.store import quarantine
from owtrend.store.derived import StoredScores, StoredTrends
from owtrend.store.layout import FORMAT, READABLE, ROW_ARRAYS, RUN_ARRAYS, TAIL, TIME_CHUNK, open_root, read_log

if TYPE_CHECKING:
    from owtrend.config import Config

__all__ = ["RawParts", "Reader", "SubsystemReader", "known_not_stored", "read_tail"]

_FEW_RUNS = 8  # that are read one by one
_RUNS_AT_ONCE = 256
_CARRIED_REVISION = 2**20  # added to the revision of a run for each row that is not its own: its trends are other ones


class RawParts(dict[str, "SubsystemReader"]):
    """Subsystems as the first of several states with the same raw data has read them, and the names of all."""

    registered: tuple[str, ...] | None = None


class Reader:
    """One state of a store; it never changes."""

    def __init__(self, session: icechunk.Session, location: str, raw: RawParts | None = None) -> None:
        """Read a session; ``raw`` are the parts that states with the same raw data have read."""
        self.location = location
        self.version = str(session.snapshot_id)
        self.raw = RawParts() if raw is None else raw
        self.group = open_root(session, mode="r")
        self.format = self.group.attrs.get("owtrend_format", 0)
        if self.format not in READABLE:
            what = f"store format {quoted(self.format)}" if self.format else "a store of something else"
            raise StoreError(f"{location}: {what}, this owtrend reads formats up to {FORMAT}; update owtrend")
        self._subsystems: dict[str, SubsystemReader] = {}

    @cached_property
    def registered(self) -> tuple[str, ...]:
        """All subsystems of the store, also those without a readable snapshot."""
        if self.raw.registered is None:
            raw = self.group.get("raw")
            with reading(f"{self.location}: the group raw"):
                self.raw.registered = () if raw is None else tuple(sorted(raw.group_keys()))
        return self.raw.registered

    @cached_property
    def subsystems(self) -> tuple[str, ...]:
        """Subsystems that have snapshots."""
        return tuple(name for name in self.registered if self.subsystem(name).run_indices)

    def subsystem(self, name: str) -> "SubsystemReader":
        """One subsystem; NotFoundError lists those there are."""
        if name not in self._subsystems:
            if name not in self.registered:
                known = ", ".join(self.registered) or "none"
                raise NotFoundError(f"{self.location}: no subsystem {name!r}; it has {known}")
            if name in self.raw:
                self._subsystems[name] = self.raw[name].followed_by(self.group)
            else:
                where = f"{self.location}, subsystem {name}"
                self._subsystems[name] = self.raw[name] = SubsystemReader(where, name, self.group)
        return self._subsystems[name]

    @property
    def config_json(self) -> str:
        """The configuration of trends and scores, as JSON; empty if none was given."""
        return str(self.group.attrs.get("config", ""))

    @cached_property
    def config(self) -> "Config":
        """The configuration of trends and scores, as it was given. The modules that it names are never imported."""
        from owtrend.config import from_json

        return from_json(self.config_json or "{}", self.location)

    @property
    def own_reductors(self) -> dict[str, Origin]:
        """Reductors of people's own that stored trends were made with: the module of each, and a hash of its code."""
        return _own_reductors(self.group)

    @cached_property
    def ledger(self) -> list[str]:
        """JSON lines of the repairs."""
        return read_log(self.group, "ledger")

    def quality(self, name: str) -> list[str] | None:
        """JSON lines that `compute` left: ``unreadable``, ``incidents``, ``origin``, ``accepted``; or None."""
        group = self.group.get("quality")
        return None if group is None else read_log(group, name)

    @property
    def conditions(self) -> tuple[str, ...]:
        """Names of the tables of conditions."""
        group = self.group.get("conditions")
        with reading(f"{self.location}: the tables of conditions"):
            return () if group is None else tuple(sorted(group.array_keys()))

    def condition_lines(self, name: str) -> list[str]:
        """JSON lines of a table of conditions."""
        with reading(f"{self.location}: the conditions {name}", "`owtrend conditions remove` drops them"):
            return read_log(self.group["conditions"], name)

    @cached_property
    def quarantine(self) -> list[str]:
        """JSON lines on what could not be taken in."""
        with reading(f"{self.location}: the quarantine"):
            return quarantine.listed(read_log(self.group, "quarantine"))


@dataclass(repr=False)
class SubsystemReader(Displayed):
    """The arrays of one subsystem, read when needed; small ones are read once.

    Rows are numbered from the first that is a run's own, see `carried`; in `rows`, `order` and `stored_cells` from the
    first that is stored.
    """

    where: str
    name: str
    store: zarr.Group
    _arrays: dict[str, zarr.Array[Any]] = field(default_factory=dict)
    _rows: dict[tuple[str, int], NDArray[Any]] = field(default_factory=dict)
    _tables: dict[int, RunRows] = field(default_factory=dict)
    _order: dict[int, NDArray[np.int64]] = field(default_factory=dict)
    _read: set[str] = field(default_factory=set)  # arrays of which the rows of all runs were read

    def followed_by(self, store: zarr.Group) -> "SubsystemReader":
        """A later state with the same raw data, of which nothing is read again."""
        later = copy.copy(self)
        later.store = store
        for name in ("trends", "scores", "outcomes", "_kinds"):
            vars(later).pop(name, None)
        return later

    def _display(self) -> Display:
        return Display(f"{self.where}, {plural(len(self.run_indices), 'run')}")

    @cached_property
    def group(self) -> zarr.Group:
        """The raw arrays."""
        return self.store[f"raw/{self.name}"]

    @property
    def own_reductors(self) -> dict[str, Origin]:
        """See `Reader.own_reductors`."""
        return _own_reductors(self.store)

    def kind(self, histogram: str) -> State:
        """What people say that a histogram is, see `State.declared`; no bits if they say nothing."""
        return State.declared(self._kinds, histogram)

    @cached_property
    def _kinds(self) -> dict[str, str]:
        with reading(
            f"{self.where}: the configuration in the store", "give one by `owtrend compute STORE --config FILE`"
        ):
            config = json.loads(str(self.store.attrs.get("config") or "{}"))
            kinds: dict[str, str] = config.get("subsystems", {}).get(self.name, {}).get("kinds", {})
            return {str(name): str(kind) for name, kind in kinds.items()}

    @property
    def not_stored(self) -> dict[str, NotStored]:
        """Objects in the files that the store does not hold, since they are no histograms, by class."""
        return known_not_stored(self.group)

    @cached_property
    def trends(self) -> StoredTrends:
        return StoredTrends(self.store.get(f"trends/{self.name}"), len(self.per_run["run"]))

    @cached_property
    def scores(self) -> StoredScores:
        return StoredScores(self.store.get(f"scores/{self.name}"), len(self.per_run["run"]))

    @cached_property
    def outcomes(self) -> dict[int, tuple[bytes, bytes]]:
        """By run, as bytes: its number and revision, and the digest of what it is as a reference."""
        revisions, outcome = self.per_run["revision"].tolist(), self.scores.outcome
        return {
            run: (b"%d %d " % (run, revisions[run_index]), outcome[run_index].tobytes())
            for run, run_index in self.run_indices.items()
        }

    def state(self, run: int) -> tuple[str, bytes] | None:
        """What the kept state of a run was made from, and that state; None if there is none of this run."""
        group = self.store.get(f"state/{self.name}")
        if group is None or group.attrs.get("run") != run:
            return None
        return str(group.attrs["made_from"]), bytes(group["bytes"][:])

    @cached_property
    def registry(self) -> Registry:
        with reading(f"{self.where}: the registry of its histograms"):
            return Registry(Segment.from_json(line) for line in read_log(self.group, "registry"))

    @cached_property
    def layouts(self) -> Layouts:
        with reading(f"{self.where}: the list of its layouts"):
            return Layouts(Layouts.from_json(line) for line in read_log(self.group, "layouts"))

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """True where a layout holds a segment, shape ``(layout, segment)``."""
        with reading(f"{self.where}: the list of its layouts"):
            return self.layouts.matrix(len(self.registry))

    @cached_property
    def tail(self) -> dict[int, tuple[TailRow, ...]]:
        """The rows in the tail, by run, in order of time."""
        by_run: dict[int, list[TailRow]] = {}
        with reading(f"{self.where}: the list of its latest snapshots"):
            for row in read_tail(self.group):
                by_run.setdefault(row.run, []).append(row)
        return {run: tuple(sorted(rows, key=lambda row: row.time)) for run, rows in by_run.items()}

    @cached_property
    def per_run(self) -> dict[str, NDArray[Any]]:
        """The run arrays as they are shown, by name, in order of arrival: without rows that belong to another run."""
        arrays = {name: values.copy() for name, values in self.stored_per_run.items()}
        for run_index, count in self.carried.items():
            arrays["n_snapshots"][run_index] -= count
            arrays["start"][run_index] = self.rows(run_index).time[count]
            arrays["revision"][run_index] += count * _CARRIED_REVISION
        return arrays

    @cached_property
    def carried(self) -> dict[int, int]:
        """By place on the run axis, how many first rows hold the end of the run before; see `carried_over`."""
        runs = self.stored_per_run
        order = np.lexsort((runs["run"], runs["start"]))
        order = order[runs["n_snapshots"][order] > 0]
        last = self._digests(order[:-1], runs["n_snapshots"][order[:-1]] - 1)
        first = self._digests(order[1:], np.zeros(max(len(order) - 1, 0), dtype=np.int64))
        found = {}
        for number in np.flatnonzero((first == last).all(axis=1)).tolist():
            run_index = int(order[number + 1])
            if count := carried_over(self.rows(run_index), last[number].tobytes()):
                found[run_index] = count
        return found

    def begins_as_known(self, run_index: int) -> bool:
        """True if the first row of a run has the content of the last one of the run before it."""
        runs = self.stored_per_run
        earlier = (runs["n_snapshots"] > 0) & (runs["start"] <= runs["start"][run_index])
        earlier &= (runs["start"] < runs["start"][run_index]) | (runs["run"] < runs["run"][run_index])
        before = np.flatnonzero(earlier)
        if not len(before):
            return False
        latest = before[np.lexsort((runs["run"][before], runs["start"][before]))[-1:]]
        digests = self._digests(latest, runs["n_snapshots"][latest] - 1)
        return np.array_equal(digests[0], self.rows(run_index).digest[0])

    def _digests(self, run_indices: NDArray[np.intp], rows: NDArray[np.int64]) -> NDArray[np.uint8]:
        """Digests of one row of each of some runs, ``(run, 16)``."""
        out = np.empty((len(run_indices), 16), dtype=np.uint8)
        in_tail = np.isin(run_indices, list(self._tables))
        for number in np.flatnonzero(in_tail).tolist():
            out[number] = self._tables[int(run_indices[number])].digest[rows[number]]
        summaries, known = self._summaries
        summarised, left = known[run_indices], ~in_tail
        last = self.stored_per_run["n_snapshots"][run_indices] - 1
        for name, row in (("first", 0), ("last", last)):
            here = summarised & (rows == row)
            out[here] = summaries[name][run_indices[here]]
            left &= ~here
        if not left.any():
            return out
        of_rows = self._array("digest").chunks[1]
        for chunk in np.unique(rows[left] // of_rows).tolist():  # of many runs at once: one by one takes 0.1 ms each
            here = np.flatnonzero(left & (rows // of_rows == chunk))
            first, stop, row = run_indices[here].min(), run_indices[here].max() + 1, rows[here] - chunk * of_rows
            block = self._array("digest")[first:stop, chunk * of_rows : chunk * of_rows + row.max() + 1]
            out[here] = block[run_indices[here] - first, row]
        return out

    @cached_property
    def stored_per_run(self) -> dict[str, NDArray[Any]]:
        """The run arrays, by name, in order of arrival; rows in the tail are counted."""
        runs = self.group["run"][:]
        used = int(np.count_nonzero(runs >= 0))
        arrays = {"run": runs[:used]} | {name: self.group[name][:used] for name in RUN_ARRAYS if name != "run"}
        modes = self.group["mode"][:used]
        texts = np.ascontiguousarray(modes).view(f"S{modes.shape[1]}")[:, 0].tolist()
        arrays["mode"] = np.array([mode.decode() for mode in texts], dtype=object)
        for run, tail in self.tail.items():
            run_index = int(np.flatnonzero(arrays["run"] == run)[0])
            rows = self._merged(run_index, tail, arrays)
            self._tables[run_index] = rows
            count = rows.n_snapshots
            arrays["n_rows"][run_index], arrays["n_snapshots"][run_index] = len(rows), count
            arrays["start"][run_index], arrays["stop"][run_index] = rows.time[0], rows.time[count - 1]
            arrays["revision"][run_index] = max(arrays["revision"][run_index], *(row.revision for row in tail))
            arrays["accumulation"][run_index], arrays["mode"][run_index] = rows.accumulation, rows.mode
        return arrays

    def _merged(self, run_index: int, tail: tuple[TailRow, ...], per_run: dict[str, NDArray[Any]]) -> RunRows:
        """All rows of a run that has some in the tail."""
        folded = self._stored_rows(run_index, int(per_run["n_rows"][run_index]))
        order = self._order[run_index] = merged_order(folded.time, tail)
        slots = {row.slot: number for number, row in enumerate(tail)}
        where = np.array([slots[-1 - at] + len(folded) if at < 0 else at for at in order], dtype=np.intp)
        digest = np.concatenate([folded.digest, [np.frombuffer(row.digest, dtype=np.uint8) for row in tail]])[where]
        flags = np.concatenate([folded.flags, np.array([row.flags for row in tail], dtype=np.uint8)])[where]
        lines = (*folded.provenance, *(row.provenance for row in tail))
        return RunRows(
            time=np.concatenate([folded.time, [row.time for row in tail]])[where],
            layout=np.concatenate([folded.layout, np.array([row.layout for row in tail], dtype=np.int32)])[where],
            flags=(flags & ~np.uint8(RowFlag.UNCHANGED)) | np.uint8(RowFlag.UNCHANGED) * unchanged(digest),
            digest=digest,
            provenance=tuple(lines[number] for number in where),
            mode=folded.mode or tail[0].mode,
            accumulation=tail[0].accumulation,
        )

    @property
    def room(self) -> int:
        """Rows that a run may have before the time axis grows."""
        return int(self.group["time"].shape[1])

    @property
    def slots(self) -> int:
        """Slots of the tail, free ones included."""
        return int(self.group["tail_rows"].shape[0])

    def any_run_index(self, run: int) -> int:
        """Place on the run axis, also of a run without visible rows."""
        return int(np.flatnonzero(self.per_run["run"] == run)[0])

    def folded(self, run_index: int) -> int:
        """Rows of a run that lie in its chunks."""
        return int(self.group["n_rows"][run_index])

    def folded_rows(self, run_index: int) -> RunRows:
        """The rows of a run that lie in its chunks."""
        return self._stored_rows(run_index, self.folded(run_index))

    def group_size(self, array: str) -> int:
        """Cells of an array."""
        return int(self.group[array].shape[2])

    def order(self, run_index: int) -> NDArray[np.int64]:
        """Location of each row of one run, in order of time; see `owtrend.model.rows.merged_order`."""
        count = int(self.stored_per_run["n_rows"][run_index])  # reads the tail, too
        return self._order.get(run_index, np.arange(count))

    @cached_property
    def run_indices(self) -> dict[int, int]:
        """Place on the run axis of each run that has snapshots."""
        shown = np.flatnonzero(self.per_run["n_snapshots"])
        return dict(zip(self.per_run["run"][shown].tolist(), shown.tolist(), strict=True))

    def run_index(self, run: int) -> int:
        if run not in self.run_indices:
            raise NotFoundError(f"{self.where}: no run {quoted(run)}{near_runs(run, self.run_indices)}")
        return self.run_indices[run]

    def rows(self, run_index: int) -> RunRows:
        """The stored rows of one run without their cells, hidden ones included."""
        count = int(self.stored_per_run["n_rows"][run_index])
        return self._tables[run_index] if run_index in self._tables else self._stored_rows(run_index, count)

    def own_rows(self, run_index: int) -> RunRows:
        """The same without those that hold the end of the run before, see `carried`."""
        return self.rows(run_index).since(self.carried.get(run_index, 0))

    def provenance(self, run_index: int) -> tuple[str, ...]:
        """Provenance of the rows of one run, hidden ones included: a JSON line each."""
        tables = self._tables if self.stored_per_run["n_rows"][run_index] else {}  # reads the tail, too
        return tables[run_index].provenance if run_index in tables else self._stored_provenance(run_index)

    def _stored_provenance(self, run_index: int) -> tuple[str, ...]:
        return tuple(bytes(self._provenance[run_index]).rstrip(b"\0").decode().splitlines())

    @cached_property
    def _provenance(self) -> zarr.Array[Any]:
        return self.group["provenance"]

    def _stored_rows(self, run_index: int, count: int) -> RunRows:
        if not count:  # all are in the tail: seven arrays need not be opened
            return RunRows.none()
        arrays = {name: self._array(name)[run_index, :count] for name in (*ROW_ARRAYS, "digest")}
        mode = bytes(self.group["mode"][run_index]).rstrip(b"\0").decode()
        accumulation = int(self.group["accumulation"][run_index])
        return RunRows(**arrays, provenance=self._stored_provenance(run_index), mode=mode, accumulation=accumulation)

    def tables(self) -> Iterator[tuple[int, RunRows]]:
        """The rows of all runs, by run index, without provenance; many runs are read at once."""
        counts = self.stored_per_run["n_rows"]
        for first in range(0, len(counts), _RUNS_AT_ONCE):
            of_chunks = [at for at in range(first, min(first + _RUNS_AT_ONCE, len(counts))) if at not in self._tables]
            width = int(counts[of_chunks].max(initial=0))
            where = slice(first, first + _RUNS_AT_ONCE), slice(0, width)
            blocks = {name: self._array(name)[where] for name in (*ROW_ARRAYS, "digest")} if width else {}
            for run_index in of_chunks if width else ():
                own = {name: block[run_index - first, : counts[run_index]] for name, block in blocks.items()}
                yield run_index, RunRows(**own, provenance=())
        yield from self._tables.items()

    def times(self, run_index: int) -> NDArray[np.datetime64]:
        """UTC times of the snapshots of one run."""
        return self._row("time", run_index).view("datetime64[ns]")

    def layout(self, run_index: int) -> NDArray[np.int32]:
        """Layout numbers of the snapshots of one run."""
        return self._row("layout", run_index)

    @cached_property
    def _summaries(self) -> tuple[NDArray[np.void], NDArray[np.bool_]]:
        """`SUMMARY` of the rows in the chunks of each run, and whether it is there and true for what they are now."""
        summaries = np.zeros(len(self.stored_per_run["run"]), dtype=SUMMARY)
        if (stored := self.group.get("summary")) is not None:
            stored = np.ascontiguousarray(stored[: len(summaries)])
            summaries[: len(stored)] = stored.view(SUMMARY)[:, 0]
        known = summaries["revision"] == self.stored_per_run["revision"]
        known[list(self._tables)] = False
        return summaries, known & (summaries["revision"] > 0)

    @cached_property
    def layouts_of_runs(self) -> NDArray[np.bool_]:
        """True where a run has rows of a layout, shape ``(run, layout)``."""
        summaries, known = self._summaries
        layouts = summaries["layouts"]
        known = known & (layouts[:, 0] != MANY_LAYOUTS)
        known[list(self.carried)] = False
        having = np.zeros((len(known), len(self.layouts)), dtype=bool)
        which, column = np.nonzero(known[:, None] & (layouts >= 0))
        having[which, layouts[which, column]] = True
        others = [run_index for run_index in self.run_indices.values() if not known[run_index]]
        if len(others) > _FEW_RUNS:
            self.read_all_rows("layout")
        for run_index in others:
            having[run_index, self.layout(run_index)] = True
        return having

    def read_all_rows(self, *names: str) -> None:
        """Read times and layouts of all runs at once, or one of them; run by run takes 1 ms each."""
        shown, used = self.stored_per_run["n_snapshots"], len(self.per_run["run"])
        for name in names or ("time", "layout"):
            if name in self._read:
                continue
            self._read.add(name)
            block = self.group[name][:used, : int(shown.max(initial=0))]
            for run_index, stop in enumerate(shown.tolist()):
                if run_index not in self._tables:
                    own = block[run_index, self.carried.get(run_index, 0) : stop]
                    self._rows.setdefault((name, run_index), own)

    def _row(self, name: str, run_index: int) -> NDArray[Any]:
        if (name, run_index) not in self._rows:
            first = self.carried.get(run_index, 0)
            own = slice(first, first + int(self.per_run["n_snapshots"][run_index]))
            table = self._tables.get(run_index)
            self._rows[name, run_index] = getattr(table, name)[own] if table else self._array(name)[run_index, own]
        return self._rows[name, run_index]

    def cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """Cells of some rows of one run, shape ``(row, cell)``; each chunk is read once."""
        return self.stored_cells(array, run_index, rows + self.carried.get(run_index, 0), cells)

    def stored_cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """The same of rows as they are stored."""
        if self.tail and run_index in self._order:
            where = self._order[run_index][rows]
            out = np.empty((len(rows), cells.stop - cells.start), dtype=self._array(array).dtype, order="F")
            if (in_chunks := np.flatnonzero(where >= 0)).size:
                out[in_chunks] = self._chunked_cells(array, run_index, where[in_chunks], cells)
            if (in_tail := np.flatnonzero(where < 0)).size:
                out[in_tail] = self._array(TAIL[array]).oindex[-1 - where[in_tail], cells]
            return out
        return self._chunked_cells(array, run_index, rows, cells)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            # Time fastest in memory as in the chunk: without it Zarr transposes each chunk, 1.7 times as long.
            order = "C" if name in TAIL.values() else "F"
            self._arrays[name] = self.group[name].with_config({"order": order})
        return self._arrays[name]

    def _chunked_cells(self, array: str, run_index: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        stored = self._array(array)
        first, last = rows.min(), rows.max()
        follow = bool((np.diff(rows) == 1).all())
        if follow or first // TIME_CHUNK == last // TIME_CHUNK:
            block = stored[run_index, first : last + 1, cells]
            return block if follow else block[rows - first]
        out = np.empty((len(rows), cells.stop - cells.start), dtype=stored.dtype, order="F")
        for number in np.unique(rows // TIME_CHUNK):
            wanted = np.flatnonzero(rows // TIME_CHUNK == number)
            first, last = rows[wanted].min(), rows[wanted].max()
            out[wanted] = stored[run_index, first : last + 1, cells][rows[wanted] - first]
        return out


def read_tail(group: zarr.Group) -> Iterator[TailRow]:
    """The rows in the tail of a subsystem, by slot."""
    for slot, line in enumerate(group["tail_rows"][:]):
        if (row := TailRow.from_bytes(slot, line.tobytes())) is not None:
            yield row


def known_not_stored(group: zarr.Group) -> dict[str, NotStored]:
    """Objects in the files of a subsystem that no array holds, by class; notes of another form are left out."""
    noted, known = group.attrs.get("not_stored", {}), NotStored.__dataclass_fields__.keys()
    every: Any = noted.items() if isinstance(noted, dict) else ()
    return {name: NotStored(**fields) for name, fields in every if isinstance(fields, dict) and fields.keys() == known}


def _own_reductors(group: zarr.Group) -> dict[str, Origin]:
    recorded: Any = group.attrs.get("own_reductors")
    if not isinstance(recorded, dict):
        return {}
    pairs = {name: pair for name, pair in recorded.items() if isinstance(pair, list) and len(pair) == 2}
    return {name: Origin(str(module), str(code)) for name, (module, code) in pairs.items()}
