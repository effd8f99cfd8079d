"""A check of a store: read every chunk, hash every row again, compare with registry and counts."""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

import icechunk
import numpy as np
import xxhash
import zarr
from numpy.typing import NDArray

from owtrend.display import DisplayedFields, printable
from owtrend.errors import NONSENSE, StoreError
from owtrend.model.histogram import Histogram, Path, display_name
from owtrend.model.registry import COUNTS, SAME, SUMS, TWINS, WEIGHTS, Segment
from owtrend.model.rows import RowFlag, RunRows, unchanged
from owtrend.model.schema import PARTS
from owtrend.model.snapshot import Snapshot
from owtrend.model.wording import plural
from owtrend.store.disk.checksums import Extent
from owtrend.store.layout import CELL_DIM, TAIL, TIME_CHUNK, read_log
from owtrend.store.reader import Reader, SubsystemReader
from owtrend.store.repository import Store
from owtrend.store.upkeep.damage import Damage, Remedy, damaged_chunks, is_of_chunks, reason_of

__all__ = ["Report", "check", "rows_of"]

_NATIVE = {"C": "i1", "S": "i2", "I": "i4", "L": "i8", "F": "f4", "D": "f8"}
_OF_DERIVED = {"trends": ("histograms", "reductors", "versions"), "scores": ("names", "comparisons", "versions")}
_RUNS_AT_ONCE = 4096  # in a chunk of what is kept per run
Progress = Callable[[str, int, int], None]
_Unlisted = defaultdict[str, list[tuple[Extent, str]]]  # by path of an array, chunks whose list is damaged, and why


@dataclass(repr=False)
class Report(DisplayedFields):
    """Result of a check; ``damage`` is empty if the store is good."""

    rows: int = 0
    cells: int = 0
    carried: int = 0  # rows that hold the end of the run before
    digest: str = ""  # hash of all contents, sorted by subsystem, run, time, histogram
    damage: list[Damage] = field(default_factory=list)

    @property
    def problems(self) -> list[str]:
        """A line for each damage, each once."""
        return list(dict.fromkeys(str(one) for one in self.damage))


def check(store: Store, progress: Progress | None = None, *, as_of: str | None = None, deep: bool = True) -> Report:
    """Compare all that a store holds with its checksums, registry, row hashes and counts; damage stops nothing.

    Two stores with equal contents have equal digests, however the snapshots came.

    Parameters
    ----------
    as_of
        A version, tag or time; the newest version by default.
    deep
        Read everything. Otherwise only what says which rows there are: neither the cells of histograms nor trends and
        scores nor where rows came from, many runs at once, and there is no digest.
    """
    report, hasher, reader = Report(), xxhash.xxh3_128(), store.reader(as_of)
    changed = dict(store.changed_files(reader.version))
    if why := changed.get(f"snapshots/{reader.version}"):
        report.damage.append(Damage("", f"version {reader.version}: {why}", Remedy.GO_BACK))
        return report
    unlisted: _Unlisted = defaultdict(list)
    for path, manifest, extent in store.nodes(reader.version) if changed else ():
        if why := changed.get(f"manifests/{manifest}"):
            unlisted[path].append((extent, f"the list of its chunks: {why}"))
    views = {}
    for name in reader.registered:
        try:
            damage = list(_damaged_tables(reader, name, deep, unlisted)) or list(_nonsense(reader.subsystem(name)))
        except NONSENSE as error:  # arrays that are missing, or of another form
            damage = [_broken(name, error)]
        if damage:
            report.damage += damage  # without its tables nothing else of a subsystem is known
        else:
            views[name] = reader.subsystem(name)
        report.damage += _damaged_derived(reader, name, deep, unlisted)
    done, total = 0, sum(len(view.run_indices) for view in views.values())
    for name, view in views.items():
        report.damage += [Damage(name, problem, Remedy.DROP_SUBSYSTEM) for problem in _registry_problems(view)]
        if not deep:
            report.damage += _damaged_rows(view, report)
            continue
        for run in sorted(view.run_indices):
            try:
                for line in _run(view, name, run, report):
                    hasher.update(line)
            except NONSENSE as error:
                report.damage.append(_broken(name, error))
                break
            done += 1
            if progress:
                progress("checking", done, total)
    report.damage += [*_damaged_logs(reader, unlisted), *_settings_nonsense(reader)]
    report.digest = hasher.hexdigest() if deep else ""
    return report


