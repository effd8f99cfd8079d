"""Changes to a store that become visible all at once."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import default_buffer_prototype
from zarr.core.metadata.io import save_metadata
from zarr.core.sync import sync

from owtrend.model.registry import Layouts, Registry
from owtrend.model.rows import SUMMARY, NotStored, RunRows, TailRow
from owtrend.modules import Origin
from owtrend.store import quarantine
from owtrend.store.derived import ScoreWriter, TrendWriter
from owtrend.store.layout import (
    CELL_DIM,
    FORMAT,
    NO_TIME,
    ROW_ARRAYS,
    RUN_ARRAYS,
    RUN_STEP,
    TAIL,
    TAIL_ROW,
    TIME_CHUNK,
    append_log,
    create_array,
    create_log,
    create_row_hashes,
    create_subsystem,
    create_summaries,
    grow,
    open_root,
    read_log,
    replace_log,
    with_checksum,
    with_checksums,
)  # fmt: skip
from owtrend.store.reader import known_not_stored, read_tail

__all__ = ["Transaction", "write_cells"]


class Transaction:
    """Changes that become visible all at once, by `commit`."""

    def __init__(
        self, session: icechunk.Session, publish: Callable[[icechunk.Session, str], str], *, in_memory: bool = False
    ) -> None:
        """Begin a transaction; ``publish`` makes a session with changes the newest version and returns that."""
        self.session = session
        self._publish = publish
        self._in_memory = in_memory
        self._arrays: dict[str, zarr.Array[Any]] = {}

    @cached_property
    def group(self) -> zarr.Group:
        return open_root(self.session, mode="a")

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
        """Make the changes visible; returns the new version, or the old one if nothing changed."""
        if not self.session.has_uncommitted_changes:
            return str(self.session.snapshot_id)
        return self._publish(self.session, message)

    def rows_of(self, subsystem: str, run: int) -> int:
        """Number of rows of a run."""
        if f"raw/{subsystem}" not in self.group:
            return 0
        group = self.group[f"raw/{subsystem}"]
        run_index = np.flatnonzero(group["run"][:] == run)
        return int(group["n_rows"][int(run_index[0])]) if len(run_index) else 0

    def prepare(self, subsystem: str, registry: Registry, runs: Iterable[int], rows: int) -> dict[int, int]:
        """Make room for runs of up to ``rows`` rows with these segments; returns the run index of each run.

        Axes grow in steps, in a commit of their own: a fork needs a clean session, and a resize cannot be rebased.
        """
        group = self.group.require_group(f"raw/{subsystem}")
        new = "run" not in group
        known = [] if new else [run for run in group["run"][:].tolist() if run >= 0]
        run_indices = {run: run_index for run_index, run in enumerate(known)}
        for run in runs:
            if run not in run_indices:
                run_indices[run] = len(run_indices)
        n_runs = -(-max(len(run_indices), 1) // RUN_STEP) * RUN_STEP
        n_times = TIME_CHUNK if new else max(group["time"].shape[1], TIME_CHUNK)
        while n_times < rows:
            n_times *= 2
        if new:
            create_subsystem(group, registry, n_runs, n_times)
        else:
            _grow(group, registry, n_runs, n_times)
        if len(run_indices) > len(known):
            group["run"][len(known) : len(run_indices)] = np.array(list(run_indices)[len(known) :], dtype=np.int64)
        stored = len(read_log(group, "registry"))
        append_log(group, "registry", [segment.to_json() for segment in registry[stored:]])
        return run_indices

    def room(self, subsystem: str) -> int:
        """Rows that a run may have before the time axis grows."""
        return int(self.group[f"raw/{subsystem}/time"].shape[1])

    def write_layouts(self, subsystem: str, layouts: Layouts) -> None:
        """Append the layouts that the store lacks."""
        group = self.group[f"raw/{subsystem}"]
        count = group["layouts"].attrs.get("count")
        stored = count if isinstance(count, int) else len(read_log(group, "layouts"))
        if len(layouts) > stored:
            append_log(group, "layouts", [Layouts.to_json(layout) for layout in layouts.layouts[stored:]])
            group["layouts"].attrs["count"] = len(layouts)

    def write_block(self, subsystem: str, array: str, run_index: int, row: int, cell: int, block: NDArray[Any]) -> None:
        """Write ``block`` (row, cell) of one run from row ``row`` and cell ``cell`` on."""
        target = self._array(subsystem, array)
        target[run_index, row : row + len(block), cell : cell + block.shape[1]] = block

    def write_rows(self, subsystem: str, runs: Mapping[int, RunRows], layouts: Layouts) -> None:
        """Write all rows of some runs, by run index, none of them in the tail; `write_cells` writes their cells."""
        group = self.group[f"raw/{subsystem}"]
        self.write_layouts(subsystem, layouts)
        numbers = group["run"][:]
        tail: dict[int, list[TailRow]] = {}
        for row in read_tail(group):
            tail.setdefault(row.run, []).append(row)
        replaced = {run_index: tail.get(int(numbers[run_index]), []) for run_index in runs}
        revisions = group["revision"].oindex[sorted(runs)]
        latest = {
            run_index: max([int(stored), *(row.revision for row in replaced[run_index])])
            for run_index, stored in zip(sorted(runs), revisions, strict=True)
        }
        self._write_runs(group, runs, latest, raise_if_new=True)
        self.clear_slots(subsystem, [row.slot for rows in replaced.values() for row in rows])

    def fold_rows(self, subsystem: str, run_index: int, rows: RunRows, revision: int) -> None:
        """Write the first rows of a run, some of which were in the tail so far."""
        self._write_runs(self.group[f"raw/{subsystem}"], {run_index: rows}, {run_index: revision}, raise_if_new=False)

    def _write_runs(
        self, group: zarr.Group, runs: Mapping[int, RunRows], revisions: Mapping[int, int], *, raise_if_new: bool
    ) -> None:
        """Write what describes the rows of some runs, array by array: many runs share a chunk."""
        run_indices = sorted(runs)
        rows = [runs[run_index] for run_index in run_indices]
        where, most = _following(run_indices), slice(0, max(map(len, rows)))
        same = group["n_rows"].oindex[where] == [len(one) for one in rows]
        for name in (*ROW_ARRAYS, "digest"):
            block = group[name].oindex[where, most]
            for number, one in enumerate(rows):
                values = getattr(one, name)
                same[number] &= np.array_equal(block[number, : len(one)], values)
                block[number, : len(one)] = values
            group[name].oindex[where, most] = block
        self.write_row_hashes(group.basename, runs)
        texts = ["".join(f"{line}\n" for line in one.provenance).encode() for one in rows]
        grow(group["provenance"], 0, max(map(len, texts)))
        width = group["provenance"].shape[1]  # overwrites a longer text
        group["provenance"].oindex[where, slice(0, width)] = _as_bytes(texts, width)
        group["mode"].oindex[where, slice(0, 8)] = _as_bytes([one.mode.encode()[:8] for one in rows], 8)
        shown = [one.n_snapshots for one in rows]
        per_run = {
            "n_snapshots": shown,
            "n_rows": [len(one) for one in rows],
            "start": [one.time[0] if count else NO_TIME for one, count in zip(rows, shown, strict=True)],
            "stop": [one.time[count - 1] if count else NO_TIME for one, count in zip(rows, shown, strict=True)],
            # provenance alone makes no trend stale
            "revision": [
                revisions[at] + (raise_if_new and not equal) for at, equal in zip(run_indices, same, strict=True)
            ],
            "accumulation": [one.accumulation for one in rows],
        }
        for name, values in per_run.items():
            group[name].oindex[where] = np.array(values, dtype=group[name].dtype)
        if "summary" not in group:
            create_summaries(group, group["run"].shape[0])
        summaries = np.stack([one.summary(int(at)) for one, at in zip(rows, per_run["revision"], strict=True)])
        group["summary"].oindex[where, slice(0, SUMMARY.itemsize)] = summaries[:, None].view(np.uint8)

    def _array(self, subsystem: str, name: str) -> zarr.Array[Any]:
        """An array of a subsystem; looked up once, for it takes almost 1 ms."""
        path = f"raw/{subsystem}/{name}"
        if path not in self._arrays:
            order = "F" if name in CELL_DIM else "C"
            self._arrays[path] = self.group[path].with_config({"order": order})
        return self._arrays[path]

    def write_tail(self, subsystem: str, new: Sequence[tuple[TailRow, dict[str, NDArray[Any]]]]) -> int:
        """Write rows with their cells of each array to their slots of the tail; returns the number of slots."""
        lines, rows = [row.to_bytes() for row, _ in new], self._array(subsystem, "tail_rows")
        width = rows.shape[1]
        while width < max(TAIL_ROW, *map(len, lines)):
            width = max(2 * width, TAIL_ROW)
        slots = -(-(max(row.slot for row, _ in new) + 1) // TIME_CHUNK) * TIME_CHUNK
        if slots > rows.shape[0] or width > rows.shape[1]:
            grow(rows, slots, width)
            for name in TAIL.values():  # xarray needs equal lengths
                grow(self._array(subsystem, name), rows.shape[0])
        texts = b"".join(line.ljust(width, b"\0") for line in lines)
        rows.oindex[_following([row.slot for row, _ in new])] = np.frombuffer(texts, np.uint8).reshape(-1, width)
        for name, target in TAIL.items():
            present = [(row.slot, cells[name]) for row, cells in new if name in cells]
            if present:
                block = np.stack([values for _, values in present])
                where = _following([slot for slot, _ in present])
                self._array(subsystem, target).oindex[where, slice(0, block.shape[1])] = block
        return int(rows.shape[0])

    def remove_run(self, subsystem: str, run_index: int, run: int, revision: int) -> None:
        """Remove the rows of one run and their chunks; its place stays, in case it comes again."""
        group = self.group[f"raw/{subsystem}"]
        self.clear_slots(subsystem, [row.slot for row in read_tail(group) if row.run == run])
        rows = int(group["n_rows"][run_index])
        for array in CELL_DIM:
            _, of_rows, of_cells = group[array].chunks
            for row, cell in np.ndindex(-(-rows // of_rows), -(-group[array].shape[2] // of_cells)):
                self.delete_chunk(f"raw/{subsystem}/{array}", (run_index, row, cell))
        for piece in range(-(-group["provenance"].shape[1] // group["provenance"].chunks[1])):
            self.delete_chunk(f"raw/{subsystem}/provenance", (run_index, piece))
        gone = {"n_rows": 0, "n_snapshots": 0, "start": NO_TIME, "stop": NO_TIME, "revision": revision}
        for name, value in gone.items():
            group[name][run_index] = value

    def delete_chunk(self, path: str, chunk: Sequence[int]) -> None:
        """Delete a chunk of an array without reading it; its cells then have the fill value."""
        sync(self.session.store.delete("/".join((path, "c", *map(str, chunk)))))

    def delete(self, path: str) -> None:
        """Delete a group with all its arrays."""
        parent, _, name = path.rpartition("/")
        if path in self.group:
            del (self.group[parent] if parent else self.group)[name]

    def write_again(
        self, array: zarr.Array[Any], chunks: Iterable[tuple[int, ...]], *, add_checksums: bool = False
    ) -> None:
        """Write an array anew with some chunks that another state of it has, as they are stored there.

        Parameters
        ----------
        add_checksums
            Give each chunk a checksum; those of the array have none.
        """
        parent, _, name = array.path.rpartition("/")
        group = self.group[parent] if parent else self.group
        del group[name]
        metadata = with_checksums(array.metadata) if add_checksums else array.metadata
        sync(save_metadata(group.store_path / name, metadata))
        for chunk in chunks:
            key = "/".join((array.path, "c", *map(str, chunk)))
            if (stored := sync(array.store.get(key, default_buffer_prototype()))) is not None:
                sync(self.session.store.set(key, with_checksum(stored) if add_checksums else stored))

    def write_row_hashes(self, subsystem: str, runs: Mapping[int, RunRows]) -> None:
        """Write the hashes of the rows in the chunks of some runs, by run index."""
        group = self.group[f"raw/{subsystem}"]
        if "row_hash" not in group:
            create_row_hashes(group, group["time"].shape)
        numbers, run_indices = group["run"][:], sorted(runs)
        where = _following(run_indices), slice(0, max(map(len, runs.values())))
        block = group["row_hash"].oindex[where]
        for hashes, run_index in zip(block, run_indices, strict=True):
            hashes[: len(runs[run_index])] = runs[run_index].hashes(subsystem, int(numbers[run_index]))
        group["row_hash"].oindex[where] = block

    def upgraded(self) -> None:
        """Note that the store has the present format."""
        self.group.attrs["owtrend_format"] = FORMAT

    def drop_latest(self, subsystem: str) -> None:
        """Clear the tail."""
        rows = self.group[f"raw/{subsystem}/tail_rows"]
        for chunk in range(rows.cdata_shape[0]):
            for piece in range(rows.cdata_shape[1]):
                self.delete_chunk(f"raw/{subsystem}/tail_rows", (chunk, piece))

    def forget_derived(self, path: str, run_indices: Iterable[int]) -> None:
        """Let what was computed for some runs count as not computed."""
        revision = self.group[path]["revision"]
        known = [run_index for run_index in run_indices if run_index < revision.shape[0]]
        revision.oindex[known] = np.zeros(len(known), dtype=revision.dtype)

    def empty_log(self, name: str) -> None:
        """Begin a log anew."""
        del self.group[name]
        create_log(self.group, name)

    def write_ledger(self, line: str) -> None:
        """Add a repair to the ledger."""
        if "ledger" not in self.group:
            create_log(self.group, "ledger")
        append_log(self.group, "ledger", [line])

    def shrink_tail(self, subsystem: str) -> None:
        """Remove the slots of an empty tail, so that nobody reads them."""
        for name in ("tail_rows", *TAIL.values()):
            array = self._array(subsystem, name)
            array.resize((0, array.shape[1]))

    def clear_slots(self, subsystem: str, slots: Sequence[int]) -> None:
        """Free slots of the tail whose rows are in the chunks now, or were removed."""
        if slots:
            rows = self._array(subsystem, "tail_rows")
            rows.oindex[list(slots), slice(None)] = np.zeros((len(slots), rows.shape[1]), dtype=np.uint8)

    def quarantine(self, lines: Iterable[str], taken: Iterable[str] = ()) -> None:
        """Add lines to the quarantine, and take off the whole files that were ``taken`` in."""
        listed = dict.fromkeys(quarantine.listed(read_log(self.group, "quarantine")))
        new = [line for line in dict.fromkeys(lines) if line not in listed]
        append_log(self.group, "quarantine", [*quarantine.taken_lines(listed, taken), *new])

    def note_not_stored(self, subsystem: str, run: int, objects: Mapping[str, NotStored]) -> None:
        """Note objects in the files of a run that no array holds, by class."""
        attrs = self.group[f"raw/{subsystem}"].attrs
        known = attrs.get("not_stored", {})
        noted = known_not_stored(self.group[f"raw/{subsystem}"])
        for name, objects_of_class in objects.items():
            noted[name] = objects_of_class.joined(noted.get(name), run)
        if (fields := {name: asdict(one) for name, one in noted.items()}) != known:
            attrs["not_stored"] = fields

    def configure(self, text: str, own_reductors: Mapping[str, Origin]) -> None:
        """Keep the configuration, as JSON, and where the reductors of people's own come from that it names."""
        self.group.attrs["config"] = text
        self.group.attrs["own_reductors"] = {name: list(origin) for name, origin in own_reductors.items()}

    def write_state(self, subsystem: str, run: int, made_from: str, state: bytes) -> None:
        """Keep the state from which the scores of one run of a subsystem go on, in place of that of another."""
        group = self.group.require_group(f"state/{subsystem}")
        if "bytes" not in group:
            create_array(
                group, "bytes", ("byte",), "uint8", (2**20,), 0, {"long_name": "see owtrend.compute.live.packed"}
            )
        group["bytes"].resize((len(state),))
        group["bytes"][:] = np.frombuffer(state, dtype=np.uint8)
        group.attrs.update({"run": run, "made_from": made_from})

    def trends(self, subsystem: str) -> TrendWriter:
        return TrendWriter(self.group, subsystem)

    def scores(self, subsystem: str) -> ScoreWriter:
        return ScoreWriter(self.group, subsystem)

    def write_quality(self, **lines: Sequence[str]) -> None:
        """Replace the JSON lines of ``unreadable``, ``incidents``, ``origin`` or ``accepted``, each as a whole."""
        group = self.group.require_group("quality")
        for name, of_log in lines.items():
            replace_log(group, name, of_log)

    def write_conditions(self, name: str, lines: Sequence[str]) -> None:
        """Keep a table of conditions, as JSON lines, in place of one by the same name."""
        group = self.group.require_group("conditions")
        if name in group:
            del group[name]
        replace_log(group, name, lines)


