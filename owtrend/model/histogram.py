"""A histogram as a frozen value with every part that ROOT accumulates, and the values and errors of its bins."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from owtrend.display import Display, Displayed
from owtrend.errors import DimsError
from owtrend.model import root_sums
from owtrend.model.axis import Axis, rearranged
from owtrend.model.hist_conversion import as_hist, axis_from_hist, parts_from_hist

if TYPE_CHECKING:
    import hist

__all__ = [
    "DTYPES", "ERROR_OPTIONS", "Histogram", "Path", "bin_values", "bin_variances", "display_name",
    "effective_entries", "unfold",
]  # fmt: skip

Path = tuple[str, ...]
# The type of the bins by the last letter of the class.
DTYPES: Mapping[str, Any] = MappingProxyType(
    {"C": np.int8, "S": np.int16, "I": np.int32, "L": np.int64, "F": np.float32, "D": np.float64}
)
ERROR_OPTIONS = ("", "s", "i", "g")  # EErrorType of TProfile, in its order


def display_name(path: Path) -> str:
    """Displayed name: the path's parts joined by ``/``."""
    return "/".join(path)


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Histogram(Displayed):
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
        True if the bins are averages or states (``TH1::kIsAverage``), which must not be differenced.
    """

    path: Path
    class_name: str
    axes: tuple[Axis, ...]
    parts: Mapping[str, NDArray[Any]]
    sums: Mapping[str, float]
    title: str = ""
    error_option: str = ""
    gauge: bool = False

    def _display(self) -> Display:
        axes = {
            f"axis {letter}": axis.text + (f", {axis.title}" if axis.title else "")
            for letter, axis in zip("xyz", self.axes, strict=False)
        }
        facts = {"title": self.title} if self.title else {}
        entries = f"{self.sums.get('entries', 0):,.0f} entries"
        return Display(
            f"{self.class_name} {self.name}, {entries}{', a gauge' if self.gauge else ''}", facts | axes,
            ["histogram.to_hist()  # a hist.Hist: .plot(), .project(...)", "histogram.values()  # a NumPy array",
             "owtrend.to_xarray(histogram)  # as an archive shows it: owtrend.project, owtrend.compare"],
        )  # fmt: skip

    def to_hist(self) -> "hist.Hist[Any]":
        """Convert to a `hist.Hist` with flow bins, and with weights where sumw2 is kept; a profile has mean storage.

        Class, sums and option, for which hist has no place, go into its ``metadata``; `from_hist` reads them there. The
        ``variances()`` of a profile are hist's own, of the mean of a sample: with spread s and n effective entries
        s**2 / (n - 1), whatever the option; those of ROOT are in `variances`.
        """
        parts = {name: self.part(name) for name in self.parts}
        kept = {
            "class_name": self.class_name, "sums": dict(self.sums), "error_option": self.error_option,
            "gauge": self.gauge,
        }  # fmt: skip
        return as_hist(self.axes, parts, flow=True, title=self.title, kept=kept)

    @classmethod
    def from_hist(cls, histogram: "hist.Hist[Any]", path: Path | str) -> Self:
        """Convert a `hist.Hist` with regular, variable, integer or category axes.

        From `to_hist` the same histogram comes back (a profile to the last digits). In any other, missing flow bins are
        zero, and the sums are those of the bins at their centres (``TH1::ResetStats``). Contents that the type of the
        class does not hold get TH*D or TH*L.

        Raises
        ------
        DimsError
            If it has more than three axes, or a kind of storage or axis that ROOT lacks.
        """
        axes = tuple(axis_from_hist(axis) for axis in histogram.axes)
        if not 1 <= len(axes) <= 3:
            raise DimsError(f"a hist.Hist of {len(axes)} axes; histograms here have one to three")
        parts = parts_from_hist(histogram)
        kept: dict[str, Any] = histogram.metadata if isinstance(histogram.metadata, dict) else {}
        if "parts" in kept and set(kept["parts"]) < set(parts):
            parts = {name: parts[name] for name in kept["parts"]}
        profile = "sumwy" in parts
        letter = "L" if not profile and parts["contents"].dtype.kind == "i" else "D"
        natural = "TProfile" + ("" if len(axes) == 1 else f"{len(axes)}D") if profile else f"TH{len(axes)}{letter}"
        class_name = kept.get("class_name", natural)
        if not profile and class_name[-1] in DTYPES:
            with np.errstate(invalid="ignore", over="ignore"):
                cast = parts["contents"].astype(DTYPES[class_name[-1]])
            if np.array_equal(cast, parts["contents"], equal_nan=True):
                parts["contents"] = cast
            else:
                class_name = natural
        return cls(
            path=(path,) if isinstance(path, str) else path,
            class_name=class_name,
            axes=axes,
            parts=parts,
            sums=kept.get("sums") or _sums_from_bins(axes, parts),
            title=str(histogram.label or ""),
            error_option=kept.get("error_option", ""),
            gauge=kept.get("gauge", False),
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
        """Hash (16 bytes) of class, binning, parts and sums, not of the title."""
        hasher = xxhash.xxh3_128(self._frame)
        for name, part in self.parts.items():
            hasher.update(f"{name}{part.dtype.str}{len(part)}".encode())
            hasher.update(np.ascontiguousarray(part).data)
        hasher.update(np.array(list(self.sums.values())).data)
        return hasher.digest()

    @cached_property
    def _frame(self) -> bytes:
        """All that the digest covers except the numbers."""
        frame = repr((self.class_name, self.error_option, self.gauge, tuple(self.sums))).encode()
        return b"".join([frame, *(axis.hashed for axis in self.axes)])

    def on(self, axes: tuple[Axis, ...]) -> Self:
        """The same histogram on axes that it has in common with others (`owtrend.model.axis.common`).

        Contents become float64, for bins are added.
        """
        if axes == self.axes:
            return self
        doubles = {name: part.astype(np.float64)[None] for name, part in self.parts.items()}
        parts = {name: rearranged(part, self.axes, axes)[0] for name, part in doubles.items()}
        class_name = f"{self.class_name[:-1]}D" if "contents" in parts else self.class_name
        return replace(self, class_name=class_name, axes=axes, parts=parts)

    def refilled(self, parts: Mapping[str, NDArray[Any]], sums: Mapping[str, float]) -> Self:
        """The same histogram with other numbers; cheaper than a new one."""
        result = object.__new__(type(self))
        vars(result).update(vars(self), parts=parts, sums=sums, _frame=self._frame)
        vars(result).pop("digest", None)
        return result


def unfold(flat: NDArray[Any], shape: tuple[int, ...], flow: bool) -> NDArray[Any]:
    """ROOT's flat bins, x fastest, as an array ``(..., x[, y[, z]])``; without the flow bins if not ``flow``."""
    leading = flat.shape[:-1]
    folded = flat.reshape(*leading, *reversed(shape))
    order = [*range(len(leading)), *reversed(range(len(leading), folded.ndim))]
    inner = slice(None) if flow else slice(1, -1)
    index: tuple[Any, ...] = (..., *(inner,) * len(shape))
    return folded.transpose(order)[index]