def _broken(subsystem: str, error: Exception) -> Damage:
    return Damage(subsystem, f"its arrays do not fit together: {reason_of(error)}", Remedy.DROP_SUBSYSTEM)


def _nonsense(view: SubsystemReader) -> Iterator[Damage]:
    """What can be read of a subsystem, but is not what owtrend writes."""
    for name in ("registry", "layouts", "holds", "tail", "per_run", "run_indices"):
        try:
            getattr(view, name)
        except StoreError as error:
            yield Damage(view.name, _without(error, view.where), Remedy.DROP_SUBSYSTEM)
            return


def _settings_nonsense(reader: Reader) -> Iterator[Damage]:
    try:
        _ = reader.config
    except StoreError as error:
        yield Damage("", _without(error, reader.location), Remedy.FORGET_SETTINGS)


def _without(error: StoreError, where: str) -> str:
    """What an error says, without where, and without what to do about it."""
    return str(error).removeprefix(f"{where}: ").rpartition("; ")[0]


def rows_of(view: SubsystemReader, run_index: int, which: NDArray[np.intp]) -> Iterator[dict[Path, Histogram]]:
    """The histograms of some rows of a run, as they were stored: native dtypes, only those that the row holds."""
    layouts = view.rows(run_index).layout[which]
    segments = [[view.registry[number] for number in view.layouts.layouts[layout]] for layout in layouts]
    blocks = {}
    for array in (COUNTS, WEIGHTS, SUMS):
        size = max((s.offset + s.length for row in segments for s in row if s.array == array), default=0)
        if size:
            blocks[array] = view.stored_cells(array, run_index, which, slice(0, size))
    for number, in_row in enumerate(segments):
        yield _histograms(in_row, {array: block[number] for array, block in blocks.items()})


def _histograms(segments: Sequence[Segment], cells: dict[str, NDArray[np.generic]]) -> dict[Path, Histogram]:
    by_path: dict[Path, dict[str, Segment]] = {}
    for segment in segments:
        by_path.setdefault(segment.path, {})[segment.part] = segment
    histograms = {}
    for path, by_part in by_path.items():
        parts: dict[str, NDArray[np.generic]] = {}
        for part in PARTS:
            if part in by_part:
                segment = by_part[part]
                values = parts[TWINS[part]] if segment.array == SAME else cells[segment.array][segment.cells]
                letter = segment.class_name[-1] if part == "contents" else "D"
                parts[part] = values.astype(_NATIVE[letter])
        sums, first = by_part["sums"], next(iter(by_part.values()))
        histograms[path] = Histogram(
            path=path, class_name=first.class_name, axes=first.axes, parts=parts, title=first.title,
            sums=dict(zip(sums.names, cells[SUMS][sums.cells].tolist(), strict=True)),
            error_option=first.error_option, gauge=first.gauge,
        )  # fmt: skip
    return histograms


