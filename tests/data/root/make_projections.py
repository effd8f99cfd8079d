"""Made projections.root and projections.json: `python make_projections.py` in an environment with ROOT 6.40.

Histograms with and without fills beyond their axes, weights, labels; what ROOT's projections, Rebin, Divide and
TEfficiency make of them. A range is given by its edges here, and by its bins to ROOT.
"""

import itertools
import json
import random
from array import array
from pathlib import Path

import ROOT

ROOT.TH1.AddDirectory(False)
ROOT.gErrorIgnoreLevel = ROOT.kError
HERE = Path(__file__).parent
rng = random.Random(4)
made, cases = {}, []
new = map("projected_{}".format, itertools.count())  # ROOT fills an old one of the same name, weights or not


def fill(histogram, n, low, high, quantity=False, weights=False):
    if weights:
        histogram.Sumw2()
    dimension = histogram.GetDimension()
    for _ in range(n):
        values = [rng.uniform(low, high) for _ in range(dimension)]
        values += [rng.gauss(5, 2)] * quantity + [rng.choice([0.5, 2.0, 3.0])] * weights
        histogram.Fill(*values)
    made[histogram.GetName()] = histogram
    return histogram


def flat(histogram, method):
    return [getattr(histogram, method)(i) for i in range(histogram.GetNcells())]


def answer(source, call, arguments, result, exact, entries=True):
    """Result of one call; ``exact``: owtrend's statistics are ROOT's to the last digits; ``entries``: those, too."""
    stats, count = array("d", [0.0] * 20), {"TH1": 4, "TH2": 7, "TPr": 6}[result.ClassName()[:3]]
    result.GetStats(stats)
    axes = [result.GetXaxis(), result.GetYaxis()][: result.GetDimension()]
    cases.append({
        "histogram": source.GetName(), "call": call, "arguments": arguments, "class": result.ClassName(),
        "edges": [[axis.GetBinLowEdge(i) for i in range(1, axis.GetNbins() + 2)] for axis in axes],
        "contents": flat(result, "GetBinContent"), "errors": flat(result, "GetBinError"),
        "sums": list(stats)[: 9 if result.ClassName() == "TProfile2D" else count], "exact": exact,
        "entries": result.GetEntries() if entries else None,
    })  # fmt: skip


# Two axes: 4 bins of x, 3 of y.
ranges = {None: (0, -1), (0.0, 4.0): (1, 3), (1.0, 4.0): (2, 3), (None, 2.0): (0, 2), (2.0, 3.0): (3, 3)}
for name, low, high, weights in (
    ("inside", 0, 4, False), ("flow", -1, 5, False), ("weights", -1, 5, True), ("weights_inside", 0, 4, True)
):  # fmt: skip
    edges = array("d", [0, 1, 2, 4]) if name == "flow" else array("d", [0, 1, 2, 3, 4])
    histogram = ROOT.TH2D(name, "", 4, 0.0, 4.0, len(edges) - 1, edges)
    fill(histogram, 200, low, high, weights=weights)
    for wanted, (first, last) in ranges.items():
        if histogram.GetYaxis().GetNbins() == 4 and wanted:  # the other binning of y
            first, last = {(0.0, 4.0): (1, 4), (1.0, 4.0): (2, 4)}.get(wanted, (first, last))
        elif wanted == (2.0, 3.0):
            continue
        projected = histogram.ProjectionX(next(new), first, last, "e" if weights else "")
        exact = "inside" in name or wanted is not None
        answer(histogram, "project", {"axes": "x", **({"y": wanted} if wanted else {})}, projected, exact, not weights)
    projected = histogram.ProjectionY(next(new), 2, 3, "e" if weights else "")
    answer(histogram, "project", {"axes": "y", "x": (1, 3)}, projected, True, not weights)
by_hand = ROOT.TH2D("by_hand", "", 3, 0.0, 3.0, 2, 0.0, 2.0)
for number in range(by_hand.GetNcells()):
    by_hand.SetBinContent(number, number)
made["by_hand"] = by_hand
answer(by_hand, "project", {"axes": "x"}, by_hand.ProjectionX(next(new)), True, False)

# Three axes.
for name, low, high, weights in (("inside3", 0, 4, False), ("flow3", -1, 5, False), ("weights3", -1, 5, True)):
    histogram = fill(ROOT.TH3D(name, "", 3, 0.0, 3.0, 2, 0.0, 4.0, 4, 0.0, 4.0), 300, low, high, weights=weights)
    for axes, option in (("x", "x"), ("y", "y"), ("xy", "yx"), ("xz", "zx"), ("yz", "zy")):
        result = histogram.Project3D(option)
        answer(histogram, "project", {"axes": axes}, result, False, len(axes) == 1 and not weights)
    histogram.GetZaxis().SetRange(2, 3)
    for axes, option in (("x", "x"), ("xy", "yx")):
        result = histogram.Project3D(option)
        entries = len(axes) == 1 and not weights
        answer(histogram, "project", {"axes": axes, "z": (1, 3)}, result, True, entries)
    histogram.GetZaxis().SetRange(0, 0)

