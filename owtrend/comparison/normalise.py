"""A histogram and its reference brought together: in the same bins, scaled, each bin with its pull."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.pair import CHI2_KINDS, Contents, Pair
from owtrend.comparison.pulls import PULLS, content_pulls, facing_variances, value_pulls
from owtrend.errors import DimsError, UsageError
from owtrend.histograms.labelled import matched, to_xarray, values
from owtrend.model import schema
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram, Path
from owtrend.model.snapshot import Snapshot

__all__ = ["NORMALISE", "Options", "Reference", "paired", "reference_histogram", "together", "without_flow"]

Floats = NDArray[np.float64]
NORMALISE = ("integral", "entries", "events", "range", "robust", "none")


class Reference(Protocol):
    """Several slices of a subsystem, such as `owtrend.comparison.reference.Reference`."""

    def histogram(self, name: Path | str) -> Histogram:
        """All slices of a histogram as one."""
        ...


def reference_histogram(
    reference: "xr.Dataset | Histogram | Snapshot | Reference", histogram: xr.Dataset
) -> xr.Dataset:  # fmt: skip
    """The histogram of a reference that has the name of ``histogram``."""
    if isinstance(reference, xr.Dataset):
        return reference
    if isinstance(reference, Histogram):
        return to_xarray(reference)
    name = histogram.attrs.get("path") or histogram.attrs.get("name", "")
    return to_xarray(reference[name] if isinstance(reference, Snapshot) else reference.histogram(name))


def together(
    histogram: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference"
) -> tuple[xr.Dataset, xr.Dataset]:  # fmt: skip
    """A histogram and the one of its name in a reference, in the same bins."""
    found = reference_histogram(reference, histogram)
    for one in (histogram, found):
        if "value" not in one:
            schema.require_histogram(one, rows=None)
    return matched(histogram, found)


@dataclass(frozen=True)
class Options:
    """Options of `owtrend.compare` that decide the scale and the pulls, checked against each other."""

    normalise: str
    events: tuple[Any, Any] | None
    within: Mapping[str, tuple[float, float]]
    pull: str | None
    chi2: str | None
    tolerance: float
    limit: float
    component: xr.DataArray | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("normalise", self.normalise, NORMALISE), ("pull", self.pull, (None, *PULLS)),
            ("chi2", self.chi2, (None, *CHI2_KINDS)),
        ):  # fmt: skip
            if value not in known:
                raise UsageError(f"{name}={value!r}: expected one of {', '.join(filter(None, known))}")
        if (self.normalise == "events") != (self.events is not None):
            raise UsageError("normalise='events' needs events=(of the slice, of the reference), and the reverse")
        if (self.normalise == "range") != bool(self.within):
            raise UsageError("normalise='range' needs within={'x': (low, high)}, and the reverse")
        if self.component is not None and self.normalise not in ("integral", "robust"):
            raise UsageError(
                f"component= needs a scale per component, normalise={self.normalise!r} has one for all; leave out one "
                "of the two, or use normalise='integral' or 'robust'"
            )


def paired(histogram: xr.Dataset, reference: xr.Dataset, options: Options) -> tuple[Pair, tuple[str, ...], str]:
    """Pair of both in range, scaled and with pulls; dims of the rows; method of the pulls."""
    schema.require_same_bins(histogram, reference)
    dims = schema.axes_of(histogram)
    rows = tuple(str(dim) for dim in (schema.TIME, schema.SNAPSHOT) if dim in histogram.dims)
    if {schema.TIME, schema.SNAPSHOT} & set(reference.dims):
        raise DimsError(
            f"{reference.attrs.get('name')}: a reference has one row; choose it by .isel or owtrend.time_slice"
        )
    histogram, reference = without_flow(histogram).load(), without_flow(reference).load()
    axes = tuple(
        Axis(np.append(histogram[f"{name}_left"].values, histogram[f"{name}_right"].values[-1]), regular=False)
        for name in dims
    )
    data, variance = _numbers(histogram, (*rows, *dims))
    if not rows:
        data, variance = data[None], variance[None]
    contents = Contents(data, variance, *_numbers(reference, dims))
    kind = _kind(histogram, reference)
    if kind == "values":
        scale, scale_known, pull = np.ones((len(data), 1)), True, "gauss"
        intervals = all("lower" in one for one in (histogram, reference))
        pulls = value_pulls(facing_variances(histogram, reference, contents, (*rows, *dims)) if intervals else contents)
        entries = np.full(len(data), np.nan)
        component = np.zeros(contents.reference.size, dtype=np.intp)
    else:
        entries = np.atleast_1d(_entries(histogram))
        pull = (options.pull or "beta_binomial") if kind == "UU" else "gauss"
        if options.pull not in (None, pull):
            raise UsageError(
                f"pull={options.pull!r} is for counts; {histogram.attrs.get('name')} has weights: leave it out"
            )
        scale_known = options.normalise in ("events", "none")
        component = _components(histogram, dims, options.component)
        if options.component is None:
            one_scale = _scale(contents, entries, _entries(reference), axes, options)
            pulls = _pulls(contents, one_scale, pull, options)
            scale = one_scale[:, None]
        else:
            scale, pulls = _pulls_by_component(contents, component, pull, options)
    chi2_kind = options.chi2 or kind
    pair = Pair(*contents, scale, pulls, entries, axes, kind, chi2_kind, scale_known, component)
    return pair, rows, pull


def without_flow(histogram: xr.Dataset) -> xr.Dataset:
    """The histogram without flow bins."""
    if not histogram.attrs.get("flow"):
        return histogram
    return histogram.isel(dict.fromkeys(schema.axes_of(histogram), slice(1, -1)))


def _numbers(histogram: xr.Dataset, dims: tuple[str, ...]) -> tuple[Floats, Floats]:
    """Contents and squared errors as float64."""
    if "value" in histogram:
        value, variance = histogram["value"], histogram["error"] ** 2
    else:
        both = values(histogram)
        value, variance = both["value"], both["variance"]
    content, squared = (
        np.ascontiguousarray(array.transpose(*dims).values, dtype=np.float64) for array in (value, variance)
    )
    return content, squared


def _entries(histogram: xr.Dataset) -> Floats:
    return np.asarray(histogram["sums"].sel(sum="entries").values, dtype=np.float64)


def _kind(histogram: xr.Dataset, reference: xr.Dataset) -> str:
    """The `Pair.kind` of both."""
    if "contents" not in histogram:
        return "values"
    counts, reference_counts = _are_counts(histogram), _are_counts(reference)
    return "UU" if counts and reference_counts else "UW" if counts else "WW"


def _are_counts(histogram: xr.Dataset) -> bool:
    """True if the contents are whole numbers that are their own squared errors."""
    contents = histogram["contents"].values
    if "sumw2" in histogram and (histogram["sumw2"].values != contents).any():
        return False
    return contents.dtype.kind in "iu" or bool((contents == np.rint(contents)).all())


def _scale(
    contents: Contents, entries: Floats, reference_entries: Floats, axes: tuple[Axis, ...], options: Options
) -> Floats:
    """Factor of the reference in each row."""
    rows = len(contents.data)
    if options.normalise == "none":
        return np.ones(rows)
    if options.events is not None:
        seen, reference_seen = (np.asarray(number, dtype=np.float64) for number in options.events)
        if (
            seen.ndim > 1
            or seen.size not in (1, rows)
            or reference_seen.size != 1
            or not reference_seen > 0
            or (seen < 0).any()
        ):
            raise UsageError(
                f"events={options.events}: expected the number of events of the slice, or one for each of its {rows} "
                "rows, and that of the reference"
            )
        return np.broadcast_to(seen / reference_seen, rows).copy()
    if options.normalise == "entries":
        above, below = entries, reference_entries
    else:
        inside = np.ones(contents.reference.shape, dtype=bool)
        for letter, (low, high) in options.within.items():
            if letter not in schema.AXES[: len(axes)]:
                raise UsageError(f"within: no axis {letter!r}")
            number = schema.AXES.index(letter)
            centres = axes[number].centres
            chosen = (centres > low) & (centres < high)
            if not chosen.any():
                raise UsageError(f"within: no bin of {letter} is in [{low:g}, {high:g}]")
            inside &= chosen.reshape(-1, *(1,) * (len(axes) - 1 - number))
        above, below = contents.data[:, inside].sum(axis=1), contents.reference[inside].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, 1.0, above / below)


def _components(histogram: xr.Dataset, dims: tuple[str, ...], component: xr.DataArray | None) -> NDArray[np.intp]:
    """Component of each bin in range, flat, numbered from 0 in the order of the given numbers."""
    shape = tuple(histogram.sizes[dim] for dim in dims)
    if component is None:
        return np.zeros(int(np.prod(shape)), dtype=np.intp)
    if (
        set(component.dims) != set(dims)
        or component.transpose(*dims).shape != shape
        or component.dtype.kind not in "iu"
    ):
        raise UsageError(
            f"component: expected a whole number for each of the {' x '.join(map(str, shape))} bins in range of "
            f"{histogram.attrs.get('name')}, got {component.dtype} of {dict(component.sizes)}"
        )
    _, numbers = np.unique(component.transpose(*dims).values.ravel(), return_inverse=True)
    return numbers.astype(np.intp)


def _pulls_by_component(
    contents: Contents, component: NDArray[np.intp], pull: str, options: Options
) -> tuple[Floats, Floats]:
    """Scales ``(time, component)`` and pulls, each component compared with its own part of the reference."""
    rows = len(contents.data)
    flat, variance = contents.data.reshape(rows, -1), contents.variance.reshape(rows, -1)
    scale, pulls = np.ones((rows, component.max() + 1)), np.empty_like(flat)
    for number in range(component.max() + 1):
        cells = np.flatnonzero(component == number)
        part = Contents(
            flat[:, cells], variance[:, cells], contents.reference.ravel()[cells],
            contents.reference_variance.ravel()[cells],
        )  # fmt: skip
        if part.reference.sum() != 0:
            scale[:, number] = part.data.sum(axis=1) / part.reference.sum()
        pulls[:, cells] = _pulls(part, scale[:, number], pull, options)
    return scale, pulls.reshape(contents.data.shape)


def _pulls(contents: Contents, scale: Floats, pull: str, options: Options) -> Floats:
    """Pulls of contents; for ``robust`` with the scale of the bins that agree, which is written into ``scale``."""
    by_total = options.normalise in ("integral", "robust") and bool(contents.reference.sum())
    pulls = content_pulls(contents, scale, pull, options.tolerance, by_total=by_total)
    if options.normalise == "robust" and by_total:
        for row in range(len(contents.data)):
            chosen = slice(row, row + 1)
            one_row = contents._replace(data=contents.data[chosen], variance=contents.variance[chosen])
            scale[row], pulls[row] = _robust(one_row, pull, options)
    return pulls


def _robust(contents: Contents, pull: str, options: Options) -> tuple[float, Floats]:
    """Scale of the bins that agree in one row, and the pulls with it.

    The worst bins are left out until no other is beyond the limit.
    """
    data, reference = contents.data, contents.reference
    agree = np.ones(reference.shape, dtype=bool)
    for _ in range(20):
        scale = np.array([data[0, agree].sum() / reference[agree].sum()])
        pulls = content_pulls(contents, scale, pull, options.tolerance, by_total=bool(agree.all()))[0]
        size = np.abs(np.nan_to_num(pulls))
        worst = size[agree].max()
        if worst <= options.limit:
            break
        kept = (agree & (size <= max(options.limit, worst / 2))) | (~agree & (size <= options.limit))
        if reference[kept].sum() < reference.sum() / 2 or (kept == agree).all():
            break
        agree = kept
    return float(scale[0]), pulls
