"""The histograms of the simulated detector: names, binnings and shapes of EMC, TPC and HLT as they were in Run 2.

EMC as in AliEMCALTriggerOnlineQAPbPb, the maps named as in Overwatch; TPC as in AliPerformanceTPC; HLT as followed by
Overwatch, with 100 x 100 bins for all maps of sizes.
"""

from collections.abc import Callable, Iterator
from functools import cache
from itertools import product
from math import ceil, pi, sqrt
from typing import Any

import numpy as np

from ingest.simulator.histogram import Binning, SimulatedHistogram, labelled, regular

__all__ = ["COMPONENTS", "EVENTS", "component", "histograms"]

COMPONENTS = {"EMC": 8, "TPC": 5, "HLT": 7}  # 20 in all
EVENTS = {"EMC": "EMCTRQA_histEvents", "TPC": "TPCQA/h_tpc_event_6", "HLT": "fHistEvents"}  # one fill per event
EVENT_RATE = 12e3  # per minute with a fresh beam

# These come first, in this order, at every scale; a larger detector has the others after them.
_FIRST = {
    "EMC": (
        "Events", "FastORL0", "FastORL0LargeAmp", "FastORL1", "FastORL0Mean", "AmpEdgePosEMCGAHOffline",
        "AmpEdgePosEMCL0Offline", "MaxEdgePosEMCGAHOffline", "EMCalPatchAmpEMCGAHOffline", "DCalPatchAmpEMCGAHOffline",
        "EMCalMedianVsDCalMedianOffline", "GeoPosEMCGAHOffline", "FastORL0MeanTimeOk", "FastORL1Mean",
    ),
    "TPC": (
        "event_6", "event_recvertex_0", "event_recvertex_1", "event_recvertex_2", "event_recvertex_4",
        "event_recvertex_5", "track_pos_recvertex_3_5_6", "track_neg_recvertex_3_5_6", "track_pos_recvertex_4_5_6",
        "track_all_recvertex_0_5_7", "clust_0_1_2", "track_all_recvertex_5_8", "track_pos_recvertex_4_5_7",
    ),
    "HLT": (
        "Events", "ClusterChargeMax", "ClusterChargeTot", "TPCTrackPt", "TPCClusterFlags", "SPDclusters_SDDclusters",
        "SSDclusters_SDDclusters", "HLTInSize_HLTOutSize", "TPCAallClustersRowPhi", "TPCCallClustersRowPhi",
        "TPCdEdxTotTPCAll",
    ),
}  # fmt: skip
_PREFIX = {"EMC": "EMCTRQA_hist", "TPC": "TPCQA/h_tpc_", "HLT": "fHist"}


@cache
def histograms(subsystem: str, scale: float) -> tuple[SimulatedHistogram, ...]:
    """The histograms of a subsystem in a detector of this size.

    ``scale`` is about the fraction of the full detector's bins: sqrt(scale) of the histograms, each with about
    sqrt(scale) of its bins. At least a dozen histograms remain, and no axis gets fewer than ten bins.
    """
    first = {_PREFIX[subsystem] + name: position for position, name in enumerate(_FIRST[subsystem])}
    full = sorted(_FULL[subsystem](), key=lambda histogram: first.get(histogram.name, len(first)))
    number = max(len(first), ceil(len(full) * sqrt(scale)))
    return tuple(histogram.coarser(sqrt(scale)) for histogram in full[:number])


def component(subsystem: str, position: int) -> int:
    """Number of the component that sends the histogram at ``position``; the same at every scale."""
    return position % COMPONENTS[subsystem]


def _normal(x: Any, mean: Any, sigma: Any) -> Any:
    return np.exp(-(((x - mean) / sigma) ** 2) / 2)


def _around(mean: float, sigma: float) -> Callable[[Any], Any]:
    return lambda x: _normal(x, mean, sigma)


def _falling(scale: Any) -> Callable[[Any], Any]:
    return lambda x: (x > 0) * np.exp(-x / scale)


