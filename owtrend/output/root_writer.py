"""Histograms -> genuine objects of ROOT, and files of them, by uproot's writer and no ROOT.

What uproot 5.7 cannot write itself is added here: TH1L, TH2L and TH3L (ROOT 6.34), the bit ``kIsAverage``, the numbers
of labelled bins, and names with a slash in them.
"""

import struct
from collections.abc import Mapping
from pathlib import Path as FilePath
from typing import Any

import numpy as np
import uproot
from uproot.models import TH, TArray, TObject
from uproot.writing import identify

from owtrend.model import root_sums
from owtrend.model.axis import Axis
from owtrend.model.histogram import DTYPES, ERROR_OPTIONS, Histogram, Path

__all__ = ["places", "root_object", "write"]

_IS_AVERAGE = 1 << 18  # TH1::kIsAverage
_TO_TH = (identify.to_TH1x, identify.to_TH2x, identify.to_TH3x)
_TO_PROFILE = (identify.to_TProfile, identify.to_TProfile2D, identify.to_TProfile3D)


def write(path: FilePath, histograms: Mapping[Path, Histogram]) -> dict[Path, Path]:
    """Write a ROOT file; the folders of a histogram's path become folders of the file.

    Returns
    -------
    :
        Where each histogram is in the file, see `places`.
    """
    found = places(histograms)
    streamers: list[Any] = []
    with uproot.recreate(path, compression=uproot.ZLIB(1)) as file:
        for own, (*folders, name) in found.items():
            folder = file
            for part in folders:
                folder = folder.mkdir(part)
            identify.add_to_directory(root_object(histograms[own]), name, folder, streamers)
        file.file.update_streamers(streamers)  # once for all: each time they are written anew
    return found


def places(paths: Mapping[Path, Any]) -> dict[Path, Path]:
    """Where in a file each histogram goes: its path, unless that is a folder of another: then its name gets ``#2``."""
    taken = {path[:depth] for path in paths for depth in range(1, len(path))}
    found: dict[Path, Path] = {}
    for path in paths:
        place, number = path, 1
        while place in taken or (number > 1 and place in paths):
            number += 1
            place = (*path[:-1], f"{path[-1]}#{number}")
        found[path] = place
        taken.add(place)
    return found


def root_object(histogram: Histogram) -> Any:
    """What uproot writes: an object of the histogram's ROOT class with its axes, labels, bins and statistics.

    Contents are cast to the type of the class, which must hold them. What a `Histogram` has no place for is as ROOT
    has it in a new one: colours, attached functions, the limits of a profile.
    """
    dimension, parts = len(histogram.axes), histogram.parts
    profile = histogram.kind == "MEAN"
    letters = "xyz"[:dimension]
    names = root_sums.names(dimension, profile=profile)
    members: dict[str, Any] = {f"f{name.capitalize()}": float(histogram.sums.get(name, 0.0)) for name in names}
    members |= {f"f{a.upper()}axis": _axis(a, axis) for a, axis in zip(letters, histogram.axes, strict=True)}
    members |= {"fName": None, "fTitle": histogram.title}
    if profile:
        nothing = np.zeros(0)
        made = _TO_PROFILE[dimension - 1](
            data=_double(parts["sumwy"]), fSumw2=_double(parts["sumwy2"]), fBinEntries=_double(parts["bin_entries"]),
            fBinSumw2=_double(parts.get("bin_sumw2", nothing)),
            fErrorMode=ERROR_OPTIONS.index(histogram.error_option), **members,
        )  # fmt: skip
    else:
        sumw2 = _double(parts["sumw2"]) if "sumw2" in parts else None
        contents = parts["contents"].astype(DTYPES[histogram.class_name[-1]])
        is_long = histogram.class_name[-1] == "L"
        data = np.zeros(len(contents), dtype=np.int32) if is_long else contents
        made = _TO_TH[dimension - 1](data=data, fSumw2=sumw2, **members)
        if is_long:
            made = _as_long(made, dimension, contents)
    if histogram.gauge:
        named = made
        while not isinstance(named, uproot.models.TNamed.Model_TNamed):
            named = named._bases[0]
        named._bases[0] = _Average.empty()
    return made


def _double(values: Any) -> Any:
    return np.asarray(values, dtype=np.float64)


def _axis(letter: str, axis: Axis) -> Any:
    labels = None
    if axis.labels:
        named = []
        for number, text in sorted(axis.labels.items()):
            label = identify.to_TObjString(text)
            label.bases[0].members["@fUniqueID"] = number  # where TAxis::SetBinLabel keeps the bin
            named.append(label)
        labels = identify.to_THashList(named)
    edges = None if axis.regular else axis.edges
    return identify.to_TAxis(
        f"{letter}axis", axis.title, len(axis), axis.edges[0], axis.edges[-1], edges, fLabels=labels
    )


class _Average(TObject.Model_TObject):
    """The TObject of a histogram whose bins are averages."""

    def _serialize(self, out: Any, header: Any, name: Any, tobject_flags: Any) -> None:
        super()._serialize(out, header, name, tobject_flags | _IS_AVERAGE)


def _serialize_long(self: Any, out: Any, header: Any, name: Any, tobject_flags: Any) -> None:
    """As ROOT 6.40 writes it: class version 0."""
    where = len(out)
    self._bases[0]._serialize(out, True, name, tobject_flags)
    self._bases[1]._serialize(out, False, name, tobject_flags)
    if header:
        size = sum(len(piece) for piece in out[where:])
        out.insert(where, uproot.serialization.numbytes_version(size, 0))


def _streamer_long(streamers: Any, dimension: int) -> Any:
    """The layout of TH1L, made of that of TH1I, with the checksums of ROOT 6.40; no length changes."""
    *others, (_, raw, name, _) = streamers
    checksum = (3881929081, 2645825618, 2863626648)[dimension - 1]
    head = raw.index(name.encode()) + len(name) + 1  # the title is empty
    raw = raw[:head] + struct.pack(">II", checksum, 0) + raw[head + 8 :]  # class version 0
    for old, new in (
        (name.encode(), f"TH{dimension}L".encode()),
        (b"\x07TArrayI\x0dArray of ints", b"\x09TArrayL64\x0bArray int64"),
        (struct.pack(">I", 3654644167), struct.pack(">I", 417793940)),  # checksum of TArrayI, of TArrayL64
    ):
        assert raw.count(old) == 1, f"uproot's layout of {name} is not the one known here"
        raw = raw.replace(old, new)
    return (*others, (None, raw, f"TH{dimension}L", 0))


def _long_class(dimension: int, like: Any) -> Any:
    fields = {
        "_serialize": _serialize_long,
        "class_rawstreamers": _streamer_long(like.class_rawstreamers, dimension),
        "writable": True,
    }
    return type(f"Model_TH{dimension}L_v0", (like,), fields)


_LONG = tuple(
    _long_class(number, like) for number, like in enumerate((TH.Model_TH1I_v3, TH.Model_TH2I_v4, TH.Model_TH3I_v4), 1)
)


def _as_long(made: Any, dimension: int, contents: Any) -> Any:
    bins = TArray.Model_TArrayL64.empty()
    bins._deeply_writable = True
    bins._members["fN"] = len(contents)
    bins._data = contents.astype(">i8")
    long = _LONG[dimension - 1].empty()
    long._bases += [made._bases[0], bins]
    long._deeply_writable = made._deeply_writable
    return long
