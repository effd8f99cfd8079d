"""What a detector sends: snapshots of histograms, as frozen values with every part that ROOT accumulates."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from owtrend.errors import AmbiguousNameError, DimsError, NotFoundError

if TYPE_CHECKING:
    import hist

__all__ = ["Axis", "Histogram", "Snapshot", "as_hist", "display_name"]

Path = tuple[str, ...]
# The type of the bins by the last letter of the class.
DTYPES: Mapping[str, Any] = MappingProxyType(
    {"C": np.int8, "S": np.int16, "I": np.int32, "L": np.int64, "F": np.float32, "D": np.float64}
)
ERROR_OPTIONS = ("", "s", "i", "g")  # EErrorType of TProfile, in its order


def display_name(path: Path) -> str:
    """The path's parts joined by ``/``, as people read them."""
    return "/".join(path)


@dataclass(frozen=True, slots=True)
class Traits:
    """UHI axis traits."""

    circular: bool = False
    discrete: bool = False


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a histogram: its bin edges, title and labels.

    Follows the UHI axis protocol: a sequence of ``(lower, upper)`` per bin, flow bins excluded.

    Parameters
    ----------
    edges
        Bin edges, shape ``(bins + 1,)``, increasing.
    regular
        Whether the bins are of equal width, as ROOT keeps it (``fXbins`` empty).
    title
        ROOT's axis title.
    labels
        ``{bin number: label}`` with ROOT's numbers (the first bin is 1); bins may be without.
    """

    edges: NDArray[np.float64]
    regular: bool = True
    title: str = ""
    labels: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def spaced(cls, bins: int, lower: float, upper: float, title: str = "") -> "Axis":
        """An axis of ``bins`` equal bins; edges as ``TAxis::GetBinLowEdge`` computes them."""
        edges = np.asarray(lower + np.arange(bins + 1) * ((upper - lower) / bins), dtype=np.float64)
        edges[-1] = upper
        return cls(edges, title=title)

    @cached_property
    def centres(self) -> NDArray[np.float64]:
        """Of the bins, flow excluded."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def __len__(self) -> int:
        return len(self.edges) - 1

    def __getitem__(self, index: int) -> tuple[float, float]:
        return float(self.edges[index]), float(self.edges[index + 1])

    def __iter__(self) -> Iterator[tuple[float, float]]:
        return (self[i] for i in range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Axis) and self.binning == other.binning

    def __hash__(self) -> int:
        return hash(self.binning)

    @property
    def traits(self) -> Traits:
        return Traits()

    @cached_property
    def binning(self) -> tuple[Any, ...]:
        """What makes two axes the same binning: edges and labels, not the title."""
        return len(self), self.regular, self.edges.tobytes(), tuple(sorted(self.labels.items()))

    @cached_property
    def hashed(self) -> bytes:
        """What of the axis goes into a digest: its binning."""
        return repr((len(self), self.regular, sorted(self.labels.items()))).encode() + self.edges.tobytes()

    def to_dict(self) -> dict[str, Any]:
        """The axis in the UHI serialisation schema; title and labels under ``metadata``."""
        if self.regular:
            axis = {"type": "regular", "lower": self.edges[0].item(), "upper": self.edges[-1].item(), "bins": len(self)}
        else:
            axis = {"type": "variable", "edges": self.edges.tolist()}
        metadata = {"title": self.title, "labels": {str(k): v for k, v in self.labels.items()}}
        return {**axis, "underflow": True, "overflow": True, "circular": False, "metadata": metadata}

    @classmethod
    def from_dict(cls, schema: Mapping[str, Any]) -> "Axis":
        """The axis that `to_dict` wrote."""
        title = schema["metadata"]["title"]
        labels = {int(k): v for k, v in schema["metadata"]["labels"].items()}
        if schema["type"] == "regular":
            edges = cls.spaced(schema["bins"], schema["lower"], schema["upper"]).edges
            return cls(edges, title=title, labels=labels)
        return cls(np.asarray(schema["edges"], dtype=np.float64), regular=False, title=title, labels=labels)


