"""A histogram and its reference brought together: in the same bins, scaled, each bin with its pull."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.pair import TESTS, Pair
from owtrend.errors import DimsError, UsageError
from owtrend.histograms.labelled import to_xarray, values
from owtrend.kernels.two_sample import beta_binomial
from owtrend.kernels.two_sample import statistics as kernels
from owtrend.model import schema
from owtrend.model.axis import Axis
from owtrend.model.histogram import Histogram, Path
from owtrend.model.snapshot import Snapshot

__all__ = ["NORMALISE", "PULLS", "Reference", "Setting", "beta_binomial_pulls", "inner", "paired", "same"]

Floats = NDArray[np.float64]
NORMALISE = ("integral", "entries", "events", "range", "robust", "none")
PULLS = ("beta_binomial", "exact", "poisson", "gauss")
ONE_SIGMA = 0.682689492137  # what an interval holds where it does not say


class Reference(Protocol):
    """Several slices of a subsystem, such as `owtrend.comparison.reference.Reference`."""

    def histogram(self, name: Path | str) -> Histogram:
        """All slices of a histogram as one."""
        ...


def same(reference: "xr.Dataset | Histogram | Snapshot | Reference", one: xr.Dataset) -> xr.Dataset:
    """The histogram of a reference that one is compared with."""
    if isinstance(reference, xr.Dataset):
        return reference
    if isinstance(reference, Histogram):
        return to_xarray(reference)
    name = one.attrs.get("path") or one.attrs.get("name", "")
    return to_xarray(reference[name] if isinstance(reference, Snapshot) else reference.histogram(name))


@dataclass(frozen=True)
class Setting:
    """How to compare."""

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
            ("chi2", self.chi2, (None, *TESTS)),
        ):  # fmt: skip
            if value not in known:
                raise UsageError(f"{name}={value!r}: expected one of {', '.join(filter(None, known))}")
        if (self.normalise == "events") != (self.events is not None):
            raise UsageError("normalise='events' and events=(of the slice, of the reference) belong together")
        if (self.normalise == "range") != bool(self.within):
            raise UsageError("normalise='range' and within={'x': (low, high)} belong together")
        if self.component is not None and self.normalise not in ("integral", "robust"):
            raise UsageError(
                f"component= scales each component by what it has, normalise={self.normalise!r} all of them by one "
                "number; leave out one of both"
            )


def paired(one: xr.Dataset, other: xr.Dataset, setting: Setting) -> tuple[Pair, tuple[str, ...], str]:
    """Arrays of both in range, the reference's scale, and the pulls; dims of the rows; how the pulls were made."""
    for histogram in (one, other):
        if "value" not in histogram:
            schema.require_histogram(histogram, rows=None)
    schema.require_same_bins(one, other)
    dims = schema.axes_of(one)
    rows = tuple(str(dim) for dim in (schema.TIME, schema.SNAPSHOT) if dim in one.dims)
    if {schema.TIME, schema.SNAPSHOT} & set(other.dims):
        raise DimsError(f"{other.attrs.get('name')}: a reference has one row; choose it by .isel or owtrend.time_slice")
    one, reference = inner(one).load(), inner(other).load()
    axes = tuple(
        Axis(np.append(one[f"{name}_left"].values, one[f"{name}_right"].values[-1]), regular=False) for name in dims
    )
    data, variance = _numbers(one, (*rows, *dims))
    its, its_variance = _numbers(reference, dims)
    if not rows:
        data, variance = data[None], variance[None]
    kind = _kind(one, reference)
    if kind == "values":
        scale, known, used = np.ones((len(data), 1)), True, "gauss"
        errors: Sequence[Floats] = (variance, its_variance)
        if all("lower" in histogram for histogram in (one, reference)):
            errors = _facing(one, reference, data, its, (*rows, *dims))
        pulls = _value_pulls(data, errors[0], its, errors[1])
        entries = np.full(len(data), np.nan)
        of = np.zeros(its.size, dtype=np.intp)
    else:
        entries = np.atleast_1d(_entries(one))
        used = (setting.pull or "beta_binomial") if kind == "UU" else "gauss"
        if setting.pull not in (None, used):
            raise UsageError(f"pull={setting.pull!r} is of counts; {one.attrs.get('name')} has weights: leave it out")
        known = setting.normalise in ("events", "none")
        of = _components(one, dims, setting.component)
        if setting.component is None:
            scale = _scale(data, its, entries, _entries(reference), axes, setting)
            pulls = _settled(data, variance, its, its_variance, scale, used, setting)
            scale = scale[:, None]
        else:
            scale, pulls = _by_component(of, data, variance, its, its_variance, used, setting)
    test = setting.chi2 or kind
    pair = Pair(data, variance, its, its_variance, scale, pulls, entries, axes, kind, test, known, of)
    return pair, rows, used


