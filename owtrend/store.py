"""The store: an Icechunk repository of Zarr arrays, created, appended to in transactions, opened lazily.

This is the only module that knows Zarr and Icechunk. Layout, per subsystem in ``raw/<subsystem>``:

    counts   (run, time, cell)    int32    bins whose every value is an int32; time fastest inside a chunk
    weights  (run, time, wcell)   float64  all other bins
    sums     (run, time, scell)   float64  entries, tsumw, ... as ROOT keeps them
    time, layout, flags, digest   (run, time)   per row; provenance (run, byte) JSON lines
    run, n_snapshots, n_rows, start, stop, revision, accumulation, mode   (run)
    registry, layouts             (byte)   JSON lines that only grow
    tail_rows                     (slot, tail_byte)  what the rows are that are not in the arrays above yet
    tail_counts, tail_weights, tail_sums  (slot, cell)  their cells, see `owtrend.tail`

and the trends beside them in ``trends/<subsystem>``. A missing chunk is not stored, so the rectangle costs nothing.
"""

import contextlib
import fcntl
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, TransposeCodec

from owtrend.catalog import COUNTS, SUMS, WEIGHTS, Layouts, Registry, Segment
from owtrend.errors import NotFoundError, StoreError, StoreLockedError
from owtrend.tail import TailRow, merged_order, shown, unchanged

__all__ = ["AMBIGUOUS_TIME", "UNCHANGED", "Reader", "RunRows", "Store", "SubsystemReader", "Transaction"]

icechunk.set_logs_filter("error")  # it warns at every opening of a local folder

FORMAT = 1
UNCHANGED, AMBIGUOUS_TIME = 1, 2  # flags of a row
CUMULATIVE, RESET = 0, 1  # accumulation of a run
TIME_CHUNK = 64
RUN_STEP = 256
NO_TIME = np.iinfo(np.int64).min
_CELL_DIM = {COUNTS: "cell", WEIGHTS: "wcell", SUMS: "scell"}
_CELL_DTYPE = {COUNTS: "int32", WEIGHTS: "float64", SUMS: "float64"}
_CELL_CHUNK = {COUNTS: 2**16, WEIGHTS: 2**15, SUMS: 2**12}
TAIL_ROW = 1024  # bytes of what one row is, doubled where it needs more
_TAIL_CHUNK = 2**18  # cells
_TAIL = {array: f"tail_{array}" for array in _CELL_DIM}
_EPOCH = {"units": "nanoseconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian"}
_ROW_ARRAYS: dict[str, tuple[str, int, dict[str, str]]] = {
    "time": ("int64", NO_TIME, {**_EPOCH, "long_name": "end of the snapshot, UTC"}),
    "layout": ("int32", -1, {"long_name": "which segments this row holds"}),
    "flags": ("uint8", 0, {"long_name": "1 unchanged, 2 time ambiguous by the clock change"}),
}
_RUN_ARRAYS: dict[str, tuple[str, int, dict[str, str]]] = {
    "run": ("int64", -1, {"long_name": "run number"}),
    "n_snapshots": ("int32", 0, {"long_name": "rows up to the last that changed"}),
    "n_rows": ("int32", 0, {"long_name": "all rows, with unchanged ones after the end of the run"}),
    "start": ("int64", NO_TIME, {**_EPOCH, "long_name": "first snapshot, UTC"}),
    "stop": ("int64", NO_TIME, {**_EPOCH, "long_name": "last snapshot that changed, UTC"}),
    "revision": ("int32", 0, {"long_name": "raised with every change of the run"}),
    "accumulation": ("uint8", 0, {"long_name": "0 cumulative, 1 reset"}),
}
_TREND_ARRAYS = ("value", "error")


@dataclass(frozen=True, kw_only=True)
class RunRows:
    """The rows of one run in order of time, without their cells.

    ``time`` int64 ns UTC, ``layout`` int32, ``flags`` uint8, ``digest`` (row, 16) uint8, ``provenance`` JSON lines.
    """

    time: NDArray[np.int64]
    layout: NDArray[np.int32]
    flags: NDArray[np.uint8]
    digest: NDArray[np.uint8]
    provenance: tuple[str, ...]
    mode: str = ""
    accumulation: int = CUMULATIVE

    def __len__(self) -> int:
        return len(self.time)

    @property
    def n_snapshots(self) -> int:
        """Rows that are shown, see `owtrend.tail.shown`."""
        return shown((self.flags & UNCHANGED) != 0, self.accumulation != RESET)