def _damaged_tables(reader: Reader, name: str, deep: bool, unlisted: _Unlisted) -> Iterator[Damage]:
    """Chunks that cannot be read of what says which rows a subsystem has, and lists of chunks of its cells."""
    group = reader.group[f"raw/{name}"]
    for array in sorted(group.array_keys()):
        path, dims = f"raw/{name}/{array}", group[array].metadata.dimension_names
        lists = unlisted[path]
        in_cells, in_tail = array in CELL_DIM, array == "tail_rows" or array in TAIL.values()
        if not lists and (in_cells or array in TAIL.values()):
            continue  # with the rows
        if array == "provenance" and not deep:
            continue
        for chunks, why in lists if in_cells or array in TAIL.values() else damaged_chunks(group[array], lists):
            listed = (chunks, why) not in lists
            if in_tail and chunks is not None:
                text = f"{array} of the latest snapshots: {why}"
                yield Damage(name, text, Remedy.DROP_LATEST, path=path, chunks=chunks, listed=listed)
            elif array == "summary":  # its runs are read instead
                yield Damage(name, f"summaries of runs: {why}", Remedy.DELETE, path=path)
            elif chunks is None or dims[0] != "run" or len(dims) < 2 or array == "mode":
                yield Damage(name, f"{array}, which all its runs need: {why}", Remedy.DROP_SUBSYSTEM)
            else:
                runs = tuple(_runs_in(group, array, chunks))
                text = f"{array} of {_run_words(group, runs)}: {why}"
                yield Damage(
                    name, text, Remedy.DROP_RUNS, run_indices=runs, path=path, chunks=chunks, listed=listed
                )  # fmt: skip


def _runs_in(group: zarr.Group, array: str, chunks: Extent) -> Iterator[int]:
    """Places on the run axis of runs with something in some chunks; the run arrays may be damaged, too."""
    length = group[array].chunks[0]
    (begin, end), (first, _) = chunks[:2]
    for run_index in range(begin * length, min(end * length, group[array].shape[0])):
        try:
            rows = int(group["n_rows"][run_index])
        except Exception:  # damaged, too: then the whole subsystem is dropped
            return
        if rows > (0 if array == "provenance" else first * group[array].chunks[1]):
            yield run_index


def _damaged_derived(reader: Reader, name: str, deep: bool, unlisted: _Unlisted) -> Iterator[Damage]:
    """Chunks of trends, scores and the kept state that cannot be read."""
    for path in (f"trends/{name}", f"scores/{name}", f"state/{name}"):
        group = reader.group.get(path)
        try:
            kept = getattr(reader.subsystem(name), path.partition("/")[0]) if not path.startswith("state/") else None
            _ = kept and [getattr(kept, what) for what in _OF_DERIVED[path.partition("/")[0]]]
        except (*NONSENSE, StoreError, icechunk.IcechunkError) as error:
            if not is_of_chunks(error):  # those come below, or are of the raw data
                yield Damage(name, f"{path.partition('/')[0]}: {reason_of(error)}", Remedy.DELETE, path=path)
                continue
        for array in [] if group is None else sorted(group.array_keys()):
            dims, where = group[array].metadata.dimension_names, f"{path}/{array}"
            if not deep and {"time", "histogram"} & {*dims}:
                continue
            for chunks, why in damaged_chunks(group[array], unlisted[where]):
                length, text = group[array].chunks[0], f"{path.partition('/')[0]}, {array}: {why}"
                if chunks is None or dims[0] != "run" or length >= _RUNS_AT_ONCE:
                    yield Damage(name, text, Remedy.DELETE, path=path)
                else:
                    (begin, end), listed = chunks[0], (chunks, why) not in unlisted[where]
                    runs = tuple(range(begin * length, end * length))
                    yield Damage(
                        name, text, Remedy.COMPUTE_AGAIN, run_indices=runs, path=where, chunks=chunks, listed=listed
                    )  # fmt: skip


def _damaged_logs(reader: Reader, unlisted: _Unlisted) -> Iterator[Damage]:
    for log in sorted(reader.group.array_keys()):
        for why in _log_problems(reader.group, log, unlisted[log]):
            yield Damage("", f"{log}: {why}", Remedy.EMPTY_LOG, path=log)
    for name in ("quality", "conditions"):
        for log in sorted(group.array_keys()) if (group := reader.group.get(name)) is not None else []:
            for why in _log_problems(group, log, unlisted[f"{name}/{log}"]):
                yield Damage("", f"{log}: {why}", Remedy.DELETE, path=name if name == "quality" else f"{name}/{log}")