def inner(histogram: xr.Dataset) -> xr.Dataset:
    """Without flow bins."""
    if not histogram.attrs.get("flow"):
        return histogram
    return histogram.isel(dict.fromkeys(schema.axes_of(histogram), slice(1, -1)))


def _numbers(histogram: xr.Dataset, dims: tuple[str, ...]) -> tuple[Floats, Floats]:
    if "value" in histogram:
        value, variance = histogram["value"], histogram["error"] ** 2
    else:
        both = values(histogram)
        value, variance = both["value"], both["variance"]
    found, squared = (
        np.ascontiguousarray(array.transpose(*dims).values, dtype=np.float64) for array in (value, variance)
    )
    return found, squared


def _entries(histogram: xr.Dataset) -> Floats:
    return np.asarray(histogram["sums"].sel(sum="entries").values, dtype=np.float64)


def _kind(one: xr.Dataset, reference: xr.Dataset) -> str:
    if "contents" not in one:
        return "values"
    plain = [_plain(histogram) for histogram in (one, reference)]
    return "UU" if all(plain) else "UW" if plain[0] else "WW"


def _plain(histogram: xr.Dataset) -> bool:
    """Whether the contents are counts: whole numbers with no other squared errors."""
    contents = histogram["contents"].values
    if "sumw2" in histogram and (histogram["sumw2"].values != contents).any():
        return False
    return contents.dtype.kind in "iu" or bool((contents == np.rint(contents)).all())


def _value_pulls(value: Floats, variance: Floats, its: Floats, its_variance: Floats) -> Floats:
    """(value - reference) / error, NaN where there is no value or no error."""
    with np.errstate(divide="ignore", invalid="ignore"):
        pull = (value - its) / np.sqrt(variance + its_variance)
    return np.where(np.isinf(pull), np.nan, pull)


def _facing(one: xr.Dataset, other: xr.Dataset, value: Floats, its: Floats, dims: tuple[str, ...]) -> list[Floats]:
    """Variances of efficiencies by the ends of their intervals that face each other."""
    made = []
    for histogram, own, upper in ((one, value, its > value), (other, its, value > its)):
        kept = [dim for dim in dims if dim in histogram.dims]
        low, high = (histogram[end].transpose(*kept).values for end in ("lower", "upper"))
        sigmas = beta_binomial.normal_quantile(np.log((1 - histogram.attrs.get("level", ONE_SIGMA)) / 2))
        made.append((np.where(upper, high - own, own - low) / sigmas) ** 2)
    return made


def _scale(
    data: Floats, its: Floats, entries: Floats, its_entries: Floats, axes: tuple[Axis, ...], setting: Setting
) -> Floats:
    """What the reference is to be multiplied by in each row."""
    rows = len(data)
    if setting.normalise == "none":
        return np.ones(rows)
    if setting.events is not None:
        seen, its_seen = (np.asarray(number, dtype=np.float64) for number in setting.events)
        if seen.ndim > 1 or seen.size not in (1, rows) or its_seen.size != 1 or not its_seen > 0 or (seen < 0).any():
            raise UsageError(
                f"events={setting.events}: expected how many the slice saw, or one for each of its {rows} rows, and "
                "how many the reference"
            )
        return np.broadcast_to(seen / its_seen, rows).copy()
    if setting.normalise == "entries":
        above, below = entries, its_entries
    else:
        inside = np.ones(its.shape, dtype=bool)
        for letter, (low, high) in setting.within.items():
            if letter not in schema.AXES[: len(axes)]:
                raise UsageError(f"within: no axis {letter!r}")
            number = schema.AXES.index(letter)
            centres = axes[number].centres
            chosen = (centres > low) & (centres < high)
            if not chosen.any():
                raise UsageError(f"within: no bin of {letter} is in [{low:g}, {high:g}]")
            inside &= chosen.reshape(-1, *(1,) * (len(axes) - 1 - number))
        above, below = data[:, inside].sum(axis=1), its[inside].sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(below == 0, 1.0, above / below)


