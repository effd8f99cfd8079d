"""Check a store: read every chunk, hash every row again, compare with registry and counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import xxhash
from numpy.typing import NDArray

from owtrend.display import DisplayedFields
from owtrend.model.histogram import Histogram, Path
from owtrend.model.registry import COUNTS, SAME, SUMS, TWINS, WEIGHTS, Segment
from owtrend.model.rows import RunRows
from owtrend.model.schema import PARTS
from owtrend.model.snapshot import Snapshot
from owtrend.store.layout import TIME_CHUNK
from owtrend.store.reader import Reader, SubsystemReader

__all__ = ["Report", "check", "rows_of"]

_NATIVE = {"C": "i1", "S": "i2", "I": "i4", "L": "i8", "F": "f4", "D": "f8"}
Progress = Callable[[str, int, int], None]


@dataclass(repr=False)
class Report(DisplayedFields):
    """Result of a check; ``problems`` has one line each, none if the store is good."""

    rows: int = 0
    cells: int = 0
    carried: int = 0  # rows that hold the end of the run before
    digest: str = ""  # hash of all contents, sorted by subsystem, run, time, histogram
    problems: list[str] = field(default_factory=list)


def check(reader: Reader, progress: Progress | None = None) -> Report:
    """Read everything and compare it with the registry, the row hashes and the counts.

    Two stores with equal contents have equal digests, however the snapshots came.
    """
    report, hasher = Report(), xxhash.xxh3_128()
    total = sum(len(reader.subsystem(name).run_indices) for name in reader.registered)
    done = 0
    for name in reader.registered:
        view = reader.subsystem(name)
        report.problems += [f"{name}: {problem}" for problem in _registry_problems(view)]
        for run in sorted(view.run_indices):
            for line in _run(view, name, run, report):
                hasher.update(line)
            done += 1
            if progress:
                progress("checking", done, total)
    report.digest = hasher.hexdigest()
    return report


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


def _run(view: SubsystemReader, subsystem: str, run: int, report: Report) -> Iterator[bytes]:
    """Check the rows of one run; yields for each what goes into the digest."""
    run_index = view.run_indices[run]
    rows = view.rows(run_index)
    report.carried += view.carried.get(run_index, 0)
    report.problems += [f"{subsystem} run {run}: {problem}" for problem in _row_problems(view, rows)]
    for first in range(0, len(rows), TIME_CHUNK):
        which = np.arange(first, min(first + TIME_CHUNK, len(rows)))
        for number, histograms in zip(which.tolist(), rows_of(view, run_index, which), strict=True):
            when = np.datetime_as_string(rows.time[number : number + 1].view("datetime64[ns]"), "s")[0]
            digest = Snapshot(histograms=histograms).digest
            if digest != rows.digest[number].tobytes():
                report.problems.append(f"{subsystem} run {run}, {when} UTC: checksum mismatch, its cells have changed")
            report.rows += 1
            report.cells += sum(part.size for one in histograms.values() for part in one.parts.values())
            yield f"{subsystem} {run} {rows.accumulation} {rows.time[number]} ".encode() + digest


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
    if len(rows.provenance) != len(rows):
        yield f"{len(rows.provenance)} lines of provenance for {len(rows)} rows"