def _log_problems(group: zarr.Group, log: str, unlisted: Sequence[tuple[Extent, str]]) -> Iterator[str]:
    """What is wrong with the chunks of a log, or else with its first line that is not JSON."""
    damaged = [why for _, why in damaged_chunks(group[log], unlisted)]
    yield from damaged
    if not damaged:
        try:
            for line in read_log(group, log):
                json.loads(line)
        except NONSENSE as error:
            yield f"a line of it makes no sense: {reason_of(error)}"


def _run_words(group: zarr.Group, run_indices: Sequence[int]) -> str:
    numbers = sorted(int(group["run"][run_index]) for run_index in run_indices)
    if not numbers:
        return "no run"
    return f"run {numbers[0]}" if len(numbers) == 1 else f"{len(numbers)} runs, {numbers[0]} to {numbers[-1]}"


def _damaged_rows(view: SubsystemReader, report: Report) -> Iterator[Damage]:
    """What is wrong with the rows of all runs, as far as it is seen in them; their chunks have checksums."""
    runs = {run_index: run for run, run_index in view.run_indices.items()}
    try:
        for run_index, rows in view.tables():
            if run_index in runs:
                report.rows += len(rows)
                report.carried += view.carried.get(run_index, 0)
                for problem in _row_problems(view, rows):
                    where = f"run {runs[run_index]}"
                    yield Damage(view.name, problem, Remedy.DROP_RUNS, where, run_indices=(run_index,))
    except NONSENSE as error:
        yield _broken(view.name, error)


def _run(view: SubsystemReader, subsystem: str, run: int, report: Report) -> Iterator[bytes]:
    """Check the rows of one run; yields for each what goes into the digest."""
    run_index = view.run_indices[run]
    rows, where = view.rows(run_index), f"run {run}"
    report.carried += view.carried.get(run_index, 0)
    problems = list(_row_problems(view, rows))
    if len(rows.provenance) != len(rows):
        problems.append(f"{len(rows.provenance)} lines of provenance for {len(rows)} rows")
    report.damage += [
        Damage(subsystem, problem, Remedy.DROP_RUNS, where, run_indices=(run_index,)) for problem in problems
    ]
    other = _with_another_hash(view, run_index, rows, subsystem, run)
    report.damage += [
        _rows_damage(subsystem, run, run_index, rows, [number], "time, mode, layout or provenance have changed")
        for number in other
    ]
    if problems:
        report.rows += len(rows)
        return
    for first in range(0, len(rows), TIME_CHUNK):
        which = np.arange(first, min(first + TIME_CHUNK, len(rows)))
        damaged = dict(_unreadable(view, run_index, which))
        for why, numbers in groupby(sorted(damaged, key=lambda number: (damaged[number], number)), damaged.get):
            report.damage.append(_rows_damage(subsystem, run, run_index, rows, list(numbers), str(why)))
        which = np.array([number for number in which.tolist() if number not in damaged], dtype=np.intp)
        if not len(which):
            continue
        for number, histograms in zip(which.tolist(), rows_of(view, run_index, which), strict=True):
            digest = Snapshot(histograms=histograms).digest
            if digest != rows.digest[number].tobytes():
                why = "checksum mismatch, its cells have changed"
                report.damage.append(_rows_damage(subsystem, run, run_index, rows, [number], why))
            report.rows += 1
            report.cells += sum(part.size for one in histograms.values() for part in one.parts.values())
            yield f"{subsystem} {run} {rows.accumulation} {rows.time[number]} ".encode() + digest


def _rows_damage(
    subsystem: str, run: int, run_index: int, rows: RunRows, numbers: Sequence[int], why: str
) -> Damage:  # fmt: skip
    times = [np.datetime_as_string(rows.time[at : at + 1].view("datetime64[ns]"), "s")[0] for at in numbers]
    when = f"{times[0]} UTC" if len(times) == 1 else f"{plural(len(times), 'snapshot')}, {times[0]} to {times[-1]} UTC"
    where = f"run {run}, {when}"
    return Damage(subsystem, why, Remedy.DROP_ROWS, where, run_indices=(run_index,), rows=tuple(numbers))