@dataclass(frozen=True, kw_only=True, eq=False)
class Histogram:
    """One histogram as ROOT accumulates it, following the UHI protocol.

    Parameters
    ----------
    path
        Folders, containers and name: the histogram's identity.
    class_name
        ROOT class, for example ``TH2F``.
    axes
        One to three axes.
    parts
        Additive arrays by name, each flat in ROOT's order (x fastest) with under- and overflow, in their native dtype.
        ``TH*``: ``contents`` and, where kept, ``sumw2``. ``TProfile*``: ``sumwy``, ``sumwy2``, ``bin_entries`` and,
        where kept, ``bin_sumw2``; y is the profiled quantity whatever the number of axes.
    sums
        Additive statistics by ROOT's names without the ``f``: ``entries``, ``tsumw``, ``tsumw2``, ``tsumwx``, ...
    error_option
        Option of a profile: ``""``, ``"s"``, ``"i"`` or ``"g"`` (``TProfile::SetErrorOption``).
    gauge
        Whether the bins are averages or states (``TH1::kIsAverage``), which must not be differenced.
    """

    path: Path
    class_name: str
    axes: tuple[Axis, ...]
    parts: Mapping[str, NDArray[Any]]
    sums: Mapping[str, float]
    title: str = ""
    error_option: str = ""
    gauge: bool = False

    def to_hist(self) -> "hist.Hist[Any]":
        """As a `hist.Hist` with flow bins, and with weights where sumw2 is kept; a profile becomes mean storage.

        What hist has no place for (class, sums, option) goes into its ``metadata``, where `from_hist` finds it.
        """
        parts = {name: self.part(name) for name in self.parts}
        made = as_hist(self.axes, parts, flow=True, title=self.title)
        made.metadata = {
            "class_name": self.class_name, "sums": dict(self.sums), "error_option": self.error_option,
            "gauge": self.gauge,
        }  # fmt: skip
        return made

    @classmethod
    def from_hist(cls, histogram: "hist.Hist[Any]", path: Path | str) -> Self:
        """The histogram that a `hist.Hist` holds.

        Of one that `to_hist` made, the same again (a profile to the last digits). Of any other with regular, variable,
        integer or category axes: missing flow bins are zero, and the sums are those of bin contents at bin centres,
        as ``TH1::ResetStats`` makes them.

        Raises
        ------
        DimsError
            If it has more than three axes, or a storage or an axis that ROOT has no like of.
        """
        axes = tuple(_axis_of(axis) for axis in histogram.axes)
        if not 1 <= len(axes) <= 3:
            raise DimsError(f"a hist.Hist of {len(axes)} axes; histograms here have one to three")
        parts = _parts_of(histogram)
        told = histogram.metadata if isinstance(histogram.metadata, dict) else {}
        profile = "sumwy" in parts
        letter = "L" if not profile and parts["contents"].dtype.kind == "i" else "D"
        made = "TProfile" + ("" if len(axes) == 1 else f"{len(axes)}D") if profile else f"TH{len(axes)}{letter}"
        class_name = told.get("class_name", made)
        if not profile and class_name[-1] in DTYPES:
            parts["contents"] = parts["contents"].astype(DTYPES[class_name[-1]])
        return cls(
            path=(path,) if isinstance(path, str) else path,
            class_name=class_name,
            axes=axes,
            parts=parts,
            sums=told.get("sums") or _sums_of(axes, parts),
            title=str(histogram.label or ""),
            error_option=told.get("error_option", ""),
            gauge=told.get("gauge", False),
        )

    @property
    def name(self) -> str:
        return display_name(self.path)

    @property
    def kind(self) -> str:
        """UHI kind: ``COUNT``, or ``MEAN`` for a profile."""
        return "MEAN" if self.class_name.startswith("TProfile") else "COUNT"

    @property
    def shape(self) -> tuple[int, ...]:
        """Bins per axis, flow included."""
        return tuple(len(axis) + 2 for axis in self.axes)

    def part(self, name: str, flow: bool = True) -> NDArray[Any]:
        """One additive part with shape ``(x[, y[, z]])``, native dtype."""
        return unfold(self.parts[name], self.shape, flow)

    def values(self, flow: bool = False) -> NDArray[Any]:
        """Contents, or the mean per bin of a profile (NaN where empty); shape ``(x[, y[, z]])``."""
        return unfold(bin_values(self.parts), self.shape, flow)

    def variances(self, flow: bool = False) -> NDArray[np.float64]:
        """Squared bin errors (``GetBinError``): sumw2, else the absolute content; a profile's by its option."""
        return unfold(bin_variances(self.parts, self.error_option), self.shape, flow)

    def counts(self, flow: bool = False) -> NDArray[np.float64]:
        """Effective number of entries per bin (UHI): ``sumw**2 / sumw2``, zero where empty."""
        sumw, sumw2 = self.parts.get("bin_entries"), self.parts.get("bin_sumw2")
        if sumw is None:
            sumw, sumw2 = self.parts["contents"], self.parts.get("sumw2")
        return unfold(effective_entries(sumw, sumw2), self.shape, flow)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.path == other.path and self.digest == other.digest

    def __hash__(self) -> int:
        return hash((self.path, self.digest))

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that are equal for equal class, binning, parts and sums; title and drawing do not count."""
        hasher = xxhash.xxh3_128(self._frame)
        for name, part in self.parts.items():
            hasher.update(f"{name}{part.dtype.str}{len(part)}".encode())
            hasher.update(np.ascontiguousarray(part).data)
        hasher.update(np.array(list(self.sums.values())).data)
        return hasher.digest()

    @cached_property
    def _frame(self) -> bytes:
        """What the digest says of all but the numbers."""
        frame = repr((self.class_name, self.error_option, self.gauge, tuple(self.sums))).encode()
        return b"".join([frame, *(axis.hashed for axis in self.axes)])

    def refilled(self, parts: Mapping[str, NDArray[Any]], sums: Mapping[str, float]) -> Self:
        """The same histogram with other numbers in the same parts and sums; cheaper than a new one."""
        made = object.__new__(type(self))
        vars(made).update(vars(self), parts=parts, sums=sums, _frame=self._frame)
        vars(made).pop("digest", None)
        return made


def unfold(flat: NDArray[Any], shape: tuple[int, ...], flow: bool) -> NDArray[Any]:
    """ROOT's flat bins, x fastest, as an array ``(..., x[, y[, z]])``; without the flow bins if not ``flow``."""
    leading = flat.shape[:-1]
    folded = flat.reshape(*leading, *reversed(shape))
    order = [*range(len(leading)), *reversed(range(len(leading), folded.ndim))]
    inner = slice(None) if flow else slice(1, -1)
    index: tuple[Any, ...] = (..., *(inner,) * len(shape))
    return folded.transpose(order)[index]


