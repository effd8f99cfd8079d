"""Small inputs for tests: ROOT files written by uproot, folders of snapshots, stores made of them."""

import struct
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import uproot
import xarray as xr
from uproot.writing.identify import to_TAxis, to_TH1x

from ingest import naming
from ingest.archive import ingest as archive

START = datetime(2018, 6, 1, 12, 0)


def th1(
    contents: Sequence[float], name: str = "h", dtype: str = "f8", entries: float | None = None, **sums: float
) -> Any:
    """A TH1 whose ``contents`` include the flow bins, over [0, bins], with the statistics its bins have."""
    data = np.asarray(contents, dtype=f">{dtype}")
    bins = len(data) - 2
    centres, inside = np.arange(bins) + 0.5, np.asarray(contents, dtype=float)[1:-1]
    statistics = {
        "fEntries": float(np.sum(contents)) if entries is None else entries,
        "fTsumw": inside.sum(),
        "fTsumw2": inside.sum(),
        "fTsumwx": (inside * centres).sum(),
        "fTsumwx2": (inside * centres**2).sum(),
        **sums,
    }
    return to_TH1x(
        fName=name, fTitle=f"title of {name}", data=data, **statistics, fSumw2=None,
        fXaxis=to_TAxis("xaxis", "position [cm]", bins, 0.0, float(bins)),
    )  # fmt: skip


def write(path: Path, histograms: Mapping[str, Any], packed: bool = True) -> Path:
    """A ROOT file with these objects."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with uproot.recreate(path, compression=uproot.ZLIB(1) if packed else None) as file:
        for name, histogram in histograms.items():
            file[name] = histogram
    return path


def write_beyond(source: Path, path: Path, offset: int) -> Path:
    """The top folder of a ROOT file with all its records moved by ``offset``, as ROOT writes files of over 2 GB.

    What is between is a hole. Positions have 8 bytes then, as the versions of file, folder and keys say.
    """
    data = source.read_bytes()
    head = struct.unpack_from(">iiiiiiibiii", data, 4)
    version, begin, end, *free, name_bytes, units, packing, info, info_bytes = head
    at = begin + name_bytes
    _, created, written, keys_bytes, record_bytes, _, _, seek = struct.unpack_from(">HIIiiiii", data, at)
    key_list, position, count = data[seek : seek + keys_bytes], 0, 0
    (length,) = struct.unpack_from(">H", key_list, 14)
    (count,) = struct.unpack_from(">i", key_list, length)
    position, wide = length + 4, []
    for _ in range(count):
        *sizes, own, parent = struct.unpack_from(">iHiIHHii", key_list, position)
        sizes[1] += 1000
        stop = position + 26
        for _ in range(3):  # class, name, title
            stop += 1 + key_list[stop]
        wide.append(struct.pack(">iHiIHHqq", *sizes, own + offset, parent) + key_list[position + 26 : stop])
        position = stop
    keys = key_list[: length + 4] + b"".join(wide)
    folder = struct.pack(">HIIiiqqq", 1005, created, written, len(keys), record_bytes, begin, 0, seek + offset)
    header = struct.pack(
        ">4siiqqiiibiqi", b"root", version + 1_000_000, begin, end + offset + 10_000, *free, name_bytes, units, packing,
        info, info_bytes,
    )  # fmt: skip
    with path.open("wb") as file:
        file.write(header.ljust(begin, b"\0") + data[begin:at] + folder + bytes(60))
        file.seek(info)
        file.write(data[info : info + info_bytes])
        file.seek(offset + begin)
        file.write(data[begin:])
        file.truncate(end + offset + 10_000)
        file.seek(end + offset)  # after all others: it has grown
        file.write(keys)
        file.seek(at + 34)
        file.write(struct.pack(">q", end + offset))
    return path


def write_run(
    folder: Path, cumulative: Mapping[str, Sequence[Sequence[float] | None]], run: int = 300000, subsystem: str = "EMC",
    seconds: int = 60, start: datetime = START,
) -> None:  # fmt: skip
    """A run folder: per histogram its contents (flow included) in each snapshot, None where it is absent."""
    for number in range(len(next(iter(cumulative.values())))):
        held = {name: th1(rows[number], name) for name, rows in cumulative.items() if rows[number] is not None}
        write(folder / naming.processed_name(subsystem, run, start + timedelta(seconds=seconds * number)), held)


def ingest(folder: Path, store: Path, **options: Any) -> archive.IngestSummary:
    """Take a folder into a store in this process."""
    found = archive.find_files([folder], timezone="UTC")
    return archive.ingest(found, store, workers=0, timezone="UTC", **options)


def table(
    counts: Any, *, edges: Sequence[float] | None = None, flow: bool = True, labels: Sequence[str] | None = None,
    weights: Any = None,
) -> xr.Dataset:  # fmt: skip
    """A histogram as `Archive.histogram` gives it, of contents ``(time, x[, y[, z]])``, fills at the bin centres."""
    counts = np.asarray(counts)
    axes = "xyz"[: counts.ndim - 1]
    times = np.datetime64(START, "ns") + np.arange(len(counts)) * np.timedelta64(60, "s")
    coords: dict[str, Any] = {"time": times}
    centres = []
    for axis, size in zip(axes, counts.shape[1:], strict=True):
        inner = np.arange(size - 2 * flow + 1.0) if edges is None else np.asarray(edges, dtype=float)
        bounds = np.concatenate([[-np.inf], inner, [np.inf]]) if flow else inner
        coords |= {f"{axis}_left": (axis, bounds[:-1]), f"{axis}_right": (axis, bounds[1:])}
        coords[axis] = (axis, (bounds[:-1] + bounds[1:]) / 2, {"long_name": f"title of {axis}"})
        centres.append(coords[axis][1][1:-1] if flow else coords[axis][1])
    inside = counts[(slice(None), *(slice(1, -1) if flow else slice(None),) * len(axes))].astype(float)
    sums = {"entries": counts.reshape(len(counts), -1).sum(axis=1), "tsumw": inside, "tsumw2": inside}
    grid = dict(zip(axes, np.meshgrid(*centres, indexing="ij"), strict=True))
    for number, axis in enumerate(axes):
        sums |= {f"tsumw{axis}": inside * grid[axis], f"tsumw{axis}2": inside * grid[axis] ** 2}
        sums |= {f"tsumw{before}{axis}": inside * grid[before] * grid[axis] for before in axes[:number]}
    stacked = np.stack([np.asarray(s).reshape(len(counts), -1).sum(axis=1) for s in sums.values()], axis=1)
    if labels is not None:
        coords["x_label"] = ("x", np.array(["", *labels, ""] if flow else labels, dtype=object))
    parts: dict[str, Any] = {"contents": (("time", *axes), counts), "sums": (("time", "sum"), stacked.astype(float))}
    if weights is not None:
        parts["sumw2"] = (("time", *axes), weights)
    attrs = {
        "subsystem": "EMC", "name": "h", "class": f"TH{len(axes)}F", "gauge": False, "error_option": "", "flow": flow,
        "variable_axes": () if edges is None else tuple(axes),
    }  # fmt: skip
    return xr.Dataset(parts, coords={**coords, "sum": list(sums), "run": 300000, "additive": True}, attrs=attrs)
