"""Comparison of a histogram with a reference: a pull per bin, and scores with the bins that contribute most."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from owtrend.comparison.normalise import Options, Reference, paired, together, without_flow
from owtrend.comparison.pair import Pair, Result
from owtrend.comparison.scores import by_name, worst_bins
from owtrend.model import schema
from owtrend.model.histogram import Histogram
from owtrend.model.snapshot import Snapshot

__all__ = ["compare"]


def compare(
    slice: xr.Dataset, reference: "xr.Dataset | Histogram | Snapshot | Reference", *, normalise: str = "integral",  # noqa: A002
    events: tuple[Any, Any] | None = None, within: Mapping[str, tuple[float, float]] | None = None,
    pull: str | None = None, chi2: str | None = None, tolerance: float = 0.01, limit: float = 5.0,
    scores: Sequence[str] | None = None, worst: int = 5, component: xr.DataArray | None = None,
) -> xr.Dataset:  # fmt: skip
    """Compare a histogram with a reference: a pull per bin, and scores with the bins that contribute most.

    Parameters
    ----------
    slice
        From `Archive.histogram`, `increments` or `time_slice`, with or without rows in time: contents, weighted
        contents or a profile; or an `efficiency`. Flow bins do not count.
    reference
        The same with equal bins, one row; or a `Histogram`; or a collection with one of that name: a file
        (`ingest.SnapshotReader`), a time slice, or slices of several runs (`Archive.reference`), which are added.
    normalise
        Scale of the reference: the ratio of the ``integral`` of the bins in range, of ``entries``, of ``events``, of
        the integral in a ``range`` of the axes; ``robust``, of the integral of the bins that agree, so that a hot or
        dead patch does not change it; or ``none``. Means and efficiencies are not scaled. An empty reference has no
        integral: its scale is 1, so that any new content is seen.
    events
        For ``normalise="events"``: numbers of events in the slice and in the reference; the first may be one per row.
    within
        For ``normalise="range"``: ``{"x": (low, high)}``, bounds of bins.
    pull
        Pull of a bin. For counts: ``beta_binomial`` (AutoDQM's, the default; negative binomial where the scale is not
        from the contents), ``exact`` (two Poisson counts, calibrated), ``poisson`` (asymmetric errors) or ``gauss``,
        (value - reference) / error, which is rough below 20 counts. For all others ``gauss``.
    chi2
        ``UU``, ``UW`` or ``WW`` as in ``TH1::Chi2Test``; None: by which of the two are counts. For means and
        efficiencies it is the sum of squared pulls.
    tolerance
        For ``beta_binomial``: relative difference of a bin that is never significant.
    limit
        For ``robust``: |pull| above which a bin does not agree.
    scores
        Names in `owtrend.comparison.scores.SCORES`, with numbers in brackets: ``["ks", "bad_bins(4)"]``.
    worst
        Number of bins listed for each score.
    component
        Number of the detector component that fills each bin, from `Archive.components` for one histogram. Each
        component gets its own scale (``integral`` or ``robust``), as some are ahead of others by up to a report. -1 is
        a component too. Chi2 has one degree of freedom less for each.

    Returns
    -------
    :
        ``pull`` and ``expected`` (the reference scaled) per bin; ``score`` and ``p_value`` along the coordinate
        ``score_name``; ``chi2``, ``ndf``; ``scale``, with components along ``component``; ``empty``, 1 if the slice is,
        2 if the reference is, 3 if both; and along ``score_name`` and ``rank`` the ``contribution`` of the worst bins
        to a score, in its own units, with ``worst_x``, ``worst_y``, ... their centres. All have the rows of the slice.
        Read and computed at once.
        ``attrs`` list the options used: ``pull``, ``normalise``, ``chi2`` (``UU``, ``UW``, ``WW`` or ``values``).

    Raises
    ------
    DimsError
        If one is no histogram, or the reference has rows.
    BinningChangedError
        If their bins cannot be matched, by their edges, by label or as ROOT extends an axis.
    UsageError, NotFoundError
        If an option or a score is not valid.

    See Also
    --------
    patches : Patches of bins that are bad together.

    Examples
    --------
    ::

        late = owtrend.time_slice(h, "10:30", "11:00")
        owtrend.compare(late, owtrend.time_slice(h, None, "10:00"), scores=["chi2_ndf", "ks"]).score
    """
    functions = by_name(scores)
    histogram, reference = together(slice, reference)
    options = Options(normalise, events, within or {}, pull, chi2, tolerance, limit, component)
    pair, rows, pull_used = paired(histogram, reference, options)
    results = {name: score(pair) for name, score in functions.items()}
    dims = (*rows, *schema.axes_of(histogram))
    coords = {
        name: coord
        for name, coord in without_flow(histogram).coords.items()
        if name not in ("sum", schema.RECEIVED) and set(coord.dims) <= set(dims)
    }
    total, ndf, _ = pair.chi2
    variables: dict[str, Any] = {
        "pull": (dims, pair.pulls), "expected": (dims, pair.expected), "scale": (rows, pair.scale[:, 0]),
        "chi2": (rows, total), "ndf": (rows, ndf), "empty": (rows, _empty(pair)),
    }  # fmt: skip
    if component is not None:
        variables["scale"] = ((*rows, "component"), pair.scale)
        coords["component"] = np.unique(component)
    if results:
        variables |= _score_variables(pair, list(results.values()), rows, worst)
    if not rows:
        variables = {name: (dim, np.asarray(array)[0]) for name, (dim, array) in variables.items()}
    attrs = {
        "name": histogram.attrs.get("name"), "reference": reference.attrs.get("name"),
        "subsystem": histogram.attrs.get("subsystem"), "pull": pull_used, "chi2": pair.chi2_kind,
        "normalise": "none" if pair.kind == "values" else normalise,
    }  # fmt: skip
    return xr.Dataset(variables, coords={**coords, **({"score_name": list(results)} if results else {})}, attrs=attrs)


def _score_variables(pair: Pair, results: Sequence[Result], rows: tuple[str, ...], worst: int) -> dict[str, Any]:
    """Scores, p-values and worst bins along ``score_name``."""
    dims, ranked = (*rows, "score_name"), (*rows, "score_name", "rank")
    contributions = {id(result.contribution): result.contribution for result in results}  # most are the same pulls
    ranks = {key: worst_bins(contribution, worst) for key, contribution in contributions.items()}
    in_order = [ranks[id(result.contribution)] for result in results]
    bins = np.stack([numbers for numbers, _ in in_order], axis=1)
    variables: dict[str, Any] = {
        "score": (dims, np.stack([result.value for result in results], axis=-1)),
        "p_value": (dims, np.stack([result.p_value for result in results], axis=-1)),
        "contribution": (ranked, np.stack([contribution for _, contribution in in_order], axis=1)),
    }
    indices = np.unravel_index(np.maximum(bins, 0), pair.shape)
    for letter, axis, index in zip(schema.AXES, pair.axes, indices, strict=False):
        variables[f"worst_{letter}"] = (ranked, np.where(bins < 0, np.nan, axis.centres[index]))
    return variables


def _empty(pair: Pair) -> NDArray[np.int64]:
    """1 for an empty row, 2 for an empty reference, 3 for both, else 0."""
    data = pair.data.reshape(len(pair.data), -1)
    slice_empty = ~((data != 0) & ~np.isnan(data)).any(axis=1)
    reference_empty = not ((pair.reference != 0) & ~np.isnan(pair.reference)).any()
    return slice_empty + 2 * np.full(len(data), reference_empty)