class Store:
    """One store: where it is, and the doors to read and write it."""

    def __init__(self, location: str | Path, repository: icechunk.Repository) -> None:
        self.location = str(location)
        self._repository = repository

    @classmethod
    def open(cls, location: str | Path) -> Self:
        """The store at a folder or URL (``s3://bucket/prefix``).

        Raises
        ------
        StoreError
            If there is none, or not one of owtrend's.
        """
        storage = _storage(location)
        if _is_local(location) and not Path(location).is_dir():
            raise StoreError(f"{location}: no such store; make one with `owtrend ingest FOLDER --store {location}`")
        try:
            store = cls(location, icechunk.Repository.open(storage))
            store.reader()
        except (icechunk.IcechunkError, KeyError, FileNotFoundError) as error:
            raise StoreError(f"{location}: not an owtrend store ({_first_line(error)})") from error
        return store

    @classmethod
    def create(cls, location: str | Path) -> Self:
        """A new, empty store.

        Raises
        ------
        StoreError
            If something is there already.
        """
        if _is_local(location):
            folder = Path(location)
            # Locks alone are left by a creation that was interrupted.
            if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - {"locks"}):
                raise StoreError(f"{location}: already there and not empty; give another folder")
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(f"{location}: cannot make a store there ({error.strerror})") from error
        config = icechunk.RepositoryConfig.default()
        by_run: dict[Any, int] = {icechunk.ManifestSplitDimCondition.DimensionName("run"): 100}
        splitting = icechunk.ManifestSplittingConfig.from_dict({icechunk.ManifestSplitCondition.AnyArray(): by_run})
        config.manifest = icechunk.ManifestConfig(splitting=splitting)
        try:  # before the first lock file: it wants an empty folder
            store = cls(location, icechunk.Repository.create(_storage(location), config=config))
            store._repository.save_config()
        except icechunk.IcechunkError as error:
            raise StoreError(f"{location}: cannot make a store there ({_first_line(error)})") from error
        with _role(location, "raw"):
            store._finish_creation()
        return store

    @classmethod
    def open_or_create(cls, location: str | Path) -> Self:
        """The store, made if it is missing."""
        missing = _is_local(location) and not (Path(location) / "refs").is_dir()
        if missing or not icechunk.Repository.exists(_storage(location)):
            return cls.create(location)
        store = cls(location, icechunk.Repository.open(_storage(location)))
        if len(list(store._repository.ancestry(branch="main"))) == 1:  # its creation was interrupted
            with _role(location, "raw"):
                store._finish_creation()
        return cls.open(location)

    def _finish_creation(self) -> None:
        transaction = self._begin()
        transaction.group.attrs["owtrend_format"] = FORMAT
        _log(transaction.group, "quarantine")
        transaction.commit("create the store")

    @property
    def address(self) -> str:
        """The location as workers in another folder find it."""
        return str(Path(self.location).absolute()) if _is_local(self.location) else self.location

    @property
    def version(self) -> str:
        """Identity of the newest committed state."""
        return self._repository.lookup_branch("main")

    def reader(self, as_of: str | datetime | None = None) -> "Reader":
        """The store as committed last, or as of a version, tag or time; it never changes under its user.

        Raises
        ------
        NotFoundError
            If there is no such version.
        """
        try:
            if as_of is None:
                session = self._repository.readonly_session("main")
            elif as_of in self._repository.list_tags():
                session = self._repository.readonly_session(tag=str(as_of))
            elif (when := _utc(as_of)) is not None:
                session = self._repository.readonly_session("main", as_of=when)
            else:
                session = self._repository.readonly_session(snapshot_id=str(as_of))
        except icechunk.IcechunkError as error:
            raise NotFoundError(f"{self.location}: no version {as_of!r}; give a version, a tag or a time") from error
        return Reader(session, self.location)

    def tag(self, name: str, as_of: str | datetime | None = None) -> str:
        """Give the state as it is now, or as of a version or time, a name that keeps it for good; gives its version.

        Raises
        ------
        StoreError
            If the name is taken.
        """
        version = self.reader(as_of).version
        try:
            self._repository.create_tag(name, version)
        except icechunk.IcechunkError as error:
            raise StoreError(f"{self.location}: tag {name!r} cannot be made ({_first_line(error)})") from error
        return version

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(sorted(self._repository.list_tags()))

    def clean(self, older_than: timedelta = timedelta(days=7)) -> int:
        """Give up versions that are older, and the bytes that only they use; gives how many bytes that were.

        The newest version and tagged ones stay. ``older_than`` must exceed the age of any reader and of any
        transaction in progress: what they hold on to would go, too.
        """
        before = datetime.now(UTC) - older_than
        with self._commit_lock():
            self._repository.expire_snapshots(older_than=before)
        return int(self._repository.garbage_collect(before).bytes_deleted)

    def sync(self) -> None:
        """Have the operating system write a local store to its disk: Icechunk leaves that to it."""
        if _is_local(self.location):
            os.sync()

    @contextlib.contextmanager
    def writer(self, role: str) -> Iterator[Any]:
        """Hold the role ``raw`` or ``derived``; gives a function that begins a transaction.

        Raises
        ------
        StoreLockedError
            If another process holds the role.
        """
        with _role(self.location, role):
            yield self._begin

    def _begin(self) -> "Transaction":
        return Transaction(self._repository.writable_session("main"), self._commit_lock)

    @contextlib.contextmanager
    def _commit_lock(self) -> Iterator[None]:
        # Icechunk's local storage has no atomic compare-and-swap of the branch: unlocked, three processes lost 45 of
        # 450 commits. Object stores have it.
        with _flock(self.location, "commit", wait=True):
            yield