# Profiles: ROOT always makes the statistics from the bins.
for name, weights in (("profile2", False), ("profile2_weights", True)):
    histogram = fill(ROOT.TProfile2D(name, "", 3, 0.0, 3.0, 4, 0.0, 4.0), 300, -1, 5, quantity=True, weights=weights)
    answer(histogram, "project", {"axes": "x"}, histogram.ProfileX(next(new)), False, False)
    answer(histogram, "project", {"axes": "y"}, histogram.ProfileY(next(new)), False, False)
    answer(histogram, "project", {"axes": "x", "y": (1, 3)}, histogram.ProfileX(next(new), 2, 3), True, False)
histogram = fill(ROOT.TProfile3D("profile3", "", 3, 0.0, 3.0, 2, 0.0, 4.0, 4, 0.0, 4.0), 300, -1, 5, quantity=True)
answer(histogram, "project", {"axes": "xy"}, histogram.Project3DProfile("yx"), False, False)

# Bins merged.
edges = [0.0, 1.0, 3.0, 7.0]
for name, weights in (("seven", False), ("seven_weights", True)):
    histogram = fill(ROOT.TH1D(name, "", 7, 0.0, 7.0), 100, -1, 9, weights=weights)
    for group in (2, 3, 7):
        answer(histogram, "rebin", {"x": group}, histogram.Rebin(group, next(new)), True)
    answer(histogram, "rebin", {"x": edges}, histogram.Rebin(3, next(new), array("d", edges)), True)
    cut = [1.0, 2.0, 5.0]  # ROOT keeps the statistics of fills that are no longer in range
    answer(histogram, "rebin", {"x": cut}, histogram.Rebin(2, next(new), array("d", cut)), None)
histogram = fill(ROOT.TH1D("variable", "", 4, array("d", [0, 1, 2.5, 5, 10])), 100, -1, 12)
answer(histogram, "rebin", {"x": 2}, histogram.Rebin(2, next(new)), True)
histogram = fill(ROOT.TProfile("profile", "", 5, 0.0, 5.0), 100, -1, 6, quantity=True)
answer(histogram, "rebin", {"x": 2}, histogram.Rebin(2, next(new)), True)
histogram = fill(ROOT.TH2D("five", "", 5, 0.0, 5.0, 4, 0.0, 4.0), 200, -1, 6)
answer(histogram, "rebin", {"x": 2, "y": 3}, histogram.Rebin2D(2, 3, next(new)), True)
answer(histogram, "rebin", {"x": 5, "y": 2}, histogram.Rebin2D(5, 2, next(new)), True)

# Two histograms bin by bin.
pairs = []
for name, weights in (("plain", False), ("heavy", True)):
    total = fill(ROOT.TH1D(f"total_{name}", "", 6, 0.0, 6.0), 60, -1, 5, weights=weights)  # the last bin is empty
    passed = total.Clone(f"passed_{name}")
    for number in range(8):
        share = [0.5, 0.0, 1.0, 0.3, 0.8, 0.1, 0.6, 0.5][number]
        if weights:
            passed.SetBinContent(number, share * total.GetBinContent(number))
            passed.SetBinError(number, (share * total.GetBinError(number) ** 2) ** 0.5)
        else:
            passed.SetBinContent(number, round(share * total.GetBinContent(number)))
    made[passed.GetName()] = passed
    ratio = passed.Clone("ratio")
    ratio.Sumw2()
    ratio.Divide(total)
    binomial = passed.Clone("binomial")
    binomial.Sumw2()
    binomial.Divide(passed, total, 1, 1, "B")
    efficiency = ROOT.TEfficiency(passed, total)
    wide = ROOT.TEfficiency(passed, total)
    wide.SetConfidenceLevel(0.95)
    answers = {"ratio": flat(ratio, "GetBinContent"), "ratio_error": flat(ratio, "GetBinError"),
            "binomial_error": flat(binomial, "GetBinError")}  # fmt: skip
    for key, one in (("default", efficiency), ("0.95", wide)):
        value = [one.GetEfficiency(i) for i in range(8)]
        answers[key] = {
            "value": value,
            "lower": [value[i] - one.GetEfficiencyErrorLow(i) for i in range(8)],
            "upper": [value[i] + one.GetEfficiencyErrorUp(i) for i in range(8)],
        }
    pairs.append({"passed": passed.GetName(), "total": total.GetName(), "weighted": weights, "answers": answers})

file = ROOT.TFile(str(HERE / "projections.root"), "RECREATE", "", 101)
for name, histogram in made.items():
    file.WriteTObject(histogram, name)
file.Close()
answers = {"root": ROOT.gROOT.GetVersion(), "cases": cases, "pairs": pairs}
(HERE / "projections.json").write_text(json.dumps(answers, separators=(",", ":")))