def _sums_from_bins(axes: tuple[Axis, ...], parts: Mapping[str, NDArray[Any]]) -> dict[str, float]:
    shape = tuple(len(axis) + 2 for axis in axes)
    inside = {name: unfold(part, shape, False) for name, part in parts.items()}
    return root_sums.from_bins(axes, inside, parts["bin_entries" if "bin_entries" in parts else "contents"].sum())


def effective_entries(sumw: NDArray[Any], sumw2: NDArray[Any] | None) -> NDArray[np.float64]:
    """``sumw**2 / sumw2`` per bin (``TH1::GetEffectiveEntries``), ``sumw`` where sumw2 is not kept, 0 where empty."""
    total = np.asarray(sumw, dtype=np.float64)
    if sumw2 is None:
        return total
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        return np.where(np.asarray(sumw2) == 0, 0.0, total**2 / sumw2)


def bin_values(parts: Mapping[str, Any]) -> Any:
    """Contents, or ``sumwy / bin_entries`` of a profile (NaN where empty), from additive parts of any shape."""
    if "contents" in parts:
        return parts["contents"]
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
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
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if error_option == "g":
            variance = 1 / entries
        else:
            spread2 = abs(parts["sumwy2"] / entries - (parts["sumwy"] / entries) ** 2)
            effective = entries**2 / parts["bin_sumw2"] if "bin_sumw2" in parts else entries
            variance = spread2 if error_option == "s" else spread2 / effective
            if error_option == "i":
                variance = np.where(spread2 == 0, 1 / (12 * effective), variance)
        return np.where(entries == 0, 0.0, variance)