def as_hist(axes: Sequence[Axis], parts: Mapping[str, NDArray[Any]], *, flow: bool, title: str) -> "hist.Hist[Any]":
    """A `hist.Hist` of additive parts of shape ``(x[, y[, z]])``, with or without flow bins."""
    import hist

    made_axes = []
    for name, axis in zip("xyz", axes, strict=False):
        told = {"labels": dict(axis.labels), "limits": (axis.edges[0], axis.edges[-1])}  # hist's edges are rounded
        options = {"name": name, "label": axis.title, "flow": flow, "metadata": told}
        if axis.regular:
            made_axes.append(hist.axis.Regular(len(axis), axis.edges[0], axis.edges[-1], **options))
        else:
            made_axes.append(hist.axis.Variable(axis.edges, **options))
    if "contents" not in parts:
        made = hist.Hist(*made_axes, storage=hist.storage.WeightedMean(), label=title)
        view = made.view(flow=flow)
        entries = np.asarray(parts["bin_entries"], dtype=np.float64)
        mean = np.divide(parts["sumwy"], entries, out=np.zeros_like(entries), where=entries != 0)
        view["sum_of_weights"] = entries
        view["sum_of_weights_squared"] = parts.get("bin_sumw2", entries)
        view["value"] = mean
        view["_sum_of_weighted_deltas_squared"] = parts["sumwy2"] - entries * mean**2
        return made
    if "sumw2" in parts:
        made = hist.Hist(*made_axes, storage=hist.storage.Weight(), label=title)
        view = made.view(flow=flow)
        view["value"], view["variance"] = parts["contents"], parts["sumw2"]
        return made
    whole = parts["contents"].dtype.kind == "i"
    made = hist.Hist(*made_axes, storage=hist.storage.Int64() if whole else hist.storage.Double(), label=title)
    made.view(flow=flow)[...] = parts["contents"]
    return made


