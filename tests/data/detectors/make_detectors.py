"""Made the *.root files and answers.json: `python make_detectors.py` in an environment with ROOT 6.40.

Three snapshots of EMC, TPC and HLT, cumulative, five minutes apart. Every fill also goes into a histogram of its
interval alone: what ROOT says of that one is the answer. Ranges are given by their edges here, and by bins to ROOT.
"""

import json
import random
from array import array
from math import pi
from pathlib import Path

import ROOT

ROOT.TH1.AddDirectory(False)
HERE = Path(__file__).parent
rng = random.Random(18)
PREFIX = {"EMC": "EMCTRQA_hist", "TPC": "TPCQA/h_tpc_", "HLT": "fHist"}
EVENTS = (1000, 4000, 10000)  # of each subsystem up to each snapshot
PT = array("d", [0.01 * 2000 ** (i / 50) for i in range(51)])
TRACK = {0: (16, 0, 160), 2: (15, 0, 1.5), 3: (10, -3, 3), 4: (10, -3, 3), 5: (30, -1.5, 1.5), 6: (18, 0, 2 * pi)}
DRAW = {0: lambda: rng.gauss(110, 40), 2: lambda: rng.gauss(0.9, 0.2), 3: lambda: rng.gauss(0.3, 1),
        4: lambda: rng.gauss(-0.5, 1.5), 5: lambda: rng.uniform(-1.6, 1.6), 6: lambda: rng.uniform(0, 2 * pi),
        7: lambda: rng.expovariate(1.5)}  # fmt: skip
MAPS = [
    "HLTInSize_HLTOutSize", "HLTSize_HLTInOutRatio", "SDDclusters_SDDrawSize", "SPDclusters_SDDclusters",
    "SPDclusters_SPDrawSize", "SPDclusters_SSDclusters", "SSDclusters_SDDclusters", "SSDclusters_SSDrawSize",
    "TPCAallClustersRowPhi", "TPCAattachedClustersRowPhi", "TPCCallClustersRowPhi", "TPCCattachedClustersRowPhi",
    "TPCClusterSize_TPCCompressedSize", "TPCHLTclusters_TPCCompressionRatio",
    "TPCHLTclusters_TPCFullCompressionRatio", "TPCHLTclusters_TPCSplitClusterRatioPad",
    "TPCHLTclusters_TPCSplitClusterRatioTime", "TPCRawSize_TPCCompressedSize", "TPCdEdxMaxIROC", "TPCdEdxMaxOROC1",
    "TPCdEdxMaxOROC2", "TPCdEdxMaxOROCAll", "TPCdEdxMaxTPCAll", "TPCdEdxTotIROC", "TPCdEdxTotOROC1",
    "TPCdEdxTotOROC2", "TPCdEdxTotOROCAll", "TPCdEdxTotTPCAll", "TPCtracks_TPCtracklets", "TZERO_ITSSPDVertexZ",
    "VZERO_SPDClusters", "ZNA_VZEROTrigChargeA", "ZNC_VZEROTrigChargeC", "ZNT_VZEROTrigChargeT",
]  # fmt: skip


class Both:
    """A histogram that goes on counting, and what it gained in each interval."""

    def __init__(self, histogram):
        self.total = histogram
        self.gained = [histogram.Clone(f"{histogram.GetName()}_{i}") for i in range(3)]

    def fill(self, interval, *values):
        self.total.Fill(*values)
        self.gained[interval].Fill(*values)

    def late(self):
        """What was gained after the first snapshot."""
        late = self.gained[1].Clone("late")
        late.Add(self.gained[2])
        return late


