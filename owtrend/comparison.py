"""A histogram compared with a reference: pulls per bin, scores that say why, and the patches of bins that are bad."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend import schema, score
from owtrend.errors import DimsError, UsageError
from owtrend.kernels import beta_binomial
from owtrend.kernels import compare as kernels
from owtrend.kernels import patches as found
from owtrend.labelled import to_xarray, values
from owtrend.pair import TESTS, Pair
from owtrend.snapshot import Axis, Histogram, Path, Snapshot

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NORMALISE", "PULLS", "compare", "patches"]

Floats = NDArray[np.float64]
NORMALISE = ("integral", "entries", "events", "range", "robust", "none")
PULLS = ("beta_binomial", "exact", "poisson", "gauss")
ONE_SIGMA = 0.682689492137  # what an interval holds where it does not say
SEARCHES = 2  # connected, block: each gets half of the chance of a false patch


def compare(
    slice: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference", *, normalise: str = "integral",  # noqa: A002 - what it is
    events: tuple[Any, Any] | None = None, within: Mapping[str, tuple[float, float]] | None = None,
    pull: str | None = None, chi2: str | None = None, tolerance: float = 0.01, limit: float = 5.0,
    scores: Sequence[str] | None = None, worst: int = 5, component: xr.DataArray | None = None,
) -> xr.Dataset:  # fmt: skip
    """How a histogram differs from a reference: a pull per bin, and scores with the bins that made them.

    Parameters
    ----------
    slice
        As `Archive.histogram`, `increments` or `time_slice` give it, with or without rows in time: contents, weighted
        contents or a profile; or an `efficiency`. Flow bins do not count.
    reference
        The same with equal bins, one row; or a `Histogram`, or what has one of that name: a file that was read
        (`ingest.SnapshotReader`), a time slice, or slices of several runs (`Archive.reference`), which are added.
    normalise
        What the reference is scaled by, so that both should agree: the ratio of the ``integral`` of the bins in range,
        of ``entries``, of ``events``, of the integral in a ``range`` of the axes; ``robust``, of the integral of those
        bins that agree, which a hot or dead patch does not spoil; or ``none``. Means and efficiencies are not
        scaled. An empty reference has no integral: it is taken as it is, so that whatever is new is seen.
    events
        For ``normalise="events"``: how many the slice and the reference saw; the first may be one per row.
    within
        For ``normalise="range"``: ``{"x": (low, high)}``, bounds of bins.
    pull
        How a bin is judged. Of counts: ``beta_binomial`` (AutoDQM's, the default; negative binomial where the scale
        comes from elsewhere), ``exact`` (two Poisson counts, calibrated), ``poisson`` (asymmetric errors) or
        ``gauss``, (value - reference) / error, which is rough below 20 counts. Of all others ``gauss``.
    chi2
        ``UU``, ``UW`` or ``WW`` as in ``TH1::Chi2Test``; if None, by which of both are counts. Of means and
        efficiencies it is the sum of squared pulls.
    tolerance
        Of ``beta_binomial``: which relative difference of a bin is never significant.
    limit
        |pull| from which a bin does not agree, for ``robust``.
    scores
        Names in `owtrend.score.SCORES`, with numbers in brackets: ``["ks", "bad_bins(4)"]``.
    worst
        How many bins are told for each score.
    component
        Which component of the detector fills each bin, as `Archive.components` gives it for one histogram, if several
        do: each is scaled on its own (``integral`` or ``robust``), as some are ahead of others by up to a report. -1
        is one component more. Chi2 has one degree of freedom less for each.

    Returns
    -------
    :
        ``pull`` and ``expected`` (the reference scaled) per bin; ``score`` and ``p_value`` along the coordinate
        ``score_name``; ``chi2``, ``ndf``; ``scale``, of components along ``component``; ``empty``, 1 if the slice is,
        2 if the reference is, 3 if both; and along ``score_name`` and ``rank`` ``blame``, what the worst bins did to a
        score, in its own units, with ``worst_x``, ``worst_y``, ... their centres. All have the rows of the slice. Read
        and computed at once.
        ``attrs`` say how: ``pull``, ``normalise``, ``chi2`` (``UU``, ``UW``, ``WW`` or ``values``).

    Raises
    ------
    DimsError
        If one is no histogram, or the reference has rows.
    BinningChangedError
        If their bins differ.
    UsageError, NotFoundError
        If an option or a score is not what it can be.

    See Also
    --------
    patches : Which bins are bad together.

    Examples
    --------
    ::

        late = owtrend.time_slice(h, "10:30", "11:00")
        owtrend.compare(late, owtrend.time_slice(h, None, "10:00"), scores=["chi2_ndf", "ks"]).score
    """
    chosen = score.names(scores)
    reference = _same(reference, slice)
    setting = _Setting(normalise, events, within or {}, pull, chi2, tolerance, limit, component)
    pair, rows, used = _paired(slice, reference, setting)
    results = {name: one(pair) for name, one in chosen.items()}
    dims = (*rows, *schema.axes_of(slice))
    coords = {
        name: coord
        for name, coord in _inner(slice).coords.items()
        if name not in ("sum", schema.RECEIVED) and set(coord.dims) <= set(dims)
    }
    total, ndf, _ = pair.chi2
    made: dict[str, Any] = {
        "pull": (dims, pair.pulls), "expected": (dims, pair.expected), "scale": (rows, pair.scale[:, 0]),
        "chi2": (rows, total), "ndf": (rows, ndf), "empty": (rows, _empty(pair)),
    }  # fmt: skip
    if component is not None:
        made["scale"] = ((*rows, "component"), pair.scale)
        coords["component"] = np.unique(component)
    if results:
        named = (*rows, "score_name")
        made["score"] = (named, np.stack([one.value for one in results.values()], axis=-1))
        made["p_value"] = (named, np.stack([one.p_value for one in results.values()], axis=-1))
        blames = {id(one.blame): one.blame for one in results.values()}  # most are the pulls
        ranks = {key: score.worst(blame, worst) for key, blame in blames.items()}
        told = [ranks[id(one.blame)] for one in results.values()]
        ranked = (*named, "rank")
        made["blame"] = (ranked, np.stack([blame for _, blame in told], axis=1))
        bins = np.stack([where for where, _ in told], axis=1)
        places = np.unravel_index(np.maximum(bins, 0), pair.shape)
        for letter, axis, place in zip(schema.AXES, pair.axes, places, strict=False):
            made[f"worst_{letter}"] = (ranked, np.where(bins < 0, np.nan, axis.centres[place]))
    if not rows:
        made = {name: (kept, np.asarray(array)[0]) for name, (kept, array) in made.items()}
    attrs = {
        "name": slice.attrs.get("name"), "reference": reference.attrs.get("name"),
        "subsystem": slice.attrs.get("subsystem"), "pull": used, "chi2": pair.test,
        "normalise": "none" if pair.kind == "values" else normalise,
    }  # fmt: skip
    return xr.Dataset(made, coords={**coords, **({"score_name": list(results)} if results else {})}, attrs=attrs)


class Reference(Protocol):
    """Several slices of a subsystem, such as `owtrend.reference.Reference`."""

    def histogram(self, name: Path | str) -> Histogram:
        """All slices of a histogram as one."""
        ...


def _same(reference: "xr.Dataset | Histogram | Snapshot | Reference", slice: xr.Dataset) -> xr.Dataset:  # noqa: A002
    """The histogram of a reference that the slice is compared with."""
    if isinstance(reference, xr.Dataset):
        return reference
    if isinstance(reference, Histogram):
        return to_xarray(reference)
    name = slice.attrs.get("path") or slice.attrs.get("name", "")
    return to_xarray(reference[name] if isinstance(reference, Snapshot) else reference.histogram(name))


def patches(
    slice: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference", *, limit: float = 4.0,  # noqa: A002
    normalise: str = "robust", events: tuple[Any, Any] | None = None,
    within: Mapping[str, tuple[float, float]] | None = None, tolerance: float = 0.01, significance: float = 0.01,
) -> "pd.DataFrame":  # fmt: skip
    """Where a histogram differs: patches of bins that are too full or too empty together, the surest first.

    Two searches. *connected*: bins with a pull beyond ``limit``, or half of it, on one side that share faces; of those
    that overlap the surer. *block*: what these leave is merged into blocks of 2, 4, 8, ... bins along each axis, for a
    weak loss over many bins that no single one shows. Bins of connected patches are left out of a block; one that
    overlaps a surer one, or of which half is left out, is not told. A patch is judged by the pull of the sums of its
    bins (of means and weighted contents: sum of pulls / sqrt(bins)).

    Parameters
    ----------
    slice, reference, normalise, events, within, tolerance
        As for `compare`, of one row.
    limit
        |pull| of the bins of a connected patch; and beyond which a bin does not agree, for ``robust``.
    significance
        Largest p-value of what is told.

    Returns
    -------
    :
        One line per patch: ``kind``; ``bins``; per axis the bounds ``x_low``, ``x_high``; ``value`` and ``expected``,
        the sums (means: averages); ``pull``; ``p_value``, the probability that a histogram which agrees has any such
        patch of any size anywhere, at most; and ``cells``, its bins as indices per axis, shape ``(bin, axis)``.

    See Also
    --------
    compare : The pulls of single bins.
    """
    import pandas as pd

    schema_rows = {schema.TIME, schema.SNAPSHOT} & set(slice.dims)
    if schema_rows:
        raise DimsError(f"{slice.attrs.get('name')}: still has rows; choose one with .isel")
    reference = _same(reference, slice)
    setting = _Setting(normalise, events, within or {}, None, None, tolerance, limit)
    pair, _, used = _paired(slice, reference, setting)
    pulls = np.nan_to_num(pair.pulls[0])
    bins, lines, taken = int(pair.used[0]), [], np.zeros(pair.shape, dtype=bool)
    groups = [flat for beyond in (limit, limit / 2) for flat in found.connected(pulls, beyond)]
    together = _together(pair, groups, used, tolerance)
    chances = [
        min(1.0, SEARCHES * found.patch_probability(float(p), len(flat), bins, len(pair.shape)))
        for p, flat in zip(kernels.two_sided(together), groups, strict=True)
    ]
    for number in np.argsort(chances, kind="stable"):
        flat = groups[number]
        if chances[number] > significance:
            break
        if not taken.ravel()[flat].any():
            cells = np.stack(np.unravel_index(flat, pair.shape), axis=-1)
            lines.append(_line(pair, "connected", cells, float(together[number]), chances[number]))
            taken.ravel()[flat] = True
    bounds, _ = found.blocks(pair.shape)
    merged, told = _merged(pair, taken, used, tolerance), np.zeros(pair.shape, dtype=bool)
    p_values = np.minimum(1.0, SEARCHES * len(merged) * kernels.two_sided(merged))
    for number in np.argsort(p_values, kind="stable"):
        inside = tuple(np.s_[a:b] for a, b in bounds[number])
        if p_values[number] > significance:
            break
        if not told[inside].any() and taken[inside].mean() < 0.5:
            cells = np.argwhere(~taken[inside]) + bounds[number, :, 0]
            lines.append(_line(pair, "block", cells, float(merged[number]), float(p_values[number])))
            told[inside] = True
    columns = ["kind", "bins", *(f"{a}_{end}" for a in schema.axes_of(slice) for end in ("low", "high")),
        "value", "expected", "pull", "p_value", "cells"]  # fmt: skip
    table = pd.DataFrame(lines, columns=columns)
    return table.sort_values(["p_value", "bins"], ascending=[True, False], kind="stable", ignore_index=True)


@dataclass(frozen=True)
class _Setting:
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


def _paired(one: xr.Dataset, other: xr.Dataset, setting: _Setting) -> tuple[Pair, tuple[str, ...], str]:
    """Arrays of both in range, the reference's scale, and the pulls; dims of the rows; how the pulls were made."""
    for histogram in (one, other):
        if "value" not in histogram:
            schema.require_histogram(histogram, rows=None)
    schema.require_same_bins(one, other)
    dims = schema.axes_of(one)
    rows = tuple(str(dim) for dim in (schema.TIME, schema.SNAPSHOT) if dim in one.dims)
    if {schema.TIME, schema.SNAPSHOT} & set(other.dims):
        raise DimsError(f"{other.attrs.get('name')}: a reference has one row; choose it by .isel or owtrend.time_slice")
    one, reference = _inner(one).load(), _inner(other).load()
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