def _axis_of(axis: Any) -> Axis:
    """An axis of hist, flow bins or not."""
    kind, title = type(axis).__name__, "" if axis.label == axis.name else str(axis.label)  # hist labels by the name
    told = axis.metadata if isinstance(axis.metadata, dict) else {}
    if kind in ("StrCategory", "IntCategory"):
        return replace(Axis.spaced(len(axis), 0, len(axis), title), labels={i + 1: str(x) for i, x in enumerate(axis)})
    if kind not in ("Regular", "Variable", "Integer", "Boolean"):
        raise DimsError(f"axis {axis.name!r} of kind {kind}; expected Regular, Variable, Integer or a category")
    edges = np.asarray(axis.edges, dtype=np.float64)
    regular = kind != "Variable" and getattr(axis, "transform", None) is None
    if regular:
        edges = Axis.spaced(len(edges) - 1, *told.get("limits", edges[[0, -1]])).edges
    return Axis(edges, regular=regular, title=title, labels=told.get("labels", {}))


def _parts_of(histogram: "hist.Hist[Any]") -> dict[str, NDArray[Any]]:
    """Additive parts of a `hist.Hist`, flat in ROOT's order, flow bins added where it has none."""
    widths = [(int(not a.traits.underflow), int(not a.traits.overflow)) for a in histogram.axes]

    def flat(values: Any) -> NDArray[Any]:
        return np.pad(np.asarray(values), widths).ravel(order="F")

    view = histogram.view(flow=True)
    fields = view.dtype.names or ()
    if not fields:
        return {"contents": flat(view)}
    if fields == ("value", "variance"):
        return {"contents": flat(view["value"]), "sumw2": flat(view["variance"])}
    weighted = "sum_of_weights" in fields
    entries = view["sum_of_weights"] if weighted else view["count"]
    spread = view["_sum_of_weighted_deltas_squared"] if weighted else view["_sum_of_deltas_squared"]
    parts = {
        "sumwy": flat(view["value"] * entries),
        "sumwy2": flat(spread + entries * view["value"] ** 2),
        "bin_entries": flat(entries),
    }
    if weighted:
        parts["bin_sumw2"] = flat(view["sum_of_weights_squared"])
    return parts