def tracks(name, numbers):
    """A TH3D of these axes of tracks, the last may be pT."""
    title = PREFIX["TPC"] + name
    if numbers[2] != 7:
        return Both(ROOT.TH3D(title, name, *(part for number in numbers for part in TRACK[number])))
    edges = [array("d", [low + (high - low) * i / n for i in range(n + 1)])
             for n, low, high in (TRACK[number] for number in numbers[:2])]  # fmt: skip
    return Both(ROOT.TH3D(title, name, len(edges[0]) - 1, edges[0], len(edges[1]) - 1, edges[1], 50, PT))


made = {"EMC": {}, "TPC": {}, "HLT": {}}
made["EMC"] = {"Events": Both(ROOT.TH1F("EMCTRQA_histEvents", "Number of events", 1, 0, 1))}
for name in ("FastORL0", "FastORL0LargeAmp", "FastORL0Amp", "FastORL1"):
    made["EMC"][name] = Both(ROOT.TH1F(PREFIX["EMC"] + name, name, 5000, 0, 5000))
for charge in ("pos", "neg"):
    for numbers in ((3, 5, 6), (4, 5, 6), (2, 5, 6), (0, 5, 7)):
        name = f"track_{charge}_recvertex_{'_'.join(map(str, numbers))}"
        made["TPC"][name] = tracks(name, numbers), numbers
for number in (0, 2, 3, 4):
    made["TPC"][f"track_all_recvertex_{number}_5_7"] = (
        tracks(f"track_all_recvertex_{number}_5_7", (number, 5, 7)), (number, 5, 7)
    )  # fmt: skip
for number in (0, 1, 2, 4, 5):
    made["TPC"][f"event_recvertex_{number}"] = (
        Both(ROOT.TH1D(f"{PREFIX['TPC']}event_recvertex_{number}", "", 20, -1, 1)), ()
    )  # fmt: skip
made["HLT"] = {"Events": Both(ROOT.TH1F("fHistEvents", "Number of events", 1, 0, 1))}
for name in ("ClusterChargeMax", "ClusterChargeTot", "TPCTrackPt"):
    made["HLT"][name] = Both(ROOT.TH1D(PREFIX["HLT"] + name, name, 50, 0, 10))
made["HLT"]["TPCClusterFlags"] = Both(ROOT.TH1I("fHistTPCClusterFlags", "", 6, 0, 6))
for number, name in enumerate(MAPS):
    kind = ROOT.TH2F if number % 2 else ROOT.TH2I
    made["HLT"][name] = Both(kind(PREFIX["HLT"] + name, name, 12, 0, 10, 10, 0, 5))

hot = {"FastORL0": (33, 120), "FastORL0LargeAmp": (3200, 1), "FastORL0Amp": (4000, 20000), "FastORL1": (50, 95)}
for interval in range(3):
    events = EVENTS[interval] - (EVENTS[interval - 1] if interval else 0)
    for subsystem in ("EMC", "HLT"):
        for _ in range(events):
            made[subsystem]["Events"].fill(interval, 0.5)
    for name, (channel, content) in hot.items():
        both = made["EMC"][name]
        for _ in range(60):  # content below the threshold of the interval, above that of the first snapshot's events
            both.fill(interval, rng.randrange(0, 4992, 7), 8.0 if name != "FastORL0LargeAmp" else 0.0)
        if interval == 2:
            both.fill(interval, channel, content)
            both.fill(interval, channel + 96, content * (9000 if name == "FastORL0Amp" else 1))
    for both, numbers in made["TPC"].values():
        for _ in range(120 if numbers else 200):
            both.fill(interval, *([DRAW[number]() for number in numbers] or [rng.gauss(0.1, 0.3)]))
    for name, both in made["HLT"].items():
        if name != "Events":
            for _ in range(150):
                x = rng.expovariate(0.4)
                both.fill(interval, *([x] if both.total.GetDimension() == 1 else [x, rng.gauss(0.4 * x, 1)]))
    for subsystem, histograms in made.items():
        file = ROOT.TFile(
            str(HERE / f"{subsystem}histos_300000_C_2018_6_1_12_{5 * interval}_0.root"), "RECREATE", "", 208
        )
        for both in histograms.values():
            total = both[0].total if isinstance(both, tuple) else both.total
            file.WriteTObject(total, total.GetName())
        file.Close()

