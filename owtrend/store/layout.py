"""Arrays of a store, their chunks and codecs. Per subsystem, in ``raw/<subsystem>``:

    counts   (run, time, cell)    int32    bins whose every value is an int32; time fastest inside a chunk
    weights  (run, time, wcell)   float64  all other bins
    sums     (run, time, scell)   float64  ROOT's statistics: entries, tsumw, ...
    time, layout, flags, digest, row_hash   (run, time)   per row; provenance (run, byte) JSON lines
    run, n_snapshots, n_rows, start, stop, revision, accumulation, mode, summary   (run)
    registry, layouts             (byte)   JSON lines that only grow
    tail_rows                     (slot, tail_byte)  JSON lines of the rows that are not in the arrays above yet
    tail_counts, tail_weights, tail_sums  (slot, cell)  their cells, see `owtrend.model.rows`

the trends in ``trends/<subsystem>``, the scores in ``scores/<subsystem>``, and in ``quality``

    unreadable, incidents, origin, accepted (byte)   JSON lines: findings of files that cannot be read; incidents of all
                                  findings; for each run what its findings were made from; levels that people accepted

and in ``conditions`` a log of JSON lines for each table of run conditions, by its name.

A missing chunk is not stored, so the rectangle costs nothing.
"""

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any, Literal

import google_crc32c
import icechunk
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, Crc32cCodec, TransposeCodec
from zarr.core.buffer import Buffer
from zarr.core.metadata.io import save_metadata
from zarr.core.metadata.v3 import ArrayV3Metadata
from zarr.core.sync import sync
from zarr.storage import MemoryStore

from owtrend.model.finding import EARLIER_NAMES
from owtrend.model.registry import COUNTS, SUMS, WEIGHTS, Registry
from owtrend.model.rows import SUMMARY

FORMAT = 2  # checksums in every chunk, and hashes of rows
READABLE = (1, FORMAT)
TIME_CHUNK = 64
RUN_STEP = 256
NO_TIME = np.iinfo(np.int64).min
CELL_DIM = {COUNTS: "cell", WEIGHTS: "wcell", SUMS: "scell"}
CELL_DTYPE = {COUNTS: "int32", WEIGHTS: "float64", SUMS: "float64"}
_CELL_CHUNK = {COUNTS: 2**16, WEIGHTS: 2**15, SUMS: 2**12}
TAIL_ROW = 1024  # bytes of a row's JSON line, doubled if needed
_TAIL_CHUNK = 2**18  # cells
TAIL = {array: f"tail_{array}" for array in CELL_DIM}
_EPOCH = {"units": "nanoseconds since 1970-01-01T00:00:00", "calendar": "proleptic_gregorian"}
ROW_ARRAYS: dict[str, tuple[str, int, dict[str, str]]] = {
    "time": ("int64", NO_TIME, {**_EPOCH, "long_name": "end of the snapshot, UTC"}),
    "layout": ("int32", -1, {"long_name": "which segments this row holds"}),
    "flags": ("uint8", 0, {"long_name": "1 unchanged, 2 time ambiguous by the clock change"}),
}
RUN_ARRAYS: dict[str, tuple[str, int, dict[str, str]]] = {
    "run": ("int64", -1, {"long_name": "run number"}),
    "n_snapshots": ("int32", 0, {"long_name": "rows up to the last that changed"}),
    "n_rows": ("int32", 0, {"long_name": "all rows, with unchanged ones after the end of the run"}),
    "start": ("int64", NO_TIME, {**_EPOCH, "long_name": "first snapshot, UTC"}),
    "stop": ("int64", NO_TIME, {**_EPOCH, "long_name": "last snapshot that changed, UTC"}),
    "revision": ("int32", 0, {"long_name": "raised with every change of the run"}),
    "accumulation": ("uint8", 0, {"long_name": "0 cumulative, 1 reset"}),
}
TREND_ARRAYS = ("value", "error")
TREND_DETAIL = (*TREND_ARRAYS, "state")
SCORE_DETAIL = ("z", "total", "flagged", "threshold_of_row")
SETTINGS = {"long_name": "hash of the settings"}


