"""TPC: the histograms of its performance task, projected per charge and side.

Names carry the numbers of the axes that remain of a larger histogram. Of tracks they are 0 clusters, 1 chi2, 2 found
per findable clusters, 3 DCAr, 4 DCAz, 5 eta, 6 phi, 7 pT, 8 charge. Of events 0 to 2 are the vertex, 3 to 5 the
multiplicity of all, positive and negative tracks.
"""

from collections.abc import Sequence
from itertools import product
from math import floor, isfinite, pi

from owtrend.detectors.protocol import Detector, Display, EventCount, Group, Host, Option, Projection, Style, Trends
from owtrend.model.finding import BinRange

__all__ = ["TPC"]

_PREFIX = "TPCQA/h_tpc_"
_SECTORS = 18  # of each side, of 20 degrees each
_SIDES = {"a": ((0.0, 1.5), "A"), "c": ((-1.5, 0.0), "C")}  # side A is eta > 0
_CHARGES = {"pos": "positive", "neg": "negative"}
_DCA = {"DCAr": 3, "DCAz": 4}
_CLUSTERS = (70.0, 160.0)  # more than 70 clusters
_TRENDED_TRACKS = tuple(f"{_PREFIX}track_all_recvertex_{axis}_5_7" for axis in (0, 2, 3, 4))
_TRENDED_EVENTS = tuple(f"{_PREFIX}event_recvertex_{axis}" for axis in (0, 1, 2, 4, 5))


def _track(charge: str, axes: str) -> str:
    return f"{_PREFIX}track_{charge}_recvertex_{axes}"


def _projections() -> tuple[Projection, ...]:
    dca = [
        Projection(
            f"{name}_vs_Phi_{charge}tracks_{side}Side", _track(charge, f"{axis}_5_6"), "xz", {"y": eta},
            f"{name} against phi, {_CHARGES[charge]} tracks, side {letter}",
        )
        for (name, axis), charge, (side, (eta, letter)) in product(_DCA.items(), _CHARGES, _SIDES.items())
    ]  # fmt: skip
    positions = [
        Projection(
            f"Eta_vs_Phi_{charge}tracks", _track(charge, "2_5_6"), "yz", title=f"Eta and phi, {word} tracks"
        )
        for charge, word in _CHARGES.items()
    ]  # fmt: skip
    spectra = [
        Projection(
            f"pT_{charge}tracks", _track(charge, "0_5_7"), "z", {"x": _CLUSTERS, "y": (-1.5, 1.5)},
            f"pT, {word} tracks with more than 70 clusters",
        )
        for charge, word in _CHARGES.items()
    ]  # fmt: skip
    eta = [
        Projection(
            f"Eta_{charge}tracks", _track(charge, "0_5_7"), "y", {"x": _CLUSTERS, "z": (0.01, 0.45)},
            f"Eta, {word} tracks with more than 70 clusters, pT below 0.45 GeV/c",
        )
        for charge, word in _CHARGES.items()
    ]  # fmt: skip
    return (*dca, *positions, *spectra, *eta)


def _place(histogram: str, bins: Sequence[BinRange]) -> str:
    """Side and sectors, where phi or a side is on an axis."""
    along = {one.axis: one for one in bins}
    words = []
    if histogram.endswith("clust_0_1_2"):
        side, phi = along.get("z"), along.get("y")
        words += [f"side {'AC'[int(side.low)]}"] if side and side.first == side.last and side.low in (0, 1) else []
    elif histogram.endswith("_5_6"):
        eta, phi = along.get("y"), along.get("z")
        if eta and isfinite(eta.low) and isfinite(eta.high) and (eta.low >= 0 or eta.high <= 0):
            words += ["side A" if eta.low >= 0 else "side C"]
    else:
        return ""
    if phi and isfinite(phi.low) and isfinite(phi.high) and phi.high - phi.low < 2 * pi - 1e-6:
        width = 2 * pi / _SECTORS
        first, last = floor(phi.low / width + 1e-6), floor(phi.high / width - 1e-6)
        words += [f"sector {first}" if first == last else f"sectors {first} to {last}"]
    return ", ".join(words)


TPC = Detector(
    name="TPC",
    prefix=_PREFIX,
    groups=(
        Group("DCAr against phi", "DCAr_vs_Phi*"),
        Group("DCAz against phi", "DCAz_vs_Phi*"),
        Group("Eta and phi", "Eta_vs_Phi*"),
        Group("Eta", "Eta_*"),
        Group("pT", "pT_*"),
        Group("Clusters", "*tpc_clust*"),
        Group("Constrained tracks", "*tpc_constrain*"),
        Group("Events with a vertex", "*event_recvertex*"),
        Group("Matching efficiency", "*match_trackingeff*"),
        Group("All tracks", "*all_recvertex*"),
        Group("Negative tracks", "*neg_recvertex*"),
        Group("Positive tracks", "*pos_recvertex*"),
        Group("Vertex status", "*event_6*"),
        Group("Other TPC", "*TPC*"),
        Group("Other detectors", "*"),
    ),
    styles=(Style("pT_*", display=Display(log="y")), Style("*", display=Display(draw="colz"))),
    options=(Option("scale_events", False, "Divide contents by the number of events in the interval."),),
    events=EventCount(f"{_PREFIX}event_6"),
    derived=_projections(),
    trends=(
        Trends(_TRENDED_TRACKS, ("mean_x",), {"y": (-1.0, 1.0), "z": (0.25, float("inf"))}),
        Trends(_TRENDED_EVENTS, ("mean_x",)),
    ),
    host=Host("HLT", ("*TPC*",)),
    place=_place,
)