def _grow(group: zarr.Group, registry: Registry, runs: int, times: int) -> None:
    """Make the raw arrays of a subsystem at least this large."""
    for name in (*RUN_ARRAYS, "mode", "provenance"):
        grow(group[name], runs)
    for name in (*ROW_ARRAYS, "digest"):
        grow(group[name], runs, times)
    if "row_hash" in group:
        grow(group["row_hash"], runs, times)
    if "summary" in group:
        grow(group["summary"], runs)
    for array in CELL_DIM:
        grow(group[array], runs, times, registry.size(array))
        grow(group[TAIL[array]], 0, registry.size(array))


def write_cells(
    fork: icechunk.Session, subsystem: str, array: str, run_index: int, row: int, block: NDArray[Any]
) -> None:
    """Write ``block`` (row, cell) from row ``row`` on, the last rows of one run; called on workers.

    Whole chunks in the order they have in the store, padded with zeros to 64 rows: Zarr need neither read nor transpose
    them, which halves the time.
    """
    target = open_root(fork, mode="r+")[f"raw/{subsystem}/{array}"]
    unchecked = target.with_config({"order": "F", "write_empty_chunks": True})  # no comparison with zero
    _, rows, width = target.chunks
    rows -= row % rows
    buffer = np.zeros((width, rows), dtype=block.dtype)  # one for all: fresh pages cost as much as the copy
    for cell in range(0, block.shape[1], width):
        columns = block[:, cell : cell + width]
        piece = buffer[: columns.shape[1]]
        piece[:, : len(block)] = columns.T
        (unchecked if piece.any() else target)[run_index, row : row + rows, cell : cell + len(piece)] = piece.T


def _as_bytes(texts: Sequence[bytes], width: int) -> NDArray[np.uint8]:
    """Texts as rows of bytes, padded with zeros."""
    padded = b"".join(text.ljust(width, b"\0") for text in texts)
    return np.frombuffer(padded, dtype=np.uint8).reshape(len(texts), width)


def _following(slots: list[int]) -> slice | list[int]:
    """A slice if the slots follow one another, as they mostly do: Zarr takes a third longer for a list."""
    whole = range(slots[0], slots[0] + len(slots))
    return slice(whole.start, whole.stop) if slots == list(whole) else slots
