"""A histogram compared with a reference: a pull per bin, and scores with the bins that made them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison import scores as score
from owtrend.comparison.normalise import Reference, Setting, inner, paired, same
from owtrend.comparison.pair import Pair
from owtrend.model import schema
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

__all__ = ["compare"]


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
        Names in `owtrend.comparison.scores.SCORES`, with numbers in brackets: ``["ks", "bad_bins(4)"]``.
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
    reference = same(reference, slice)
    setting = Setting(normalise, events, within or {}, pull, chi2, tolerance, limit, component)
    pair, rows, used = paired(slice, reference, setting)
    results = {name: one(pair) for name, one in chosen.items()}
    dims = (*rows, *schema.axes_of(slice))
    coords = {
        name: coord
        for name, coord in inner(slice).coords.items()
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


def _empty(pair: Pair) -> NDArray[np.int64]:
    rows = pair.data.reshape(len(pair.data), -1)
    of_slice = ~((rows != 0) & ~np.isnan(rows)).any(axis=1)
    of_reference = not ((pair.reference != 0) & ~np.isnan(pair.reference)).any()
    return of_slice + 2 * np.full(len(rows), of_reference)