class Transaction:
    """Changes that become visible all at once, by `commit`."""

    def __init__(self, session: icechunk.Session, lock: Any) -> None:
        self.session = session
        self._lock = lock
        self._arrays: dict[str, zarr.Array[Any]] = {}

    @cached_property
    def group(self) -> zarr.Group:
        return zarr.group(self.session.store)

    def fork(self) -> icechunk.ForkSession:
        """A picklable session for one worker; only from a transaction that has changed nothing yet."""
        return self.session.fork()

    def merge(self, forks: Sequence[icechunk.ForkSession]) -> None:
        """Take over what workers wrote."""
        if forks:
            self.session.merge(*forks)
        vars(self).pop("group", None)
        self._arrays.clear()

    def commit(self, message: str) -> str:
        """Make it visible; gives the new version, or the old one if nothing changed."""
        if not self.session.has_uncommitted_changes:
            return str(self.session.snapshot_id)
        with self._lock():
            return self.session.commit(message, rebase_with=icechunk.ConflictDetector())

    def rows_of(self, subsystem: str, run: int) -> int:
        """How many rows a run has."""
        if f"raw/{subsystem}" not in self.group:
            return 0
        group = self.group[f"raw/{subsystem}"]
        place = np.flatnonzero(group["run"][:] == run)
        return int(group["n_rows"][int(place[0])]) if len(place) else 0

    def prepare(self, subsystem: str, registry: Registry, runs: Iterable[int], rows: int) -> dict[int, int]:
        """Make room for runs of up to ``rows`` rows with these segments; gives the place of each run on the run axis.

        Axes grow in steps, in a commit of their own: a fork needs a clean session, and a resize cannot be rebased.
        """
        group = self.group.require_group(f"raw/{subsystem}")
        if "run" not in group:
            _create_subsystem(group, registry)
        known: list[int] = group["run"][:].tolist() if group["run"].shape[0] else []
        known = [run for run in known if run >= 0]
        places = {run: place for place, run in enumerate(known)}
        for run in runs:
            if run not in places:
                places[run] = len(places)
        n_runs = -(-max(len(places), 1) // RUN_STEP) * RUN_STEP
        n_times = max(group["time"].shape[1], TIME_CHUNK)
        while n_times < rows:
            n_times *= 2
        for name in (*_RUN_ARRAYS, "mode"):
            _grow(group[name], n_runs)
        for name in (*_ROW_ARRAYS, "digest"):
            _grow(group[name], n_runs, n_times)
        _grow(group["provenance"], n_runs)
        for array in _CELL_DIM:
            _grow(group[array], n_runs, n_times, registry.size(array))
            _grow(group[_TAIL[array]], 0, registry.size(array))
        if len(places) > len(known):
            group["run"][len(known) : len(places)] = np.array(list(places)[len(known) :], dtype=np.int64)
        held = _read_log(group, "registry")
        _append_log(group, "registry", [segment.to_json() for segment in registry[len(held) :]])
        return places

    def room(self, subsystem: str) -> int:
        """How many rows a run may have before the time axis grows."""
        return int(self.group[f"raw/{subsystem}/time"].shape[1])

    def write_layouts(self, subsystem: str, layouts: Layouts) -> None:
        """Append the layouts that the store lacks."""
        group = self.group[f"raw/{subsystem}"]
        held = int(group["layouts"].attrs["count"])
        if len(layouts) > held:
            _append_log(group, "layouts", [Layouts.to_json(layout) for layout in layouts.layouts[held:]])
            group["layouts"].attrs["count"] = len(layouts)

    def write_block(self, subsystem: str, array: str, place: int, row: int, cell: int, block: NDArray[Any]) -> None:
        """Write ``block`` (row, cell) of one run from row ``row`` and cell ``cell`` on."""
        target = self._array(subsystem, array)
        target[place, row : row + len(block), cell : cell + block.shape[1]] = block

    def write_rows(self, subsystem: str, place: int, rows: RunRows, layouts: Layouts) -> None:
        """Write what the rows of one run are, all of them; their cells come from `write_cells`. None is in the tail."""
        group = self.group[f"raw/{subsystem}"]
        self.write_layouts(subsystem, layouts)
        tail = [row for row in read_tail(group) if row.run == group["run"][place]]
        revision = max([int(group["revision"][place]), *(row.revision for row in tail)])
        self._write_run(group, place, rows, revision, raise_if_new=True)
        self.clear_slots(subsystem, [row.slot for row in tail])

    def fold_rows(self, subsystem: str, place: int, rows: RunRows, revision: int) -> None:
        """Write what the first rows of a run are, some of which were in the tail till now."""
        self._write_run(self.group[f"raw/{subsystem}"], place, rows, revision, raise_if_new=False)

    def _write_run(self, group: zarr.Group, place: int, rows: RunRows, revision: int, *, raise_if_new: bool) -> None:
        count = len(rows)
        same = count == group["n_rows"][place]
        for name in (*_ROW_ARRAYS, "digest"):
            same = same and np.array_equal(group[name][place, :count], getattr(rows, name))
            group[name][place, :count] = getattr(rows, name)
        text = "".join(f"{line}\n" for line in rows.provenance).encode()
        _grow(group["provenance"], 0, len(text))
        whole = text.ljust(group["provenance"].shape[1], b"\0")  # also over the end of a longer text before
        group["provenance"][place] = np.frombuffer(whole, dtype=np.uint8)
        shown = rows.n_snapshots
        group["mode"][place] = np.frombuffer(rows.mode.encode()[:8].ljust(8, b"\0"), dtype=np.uint8)
        per_run = {
            "n_snapshots": shown,
            "n_rows": count,
            "start": rows.time[0] if shown else NO_TIME,
            "stop": rows.time[shown - 1] if shown else NO_TIME,
            "revision": revision + (raise_if_new and not same),  # provenance alone makes no trend stale
            "accumulation": rows.accumulation,
        }
        for name, value in per_run.items():
            group[name][place] = value

    def _array(self, subsystem: str, name: str) -> zarr.Array[Any]:
        """An array of a subsystem; looked up once, which takes most of a millisecond."""
        path = f"raw/{subsystem}/{name}"
        if path not in self._arrays:
            order = "F" if name in _CELL_DIM else "C"
            self._arrays[path] = self.group[path].with_config({"order": order})
        return self._arrays[path]

    def write_tail(self, subsystem: str, row: TailRow, cells: dict[str, NDArray[Any]]) -> None:
        """Write one row to its slot of the tail; ``cells`` has what it holds of each array, from the first cell on."""
        line, rows = row.to_bytes(), self._array(subsystem, "tail_rows")
        width = rows.shape[1]
        while width < max(len(line), TAIL_ROW):
            width = max(2 * width, TAIL_ROW)
        slots = -(-(row.slot + 1) // TIME_CHUNK) * TIME_CHUNK
        if slots > rows.shape[0] or width > rows.shape[1]:
            _grow(rows, slots, width)
            for name in _TAIL.values():  # all of one length, or xarray could not open them together
                _grow(self._array(subsystem, name), rows.shape[0])
        rows[row.slot] = np.frombuffer(line.ljust(width, b"\0"), dtype=np.uint8)
        for name, values in cells.items():
            self._array(subsystem, _TAIL[name])[row.slot, : len(values)] = values

    def remove_run(self, subsystem: str, place: int, run: int, revision: int) -> None:
        """Take out the rows of one run, and their chunks; its place stays, for when it comes again."""
        group = self.group[f"raw/{subsystem}"]
        self.clear_slots(subsystem, [row.slot for row in read_tail(group) if row.run == run])
        count = int(group["n_rows"][place])
        for array in _CELL_DIM:
            width = group[array].shape[2]
            if width:
                empty = np.zeros((1, width), dtype=_CELL_DTYPE[array])  # chunks of zeros are not stored
                self._array(subsystem, array)[place, :count] = empty
        for name, value in {
            "n_rows": 0,
            "n_snapshots": 0,
            "start": NO_TIME,
            "stop": NO_TIME,
            "revision": revision,
        }.items():
            group[name][place] = value
        group["provenance"][place] = np.zeros(group["provenance"].shape[1], dtype=np.uint8)

    def write_ledger(self, line: str) -> None:
        """Note a repair."""
        if "ledger" not in self.group:
            _log(self.group, "ledger")
        _append_log(self.group, "ledger", [line])

    def shrink_tail(self, subsystem: str) -> None:
        """Give back the slots of a tail that is empty, so that nobody reads them."""
        for name in ("tail_rows", *_TAIL.values()):
            array = self._array(subsystem, name)
            array.resize((0, array.shape[1]))

    def clear_slots(self, subsystem: str, slots: Sequence[int]) -> None:
        """Free slots of the tail: their rows are in the chunks now, or were removed."""
        if slots:
            rows = self._array(subsystem, "tail_rows")
            rows.oindex[list(slots), slice(None)] = np.zeros((len(slots), rows.shape[1]), dtype=np.uint8)

    def quarantine(self, lines: Iterable[str], taken: Iterable[str] = ()) -> None:
        """List what could not be taken in, one JSON line each; sources that were ``taken`` are listed no longer."""
        held = _read_log(self.group, "quarantine")
        listed = set(open_quarantine(held))
        new = [line for line in dict.fromkeys(lines) if line not in listed]
        damaged = {fields["source"] for fields in map(json.loads, listed) if fields["object"] is None}
        came = [json.dumps({"source": source, "taken": True}) for source in sorted(damaged & set(taken))]
        _append_log(self.group, "quarantine", [*came, *new])

    def prepare_trends(self, subsystem: str, histograms: Sequence[str], reductors: Sequence[str], code: str) -> None:
        """Make room for the trends of a subsystem; begin them anew where reductors or code are others."""
        raw = self.group[f"raw/{subsystem}"]
        group = self.group.require_group(f"trends/{subsystem}")
        if dict(group.attrs).get("reductors") != list(reductors) or group.attrs.get("code") != code:
            for name in list(group.array_keys()):
                del group[name]
            group.attrs.update({"reductors": list(reductors), "code": code})
            _create_trends(group, len(reductors))
        n_runs, n_times = raw["time"].shape
        for name in _TREND_ARRAYS:
            _grow(group[name], n_runs, n_times, len(histograms))
            _grow(group[f"run_{name}"], n_runs, len(histograms))
        for name in ("begin", "reported"):
            _grow(group[name], n_runs, n_times, len(histograms))
        _grow(group["revision"], n_runs)
        held = _read_log(group, "histograms")
        _append_log(group, "histograms", histograms[len(held) :])

    def write_trends(self, subsystem: str, place: int, revision: int, arrays: dict[str, NDArray[Any]]) -> None:
        """Write the trends of one run: ``value``, ``error``, ``begin``, ``reported``, ``run_value``, ``run_error``."""
        group = self.group[f"trends/{subsystem}"]
        for name, values in arrays.items():
            group[name][(place, *(slice(0, n) for n in values.shape))] = values
        group["revision"][place] = revision


def write_cells(
    fork: icechunk.ForkSession, subsystem: str, array: str, place: int, row: int, block: NDArray[Any]
) -> None:
    """Write ``block`` (row, cell) of one run from row ``row`` on; called on workers."""
    target = zarr.open_group(fork.store, mode="r+")[f"raw/{subsystem}/{array}"].with_config({"order": "F"})
    target[place, row : row + len(block), : block.shape[1]] = block


def use_one_thread() -> None:
    """Keep Zarr and Blosc to one thread each, for a worker that is one of several on its machine."""
    import numcodecs.blosc

    numcodecs.blosc.set_nthreads(1)
    zarr.config.set({"threading.max_workers": 1, "async.concurrency": 1})


def open_quarantine(lines: Iterable[str]) -> list[str]:
    """The lines of a quarantine that still hold: without whole files that were taken in later."""
    still: dict[str, str] = {}
    for line in lines:
        fields = json.loads(line)
        if fields.get("taken"):
            still = {text: source for text, source in still.items() if source != fields["source"]}
        else:
            still[line] = fields["source"] if fields["object"] is None else ""
    return list(still)


class Reader:
    """A whole, unchanging state of the store."""

    def __init__(self, session: icechunk.Session, location: str) -> None:
        self.location = location
        self.version = str(session.snapshot_id)
        self._group = zarr.open_group(session.store, mode="r")
        if self._group.attrs.get("owtrend_format") != FORMAT:
            found = self._group.attrs.get("owtrend_format", "none")
            raise StoreError(f"{location}: store format {found}, this owtrend reads {FORMAT}")
        self._subsystems: dict[str, SubsystemReader] = {}

    @cached_property
    def registered(self) -> tuple[str, ...]:
        """Subsystems that have a place in the store, also those of which no snapshot was readable yet."""
        return tuple(sorted(self._group["raw"].group_keys())) if "raw" in self._group else ()

    @cached_property
    def subsystems(self) -> tuple[str, ...]:
        """Subsystems that have snapshots."""
        return tuple(name for name in self.registered if self.subsystem(name).places)

    def subsystem(self, name: str) -> "SubsystemReader":
        """One subsystem; raises NotFoundError, which lists those that are there."""
        if name not in self._subsystems:
            if name not in self.registered:
                held = ", ".join(self.registered) or "none"
                raise NotFoundError(f"{self.location}: no subsystem {name!r}; it has {held}")
            trends = self._group.get(f"trends/{name}")
            where = f"{self.location}, subsystem {name}"
            self._subsystems[name] = SubsystemReader(where, self._group[f"raw/{name}"], trends)
        return self._subsystems[name]

    @cached_property
    def ledger(self) -> list[str]:
        """JSON lines of the repairs."""
        return _read_log(self._group, "ledger")

    @cached_property
    def quarantine(self) -> list[str]:
        """JSON lines of what could not be taken in."""
        return open_quarantine(_read_log(self._group, "quarantine"))


@dataclass
class SubsystemReader:
    """The arrays of one subsystem; everything is read when it is asked for, and small things once."""

    where: str
    group: zarr.Group
    trends: zarr.Group | None
    _arrays: dict[str, zarr.Array[Any]] = field(default_factory=dict)
    _rows: dict[tuple[str, int], NDArray[Any]] = field(default_factory=dict)
    _tables: dict[int, RunRows] = field(default_factory=dict)
    _order: dict[int, NDArray[np.int64]] = field(default_factory=dict)

    @cached_property
    def registry(self) -> Registry:
        return Registry(Segment.from_json(line) for line in _read_log(self.group, "registry"))

    @cached_property
    def layouts(self) -> Layouts:
        return Layouts(Layouts.from_json(line) for line in _read_log(self.group, "layouts"))

    @cached_property
    def holds(self) -> NDArray[np.bool_]:
        """Whether a layout holds a segment, shape ``(layout, segment)``."""
        return self.layouts.matrix(len(self.registry))

    @cached_property
    def tail(self) -> dict[int, tuple[TailRow, ...]]:
        """The rows in the tail, by run, in order of time."""
        found: dict[int, list[TailRow]] = {}
        for row in read_tail(self.group):
            found.setdefault(row.run, []).append(row)
        return {run: tuple(sorted(rows, key=lambda row: row.time)) for run, rows in found.items()}

    @cached_property
    def per_run(self) -> dict[str, NDArray[Any]]:
        """The run arrays, by name, in order of arrival; rows in the tail are counted."""
        used = int(np.count_nonzero(self.group["run"][:] >= 0))
        arrays = {name: self.group[name][:used] for name in _RUN_ARRAYS}
        modes = self.group["mode"][:used]
        arrays["mode"] = np.array([bytes(mode).rstrip(b"\0").decode() for mode in modes], dtype=object)
        for run, tail in self.tail.items():
            place = int(np.flatnonzero(arrays["run"] == run)[0])
            rows = self._merged(place, tail, arrays)
            self._tables[place] = rows
            count = rows.n_snapshots
            arrays["n_rows"][place], arrays["n_snapshots"][place] = len(rows), count
            arrays["start"][place], arrays["stop"][place] = rows.time[0], rows.time[count - 1]
            arrays["revision"][place] = max(arrays["revision"][place], *(row.revision for row in tail))
            arrays["accumulation"][place], arrays["mode"][place] = rows.accumulation, rows.mode
        return arrays

    def _merged(self, place: int, tail: tuple[TailRow, ...], per_run: dict[str, NDArray[Any]]) -> RunRows:
        """All rows of a run that has some in the tail."""
        folded = self._stored_rows(place, int(per_run["n_rows"][place]))
        order = self._order[place] = merged_order(folded.time, tail)
        slots = {row.slot: number for number, row in enumerate(tail)}
        where = np.array([slots[-1 - at] + len(folded) if at < 0 else at for at in order], dtype=np.intp)
        digest = np.concatenate([folded.digest, [np.frombuffer(row.digest, dtype=np.uint8) for row in tail]])[where]
        flags = np.concatenate([folded.flags, np.array([row.flags for row in tail], dtype=np.uint8)])[where]
        lines = (*folded.provenance, *(row.provenance for row in tail))
        return RunRows(
            time=np.concatenate([folded.time, [row.time for row in tail]])[where],
            layout=np.concatenate([folded.layout, np.array([row.layout for row in tail], dtype=np.int32)])[where],
            flags=(flags & ~np.uint8(UNCHANGED)) | np.uint8(UNCHANGED) * unchanged(digest),
            digest=digest,
            provenance=tuple(lines[number] for number in where),
            mode=folded.mode or tail[0].mode,
            accumulation=tail[0].accumulation,
        )

    @property
    def room(self) -> int:
        """How many rows a run may have before the time axis grows."""
        return int(self.group["time"].shape[1])

    @property
    def slots(self) -> int:
        """How many slots the tail has, free ones included."""
        return int(self.group["tail_rows"].shape[0])

    def place_of(self, run: int) -> int:
        """Place on the run axis, also of a run that shows nothing yet."""
        return int(np.flatnonzero(self.per_run["run"] == run)[0])

    def folded(self, place: int) -> int:
        """How many rows of a run lie in its chunks."""
        return int(self.group["n_rows"][place])

    def group_size(self, array: str) -> int:
        """Cells that an array has."""
        return int(self.group[array].shape[2])

    def order(self, place: int) -> NDArray[np.int64]:
        """Where each row of one run is, in order of time, see `owtrend.tail.merged_order`."""
        count = int(self.per_run["n_rows"][place])  # which also reads the tail
        return self._order.get(place, np.arange(count))

    @cached_property
    def places(self) -> dict[int, int]:
        """Place on the run axis of each run that has snapshots."""
        runs, shown = self.per_run["run"], self.per_run["n_snapshots"]
        return {int(run): place for place, run in enumerate(runs) if shown[place]}

    def place(self, run: int) -> int:
        if run not in self.places:
            near = sorted(self.places, key=lambda known: abs(known - run))[:3]
            raise NotFoundError(
                f"{self.where}: no run {run}; near it are {', '.join(map(str, sorted(near))) or 'none'}"
            )
        return self.places[run]

    def rows(self, place: int) -> RunRows:
        """What the rows of one run are, hidden ones included."""
        count = int(self.per_run["n_rows"][place])
        return self._tables[place] if place in self._tables else self._stored_rows(place, count)

    def _stored_rows(self, place: int, count: int) -> RunRows:
        arrays = {name: self.group[name][place, :count] for name in (*_ROW_ARRAYS, "digest")}
        text = bytes(self.group["provenance"][place]).rstrip(b"\0").decode()
        mode = bytes(self.group["mode"][place]).rstrip(b"\0").decode()
        accumulation = int(self.group["accumulation"][place])
        return RunRows(**arrays, provenance=tuple(text.splitlines()), mode=mode, accumulation=accumulation)

    def times(self, place: int) -> NDArray[np.datetime64]:
        """UTC times of the snapshots of one run."""
        return self._row("time", place).view("datetime64[ns]")

    def layout(self, place: int) -> NDArray[np.int32]:
        """Layout numbers of the snapshots of one run."""
        return self._row("layout", place)

    def read_all_rows(self) -> None:
        """Read times and layouts of all runs at once, for who will ask for most of them: 1 ms a run otherwise."""
        shown, used = self.per_run["n_snapshots"], len(self.per_run["run"])
        for name in ("time", "layout"):
            most = int(shown.max(initial=0))
            block = self.group[name][:used, :most]
            for place in range(used):
                if place not in self._tables:
                    self._rows.setdefault((name, place), block[place, : shown[place]])

    def _row(self, name: str, place: int) -> NDArray[Any]:
        if (name, place) not in self._rows:
            count = int(self.per_run["n_snapshots"][place])
            table = self._tables.get(place)
            self._rows[name, place] = getattr(table, name)[:count] if table else self.group[name][place, :count]
        return self._rows[name, place]

    def cells(self, array: str, place: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        """Cells of some rows of one run, shape ``(row, cell)``; each chunk is read once."""
        if self.tail and place in self._order:
            where = self._order[place][rows]
            out = np.empty((len(rows), cells.stop - cells.start), dtype=self._array(array).dtype, order="F")
            if (mine := np.flatnonzero(where >= 0)).size:
                out[mine] = self._chunked_cells(array, place, where[mine], cells)
            for number in np.flatnonzero(where < 0).tolist():
                out[number] = self._array(_TAIL[array])[-1 - where[number], cells]
            return out
        return self._chunked_cells(array, place, rows, cells)

    def _array(self, name: str) -> zarr.Array[Any]:
        if name not in self._arrays:
            # Time fastest in memory as in the chunk: without it Zarr transposes each chunk, 1.7 times as long.
            order = "C" if name in _TAIL.values() else "F"
            self._arrays[name] = self.group[name].with_config({"order": order})
        return self._arrays[name]

    def _chunked_cells(self, array: str, place: int, rows: NDArray[np.intp], cells: slice) -> NDArray[Any]:
        stored = self._array(array)
        first, last = rows.min(), rows.max()
        if first // TIME_CHUNK == last // TIME_CHUNK or len(rows) == last + 1 - first:
            block = stored[place, first : last + 1, cells]
            return block if len(rows) == len(block) else block[rows - first]
        out = np.empty((len(rows), cells.stop - cells.start), dtype=stored.dtype, order="F")
        for number in np.unique(rows // TIME_CHUNK):
            wanted = np.flatnonzero(rows // TIME_CHUNK == number)
            first, last = rows[wanted].min(), rows[wanted].max()
            out[wanted] = stored[place, first : last + 1, cells][rows[wanted] - first]
        return out

    @cached_property
    def trend_names(self) -> tuple[list[str], list[str]]:
        """Histograms (JSON paths) and reductors of the stored trends."""
        if self.trends is None:
            return [], []
        return _read_log(self.trends, "histograms"), list(self.trends.attrs["reductors"])

    def trend_code(self) -> str:
        """Version of the code that made the stored trends; empty if there are none."""
        return "" if self.trends is None else str(self.trends.attrs["code"])

    @cached_property
    def trend_revisions(self) -> NDArray[np.int32]:
        """Revision of the run that its stored trends were computed from; 0 where there are none."""
        used = len(self.per_run["run"])
        return np.zeros(used, dtype=np.int32) if self.trends is None else _padded(self.trends["revision"][:used], used)

    def trend_array(self, name: str, *index: Any) -> NDArray[Any]:
        assert self.trends is not None, "asked for stored trends where there are none"
        return self.trends[name][index]


def read_tail(group: zarr.Group) -> Iterator[TailRow]:
    """The rows in the tail of a subsystem, by slot."""
    for slot, line in enumerate(group["tail_rows"][:]):
        if (row := TailRow.from_bytes(slot, line.tobytes())) is not None:
            yield row


def _create_subsystem(group: zarr.Group, registry: Registry) -> None:
    for name, (dtype, fill, attributes) in _RUN_ARRAYS.items():
        _array(group, name, ("run",), dtype, (4096,), fill, attributes)
    _array(group, "mode", ("run", "character"), "uint8", (4096, 8), 0, {"long_name": "HLT mode, UTF-8"}, shape=(0, 8))
    for name, (dtype, fill, attributes) in _ROW_ARRAYS.items():
        _array(group, name, ("run", "time"), dtype, (32, 256), fill, attributes)
    digest = {"long_name": "hash of the row's histograms"}
    _array(group, "digest", ("run", "time", "digest_byte"), "uint8", (32, 256, 16), 0, digest, shape=(0, 0, 16))
    _array(group, "provenance", ("run", "byte"), "uint8", (1, 2**16), 0, {"long_name": "JSON lines, one per row"})
    for array, dim in _CELL_DIM.items():
        # A chunk is stored whole, so a small detector gets smaller ones.
        chunk = min(_CELL_CHUNK[array], -(-max(registry.size(array), 1) // 1024) * 1024)
        _array(group, array, ("run", "time", dim), _CELL_DTYPE[array], (1, TIME_CHUNK, chunk), 0, {}, transposed=True)
        _array(group, _TAIL[array], ("slot", dim), _CELL_DTYPE[array], (1, _TAIL_CHUNK), 0, {}, level=0)
    _array(group, "tail_rows", ("slot", "tail_byte"), "uint8", (64, TAIL_ROW), 0, {"long_name": "JSON, one per slot"})
    for name in ("registry", "layouts"):
        _log(group, name)
    group["layouts"].attrs["count"] = 0


def _create_trends(group: zarr.Group, reductors: int) -> None:
    for name in _TREND_ARRAYS:
        over_time, per_run = ("run", "time", "histogram", "reductor"), ("run", "histogram", "reductor")
        _array(group, name, over_time, "float64", (1, TIME_CHUNK, 8, reductors), np.nan, {}, shape=(0, 0, 0, reductors))
        _array(group, f"run_{name}", per_run, "float64", (RUN_STEP, 8, reductors), np.nan, {}, shape=(0, 0, reductors))
    chunks = (1, TIME_CHUNK, 64)
    _array(group, "begin", ("run", "time", "histogram"), "int64", chunks, NO_TIME, _EPOCH)
    _array(group, "reported", ("run", "time", "histogram"), "bool", chunks, False, {})
    _array(group, "revision", ("run",), "int32", (4096,), 0, {})
    _log(group, "histograms")


def _array(
    group: zarr.Group, name: str, dims: tuple[str, ...], dtype: str, chunks: tuple[int, ...], fill: Any,
    attributes: dict[str, str], *, shape: tuple[int, ...] | None = None, transposed: bool = False, level: int = 1,
) -> None:  # fmt: skip
    # Time fastest inside the chunk: 0.16-0.24 of the ROOT files' size, against 0.43 without the transpose.
    shuffle = "shuffle" if dtype == "float64" else "bitshuffle"
    group.create_array(
        name,
        shape=shape or (0,) * len(dims),
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=dims,
        attributes=attributes,
        filters=[TransposeCodec(order=(0, 2, 1))] if transposed else None,
        compressors=[BloscCodec(cname="zstd" if level else "lz4", clevel=1, shuffle=shuffle)],
    )


def _grow(array: zarr.Array[Any], *sizes: int) -> None:
    """Make ``array`` at least this large along its first dims."""
    wanted = tuple(max(n, size) for n, size in itertools.zip_longest(array.shape, sizes, fillvalue=0))
    if wanted != array.shape:
        array.resize(wanted)


def _padded(values: NDArray[Any], size: int) -> NDArray[Any]:
    return np.pad(values, (0, size - len(values)))


def _log(group: zarr.Group, name: str) -> None:
    _array(group, name, (f"{name}_byte",), "uint8", (2**16,), 0, {"long_name": "JSON lines, UTF-8"})


def _read_log(group: zarr.Group, name: str) -> list[str]:
    return bytes(group[name][:]).decode().splitlines() if name in group else []


def _append_log(group: zarr.Group, name: str, lines: Sequence[str]) -> None:
    if lines:
        text = np.frombuffer("".join(f"{line}\n" for line in lines).encode(), dtype=np.uint8)
        held = group[name].shape[0]
        group[name].resize((held + len(text),))
        group[name][held:] = text


@contextlib.contextmanager
def _role(location: str | Path, role: str) -> Iterator[None]:
    """Hold a writer's role; raises StoreLockedError if another process does."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(_flock(location, role, wait=False))
        except BlockingIOError as error:
            raise StoreLockedError(
                f"{location}: another process is the {role} writer; wait for it or stop it"
            ) from error
        yield


@contextlib.contextmanager
def _flock(location: str | Path, name: str, wait: bool) -> Iterator[None]:
    """Hold a lock file of a local store; the kernel lets go of it when the process dies."""
    if not _is_local(location):
        yield
        return
    path = Path(location) / "locks" / f"{name}.lock"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreError(f"{location}: cannot be written ({error.strerror}); give a folder you may write to") from error
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(handle)


def _utc(time: str | datetime) -> datetime | None:
    """A time, or the text of one, as UTC (which it is where it has no zone); None if it is no time."""
    try:
        when = time if isinstance(time, datetime) else datetime.fromisoformat(time)
    except ValueError:
        return None
    return when.replace(tzinfo=UTC) if when.tzinfo is None else when.astimezone(UTC)


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0].removeprefix("x ")


def _is_local(location: str | Path) -> bool:
    return "://" not in str(location)


def _storage(location: str | Path) -> icechunk.Storage:
    text = str(location)
    if _is_local(location):
        return icechunk.local_filesystem_storage(text)
    scheme, _, rest = text.partition("://")
    bucket, _, prefix = rest.partition("/")
    if scheme == "s3":
        return icechunk.s3_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    if scheme == "gs":
        return icechunk.gcs_storage(bucket=bucket, prefix=prefix or None, from_env=True)
    raise StoreError(f"{location}: unknown kind of store; give a folder, s3://bucket/prefix or gs://bucket/prefix")
