"""One axis of a histogram: bin edges, title and labels."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.display import Display, Displayed

__all__ = ["Axis"]


@dataclass(frozen=True, slots=True)
class Traits:
    """UHI axis traits."""

    circular: bool = False
    discrete: bool = False


@dataclass(frozen=True, eq=False, repr=False)
class Axis(Displayed):
    """One axis of a histogram: its bin edges, title and labels.

    Follows the UHI axis protocol: a sequence of ``(lower, upper)`` per bin, flow bins excluded.

    Parameters
    ----------
    edges
        Bin edges, shape ``(bins + 1,)``, increasing.
    regular
        True if ROOT keeps the bins as equally wide (``fXbins`` empty).
    title
        ROOT's axis title.
    labels
        ``{bin number: label}`` with ROOT's numbers (the first bin is 1); a bin may have none.
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
        """Bin centres, flow bins excluded."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def _display(self) -> Display:
        labels = f"; {len(self.labels)} labels" if self.labels else ""
        title = f", {self.title}" if self.title else ""
        return Display(
            f"{self.text}{title}{labels}", next=["axis.edges  # len(axis) + 1 of them", "axis.centres", "axis.labels"]
        )

    @property
    def text(self) -> str:
        """Bins and range: ``48 bins, -1 to 1``."""
        return f"{len(self)} bins, {self.edges[0]:.6g} to {self.edges[-1]:.6g}"

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
        """Identity of the binning: edges and labels, not the title."""
        return len(self), self.regular, self.edges.tobytes(), tuple(sorted(self.labels.items()))

    @cached_property
    def hashed(self) -> bytes:
        """The binning, as it goes into a digest."""
        return repr((len(self), self.regular, sorted(self.labels.items()))).encode() + self.edges.tobytes()

    def matches(self, other: "Axis") -> bool:
        """True if its bins can be matched with those of another: by their edges, or by label where both have labels."""
        return np.array_equal(self.edges, other.edges) or bool(self.labels and other.labels)

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
        """The axis written by `to_dict`."""
        title = schema["metadata"]["title"]
        labels = {int(k): v for k, v in schema["metadata"]["labels"].items()}
        if schema["type"] == "regular":
            edges = cls.spaced(schema["bins"], schema["lower"], schema["upper"]).edges
            return cls(edges, title=title, labels=labels)
        return cls(np.asarray(schema["edges"], dtype=np.float64), regular=False, title=title, labels=labels)
