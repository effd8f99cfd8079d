"""EMC: the trigger monitoring of EMCal and DCal, as the HLT and the trigger's own analysis fill it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from itertools import product

from owtrend.detectors.alice import emcal_geometry
from owtrend.detectors.protocol import (
    Detector,
    Display,
    EventCount,
    Group,
    HotChannels,
    Option,
    Overlay,
    Style,
    Trends,
)
from owtrend.model.finding import BinRange

__all__ = ["EMC", "ENERGY_PER_ADC"]

ENERGY_PER_ADC = 0.07874  # GeV, of the amplitude of a patch
_PREFIX = "EMCTRQA_hist"
_LEVELS = [f"{_PREFIX}FastOR{level}" for level in ("L0", "L1")]
_SUMMARIES = tuple(f"{level}{kind}" for level in _LEVELS for kind in ("", "Amp", "LargeAmp"))

_MAP = Display(log="z", draw="colz")
_SUPERMODULE = replace(_MAP, per_event=True)
_POSITIONS = Display(log="z", draw="colz", per_event=True, lines=emcal_geometry.TRU_GRID)
_CHANNELS = Display(per_event=True)
_SPECTRUM = Display(log="y", grid=True, per_event=True)


def _place(histogram: str, bins: Sequence[BinRange]) -> str:
    if found := re.search(r"_SM(\d{1,2})$", histogram):
        return f"supermodule {int(found[1])}"
    if "EdgePos" in histogram:
        return emcal_geometry.position_words(bins)
    channels = re.search(r"FastORL[01](Amp|LargeAmp|Mean|Time|TimeOk|MeanTimeOk)?$", histogram)
    return emcal_geometry.channel_words(bins) if channels else ""


def _grid(title: str, part: str) -> Group:
    """One histogram of each supermodule."""
    return Group(title, f"*{part}*", grid=f"*{part}*")


def _trended_maps() -> tuple[str, ...]:
    """The maps of patch positions that shifters follow."""
    sources = [*product(("EMCGAH", "EMCJEH", "EMCL0"), ("Offline", "Online", "Recalc")),
               *product(("EMCGAL", "EMCJEL"), ("Online",))]  # fmt: skip
    maps = [f"{_PREFIX}{kind}EdgePos{trigger}{source}" for kind in ("Amp", "Max") for trigger, source in sources]
    return tuple(maps)


EMC = Detector(
    name="EMC",
    prefix=_PREFIX,
    groups=(
        _grid("FEE vs TRU", "FEEvsTRU_SM"),
        _grid("FEE vs STU", "FEEvsSTU_SM"),
        _grid("FastOR L0", "FastORL0_SM"),
        _grid("FastOR L0 amplitude", "FastORL0Amp_SM"),
        _grid("FastOR L0 large amplitude (> 400 ADC)", "FastORL0LargeAmp_SM"),
        _grid("FastOR L1", "FastORL1_SM"),
        _grid("FastOR L1 amplitude", "FastORL1Amp_SM"),
        _grid("FastOR L1 large amplitude (> 400 ADC)", "FastORL1LargeAmp_SM"),
        Group("Clusters", "*Cluster*"),
        Group("Cells", "*hIDvs*"),
        Group("EMCal vs DCal median", "*EMCalMedianVsDCalMedian*"),
        Group("Gamma, low threshold", "*GAL*"),
        Group("Gamma, high threshold", "*GAH*"),
        Group("Jet, low threshold", "*JEL*"),
        Group("Jet, high threshold", "*JEH*"),
        Group("L0 trigger", "*EMCL0*"),
        Group("Background", "*BKG*"),
        Group("FastOR", "*FastOR*"),
        Group("Other EMC", "*EMC*"),
        Group("Other detectors", "*"),
    ),
    styles=(
        Style("*FEE*_SM*", "SM {number}", replace(_SUPERMODULE, x=(0, 250), y=(0, 20))),
        Style("*_SM*", "SM {number}", _SUPERMODULE),
        Style("*EdgePos*", display=_POSITIONS),
        *(Style(name, display=_CHANNELS) for name in _SUMMARIES),
        Style("*PatchAmpSubtracted*", display=Display(log="y", grid=True)),
        Style("*PatchAmp*", display=_SPECTRUM),
        Style("*PatchEnergy*", display=Display(log="y", grid=True)),
        Style("*hClusterCells", "Cells per cluster", Display(log="y")),
        Style("*hClusterEneCells", "Energy and cells of clusters", Display(log="xz", draw="colz")),
        Style("*hClusterEneEMCAL", "Energy of clusters", Display(log="y")),
        Style("*hClusterEneVsTime", "Energy and time of clusters", _MAP),
        Style("*hClusterEtaVsPhi", "Positions of clusters", _MAP),
        Style("*hClusterInvariantMass", "Invariant mass of pairs of clusters"),
        Style("*hClusterM02", "Long axis of clusters, M02", Display(log="y")),
        Style("*hClusterM20", "Short axis of clusters, M20", Display(log="y")),
        Style("*hClusterNumVsV0", "Clusters and V0 signal", Display(log="z", x=(0, 1000), y=(0, 500), draw="colz")),
        Style("*hIDvsAmp*HG", "Amplitude of each cell, high gain", _MAP),
        Style("*hIDvsAmp*", "Amplitude of each cell", _MAP),
        Style("*hIDvsTime*", "Time of each cell", _MAP),
        Style(f"{_PREFIX}*", display=_MAP),
    ),
    options=(
        Option("scale_events", True, "Divide contents by the number of events in the interval."),
        Option(
            "hot_channel_threshold",
            0.0,
            "Content per event from which on a channel is hot; 0: that of the histogram.",
            low=0,
            high=1e9,
        ),
    ),
    events=EventCount(f"{_PREFIX}Events"),
    derived=(
        Overlay(
            "MaxPatchAmpEMC{}",
            (f"{_PREFIX}EMCalMaxPatchAmpEMC{{}}", f"{_PREFIX}DCalMaxPatchAmpEMC{{}}"),
            "Largest patch of EMCal and DCal",
        ),
        Overlay(
            "PatchAmpEMC{}",
            (f"{_PREFIX}EMCalPatchAmpEMC{{}}", f"{_PREFIX}DCalPatchAmpEMC{{}}"),
            "Patches of EMCal and DCal",
        ),
    ),
    trends=(
        Trends(_trended_maps(), ("highest", "mean_x", "std_x")),
        Trends((f"{_PREFIX}Events", *_SUMMARIES, f"{_PREFIX}FastORL0Time"), ("maximum", "mean_x", "std_x")),
    ),
    hot_channels=(
        *(HotChannels(f"{level}LargeAmp", 1e-7) for level in _LEVELS),
        *(HotChannels(f"{level}Amp", 1e4) for level in _LEVELS),
        *(HotChannels(level, 1e-2) for level in _LEVELS),
    ),
    place=_place,
)