def _unreadable(view: SubsystemReader, run_index: int, which: NDArray[np.intp]) -> Iterator[tuple[int, str]]:
    """Rows whose cells cannot be read, and why; nothing is read again if all can be."""
    try:
        for array in CELL_DIM:
            view.stored_cells(array, run_index, which, slice(0, view.group_size(array)))
        return
    except Exception:  # whatever a codec or Icechunk says of damaged bytes; below, which they are
        order = view.order(run_index)[which]
    for array in CELL_DIM:
        for tail in (False, True):
            rows = which[(order < 0) == tail]
            if not len(rows):
                continue
            width = view.group[TAIL[array] if tail else array].chunks[-1]
            blocks = rows[:, None] if tail else [rows]
            for block in blocks:
                for first in range(0, view.group_size(array), width):
                    cells = slice(first, min(first + width, view.group_size(array)))
                    try:
                        view.stored_cells(array, run_index, block, cells)
                    except Exception as error:  # as above
                        why = f"{array} of {_names(view, array, cells)}: {reason_of(error)}"
                        yield from ((int(row), why) for row in block)


def _names(view: SubsystemReader, array: str, cells: slice) -> str:
    """Histograms with cells in a range, in short; names are other people's text."""
    paths = [
        segment.path
        for segment in view.registry
        if segment.array == array and segment.offset < cells.stop and segment.offset + segment.length > cells.start
    ]
    names = [printable(display_name(path), 80) for path in dict.fromkeys(paths)]
    return "no histogram" if not names else names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")


def _with_another_hash(
    view: SubsystemReader, run_index: int, rows: RunRows, subsystem: str, run: int
) -> list[int]:  # fmt: skip
    """Rows that are not as they were written; those without a hash are not compared."""
    stored = np.zeros(len(rows), dtype=np.uint64)
    order, folded = view.order(run_index), view.folded(run_index)
    if "row_hash" in view.group and folded:
        kept = view.group["row_hash"][run_index, :folded]
        in_chunks = order >= 0
        stored[in_chunks] = kept[order[in_chunks]]
    by_slot = {row.slot: row.hash for row in view.tail.get(run, ())}
    for number in np.flatnonzero(order < 0).tolist():
        stored[number] = by_slot[int(-1 - order[number])]
    return np.flatnonzero((stored != 0) & (stored != rows.hashes(subsystem, run))).tolist()


def _registry_problems(view: SubsystemReader) -> Iterator[str]:
    for array in (COUNTS, WEIGHTS, SUMS):
        in_order = sorted((s for s in view.registry if s.array == array), key=lambda s: s.offset)
        end = 0
        for segment in in_order:
            if segment.offset < end:
                yield f"segments overlap at {array} {segment.offset}: {segment.path} {segment.part}"
            end = max(end, segment.offset + segment.length)
        if end > view.group_size(array):
            yield f"{array} has {view.group_size(array)} cells, the registry needs {end}"
    for number, layout in enumerate(view.layouts.layouts):
        if layout and layout[-1] >= len(view.registry):
            yield f"layout {number} names segment {layout[-1]} of {len(view.registry)}"


def _row_problems(view: SubsystemReader, rows: RunRows) -> Iterator[str]:
    if not (np.diff(rows.time) > 0).all():
        yield "times do not increase"
    if len(rows) and not 0 <= rows.layout.min() <= rows.layout.max() < len(view.layouts):
        yield f"a row has layout {rows.layout.max()} of {len(view.layouts)}"
    if not np.array_equal(RowFlag.UNCHANGED.is_set(rows.flags), unchanged(rows.digest)):
        yield "the mark of unchanged rows does not fit their contents"
