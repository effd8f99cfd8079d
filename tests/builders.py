"""Histograms from contents or fills, and snapshots, stores, ROOT files and xarray objects of them, for tests."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count, groupby
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

import owtrend
from ingest import naming
from ingest.archive import ingest as archive
from owtrend.histograms.labelled import to_xarray
from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import DTYPES, Histogram, unfold
from owtrend.model.rows import Accumulation
from owtrend.model.snapshot import Snapshot
from owtrend.outliers.null_model import NullModel
from owtrend.output import root_writer
from owtrend.store.append import appender
from owtrend.store.repository import Store

START = np.datetime64("2018-06-01T12:00", "ns")
MINUTE = np.timedelta64(1, "m")


def labelled(labels: Sequence[str], title: str = "") -> Axis:
    """An axis with a bin of width one for each label."""
    return replace(Axis.spaced(len(labels), 0, len(labels), title), labels=dict(enumerate(labels, start=1)))


def histogram(
    contents: Any, name: str = "h", axes: Sequence[Axis] | None = None, *, dtype: Any = "f8",
    entries: float | None = None, error_option: str = "", gauge: bool = False, **sums: float,
) -> Histogram:  # fmt: skip
    """A histogram, or a profile, with the statistics its bins have.

    Parameters
    ----------
    contents
        Shape ``(x[, y[, z]])``, flow bins included; or all parts by name, a profile's for instance.
    name
        Folders and name.
    axes
        By default of bins of width one from zero on.
    dtype
        Of the contents; it decides on the class.
    entries, **sums
        Statistics other than those of the bins.
    """
    given = contents if isinstance(contents, Mapping) else {"contents": contents}
    parts = {part: np.asarray(values, dtype if part == "contents" else "f8") for part, values in given.items()}
    weight = parts["bin_entries" if "bin_entries" in parts else "contents"]
    if axes is None:
        axes = [Axis.spaced(size - 2, 0, size - 2, "position [cm]") for size in weight.shape]
    if "contents" in parts:
        letter = next(letter for letter, kind in DTYPES.items() if kind == weight.dtype)
        class_name = f"TH{len(axes)}{letter}"
    else:
        class_name = "TProfile" + ("" if len(axes) == 1 else f"{len(axes)}D")
    inside = {part: values[(slice(1, -1),) * len(axes)] for part, values in parts.items()}
    total = float(weight.sum()) if entries is None else entries
    return Histogram(
        path=tuple(name.split("/")), class_name=class_name, axes=tuple(axes), title=f"title of {name}",
        parts={part: values.ravel(order="F") for part, values in parts.items()},
        sums=root_sums.from_bins(axes, inside, total) | sums, error_option=error_option, gauge=gauge,
    )  # fmt: skip


def filled(
    axes: Sequence[Axis], fills: ArrayLike, name: str = "h", *, weights: NDArray[Any] | None = None,
    values: NDArray[Any] | None = None, gauge: bool = False,
) -> Histogram:  # fmt: skip
    """A TH*D of fills ``(n, axes)``, with weights if they are given, or a TProfile of values, as ROOT sums them up."""
    columns = np.asarray(fills, dtype=float).reshape(-1, len(axes)).T
    weight = np.ones(columns.shape[1]) if weights is None else weights
    bins = [np.searchsorted(axis.edges, x, side="right") for axis, x in zip(axes, columns, strict=True)]
    inside = np.all([(b > 0) & (b <= len(axis)) for b, axis in zip(bins, axes, strict=True)], axis=0)
    shape = tuple(len(axis) + 2 for axis in axes)
    cell = np.ravel_multi_index(bins, shape)

    def summed(terms: NDArray[Any]) -> NDArray[Any]:
        return np.bincount(cell, terms, int(np.prod(shape))).reshape(shape)

    terms = root_sums.weight_terms(weight, weight**2, list(columns))
    if values is not None:
        terms |= root_sums.moments(root_sums.quantity(len(axes)), weight, values)
        parts = {"sumwy": weight * values, "sumwy2": weight * values**2, "bin_entries": weight}
    else:
        parts = {"contents": weight} | ({} if weights is None else {"sumw2": weight**2})
    sums = {key: float(term[inside].sum()) for key, term in terms.items()}
    cells = {part: summed(values) for part, values in parts.items()}
    return histogram(cells, name, axes, entries=float(columns.shape[1]), gauge=gauge, **sums)


def snapshot(
    minute: float, *histograms: Histogram, run: int = 300000, subsystem: str = "EMC", source: str | None = None
) -> Snapshot:
    """A snapshot some minutes after `START`; of a histogram that grows with time if none is given."""
    present = histograms or (histogram([0, minute, 2 * minute, 0]),)
    return Snapshot(
        histograms={one.path: one for one in present}, subsystem=subsystem, run=run,
        time=START + np.timedelta64(round(60 * minute), "s"), source=source or f"{subsystem} {run} {minute}",
    )  # fmt: skip


def snapshots(
    rows: Mapping[str, Iterable[Any]] | Sequence[Mapping[str, Any]], run: int = 300000, *, subsystem: str = "EMC",
    minutes: Iterable[float] | None = None,
) -> list[Snapshot]:  # fmt: skip
    """A run: per histogram its contents in each snapshot, None where it is absent; or per snapshot its histograms.

    Contents are those of `histogram`, or a `Histogram`. Snapshots come each minute from `START` on, or at ``minutes``.
    """
    if isinstance(rows, Mapping):
        rows = [dict(zip(rows, row, strict=True)) for row in zip(*rows.values(), strict=True)]
    when, found = iter(count() if minutes is None else minutes), []
    for row in rows:
        present = [_named(name, contents) for name, contents in row.items() if contents is not None]
        found.append(snapshot(next(when), *present, run=run, subsystem=subsystem))
    return found


def _named(name: str, contents: Any) -> Histogram:
    if isinstance(contents, Histogram):
        return replace(contents, path=tuple(name.split("/")))
    return histogram(contents, name)


def append(location: str | Path, rows: Iterable[Snapshot], *, reset: bool = False, fold: bool = True) -> None:
    """Append snapshots, run by run, to a store, which is created if it is missing."""
    with appender(Store.open_or_create(location)) as live:
        for _, run in groupby(rows, lambda one: (one.subsystem, one.run)):
            live.append(list(run), Accumulation.RESET if reset else Accumulation.CUMULATIVE)
        if fold:
            live.fold(everything=True)


def archive_of(*rows: Snapshot, reset: bool = False) -> owtrend.Archive:
    """The archive of a store in memory with these snapshots, all in its tail: folding them takes as long again."""
    store = Store.in_memory()
    append(store.location, rows, reset=reset, fold=False)
    return owtrend.open(store.location)


def write(path: Path, *histograms: Histogram) -> Path:
    """A ROOT file with these histograms."""
    path.parent.mkdir(parents=True, exist_ok=True)
    root_writer.write(path, {one.path: one for one in histograms})
    return path


def file_name(one: Snapshot) -> str:
    """Where in a folder the file of a snapshot lies."""
    assert one.time is not None
    return naming.processed_name(str(one.subsystem), int(one.run or 0), one.time.astype("datetime64[s]").item())


def write_run(folder: Path, rows: Any, run: int = 300000, **options: Any) -> None:
    """The files of a run, with the arguments of `snapshots`."""
    for one in snapshots(rows, run, **options):
        write(folder / file_name(one), *one.values())


def ingest(folder: Path, store: str | Path, **options: Any) -> archive.IngestSummary:
    """Take a folder into a store in this process."""
    found = archive.find_files([folder], timezone="UTC")
    return archive.ingest(found, store, workers=0, timezone="UTC", **options)


def table(
    counts: Any, *, edges: Sequence[float] | None = None, flow: bool = True, labels: Sequence[str] | None = None,
    sumw2: Any = None,
) -> xr.Dataset:  # fmt: skip
    """A histogram as `Archive.histogram` returns it, from contents ``(time, x[, y[, z]])`` and perhaps sumw2."""
    parts = {"contents": np.asarray(counts)} | ({} if sumw2 is None else {"sumw2": np.asarray(sumw2)})
    if not flow:
        widths = [(0, 0), *[(1, 1)] * (parts["contents"].ndim - 1)]
        parts = {part: np.pad(values, widths) for part, values in parts.items()}
    axes = []
    for letter, size in zip("xyz", parts["contents"].shape[1:], strict=False):
        axis = Axis.spaced(size - 2, 0, size - 2) if edges is None else Axis(np.asarray(edges, float), regular=False)
        named = {} if labels is None else dict(enumerate(labels, start=1))
        axes.append(replace(axis, title=f"title of {letter}", labels=named))
    rows = [
        histogram(dict(zip(parts, row, strict=True)), axes=axes, dtype=parts["contents"].dtype)
        for row in zip(*parts.values(), strict=True)
    ]
    first = to_xarray(rows[0], flow=flow)
    variables = {"sums": (("time", "sum"), np.array([list(row.sums.values()) for row in rows]))}
    for part in parts:
        cells = unfold(np.stack([row.parts[part] for row in rows]), rows[0].shape, flow)
        variables[part] = (("time", *first[part].dims), cells)
    coords = {**first.coords, "time": START + np.arange(len(rows)) * MINUTE, "run": 300000, "additive": True}
    return xr.Dataset(variables, coords=coords, attrs={**first.attrs, "subsystem": "EMC"})


def independent_fills() -> NullModel:
    """What is known of a histogram once many runs have shown that its fills come one by one, alike in each run."""
    unknown = NullModel.unknown()
    known = unknown.known.copy()
    known[..., :2] = 1e6
    return NullModel(known, 0 * unknown.spread)
