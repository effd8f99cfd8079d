"""HLT: what the trigger farm itself monitors; and V0, whose histograms lie in its files."""

from owtrend.detectors.protocol import Detector, Display, EventCount, Group, Host, Option, Style, Trends

__all__ = ["HLT", "V0"]

_PREFIX = "fHist"
_SPECTRA = ("ClusterChargeMax", "ClusterChargeTot", "TPCClusterFlags", "TPCTrackPt")
_MAPS = (
    "HLTInSize_HLTOutSize", "HLTSize_HLTInOutRatio", "SDDclusters_SDDrawSize",
    "SPDclusters_SDDclusters", "SPDclusters_SPDrawSize", "SPDclusters_SSDclusters", "SSDclusters_SDDclusters",
    "SSDclusters_SSDrawSize", "TPCAallClustersRowPhi", "TPCAattachedClustersRowPhi", "TPCCallClustersRowPhi",
    "TPCCattachedClustersRowPhi", "TPCClusterSize_TPCCompressedSize",
    "TPCHLTclusters_TPCCompressionRatio", "TPCHLTclusters_TPCFullCompressionRatio",
    "TPCHLTclusters_TPCSplitClusterRatioPad", "TPCHLTclusters_TPCSplitClusterRatioTime",
    "TPCRawSize_TPCCompressedSize", *(f"TPCdEdx{charge}{place}" for charge in ("Max", "Tot")
    for place in ("IROC", "OROC1", "OROC2", "OROCAll", "TPCAll")), "TPCtracks_TPCtracklets", "TZERO_ITSSPDVertexZ",
    "VZERO_SPDClusters", "ZNA_VZEROTrigChargeA", "ZNC_VZEROTrigChargeC", "ZNT_VZEROTrigChargeT",
)  # fmt: skip
_SCALE = Option("scale_events", False, "Divide contents by the number of events in the interval.")
_STYLES = (Style("*", display=Display(draw="colz")),)
_EVENTS = EventCount(f"{_PREFIX}Events")

HLT = Detector(
    name="HLT",
    prefix=_PREFIX,
    groups=(Group("HLT histograms", "*"),),
    styles=_STYLES,
    options=(_SCALE,),
    events=_EVENTS,
    trends=(
        Trends(tuple(f"{_PREFIX}{name}" for name in _SPECTRA), ("maximum", "mean_x", "std_x")),
        Trends(tuple(f"{_PREFIX}{name}" for name in _MAPS), ("highest", "mean_x", "std_x")),
    ),
)

V0 = Detector(
    name="V0",
    prefix=_PREFIX,
    groups=(Group("Trigger charge", "*VZEROTrigCharge*"), Group("V0", "*VZERO*"), Group("Other detectors", "*")),
    styles=_STYLES,
    options=(_SCALE,),
    events=_EVENTS,
    host=Host("HLT", ("*VZERO*",)),
)