def open_root(session: icechunk.Session, *, mode: Literal["r", "r+", "a"]) -> zarr.Group:
    """Open the root group; looking for other formats of Zarr would take 5 ms."""
    return zarr.open_group(session.store, mode=mode, zarr_format=3, use_consolidated=False)


def create_subsystem(group: zarr.Group, registry: Registry, runs: int, times: int) -> None:
    """Create the raw arrays with room for so many runs and rows: growing them takes as long again."""
    for name, (dtype, fill, attributes) in RUN_ARRAYS.items():
        create_array(group, name, ("run",), dtype, (4096,), fill, attributes, shape=(runs,))
    mode = {"long_name": "HLT mode, UTF-8"}
    create_array(group, "mode", ("run", "character"), "uint8", (4096, 8), 0, mode, shape=(runs, 8))
    for name, (dtype, fill, attributes) in ROW_ARRAYS.items():
        create_array(group, name, ("run", "time"), dtype, (32, 256), fill, attributes, shape=(runs, times))
    create_row_hashes(group, (runs, times))
    create_summaries(group, runs)
    digest, shape = {"long_name": "hash of the row's histograms"}, (runs, times, 16)
    create_array(group, "digest", ("run", "time", "digest_byte"), "uint8", (32, 256, 16), 0, digest, shape=shape)
    lines = {"long_name": "JSON lines, one per row"}
    create_array(group, "provenance", ("run", "byte"), "uint8", (1, 2**16), 0, lines, shape=(runs, 0))
    for array, dim in CELL_DIM.items():
        # A chunk is stored whole, so a small detector gets smaller ones.
        cells = registry.size(array)
        size = -(-max(cells, 1) // 1024) * 1024
        chunk, of_row = (1, TIME_CHUNK, min(_CELL_CHUNK[array], size)), (1, min(_TAIL_CHUNK, 4 * size))
        create_array(
            group, array, ("run", "time", dim), CELL_DTYPE[array], chunk, 0, {}, shape=(runs, times, cells),
            transposed=True,
        )  # fmt: skip
        create_array(group, TAIL[array], ("slot", dim), CELL_DTYPE[array], of_row, 0, {}, shape=(0, cells), quick=True)
    create_array(
        group, "tail_rows", ("slot", "tail_byte"), "uint8", (64, TAIL_ROW), 0, {"long_name": "JSON, one per slot"}
    )
    for name in ("registry", "layouts"):
        create_log(group, name)
    group["layouts"].attrs["count"] = 0


def create_row_hashes(group: zarr.Group, shape: tuple[int, ...]) -> None:
    """Create the hashes of rows, which stores of format 1 lack."""
    what = {"long_name": "owtrend.model.rows.hash_of_row; 0 if unknown"}
    create_array(group, "row_hash", ("run", "time"), "uint64", (32, 256), 0, what, shape=shape)


def create_summaries(group: zarr.Group, runs: int) -> None:
    """Create the summaries of runs, which earlier stores lack: they spare the rows of thousands of runs."""
    size, what = SUMMARY.itemsize, {"long_name": "owtrend.model.rows.SUMMARY"}
    create_array(group, "summary", ("run", "summary_byte"), "uint8", (512, size), 0, what, shape=(runs, size))


def _histograms_in_chunk(histograms: int) -> int:
    """Histograms in a chunk of trends or scores: fewer where there are few, for a chunk is stored whole."""
    return min(64, -(-max(histograms, 1) // 16) * 16)


def create_trends(group: zarr.Group, histograms: int, reductors: int) -> None:
    # A chunk has one reductor of many histograms in a few runs: a trend of one over thousands of runs is read in a
    # second, and the newest run of a live detector is written in a tenth of one.
    over_time, per_run = ("run", "time", "histogram", "reductor"), ("run", "histogram", "reductor")
    for name in TREND_ARRAYS:
        create_array(
            group, name, over_time, "float64", (4, 4 * TIME_CHUNK, _histograms_in_chunk(histograms), 1), np.nan, {},
            shape=(0, 0, 0, reductors),
        )  # fmt: skip
        create_array(
            group, f"run_{name}", per_run, "float64", (RUN_STEP, 8, reductors), np.nan, {}, shape=(0, 0, reductors)
        )
    create_run_states(group)
    states = {"long_name": "bits: 1 held, 2 reported, 4 restart"}
    create_array(group, "state", ("run", "time", "histogram"), "uint8", (4, 4 * TIME_CHUNK, 256), 0, states)
    create_array(group, "revision", ("run",), "int32", (4096,), 0, {})
    create_log(group, "histograms")


def create_run_states(group: zarr.Group) -> None:
    """Create the states of whole runs, which earlier stores lack: they spare the rows of thousands of runs."""
    states = {"long_name": "bits of the states of all rows; 0 if unknown"}
    create_array(group, "run_state", ("run", "histogram"), "uint8", (RUN_STEP, 256), 0, states)


def create_trend_origin(group: zarr.Group, reductors: int) -> None:
    """Create the versions and settings of trends."""
    made_by = {"long_name": "version of the formulas, see owtrend.store.versions; 0 where there is none"}
    create_array(group, "version", ("run", "reductor"), "int32", (4096, 1), 0, made_by, shape=(0, reductors))
    create_array(group, "settings", ("run", "digest_byte"), "uint8", (4096, 8), 0, SETTINGS, shape=(0, 8))


def create_score_origin(group: zarr.Group, families: int) -> None:
    """Create the versions and settings of scores."""
    made_by = {"long_name": "versions of the formulas, see owtrend.store.versions"}
    create_array(group, "version", ("run", "family"), "int32", (4096, families), 0, made_by, shape=(0, families))
    create_array(group, "settings", ("run", "digest_byte"), "uint8", (4096, 8), 0, SETTINGS, shape=(0, 8))


def create_scores(group: zarr.Group, histograms: int, scores: int, comparisons: int, summaries: int) -> None:
    over_time = ("run", "time", "histogram")
    chunks = (4, 4 * TIME_CHUNK, _histograms_in_chunk(histograms))
    z = {"long_name": "normal standard deviations, corrected for the null model of the histogram"}
    create_array(
        group, "z", (*over_time, "score"), "float32", (*chunks, 1), np.nan, z, shape=(0, 0, 0, scores)
    )  # fmt: skip
    create_array(group, "total", over_time, "float32", chunks, np.nan, {"long_name": "all scores as one"})
    bits = {"long_name": "bits: 1 bins, 2 fraction of its component, 4 rate of its component, 8 contributes most to 2"}
    create_array(group, "flagged", over_time, "uint8", chunks, 0, bits)
    nulls = {"long_name": "count, median and spread of each z, and of chi2 divided by its expectation"}
    null_dims = ("run", "histogram", "look", "of_score", "number")
    shape = (0, 0, comparisons, summaries, 3)
    create_array(group, "null", null_dims, "float32", (32, 64, *shape[2:]), np.nan, nulls, shape=shape)
    create_array(group, "flags", ("run", "byte"), "uint8", (1, 2**16), 0, {"long_name": "JSON lines, one per finding"})
    create_array(group, "revision", ("run",), "int32", (4096,), 0, {})
    for name, what in {
        "basis": "hash of its references",
        "outcome": "hash of what later runs use of it",
    }.items():
        create_array(group, name, ("run", "digest_byte"), "uint8", (4096, 16), 0, {"long_name": what}, shape=(0, 16))
    create_array(
        group,
        "threshold",
        ("run",),
        "float32",
        (4096,),
        np.nan,
        {"long_name": "total of a finding"},
    )


def create_row_thresholds(group: zarr.Group) -> None:
    what = {"long_name": "total from which on a report in this row is a finding"}
    create_array(group, "threshold_of_row", ("run", "time"), "float32", (4, 4 * TIME_CHUNK), np.nan, what)


def stored_names(group: zarr.Group, what: str) -> list[str]:
    """The names along an axis of a group; earlier names of scores are replaced."""
    return [EARLIER_NAMES.get(name, name) if what == "scores" else name for name in group.attrs.get(what, [])]


def create_array(
    group: zarr.Group, name: str, dims: tuple[str, ...], dtype: str, chunks: tuple[int, ...], fill: Any,
    attributes: dict[str, str], *, shape: tuple[int, ...] | None = None, transposed: bool = False, quick: bool = False,
) -> None:  # fmt: skip
    metadata = _metadata(dims, dtype, chunks, fill, transposed, quick)
    metadata = replace(metadata, shape=shape or (0,) * len(dims), attributes=attributes)
    sync(save_metadata(group.store_path / name, metadata))


@cache
def _metadata(
    dims: tuple[str, ...], dtype: str, chunks: tuple[int, ...], fill: Any, transposed: bool, quick: bool
) -> ArrayV3Metadata:
    """What describes an array without a cell, made apart: in the store, Zarr first looks four times what is there."""
    # Time fastest inside a chunk, and blocks that hold a few thousand cells of it: docs/decisions/0009.
    blosc = BloscCodec(cname="zstd", clevel=2, shuffle="shuffle", blocksize=2**20)
    if quick:
        blosc = BloscCodec(cname="lz4", clevel=1, shuffle="bitshuffle")
    array = zarr.create_array(
        MemoryStore(),
        shape=(0,) * len(dims),
        chunks=chunks,
        dtype=dtype,
        fill_value=fill,
        dimension_names=dims,
        filters=[TransposeCodec(order=(0, 2, 1))] if transposed else None,
        compressors=[blosc, Crc32cCodec()],
    )
    return array.metadata


def has_checksums(metadata: ArrayV3Metadata) -> bool:
    """True if changed bytes of a chunk are found when it is read."""
    return any(isinstance(codec, Crc32cCodec) for codec in metadata.codecs)


def with_checksums(metadata: ArrayV3Metadata) -> ArrayV3Metadata:
    """The metadata of an array whose chunks are those of another, each `with_checksum`."""
    return replace(metadata, codecs=(*metadata.codecs, Crc32cCodec()))


def with_checksum(stored: Buffer) -> Buffer:
    """A stored chunk with its checksum behind it, as the codec writes it."""
    chunk = stored.to_bytes()
    return type(stored).from_bytes(chunk + google_crc32c.value(chunk).to_bytes(4, "little"))


def grow(array: zarr.Array[Any], *sizes: int) -> None:
    """Make ``array`` at least this large along its first dims."""
    wanted = tuple(max(n, size) for n, size in itertools.zip_longest(array.shape, sizes, fillvalue=0))
    if wanted != array.shape:
        array.resize(wanted)


def padded(values: NDArray[Any], size: int) -> NDArray[Any]:
    """Pad with zeros, for runs that came since."""
    return np.pad(values, [(0, size - len(values)), *[(0, 0)] * (values.ndim - 1)])


def create_log(group: zarr.Group, name: str) -> None:
    create_array(group, name, (f"{name}_byte",), "uint8", (2**16,), 0, {"long_name": "JSON lines, UTF-8"})


def read_log(group: zarr.Group, name: str) -> list[str]:
    log = group.get(name)
    return [] if log is None else bytes(log[:]).decode().splitlines()


def replace_log(group: zarr.Group, name: str, lines: Sequence[str]) -> None:
    """Make ``lines`` all that a log has; what its beginning shares with the present text is not written again."""
    if name not in group:
        create_log(group, name)
    text = "".join(f"{line}\n" for line in lines).encode()
    new, old = np.frombuffer(text, dtype=np.uint8), group[name][:]
    size = min(len(new), len(old))
    other = np.flatnonzero(new[:size] != old[:size])
    same = int(other[0]) if len(other) else size
    if len(new) != len(old):
        group[name].resize((len(new),))
    if same < len(new):
        group[name][same:] = new[same:]


def append_log(group: zarr.Group, name: str, lines: Sequence[str]) -> None:
    if lines:
        text = np.frombuffer("".join(f"{line}\n" for line in lines).encode(), dtype=np.uint8)
        end = group[name].shape[0]
        group[name].resize((end + len(text),))
        group[name][end:] = text