def _peaked(scale: Any) -> Callable[[Any], Any]:
    return lambda x: (x > 0) * (x / scale) ** 2 * np.exp(-2 * x / scale)


def _in_step(x_scale: float, y_scale: float) -> Callable[[Any, Any], Any]:
    """Shape of two correlated sizes of one event."""
    return lambda x, y: _falling(x_scale)(x) * _normal(y / y_scale, 0.8 * x / x_scale, 0.1 + 0.05 * x / x_scale)


def _gain(values: Any) -> Callable[..., Any]:
    """Gain of the channel with these numbers, in the order of the dims of ``values``."""

    def gain(*numbers: Any) -> Any:
        return values[tuple(np.clip(n, 0, top - 1).astype(int) for n, top in zip(numbers, values.shape, strict=True))]

    return gain


def _emc() -> Iterator[SimulatedHistogram]:
    rng = np.random.default_rng(2018)
    channel_gain = _gain(rng.lognormal(sigma=0.3, size=4992))  # 52 trigger region units of 96 FastORs
    tower_gain = _gain(rng.lognormal(sigma=0.2, size=(104, 48)))  # DCal from row 64 on, with PHOS in its middle
    adc = (25.0, 50.0, 100.0, 200.0, 400.0, 800.0)

    def channels(x: Any) -> Any:
        return channel_gain(x) * (x > 0) * (x < 4992)

    def amplitudes(adc: Any, x: Any) -> Any:
        return channels(x) * _falling(60 + 20 * np.sin(x // 96))(adc)

    def towers(x: Any, y: Any) -> Any:
        covered = (x > 0) & (x < 48) & (y > 0) & (y < 104) & ((y < 64) | (abs(x - 24) > 8))
        return tower_gain(y, x) * (1 - 0.3 * (x / 24 - 1) ** 2) * covered

    def geometry(weight: Any, eta: Any, phi: Any) -> Any:
        emcal, dcal = (phi > 1.4) & (phi < 3.26), (phi > 4.54) & (phi < 5.7) & (abs(eta) > 0.22)
        return (abs(eta) < 0.67) * (emcal | dcal) * _falling(200)(weight) * (1 + 0.1 * np.sin(9 * phi))

    def histogram(
        text: str, class_name: str, shows: str, rate: float, axes: list[Binning], shape: Any, **more: Any
    ) -> SimulatedHistogram:
        name, title = text.split(";")
        return SimulatedHistogram(_PREFIX["EMC"] + name, title, class_name, shows, rate, tuple(axes), shape, **more)

    fastor = [regular("FastOR abs. ID", 5000, 0, 5000)]
    yield histogram(
        "Events;Number of events", "TH1F", "events", EVENT_RATE, [regular("", 1, 0, 1)], lambda x: abs(x - 0.5) < 0.5
    )
    for name, rate in {
        "FastORL0": 40e3, "FastORL0LargeAmp": 8e3, "FastORL0TimeOk": 30e3, "FastORL1": 30e3, "FastORL1LargeAmp": 6e3,
    }.items():  # fmt: skip
        yield histogram(f"{name};{name}", "TH1F", "channels", rate, fastor, channels)
    for name, option in {"FastORL0Mean": "", "FastORL0MeanTimeOk": "s", "FastORL1Mean": "g"}.items():
        text = f"{name};Mean amplitude [ADC]"
        yield histogram(text, "TProfile", "channels", 40e3, fastor, amplitudes, values=adc, option=option)
    axes = [regular("L0 amplitude", 64, 0, 2048), regular("L1 time sum", 64, 0, 2048)]
    yield histogram("FastORL1AmpVsL0Amp;Amplitudes", "TH2F", "other", 30e3, axes, _in_step(300, 300))
    axes = [regular("EMCal median", 31, 0, 500), regular("DCal median", 31, 0, 500)]
    for source in ("Online", "Recalc", "Offline"):
        text = f"EMCalMedianVsDCalMedian{source};Medians"
        yield histogram(text, "TH2F", "other", EVENT_RATE, axes, _in_step(100, 100))

    patches = {"EMCL0": (30e3, 2000), "EMCGAL": (20e3, 2000), "EMCGAH": (10e3, 2000), "EMCJEL": (6e3, 6000),
               "EMCJEH": (4e3, 6000), "BKG": (12e3, 5000)}  # fmt: skip
    for (trigger, (rate, top)), source in product(patches.items(), ("Online", "Recalc", "Offline")):
        if trigger.endswith("L") and source != "Online":  # the low thresholds exist in the trigger only
            continue
        kind, bins = trigger + source, top // 16
        energy, amplitude = regular("energy [GeV]", 200, 0, 200), regular("ADC", bins, 0, top)
        subtracted = regular("ADC - background", bins, -top / 2, top / 2)
        below = _noise_and_tail(top)
        for part in ("EMCal", "DCal"):
            part_rate = rate * (0.6 if part == "EMCal" else 0.4)
            yield histogram(f"{part}PatchEnergy{kind};{part}", "TH1F", "spectrum", part_rate, [energy], _falling(8))
            yield histogram(
                f"{part}PatchAmp{kind};{part}", "TH1F", "spectrum", part_rate, [amplitude], _peaked(top / 6)
            )
            yield histogram(
                f"{part}PatchAmpSubtracted{kind};{part}", "TH1F", "spectrum", part_rate, [subtracted], below
            )
            yield histogram(
                f"{part}MaxPatchAmp{kind};{part}", "TH1F", "spectrum", EVENT_RATE, [amplitude], _peaked(top / 4)
            )
            text = f"{part}MaxPatchAmpSubtracted{kind};{part}"
            yield histogram(text, "TH1F", "spectrum", EVENT_RATE, [subtracted], below)
            for other in ("EMCal", "DCal"):
                axes = [regular(f"{other} max", bins, 0, top), regular(f"{part} median", bins // 10, 0, top / 10)]
                text = f"{part}MedianVs{other}Max{kind};Median and maximum"
                yield histogram(text, "TH2F", "other", EVENT_RATE, axes, _in_step(top / 6, top / 60))
        axes = [regular("EMCal max", bins // 4, 0, top), regular("DCal max", bins // 4, 0, top)]
        yield histogram(
            f"EMCalMaxVsDCalMax{kind};Maxima", "TH2F", "other", EVENT_RATE, axes, _in_step(top / 6, top / 6)
        )
        axes = [regular("col", 48, 0, 48), regular("row", 105, 0, 105)]
        yield histogram(f"MaxEdgePos{kind};{kind}", "TH2S", "map", rate / 4, axes, towers)
        yield histogram(f"AmpEdgePos{kind};{kind}", "TH2F", "map", rate, axes, towers)
        axes = [regular("eta", 60, -1, 1), regular("phi", 150, 0, 2 * pi)]
        yield histogram(f"GeoPos{kind};ADC at {kind}", "TH2F", "other", rate, axes, geometry, values=adc, sumw2=True)


def _noise_and_tail(top: float) -> Callable[[Any], Any]:
    return lambda x: _normal(x, 0, top / 25) + 0.3 * _falling(top / 12)(x)


def _tpc() -> Iterator[SimulatedHistogram]:
    def histogram(
        name: str, class_name: str, shows: str, rate: float, axes: list[Binning], shape: Any
    ) -> SimulatedHistogram:
        title = ":".join(axis.title.split()[0] for axis in axes)
        return SimulatedHistogram(_PREFIX["TPC"] + name, title, class_name, shows, rate, tuple(axes), shape)

    def clusters(row: Any, phi: Any, side: Any) -> Any:
        return (row > 0) * (row < 159) * (abs(phi - pi) < pi) * (1 + 0.1 * np.sin(phi)) * (abs(side - 1) < 1)

    # Axes of the track histograms, by their numbers, each with the shape along it.
    track: dict[int, tuple[Binning, Callable[[Any], Any]]] = {
        0: (regular("clusters", 160, 0, 160), lambda n: (n < 159) * _normal(n, 130, 20)),
        1: (regular("chi2 per cluster", 20, 0, 10), _peaked(2)),
        2: (regular("found / findable", 60, 0, 1.5), lambda f: (f < 1.02) * _normal(f, 0.95, 0.08)),
        3: (regular("DCAr [cm]", 30, -3, 3), lambda d: _normal(d, 0, 0.5) + 0.02),
        4: (regular("DCAz [cm]", 30, -3, 3), lambda d: _normal(d, 0, 0.7) + 0.02),
        5: (regular("eta", 30, -1.5, 1.5), lambda eta: 1 / (1 + np.exp((abs(eta) - 0.9) / 0.05))),
        6: (regular("phi", 144, 0, 2 * pi), lambda phi: (1 + 0.2 * np.sin(phi)) * (abs(phi - pi) < pi)),
        7: (Binning("pT [GeV/c]", np.geomspace(0.01, 20, 51)), lambda pt: pt * _falling(0.6)(pt)),
        8: (regular("charge", 3, -1.5, 1.5), lambda charge: 1.0 * (abs(abs(charge) - 1) < 0.1)),
    }
    yield histogram("event_6", "TH1D", "events", EVENT_RATE, [regular("vertex status", 2, -0.5, 1.5)],
               lambda x: (x > 0.5) * (x < 1.5) + 0.05 * (abs(x) < 0.5))  # fmt: skip
    for number, (title, width) in enumerate({"x": 1.0, "y": 1.0, "z": 30.0}.items()):
        axes, shape = [regular(f"v{title} [cm]", 100, -width, width)], _around(0, width / 5)
        yield histogram(f"event_recvertex_{number}", "TH1D", "spectrum", EVENT_RATE, axes, shape)
    for number, title in {3: "multiplicity", 4: "positive", 5: "negative"}.items():
        axes, shape = [regular(title, 4001, -0.5, 4000.5)], _falling(700 if number == 3 else 350)
        yield histogram(f"event_recvertex_{number}", "TH1D", "other", EVENT_RATE, axes, shape)
    axes = [regular("row", 160, 0, 160), regular("phi", 144, 0, 2 * pi), regular("side", 2, 0, 2)]
    yield histogram("clust_0_1_2", "TH3D", "sectors", 60e3, axes, clusters)
    for charges, numbers in {
        "all pos neg": ((0, 5, 7), (3, 5, 7), (4, 5, 7)),
        "pos neg": ((2, 5, 6), (3, 5, 6), (4, 5, 6)),
        "all": ((1, 5, 7), (2, 5, 7), (5, 8)),
    }.items():
        for charge, which in product(charges.split(), numbers):
            axes, class_name = [track[i][0] for i in which], "TH3F" if which == (4, 5, 7) else f"TH{len(which)}D"
            shows, rate = "sectors" if 6 in which else "other", 60e3 if charge == "all" else 30e3
            name = f"track_{charge}_recvertex_{'_'.join(map(str, which))}"
            yield histogram(name, class_name, shows, rate, axes, _independent(*(track[i][1] for i in which)))


def _independent(*shapes: Callable[[Any], Any]) -> Callable[..., Any]:
    return lambda *centres: np.prod(np.broadcast_arrays(*(f(c) for f, c in zip(shapes, centres, strict=True))), axis=0)


def _hlt() -> Iterator[SimulatedHistogram]:
    pad_gain = _gain(np.random.default_rng(2019).normal(1, 0.05, (54, 159)))

    def histogram(
        text: str, class_name: str, shows: str, rate: float, axes: list[Binning], shape: Any, **more: Any
    ) -> SimulatedHistogram:
        name, title = text.split(";")
        return SimulatedHistogram(_PREFIX["HLT"] + name, title, class_name, shows, rate, tuple(axes), shape, **more)

    def clusters(row: Any, phi: Any) -> Any:
        return pad_gain(54 * phi / (2 * pi), row) * (abs(phi - pi) < pi) * (abs(row - 79.5) < 80)

    def energy_loss(width: float) -> Callable[[Any, Any], Any]:  # 50 at minimum ionisation, more for slow particles
        def shape(momentum: Any, loss: Any) -> Any:
            expected = 50 * (1 + 0.05 / momentum**2)
            return momentum * _falling(0.8)(momentum) * _normal(loss, expected, width * expected)

        return shape

    yield histogram(
        "Events;Number of events", "TH1F", "events", EVENT_RATE, [regular("", 1, 0, 1)], lambda x: abs(x - 0.5) < 0.5
    )
    for name, top in {"Max": 500, "Tot": 2500}.items():
        axes, text = [regular("charge [ADC]", 500, 0, top)], f"ClusterCharge{name};TPC cluster charge"
        yield histogram(text, "TH1D", "spectrum", 50e3, axes, _peaked(top / 5), sumw2=name == "Tot")
    axes = [Binning("pT [GeV/c]", np.array([0, *np.geomspace(0.1, 50, 500)]))]
    yield histogram("TPCTrackPt;TPC tracks", "TH1D", "other", 50e3, axes, lambda pt: pt * _falling(0.8)(pt) / (1 + pt))
    flags = ["edge", "split in pad", "split in time", "single pad", "single time bin", "deconvoluted"]
    yield histogram("TPCClusterFlags;TPC cluster flags", "TH1I", "other", 30e3, [labelled("", *flags)], _falling(2))
    for name in (
        "SPDclusters_SDDclusters", "SSDclusters_SDDclusters", "HLTInSize_HLTOutSize", "SDDclusters_SDDrawSize",
        "SPDclusters_SPDrawSize", "SPDclusters_SSDclusters", "SSDclusters_SSDrawSize", "TPCtracks_TPCtracklets",
        "TPCClusterSize_TPCCompressedSize", "TPCRawSize_TPCCompressedSize", "TZERO_ITSSPDVertexZ", "VZERO_SPDClusters",
        "ZNA_VZEROTrigChargeA", "ZNC_VZEROTrigChargeC", "ZNT_VZEROTrigChargeT",
    ):  # fmt: skip
        x, y = name.split("_")
        axes = [regular(f"{x} [%]", 100, 0, 100), regular(f"{y} [%]", 100, 0, 100)]
        class_name = "TH2F" if name.startswith(("VZERO", "ZN", "TZERO")) else "TH2I"
        yield histogram(f"{name};{y} and {x}", class_name, "other", EVENT_RATE, axes, _in_step(20, 20))
    for name in ("TPCHLTclusters_TPCCompressionRatio", "TPCHLTclusters_TPCFullCompressionRatio",
                 "TPCHLTclusters_TPCSplitClusterRatioPad", "TPCHLTclusters_TPCSplitClusterRatioTime",
                 "HLTSize_HLTInOutRatio"):  # fmt: skip
        axes = [regular("size [%]", 100, 0, 100), regular("ratio", 100, 0, 10)]
        yield histogram(
            f"{name};Ratio and size", "TH2F", "other", EVENT_RATE, axes, _independent(_falling(20), _around(5, 0.5))
        )
    for side, which in product("AC", ("all", "attached")):
        axes, rate = [regular("row", 159, 0, 159), regular("phi", 54, 0, 2 * pi)], 50e3 if which == "all" else 30e3
        yield histogram(f"TPC{side}{which}ClustersRowPhi;Clusters on side {side}", "TH2F", "map", rate, axes, clusters)
    for charge, place in product(("Tot", "Max"), ("IROC", "OROC1", "OROC2", "OROCAll", "TPCAll")):
        axes = [Binning("p [GeV/c]", np.geomspace(0.1, 20, 101)), regular("dE/dx", 100, 0, 300)]
        shape = energy_loss(0.06 if place == "TPCAll" else 0.1)
        yield histogram(f"TPCdEdx{charge}{place};q{charge}, {place}", "TH2F", "other", 20e3, axes, shape)


_FULL: dict[str, Callable[[], Iterator[SimulatedHistogram]]] = {"EMC": _emc, "TPC": _tpc, "HLT": _hlt}