thresholds = {"FastORL0": 1e-2, "FastORL0LargeAmp": 1e-7, "FastORL0Amp": 1e4, "FastORL1": 1e-2}
channels = {}
for name, threshold in thresholds.items():
    late = made["EMC"][name].late()
    if not late.GetSumw2N():
        late.Sumw2()
    late.Scale(1.0 / (EVENTS[2] - EVENTS[0]))
    channels[PREFIX["EMC"] + name] = [
        [i - 1, late.GetBinContent(i), late.GetBinError(i)]
        for i in range(1, late.GetNbinsX() + 1) if late.GetBinContent(i) > threshold
    ]  # fmt: skip


def cells(histogram, order):
    """Filled bins in range, by their numbers in the order of the source's axes."""
    found = []
    for i in range(1, histogram.GetNbinsX() + 1):
        for j in range(1, histogram.GetNbinsY() + 1) if histogram.GetDimension() == 2 else [0]:
            if content := histogram.GetBinContent(i, j):
                found.append([*order((i, j)), content])
    return sorted(found)


derived = {}
for charge in ("pos", "neg"):
    for name, number in {"DCAr": 3, "DCAz": 4}.items():
        for side, (first, last) in {"a": (16, 30), "c": (1, 15)}.items():
            late = made["TPC"][f"track_{charge}_recvertex_{number}_5_6"][0].late()
            late.GetYaxis().SetRange(first, last)
            late.GetXaxis().SetRange(0, late.GetNbinsX() + 1)
            late.GetZaxis().SetRange(0, late.GetNbinsZ() + 1)
            shown = late.Project3D("xz")  # vertical DCA, horizontal phi
            derived[f"{name}_vs_Phi_{charge}tracks_{side}Side"] = cells(shown, lambda ij: (ij[1], ij[0]))
    late = made["TPC"][f"track_{charge}_recvertex_2_5_6"][0].late()
    derived[f"Eta_vs_Phi_{charge}tracks"] = cells(late.Project3D("yz"), lambda ij: (ij[1], ij[0]))
    late = made["TPC"][f"track_{charge}_recvertex_0_5_7"][0].late()
    derived[f"pT_{charge}tracks"] = cells(late.ProjectionZ("pt", 8, 16, 1, 30), lambda ij: ij[:1])
    derived[f"Eta_{charge}tracks"] = cells(late.ProjectionY("eta", 8, 16, 1, 25), lambda ij: ij[:1])


def numbers(histogram, *names):
    return {name: getattr(histogram, name)() for name in names}


trends = {
    PREFIX["HLT"] + name: [
        numbers(both.gained[i], "GetMaximum", "GetMean", "GetMeanError", "GetStdDev", "GetStdDevError")
        for i in range(3)
    ]
    for name, both in made["HLT"].items() if name != "Events"
}  # fmt: skip
restricted = {}
for name, (both, axes) in made["TPC"].items():
    if "_all_" in name or not axes:
        for gained in both.gained:
            if axes:
                gained.GetYaxis().SetRange(6, 25)  # |eta| < 1
                gained.GetZaxis().SetRange(22, 50)  # pT from 0.2436, the edge nearest to 0.25
                gained = gained.Project3D("x")
            restricted.setdefault(PREFIX["TPC"] + name, []).append(numbers(gained, "GetMean", "GetMeanError"))
answers = {"root": ROOT.gROOT.GetVersion(), "events": EVENTS, "hot_channels": channels, "derived": derived,
           "hlt_trends": trends, "tpc_trends": restricted}  # fmt: skip
text = json.dumps(answers).replace('}, "', '},\n"').replace(']], "', ']],\n"')
(HERE / "answers.json").write_text(text + "\n")