def _sums_of(axes: Sequence[Axis], parts: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    """ROOT's statistics from bin contents at bin centres, flow bins left out (``TH1::ResetStats``)."""
    shape = tuple(len(axis) + 2 for axis in axes)
    inner = {name: np.asarray(unfold(part, shape, False), dtype=np.float64) for name, part in parts.items()}
    weight = inner["bin_entries"] if "bin_entries" in inner else inner["contents"]
    weight2 = inner.get("bin_sumw2", inner.get("sumw2", abs(weight)))
    total = parts["bin_entries" if "bin_entries" in parts else "contents"].sum()
    sums = {"entries": float(total), "tsumw": weight.sum(), "tsumw2": weight2.sum()}
    centres = np.meshgrid(*[axis.centres for axis in axes], indexing="ij")
    for number, (letter, x) in enumerate(zip("xyz", centres, strict=False)):
        sums[f"tsumw{letter}"], sums[f"tsumw{letter}2"] = (weight * x).sum(), (weight * x * x).sum()
        for before in range(number):
            sums[f"tsumw{'xyz'[before]}{letter}"] = (weight * centres[before] * x).sum()
    if "sumwy" in parts:
        letter = "yzt"[len(axes) - 1]
        sums[f"tsumw{letter}"], sums[f"tsumw{letter}2"] = inner["sumwy"].sum(), inner["sumwy2"].sum()
    return {name: float(value) for name, value in sums.items()}


def effective_entries(sumw: NDArray[Any], sumw2: NDArray[Any] | None) -> NDArray[np.float64]:
    """``sumw**2 / sumw2`` per bin (``TH1::GetEffectiveEntries``), ``sumw`` where sumw2 is not kept, 0 where empty."""
    total = np.asarray(sumw, dtype=np.float64)
    if sumw2 is None:
        return total
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(np.asarray(sumw2) == 0, 0.0, total**2 / sumw2)


def bin_values(parts: Mapping[str, Any]) -> Any:
    """Contents, or ``sumwy / bin_entries`` of a profile (NaN where empty), from additive parts of any shape."""
    if "contents" in parts:
        return parts["contents"]
    with np.errstate(divide="ignore", invalid="ignore"):
        return parts["sumwy"] / parts["bin_entries"]


def bin_variances(parts: Mapping[str, Any], error_option: str = "") -> Any:
    """Squared bin errors from additive parts of any shape.

    ``TH1::GetBinError``: sumw2, or the absolute content where it is not kept. ``TProfileHelper::GetBinError``: with
    spread s, entries N and effective entries n of a bin, s**2 / n; option ``s``: s**2; ``i``: s**2 / n, and
    1 / (12 n) where s is zero; ``g``: 1 / N. Zero where the bin is empty.
    """
    if "contents" in parts:
        return parts["sumw2"] if "sumw2" in parts else abs(parts["contents"].astype(np.float64))
    entries = parts["bin_entries"]
    with np.errstate(divide="ignore", invalid="ignore"):
        if error_option == "g":
            variance = 1 / entries
        else:
            spread2 = abs(parts["sumwy2"] / entries - (parts["sumwy"] / entries) ** 2)
            effective = entries**2 / parts["bin_sumw2"] if "bin_sumw2" in parts else entries
            variance = spread2 if error_option == "s" else spread2 / effective
            if error_option == "i":
                variance = np.where(spread2 == 0, 1 / (12 * effective), variance)
        return np.where(entries == 0, 0.0, variance)


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot(Mapping[Path, Histogram]):
    """One subsystem's histograms as received at one time, cumulative since the run began unless told otherwise.

    A mapping from path to `Histogram`; ``snapshot["dir/name"]`` finds it by its displayed name too.

    Parameters
    ----------
    histograms
        By path, in the order of the file.
    subsystem, run, time, mode
        From the file's name where it tells, else None; ``time`` is UTC, the end of the snapshot; ``mode`` is the HLT's.
    written
        When the file was written, by its own header: local time of the writing host, no zone.
    source
        Where it came from.
    problems
        Why an object could not be read, by its displayed name.
    unsupported
        Class of what is not a histogram, by its displayed name.
    """

    histograms: Mapping[Path, Histogram]
    subsystem: str | None = None
    run: int | None = None
    time: np.datetime64 | None = None
    mode: str | None = None
    written: Any = None
    source: str = ""
    problems: Mapping[str, str] = field(default_factory=dict)
    unsupported: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        histograms = self.histograms
        if isinstance(histograms, dict):  # the caller may change it
            histograms = dict(histograms)
        object.__setattr__(self, "histograms", MappingProxyType(histograms))

    def __contains__(self, name: object) -> bool:
        try:
            return name in self.histograms or (isinstance(name, str) and bool(self[name]))
        except NotFoundError:
            return False

    def __getitem__(self, name: Path | str) -> Histogram:
        if isinstance(name, tuple):
            name_path: Path | None = name if name in self.histograms else None
        else:
            name_path = find_path(name, self.histograms, f"snapshot {self.source}")
        if name_path is None:
            raise NotFoundError(f"snapshot {self.source}: no histogram {name!r} among {len(self)}")
        return self.histograms[name_path]

    def __iter__(self) -> Iterator[Path]:
        return iter(self.histograms)

    def __len__(self) -> int:
        return len(self.histograms)

    @property
    def entries(self) -> float:
        """Sum of the entries of all histograms: which of two snapshots saw more."""
        return sum(h.sums["entries"] for h in self.histograms.values())

    @cached_property
    def digest(self) -> bytes:
        """16 bytes that are equal for equal histograms, whatever their order, name of file or time."""
        hasher = xxhash.xxh3_128()
        for path in sorted(self.histograms):
            hasher.update(repr(path).encode() + self.histograms[path].digest)
        return hasher.digest()


def find_path(name: str, paths: Any, where: str) -> Path:
    """The one path of ``paths`` that is displayed as ``name``.

    Raises
    ------
    NotFoundError
        If there is none; the text names the nearest ones.
    AmbiguousNameError
        If folders and slashes in names display alike; the text lists the tuples to choose from.
    """
    found = [path for path in paths if display_name(path) == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise AmbiguousNameError(f"{where}: {name!r} may be any of {found}; give the tuple instead")
    import difflib

    near = difflib.get_close_matches(name, [display_name(path) for path in paths], n=3, cutoff=0.4)
    hint = f"; did you mean {', '.join(map(repr, near))}?" if near else ""
    raise NotFoundError(f"{where}: no histogram {name!r}{hint}")