def _inner(histogram: xr.Dataset) -> xr.Dataset:
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
    data: Floats, its: Floats, entries: Floats, its_entries: Floats, axes: tuple[Axis, ...], setting: _Setting
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
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, scale: Floats, how: str, setting: _Setting,
    *, by_total: bool,
) -> Floats:  # fmt: skip
    rows = len(data)
    flat, flat_variance = data.reshape(rows, -1), variance.reshape(rows, -1)
    if how == "beta_binomial":
        pulls = _beta_binomial(flat, its.ravel(), its.sum(), scale, setting.tolerance, by_total=by_total)
    elif how != "gauss":
        pulls = (kernels.exact_pulls if how == "exact" else kernels.asymmetric_pulls)(flat, its.ravel(), scale)
    if how == "gauss" or np.isnan(pulls).any():  # an entry moved away: fewer counts than none
        gauss = kernels.gauss_pulls(flat, flat_variance, its.ravel(), its_variance.ravel(), scale)
        pulls = gauss if how == "gauss" else np.where(np.isnan(pulls), gauss, pulls)
    return pulls.reshape(data.shape)


def _beta_binomial(
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
    setting: _Setting,
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
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, scale: Floats, how: str, setting: _Setting
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
    data: Floats, variance: Floats, its: Floats, its_variance: Floats, how: str, setting: _Setting
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


def _empty(pair: Pair) -> NDArray[np.int64]:
    rows = pair.data.reshape(len(pair.data), -1)
    of_slice = ~((rows != 0) & ~np.isnan(rows)).any(axis=1)
    of_reference = not ((pair.reference != 0) & ~np.isnan(pair.reference)).any()
    return of_slice + 2 * np.full(len(rows), of_reference)


def _judged(pair: Pair, data: Floats, its: Floats, stouffer: Floats, used: str, tolerance: float) -> Floats:
    """Pulls of sums of bins."""
    if used == "gauss":
        return stouffer
    return _beta_binomial(data[None], its, pair.reference.sum(), pair.scale[:, 0], tolerance, by_total=False)[0]


def _together(pair: Pair, groups: Sequence[NDArray[np.intp]], used: str, tolerance: float) -> Floats:
    if not groups:
        return np.empty(0)
    pulls, data, its = (np.nan_to_num(a.ravel()) for a in (pair.pulls[0], pair.data[0], pair.reference))
    stouffer = np.array([pulls[group].sum() / np.sqrt(len(group)) for group in groups])
    sums = [np.array([array[group].sum() for group in groups]) for array in (data, its)]
    return _judged(pair, sums[0], sums[1], stouffer, used, tolerance)


def _merged(pair: Pair, without: NDArray[np.bool_], used: str, tolerance: float) -> Floats:
    maps = (pair.pulls[0], pair.data[0], pair.reference)
    pulls, data, its = (np.where(without, 0.0, np.nan_to_num(one)) for one in maps)
    _, (total, number, of_data, of_its) = found.blocks(pair.shape, pulls, np.where(pulls != 0, 1.0, 0.0), data, its)
    stouffer = total / np.sqrt(np.maximum(number, 1))
    return _judged(pair, np.rint(of_data) if used != "gauss" else of_data, of_its, stouffer, used, tolerance)


def _line(pair: Pair, kind: str, cells: NDArray[np.intp], pull: float, p: float) -> dict[str, Any]:
    at = tuple(cells.T)
    add = np.nanmean if pair.kind == "values" else np.nansum
    line: dict[str, Any] = {"kind": kind, "bins": len(cells), "pull": pull, "p_value": p, "cells": cells}
    line |= {"value": float(add(pair.data[0][at])), "expected": float(add(pair.expected[0][at]))}
    for letter, axis, places in zip(schema.AXES, pair.axes, cells.T, strict=False):
        line |= {f"{letter}_low": axis.edges[places.min()], f"{letter}_high": axis.edges[places.max() + 1]}
    return line
