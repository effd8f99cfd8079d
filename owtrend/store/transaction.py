"""Changes to a store that become visible all at once."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray

from owtrend.model.registry import Layouts, Registry
from owtrend.model.rows import RunRows, TailRow
from owtrend.store import quarantine, versions
from owtrend.store.layout import (
    CELL_DIM,
    CELL_DTYPE,
    NO_TIME,
    ROW_ARRAYS,
    RUN_ARRAYS,
    RUN_STEP,
    SCORE_DETAIL,
    TAIL,
    TAIL_ROW,
    TIME_CHUNK,
    TREND_ARRAYS,
    TREND_DETAIL,
    append_log,
    create_log,
    create_score_origin,
    create_scores,
    create_subsystem,
    create_trend_origin,
    create_trends,
    grow,
    read_log,
    stored_names,
)  # fmt: skip
from owtrend.store.reader import read_tail

__all__ = ["Transaction", "write_cells"]


class Transaction:
    """Changes that become visible all at once, by `commit`."""

    def __init__(self, session: icechunk.Session, lock: Any, *, in_memory: bool = False) -> None:
        self.session = session
        self._lock = lock
        self._in_memory = in_memory
        self._arrays: dict[str, zarr.Array[Any]] = {}

    @cached_property
    def group(self) -> zarr.Group:
        return zarr.group(self.session.store)

    def fork(self) -> icechunk.Session:
        """A picklable session for one worker; only from a transaction that has changed nothing yet.

        In memory it is the session itself: a fork would not see the memory, and the workers are threads.
        """
        return self.session if self._in_memory else self.session.fork()

    def merge(self, forks: Sequence[icechunk.Session]) -> None:
        """Take over what workers wrote."""
        if changed := [fork for fork in forks if isinstance(fork, icechunk.ForkSession)]:
            self.session.merge(*changed)
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
        run_index = np.flatnonzero(group["run"][:] == run)
        return int(group["n_rows"][int(run_index[0])]) if len(run_index) else 0

    def prepare(self, subsystem: str, registry: Registry, runs: Iterable[int], rows: int) -> dict[int, int]:
        """Make room for runs of up to ``rows`` rows with these segments; gives the place of each run on the run axis.

        Axes grow in steps, in a commit of their own: a fork needs a clean session, and a resize cannot be rebased.
        """
        group = self.group.require_group(f"raw/{subsystem}")
        if "run" not in group:
            create_subsystem(group, registry)
        known: list[int] = group["run"][:].tolist() if group["run"].shape[0] else []
        known = [run for run in known if run >= 0]
        run_indices = {run: run_index for run_index, run in enumerate(known)}
        for run in runs:
            if run not in run_indices:
                run_indices[run] = len(run_indices)
        n_runs = -(-max(len(run_indices), 1) // RUN_STEP) * RUN_STEP
        n_times = max(group["time"].shape[1], TIME_CHUNK)
        while n_times < rows:
            n_times *= 2
        for name in (*RUN_ARRAYS, "mode"):
            grow(group[name], n_runs)
        for name in (*ROW_ARRAYS, "digest"):
            grow(group[name], n_runs, n_times)
        grow(group["provenance"], n_runs)
        for array in CELL_DIM:
            grow(group[array], n_runs, n_times, registry.size(array))
            grow(group[TAIL[array]], 0, registry.size(array))
        if len(run_indices) > len(known):
            group["run"][len(known) : len(run_indices)] = np.array(list(run_indices)[len(known) :], dtype=np.int64)
        held = read_log(group, "registry")
        append_log(group, "registry", [segment.to_json() for segment in registry[len(held) :]])
        return run_indices

    def room(self, subsystem: str) -> int:
        """How many rows a run may have before the time axis grows."""
        return int(self.group[f"raw/{subsystem}/time"].shape[1])

    def write_layouts(self, subsystem: str, layouts: Layouts) -> None:
        """Append the layouts that the store lacks."""
        group = self.group[f"raw/{subsystem}"]
        held = int(group["layouts"].attrs["count"])
        if len(layouts) > held:
            append_log(group, "layouts", [Layouts.to_json(layout) for layout in layouts.layouts[held:]])
            group["layouts"].attrs["count"] = len(layouts)

    def write_block(self, subsystem: str, array: str, run_index: int, row: int, cell: int, block: NDArray[Any]) -> None:
        """Write ``block`` (row, cell) of one run from row ``row`` and cell ``cell`` on."""
        target = self._array(subsystem, array)
        target[run_index, row : row + len(block), cell : cell + block.shape[1]] = block

    def write_rows(self, subsystem: str, run_index: int, rows: RunRows, layouts: Layouts) -> None:
        """Write what the rows of one run are, all of them; their cells come from `write_cells`. None is in the tail."""
        group = self.group[f"raw/{subsystem}"]
        self.write_layouts(subsystem, layouts)
        tail = [row for row in read_tail(group) if row.run == group["run"][run_index]]
        revision = max([int(group["revision"][run_index]), *(row.revision for row in tail)])
        self._write_run(group, run_index, rows, revision, raise_if_new=True)
        self.clear_slots(subsystem, [row.slot for row in tail])

    def fold_rows(self, subsystem: str, run_index: int, rows: RunRows, revision: int) -> None:
        """Write what the first rows of a run are, some of which were in the tail till now."""
        self._write_run(self.group[f"raw/{subsystem}"], run_index, rows, revision, raise_if_new=False)

    def _write_run(
        self, group: zarr.Group, run_index: int, rows: RunRows, revision: int, *, raise_if_new: bool
    ) -> None:
        count = len(rows)
        same = count == group["n_rows"][run_index]
        for name in (*ROW_ARRAYS, "digest"):
            same = same and np.array_equal(group[name][run_index, :count], getattr(rows, name))
            group[name][run_index, :count] = getattr(rows, name)
        text = "".join(f"{line}\n" for line in rows.provenance).encode()
        grow(group["provenance"], 0, len(text))
        whole = text.ljust(group["provenance"].shape[1], b"\0")  # also over the end of a longer text before
        group["provenance"][run_index] = np.frombuffer(whole, dtype=np.uint8)
        shown = rows.n_snapshots
        group["mode"][run_index] = np.frombuffer(rows.mode.encode()[:8].ljust(8, b"\0"), dtype=np.uint8)
        per_run = {
            "n_snapshots": shown,
            "n_rows": count,
            "start": rows.time[0] if shown else NO_TIME,
            "stop": rows.time[shown - 1] if shown else NO_TIME,
            "revision": revision + (raise_if_new and not same),  # provenance alone makes no trend stale
            "accumulation": rows.accumulation,
        }
        for name, value in per_run.items():
            group[name][run_index] = value

    def _array(self, subsystem: str, name: str) -> zarr.Array[Any]:
        """An array of a subsystem; looked up once, which takes most of a millisecond."""
        path = f"raw/{subsystem}/{name}"
        if path not in self._arrays:
            order = "F" if name in CELL_DIM else "C"
            self._arrays[path] = self.group[path].with_config({"order": order})
        return self._arrays[path]

    def write_tail(self, subsystem: str, row: TailRow, cells: dict[str, NDArray[Any]]) -> int:
        """Write one row to its slot of the tail, whose slots it gives; ``cells`` has what it holds of each array."""
        line, rows = row.to_bytes(), self._array(subsystem, "tail_rows")
        width = rows.shape[1]
        while width < max(len(line), TAIL_ROW):
            width = max(2 * width, TAIL_ROW)
        slots = -(-(row.slot + 1) // TIME_CHUNK) * TIME_CHUNK
        if slots > rows.shape[0] or width > rows.shape[1]:
            grow(rows, slots, width)
            for name in TAIL.values():  # all of one length, or xarray could not open them together
                grow(self._array(subsystem, name), rows.shape[0])
        rows[row.slot] = np.frombuffer(line.ljust(width, b"\0"), dtype=np.uint8)
        for name, values in cells.items():
            self._array(subsystem, TAIL[name])[row.slot, : len(values)] = values
        return int(rows.shape[0])

    def remove_run(self, subsystem: str, run_index: int, run: int, revision: int) -> None:
        """Take out the rows of one run, and their chunks; its place stays, for when it comes again."""
        group = self.group[f"raw/{subsystem}"]
        self.clear_slots(subsystem, [row.slot for row in read_tail(group) if row.run == run])
        count = int(group["n_rows"][run_index])
        for array in CELL_DIM:
            width = group[array].shape[2]
            if width:
                empty = np.zeros((1, width), dtype=CELL_DTYPE[array])  # chunks of zeros are not stored
                self._array(subsystem, array)[run_index, :count] = empty
        for name, value in {
            "n_rows": 0,
            "n_snapshots": 0,
            "start": NO_TIME,
            "stop": NO_TIME,
            "revision": revision,
        }.items():
            group[name][run_index] = value
        group["provenance"][run_index] = np.zeros(group["provenance"].shape[1], dtype=np.uint8)

    def write_ledger(self, line: str) -> None:
        """Note a repair."""
        if "ledger" not in self.group:
            create_log(self.group, "ledger")
        append_log(self.group, "ledger", [line])

    def shrink_tail(self, subsystem: str) -> None:
        """Give back the slots of a tail that is empty, so that nobody reads them."""
        for name in ("tail_rows", *TAIL.values()):
            array = self._array(subsystem, name)
            array.resize((0, array.shape[1]))

    def clear_slots(self, subsystem: str, slots: Sequence[int]) -> None:
        """Free slots of the tail: their rows are in the chunks now, or were removed."""
        if slots:
            rows = self._array(subsystem, "tail_rows")
            rows.oindex[list(slots), slice(None)] = np.zeros((len(slots), rows.shape[1]), dtype=np.uint8)

    def quarantine(self, lines: Iterable[str], taken: Iterable[str] = ()) -> None:
        """List what could not be taken in, one JSON line each; sources that were ``taken`` are listed no longer."""
        listed = dict.fromkeys(quarantine.listed(read_log(self.group, "quarantine")))
        new = [line for line in dict.fromkeys(lines) if line not in listed]
        append_log(self.group, "quarantine", [*quarantine.taken_lines(listed, taken), *new])

    def configure(self, text: str) -> None:
        """Keep the configuration that trends are made by, as JSON."""
        self.group.attrs["config"] = text

    def prepare_trends(self, subsystem: str, histograms: Sequence[str], reductors: Sequence[str]) -> None:
        """Make room for the trends of a subsystem; what is stored of other runs and reductors stays."""
        raw = self.group[f"raw/{subsystem}"]
        group = self.group.require_group(f"trends/{subsystem}")
        if "state" not in group:  # new, or of a layout that nothing reads any more
            for name in list(group.array_keys()):
                del group[name]
            group.attrs.put({"reductors": list(reductors)})
            create_trends(group, len(reductors))
        names = _named(group, "reductors", reductors)
        n_runs, n_times = raw["time"].shape
        if "version" not in group:
            create_trend_origin(group, len(names))
            grow(group["version"], n_runs)
            made = np.flatnonzero(group["revision"][:] > 0)
            group["version"].oindex[made, slice(None)] = versions.BEFORE_VERSIONS
        for name in TREND_ARRAYS:
            grow(group[name], n_runs, n_times, len(histograms), len(names))
            grow(group[f"run_{name}"], n_runs, len(histograms), len(names))
        grow(group["state"], n_runs, n_times, len(histograms))
        grow(group["version"], n_runs, len(names))
        for name in ("revision", "settings"):
            grow(group[name], n_runs)
        held = read_log(group, "histograms")
        append_log(group, "histograms", histograms[len(held) :])

    def write_trends(
        self, subsystem: str, reductors: Sequence[str], runs: Mapping[int, dict[str, NDArray[Any]]],
        revisions: Mapping[int, int], settings: bytes,
    ) -> None:  # fmt: skip
        """Write the trends of some runs: by place the arrays of `run_trends`, and the revisions that they are of."""
        group = self.group[f"trends/{subsystem}"]
        stored = list(group.attrs["reductors"])
        axes = {"value": 2, "error": 2, "run_value": 1, "run_error": 1}
        whole = {
            run_index: arrays | {name: _spread(arrays[name], axis, reductors, stored) for name, axis in axes.items()}
            for run_index, arrays in runs.items()
        }
        _write_detail(group, TREND_DETAIL, whole)
        for run_index, arrays in sorted(whole.items()):
            for name in TREND_ARRAYS:
                summary = arrays[f"run_{name}"]
                group[f"run_{name}"][(run_index, *(slice(0, size) for size in summary.shape))] = summary
            group["revision"][run_index] = revisions[run_index]
            group["version"][run_index] = np.isin(stored, reductors) * versions.TRENDS
            group["settings"][run_index] = np.frombuffer(settings, dtype=np.uint8)

    def prepare_scores(self, subsystem: str, histograms: int, axes: Mapping[str, Sequence[str]]) -> None:
        """Make room for the scores of a subsystem; what is stored of other runs stays.

        ``axes`` are the names along the dims: ``scores``, ``looks`` and what of each a ``null`` holds.
        """
        raw = self.group[f"raw/{subsystem}"]
        group = self.group.require_group(f"scores/{subsystem}")
        if "z" not in group:
            create_scores(group, *(len(axes[name]) for name in ("scores", "looks", "nulls")))
        axes = {**axes, "families": list(versions.SCORES)}
        sizes = {name: len(_named(group, name, names)) for name, names in axes.items()}
        n_runs, n_times = raw["time"].shape
        if "version" not in group:
            create_score_origin(group, sizes["families"])
            grow(group["version"], n_runs)
            group["version"].oindex[np.flatnonzero(group["revision"][:] > 0), slice(None)] = versions.BEFORE_VERSIONS
        for name in SCORE_DETAIL:
            grow(group[name], n_runs, n_times, histograms, *((sizes["scores"],) if name == "z" else ()))
        grow(group["null"], n_runs, histograms, sizes["looks"], sizes["nulls"])
        grow(group["version"], n_runs, sizes["families"])
        for name in ("flags", "revision", "basis", "outcome", "threshold", "settings"):
            grow(group[name], n_runs)

    def write_scores(
        self, subsystem: str, axes: Mapping[str, Sequence[str]], runs: Mapping[int, dict[str, NDArray[Any]]],
        lines: Mapping[int, Sequence[str]], made_from: Mapping[int, tuple[int, bytes, bytes, float]], settings: bytes,
    ) -> None:  # fmt: skip
        """Write the scores of some runs: by place their arrays, their flags as JSON lines, and what they are made from.

        That is the revision of the run, digests of all that went into its references and of what came out, and the
        threshold. ``axes`` are the names along the dims of the arrays, as in `prepare_scores`.
        """
        group = self.group[f"scores/{subsystem}"]
        stored = {name: list(group.attrs[name]) for name in (*axes, "families")}
        spread = {}
        for run_index, arrays in runs.items():
            null = _spread(arrays["null"], 1, axes["looks"], stored["looks"])
            null = _spread(null, 2, axes["nulls"], stored["nulls"])
            spread[run_index] = {**arrays, "z": _spread(arrays["z"], 2, axes["scores"], stored["scores"]), "null": null}
        _write_detail(group, SCORE_DETAIL, spread)
        for run_index, arrays in sorted(spread.items()):
            null = arrays["null"]
            group["null"][(run_index, *(slice(0, size) for size in null.shape))] = null
            text = "".join(f"{line}\n" for line in lines[run_index]).encode()
            grow(group["flags"], 0, len(text))
            whole = text.ljust(group["flags"].shape[1], b"\0")
            if whole:
                group["flags"][run_index] = np.frombuffer(whole, dtype=np.uint8)
            revision, basis, outcome, threshold = made_from[run_index]
            group["revision"][run_index] = revision
            group["basis"][run_index] = np.frombuffer(basis, dtype=np.uint8)
            group["outcome"][run_index] = np.frombuffer(outcome, dtype=np.uint8)
            group["threshold"][run_index] = threshold
            group["version"][run_index] = [versions.SCORES.get(family, 0) for family in stored["families"]]
            group["settings"][run_index] = np.frombuffer(settings, dtype=np.uint8)


def _named(group: zarr.Group, what: str, names: Sequence[str]) -> list[str]:
    """The names along an axis of a group: those it has, and behind them the new ones."""
    stored = stored_names(group, what)
    joined = list(dict.fromkeys([*stored, *names]))
    if joined != group.attrs.get(what):
        group.attrs[what] = joined
    return joined


def _spread(values: NDArray[Any], axis: int, names: Sequence[str], stored: Sequence[str]) -> NDArray[Any]:
    """Values along an axis of ``names`` as an array has them that has all of ``stored``; NaN where there is none."""
    if list(names) == list(stored):
        return values
    out = np.full((*values.shape[:axis], len(stored), *values.shape[axis + 1 :]), np.nan, dtype=values.dtype)
    np.moveaxis(out, axis, 0)[[stored.index(name) for name in names]] = np.moveaxis(values, axis, 0)
    return out


def _write_detail(group: zarr.Group, names: Sequence[str], runs: Mapping[int, Mapping[str, NDArray[Any]]]) -> None:
    """Write arrays over (run, time, ...), by place on the run axis."""
    for name in names:  # the runs of a chunk together, and chunks whole: else each is read first
        array = group[name]
        for run_indices in _side_by_side(sorted(runs), array.chunks[0]):
            values = [runs[run_index][name] for run_index in run_indices]
            rows = -(-max(map(len, values)) // array.chunks[1]) * array.chunks[1]
            shape = len(run_indices), min(rows, array.shape[1]), *values[0].shape[1:]
            block = np.full(shape, array.fill_value, dtype=array.dtype)
            for own, one in zip(block, values, strict=True):
                own[: len(one)] = one
            array[(slice(run_indices[0], run_indices[-1] + 1), *(slice(0, size) for size in shape[1:]))] = block


def _side_by_side(run_indices: Sequence[int], chunk: int) -> Iterator[list[int]]:
    """Neighbouring places that lie in one chunk."""
    held: list[int] = []
    for run_index in run_indices:
        if held and (run_index != held[-1] + 1 or run_index // chunk != held[0] // chunk):
            yield held
            held = []
        held.append(run_index)
    if held:
        yield held


def write_cells(
    fork: icechunk.Session, subsystem: str, array: str, run_index: int, row: int, block: NDArray[Any]
) -> None:
    """Write ``block`` (row, cell) from row ``row`` on, the last rows of one run; called on workers.

    Up to the end of the chunk of 64 rows, with zeros, and chunk after chunk, each in the order that it has in the
    store: what Zarr need neither read nor turn is written in half the time.
    """
    target = zarr.open_group(fork.store, mode="r+")[f"raw/{subsystem}/{array}"]
    unlooked = target.with_config({"order": "F", "write_empty_chunks": True})  # Zarr need not compare with zero
    _, rows, width = target.chunks
    rows -= row % rows
    buffer = np.zeros((width, rows), dtype=block.dtype)  # one for all: fresh pages cost as much as the copy
    for cell in range(0, block.shape[1], width):
        columns = block[:, cell : cell + width]
        piece = buffer[: columns.shape[1]]
        piece[:, : len(block)] = columns.T
        (unlooked if piece.any() else target)[run_index, row : row + rows, cell : cell + len(piece)] = piece.T