def _pulls(
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, scale: Floats, how: str, setting: Setting,
    *, by_total: bool,
) -> Floats:  # fmt: skip
    rows = len(data)
    flat, flat_variance = data.reshape(rows, -1), variance.reshape(rows, -1)
    if how == "beta_binomial":
        pulls = beta_binomial_pulls(flat, its.ravel(), its.sum(), scale, setting.tolerance, by_total=by_total)
    elif how != "gauss":
        pulls = (kernels.exact_pulls if how == "exact" else kernels.asymmetric_pulls)(flat, its.ravel(), scale)
    if how == "gauss" or np.isnan(pulls).any():  # an entry moved away: fewer counts than none
        gauss = kernels.gauss_pulls(flat, flat_variance, its.ravel(), its_variance.ravel(), scale)
        pulls = gauss if how == "gauss" else np.where(np.isnan(pulls), gauss, pulls)
    return pulls.reshape(data.shape)


def beta_binomial_pulls(
    data: Floats, its: Floats, its_total: float, scale: Floats, tolerance: float, *, by_total: bool
) -> Floats:
    total = max(float(its_total), 1.0)  # of an empty reference any will do
    believed, wholes = beta_binomial.shrunk(its, total, tolerance)
    amount = data.sum(axis=1) if by_total else scale * total
    data = np.ascontiguousarray(data)
    made: Floats = beta_binomial.beta_binomial(data, amount, believed, wholes, by_total, beta_binomial.log_factorials())
    return made


def _components(one: xr.Dataset, dims: tuple[str, ...], component: xr.DataArray | None) -> NDArray[np.intp]:
    """Of each bin in range, flat: which of the numbers of ``component``, in order, it has."""
    shape = tuple(one.sizes[dim] for dim in dims)
    if component is None:
        return np.zeros(int(np.prod(shape)), dtype=np.intp)
    if (
        set(component.dims) != set(dims)
        or component.transpose(*dims).shape != shape
        or component.dtype.kind not in "iu"
    ):
        raise UsageError(
            f"component: expected a whole number for each of the {' x '.join(map(str, shape))} bins in range of "
            f"{one.attrs.get('name')}, got {component.dtype} of {dict(component.sizes)}"
        )
    _, of = np.unique(component.transpose(*dims).values.ravel(), return_inverse=True)
    return of.astype(np.intp)


def _by_component(
    of: NDArray[np.intp], data: Floats, variance: Floats, its: Floats, its_variance: Floats, how: str,
    setting: Setting,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Scales ``(time, component)`` and pulls, each component beside its own part of the reference."""
    rows = len(data)
    flat, flat_variance = data.reshape(rows, -1), variance.reshape(rows, -1)
    scale, pulls = np.ones((rows, of.max() + 1)), np.empty_like(flat)
    for number in range(of.max() + 1):
        cells = np.flatnonzero(of == number)
        own = flat[:, cells], flat_variance[:, cells], its.ravel()[cells], its_variance.ravel()[cells]
        if own[2].sum() != 0:
            scale[:, number] = own[0].sum(axis=1) / own[2].sum()
        pulls[:, cells] = _settled(*own, scale[:, number], how, setting)
    return scale, pulls.reshape(data.shape)


def _settled(
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, scale: Floats, how: str, setting: Setting
) -> Floats:
    """The pulls; for ``robust`` with another scale, which replaces that in ``scale``."""
    fixed = setting.normalise in ("integral", "robust") and bool(its.sum())
    pulls = _pulls(data, variance, its, its_variance, scale, how, setting, by_total=fixed)
    if setting.normalise == "robust" and fixed:
        for row in range(len(data)):
            own = data[row : row + 1], variance[row : row + 1]
            scale[row], pulls[row] = _robust(*own, its, its_variance, how, setting)
    return pulls


def _robust(
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, how: str, setting: Setting
) -> tuple[float, Floats]:
    """Scale of the bins that agree, and the pulls with it: the worst are left out until none is beyond the limit."""
    agree = np.ones(its.shape, dtype=bool)
    for _ in range(20):
        scale = np.array([data[0, agree].sum() / its[agree].sum()])
        pulls = _pulls(data, variance, its, its_variance, scale, how, setting, by_total=bool(agree.all()))[0]
        size = np.abs(np.nan_to_num(pulls))
        worst = size[agree].max()
        if worst <= setting.limit:
            break
        kept = (agree & (size <= max(setting.limit, worst / 2))) | (~agree & (size <= setting.limit))
        if its[kept].sum() < its.sum() / 2 or (kept == agree).all():
            break
        agree = kept
    return float(scale[0]), pulls
