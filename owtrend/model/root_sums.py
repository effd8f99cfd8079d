"""ROOT's statistics: the sums of weights, and of weights times coordinates, that it keeps at fill time.

``tsumw`` is the sum of weights, ``tsumw2`` of their squares, ``tsumwx`` of weight times x, ``tsumwx2`` of weight times
x squared, ``tsumwxy`` of weight times x times y. A profile's quantity has the letter after those of its axes: y, z, t.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from owtrend.model.axis import Axis

__all__ = ["are_lost", "from_bins", "from_marginals", "letters_of", "moments", "names", "quantity", "weight_terms"]


def quantity(dimension: int) -> str:
    """The letter of a profile's quantity, which follows those of its axes."""
    return "yzt"[dimension - 1]


def names(dimension: int, *, profile: bool = False, mixed: bool = True) -> list[str]:
    """All statistics of a histogram, ``entries`` first; without those of two axes if not ``mixed``."""
    letters = "xyz"[:dimension]
    found = ["entries", "tsumw", "tsumw2", *(f"tsumw{letter}{power}" for letter in letters for power in ("", "2"))]
    if mixed:
        found += [f"tsumw{a}{b}" for a, b in combinations(letters, 2)]
    if profile:
        found += [f"tsumw{quantity(dimension)}{power}" for power in ("", "2")]
    return found


def letters_of(name: str) -> str:
    """The coordinates in the name of a statistic: ``"xy"`` of ``tsumwxy``, ``"x"`` of ``tsumwx2``."""
    found = re.fullmatch(r"tsumw([xyzt]*)2?", name)
    return found[1] if found else ""


def are_lost(sums: Mapping[str, Any]) -> Any:
    """True where ROOT kept no statistics though there are entries, as after ``SetBinContent``."""
    return (sums["tsumw"] == 0) & (sums["entries"] > 0)


def moments(letter: str, weight: Any, x: Any) -> dict[str, Any]:
    """Terms of the statistics of one coordinate, per fill or bin."""
    return {f"tsumw{letter}": weight * x, f"tsumw{letter}2": weight * x * x}


def weight_terms(weight: Any, weight2: Any, coordinates: Sequence[Any]) -> dict[str, Any]:
    """Terms that each fill, or each bin at its centre, adds to the statistics, by name; without entries.

    Parameters
    ----------
    weight, weight2
        Weights and their squares, or of bins the sums of these.
    coordinates
        One array per axis, in the shape of ``weight``.
    """
    terms = {"tsumw": weight, "tsumw2": weight2}
    for number, (letter, x) in enumerate(zip("xyz", coordinates, strict=False)):
        terms |= moments(letter, weight, x)
        for before in range(number):
            terms[f"tsumw{'xyz'[before]}{letter}"] = weight * coordinates[before] * x
    return terms


def from_bins(axes: Sequence[Axis], parts: Mapping[str, NDArray[Any]], entries: float) -> dict[str, float]:
    """Statistics from the bins in range at their centres (``TH1::ResetStats``).

    Parameters
    ----------
    parts
        Additive parts as in `owtrend.Histogram`, shape ``(x[, y[, z]])``, flow bins left out.
    """
    inside = {name: np.asarray(part, dtype=np.float64) for name, part in parts.items()}
    weight = inside["bin_entries"] if "bin_entries" in inside else inside["contents"]
    weight2 = inside.get("bin_sumw2", inside.get("sumw2", abs(weight)))
    terms = weight_terms(weight, weight2, np.meshgrid(*[axis.centres for axis in axes], indexing="ij"))
    if "sumwy" in parts:
        letter = quantity(len(axes))
        terms |= {f"tsumw{letter}": inside["sumwy"], f"tsumw{letter}2": inside["sumwy2"]}
    return {"entries": float(entries)} | {name: float(term.sum()) for name, term in terms.items()}


def from_marginals(weight: NDArray[Any], centres: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    """Statistics of weights alone from bins in range, without ``entries`` and ``tsumw2``.

    Sums over the other axes first, so it is faster than `from_bins`; the last digits may differ.

    Parameters
    ----------
    weight
        Shape ``([z, [y,]] x)``, flow bins left out.
    centres
        Bin centres of x, y, z.
    """
    by_letter = dict(zip("xyz", centres, strict=False))
    dims = {letter: weight.ndim - 1 - number for number, letter in enumerate(by_letter)}
    along = {a: weight.sum(axis=tuple(dims[b] for b in by_letter if b != a)) for a in by_letter}
    sums = {"tsumw": float(weight.sum())}
    for letter, x in by_letter.items():
        sums |= {f"tsumw{letter}": float(along[letter] @ x), f"tsumw{letter}2": float(along[letter] @ x**2)}
    for a, b in combinations(by_letter, 2):
        plane = weight.sum(axis=tuple(dims[c] for c in by_letter if c not in (a, b)))
        sums[f"tsumw{a}{b}"] = float(by_letter[b] @ plane @ by_letter[a])
    return sums
