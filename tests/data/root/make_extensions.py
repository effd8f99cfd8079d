"""Made extensions.json: histograms before and after ROOT 6.40 extended an axis, and others merged by label."""

import json
import random

import ROOT

ROOT.TH1.AddDirectory(False)
ROOT.gErrorIgnoreLevel = ROOT.kError
random.seed(8)


def state(h):
    """Axes, labels and parts, flat with flow, x fastest."""
    axes = [h.GetXaxis(), h.GetYaxis(), h.GetZaxis()][: h.GetDimension()]
    cells, profile = range(h.GetNcells()), h.InheritsFrom("TProfile") or h.InheritsFrom("TProfile2D")
    if profile:
        parts = {
            "sumwy": [h.At(i) for i in cells], "sumwy2": [h.GetSumw2().At(i) for i in cells],
            "bin_entries": [h.GetBinEntries(i) for i in cells],
        }  # fmt: skip
    else:
        parts = {"contents": [h.GetBinContent(i) for i in cells]}
    squares, name = (h.GetBinSumw2(), "bin_sumw2") if profile else (h.GetSumw2(), "sumw2")
    if squares.GetSize():
        parts[name] = [squares.At(i) for i in cells]
    return {
        "axes": [[axis.GetNbins(), axis.GetXmin(), axis.GetXmax()] for axis in axes],
        "labels": [[axis.GetBinLabel(i + 1) for i in range(axis.GetNbins())] for axis in axes],
        "parts": parts,
    }  # fmt: skip


def booked(name, bins):
    axes = [value for n in bins for value in (n, 0.0, float(n))]
    h = getattr(ROOT, name)("h", "", *axes)
    if name.endswith("D") and "H" in name:
        h.Sumw2()
    return h


def fill(h, name, span):
    dimension = int(name[2]) if name.startswith("TH") else 2 if "2" in name else 1
    point = [random.uniform(-0.3 * span, 1.3 * span) for _ in range(dimension)]
    point += [random.gauss(5, 1)] if "Profile" in name else []
    h.Fill(*point, random.choice([0.5, 1.0, 2.0]) if name.endswith("D") and "H" in name else 1.0)


extensions = []
for name, bins in [
    ("TH1F", (4,)), ("TH1F", (5,)), ("TH1D", (6,)), ("TProfile", (5,)), ("TH2I", (4, 3)), ("TH2D", (3, 4)),
    ("TProfile2D", (4, 2)), ("TH3F", (4, 3, 2)), ("TH3D", (2, 3, 5)),
]:  # fmt: skip
    for directions in ["+", "-", "++", "-+", "+-+"]:
        h = booked(name, bins)
        for _ in range(60):
            fill(h, name, max(bins))
        before = state(h)
        axes = [h.GetXaxis(), h.GetYaxis(), h.GetZaxis()][: len(bins)]
        chosen = [axis for axis in axes if random.random() < 0.7] or axes[:1]
        for axis in chosen:
            h.SetCanExtend(ROOT.TH1.kAllAxes)
            for direction in directions:
                width = axis.GetXmax() - axis.GetXmin()
                beyond = axis.GetXmax() + width / 3 if direction == "+" else axis.GetXmin() - width / 3
                h.ExtendAxis(beyond, axis)
        extensions.append({"class": name, "before": before, "after": state(h)})

merges = []
for name in ["TH1F", "TH1D"]:
    for first, second in [("ABCD", "DCBA"), ("ABD", "EABC"), ("A", "BCDEF"), ("CA", "ABC")]:
        histograms = []
        for labels in (first, second):
            h = booked(name, (2,))
            h.SetCanExtend(ROOT.TH1.kAllAxes)
            for label in labels:
                for _ in range(random.randint(1, 9)):
                    h.Fill(label, random.choice([0.5, 1.0, 2.0]) if name == "TH1D" else 1.0)
            h.LabelsDeflate("X")
            histograms.append(h)
        whole = histograms[0].Clone()
        more = ROOT.TList()
        more.Add(histograms[1])
        whole.Merge(more)
        whole.LabelsDeflate("X")
        merges.append({"class": name, "parts": [state(h) for h in histograms], "whole": state(whole)})
with open("extensions.json", "w") as file:
    json.dump({"extensions": extensions, "merges": merges}, file)
