"""Write with ROOT itself what SnapshotReader must read, and ROOT's own answers: `classes.root`, `packed_*.root`.

Run by a Python that has ROOT 6.40, in this folder. Small, so that every test can afford it.
"""

import json
from array import array
from pathlib import Path

import numpy as np
import ROOT

HERE = Path(__file__).parent
rng = np.random.default_rng(1)
ROOT.TH1.AddDirectory(False)
ROOT.gROOT.SetBatch(True)
answers = {}
kept = []  # ROOT's collections do not keep alive what Python made


def answer(path, h):
    """What ROOT says of a histogram, buffer emptied."""
    h.BufferEmpty()
    dimension = h.GetDimension()
    axes = (h.GetXaxis(), h.GetYaxis(), h.GetZaxis())[:dimension]
    stats = array("d", [0.0] * 13)
    h.GetStats(stats)
    answers[json.dumps(path)] = {
        "class": h.ClassName(),
        "edges": [[axis.GetBinUpEdge(i) for i in range(axis.GetNbins() + 1)] for axis in axes],
        "titles": [axis.GetTitle() for axis in axes],
        "labels": [{i: axis.GetBinLabel(i) for i in range(1, axis.GetNbins() + 1) if axis.GetBinLabel(i)}
                   if axis.GetLabels() else {} for axis in axes],
        "contents": [h.GetBinContent(i) for i in range(h.GetNcells())],
        "errors": [h.GetBinError(i) for i in range(h.GetNcells())],
        "entries": h.GetEntries(),
        "stats": list(stats)[: {1: 4, 2: 7, 3: 11}[dimension] + 2 * h.ClassName().startswith("TProfile")],
        "title": h.GetTitle(),
    }  # fmt: skip


def fill(h, n=80, weights=False, spread=1.0):
    """Normal values around the middle, some in the flow bins."""
    dimension = h.GetDimension() + h.ClassName().startswith("TProfile")
    for x in rng.normal(2.0, 2.0 * spread, (n, dimension)).round(3):
        if weights:
            h.Fill(*map(float, x), round(float(rng.normal(1, 0.5)), 3))
        else:
            h.Fill(*map(float, x))
    kept.append(h)
    return h


def put(folder, h, name=None, path=None):
    """Write into a folder of the file, and keep ROOT's answer of a copy."""
    folder.WriteTObject(h, name or h.GetName())
    answer(path or [*folder.GetPath().split(":/")[1].strip("/").split("/"), name or h.GetName()], h.Clone())


file = ROOT.TFile(str(HERE / "classes.root"), "RECREATE", "", 101)
folder = file.mkdir("numbers")
for letter in "CSILFD":
    put(
        folder, fill(getattr(ROOT, f"TH1{letter}")(f"h1{letter.lower()}", f"title {letter};x [cm];counts", 5, 0.0, 4.0))
    )
    put(folder, fill(getattr(ROOT, f"TH2{letter}")(f"h2{letter.lower()}", "", 3, 0.0, 4.0, 2, 0.0, 4.0)))
    put(folder, fill(getattr(ROOT, f"TH3{letter}")(f"h3{letter.lower()}", "", 2, 0.0, 4.0, 3, 0.0, 4.0, 1, 0.0, 4.0)))

folder = file.mkdir("profiles")
for option in ("", "s", "i", "g"):
    put(folder, fill(ROOT.TProfile(f"p1{option}", "", 4, 0.0, 4.0, option)))
put(folder, fill(ROOT.TProfile("limits", "", 4, 0.0, 4.0, 1.0, 3.0)))
put(folder, fill(ROOT.TProfile("weighted", "", 4, 0.0, 4.0), weights=True))
put(folder, fill(ROOT.TProfile2D("p2", "", 2, 0.0, 4.0, 3, 0.0, 4.0, "s")))
put(folder, fill(ROOT.TProfile3D("p3", "", 2, 0.0, 4.0, 2, 0.0, 4.0, 2, 0.0, 4.0)))

folder = file.mkdir("contents")
weighted = ROOT.TH1F("weighted", "", 5, 0.0, 4.0)
weighted.Sumw2()
put(folder, fill(weighted, weights=True))
negative = ROOT.TH1F("negative", "", 3, 0.0, 3.0)
negative.SetBinContent(2, -1)
put(folder, negative)
odd = ROOT.TH1D("not_numbers", "", 3, 0.0, 3.0)
for number, value in ((1, float("nan")), (2, float("inf")), (3, float("-inf"))):
    odd.SetBinContent(number, value)
folder.WriteTObject(odd)
gauge = ROOT.TH1F("gauge", "", 3, 0.0, 3.0)
gauge.SetBit(ROOT.TH1.kIsAverage)
put(folder, gauge)
saturated = ROOT.TH1C("saturated", "", 2, 0.0, 2.0)
for _ in range(200):
    saturated.Fill(0.5)
put(folder, saturated)
fitted = fill(ROOT.TH1F("fitted", "", 10, -4.0, 8.0))
fitted.Fit("gaus", "Q0")
put(folder, fitted)

folder = file.mkdir("axes")
put(folder, fill(ROOT.TH2F("variable", "", 3, array("d", [0, 1, 2.5, 5]), 2, array("d", [-1, 0, 9]))))
labelled = ROOT.TH1F("labelled", "", 4, 0.0, 4.0)
labelled.GetXaxis().SetBinLabel(1, "INT7")
labelled.GetXaxis().SetBinLabel(3, "µ")
put(folder, fill(labelled))

folder = file.mkdir("buffers")
for number, (bins, spread, n) in enumerate([(10, 1, 50), (100, 1e-3, 30), (7, 1e6, 30), (3, 20, 40), (1, 1, 5),
                                            (50, 1e-9, 20), (25, 3, 1)]):  # fmt: skip
    put(folder, fill(ROOT.TH1F(f"range_{number}", "", bins, 0.0, 0.0), n, spread=spread))
edges = array("d", [0, 1, 2.5, 5])
for made in (
    ROOT.TH1I("fixed", "", 10, 0.0, 4.0),
    ROOT.TH1D("variable", "", 3, edges),
    ROOT.TH2F("two", "", 4, 0.0, 0.0, 3, 0.0, 0.0),
    ROOT.TH3F("three", "", 2, 0.0, 4.0, 2, 0.0, 4.0, 2, 0.0, 4.0),
    ROOT.TProfile("profile", "", 4, 0.0, 4.0),
    ROOT.TProfile2D("profile2", "", 2, 0.0, 4.0, 2, 0.0, 4.0),
    ROOT.TH1C("char", "", 1, 0.0, 1.0),
):
    made.SetBuffer(1000)
    put(folder, fill(made))
weighted = ROOT.TH1F("weighted", "", 5, 0.0, 4.0)
weighted.SetBuffer(300)
put(folder, fill(weighted, weights=True))

folder = file.mkdir("containers")
inner, outer = ROOT.TList(), ROOT.TList()
inner.SetName("inner")
for owner, name in ((outer, "a"), (inner, "deep"), (outer, "b"), (outer, "b")):
    owner.Add(fill(ROOT.TH1F(name, "", 3, 0.0, 4.0)))
outer.Add(inner)
words = ROOT.TObjString("words")
outer.Add(words)
outer.Add(outer.At(0))  # a second pointer to the same
folder.WriteTObject(outer, "list")
answer(["containers", "list", "a"], outer.At(0))
answer(["containers", "list", "b"], outer.At(1))
answer(["containers", "list", "b#2"], outer.At(2))
answer(["containers", "list", "inner", "deep"], inner.At(0))
sparse = ROOT.TObjArray(4)
sparse.AddAt(fill(ROOT.TProfile("in_array", "", 3, 0.0, 4.0)), 2)
folder.WriteTObject(sparse, "array")
answer(["containers", "array", "in_array"], sparse.At(2))
pairs = ROOT.TMap()
key, value = ROOT.TObjString("key"), fill(ROOT.TH1D("value", "", 3, 0.0, 4.0))
pairs.Add(key, value)
folder.WriteTObject(pairs, "map")
answer(["containers", "map", "key"], value)
canvas = ROOT.TCanvas("canvas", "", 100, 100)
canvas.Divide(2, 1)
canvas.cd(2)
drawn = fill(ROOT.TH1F("drawn", "", 3, 0.0, 4.0))
drawn.Draw()
folder.WriteTObject(canvas)
answer(["containers", "canvas", "canvas_2", "drawn"], drawn)
efficiency = ROOT.TEfficiency("efficiency", "", 3, 0.0, 3.0)
for x in rng.uniform(0, 3, 60):
    efficiency.Fill(bool(x > 1), float(x))
folder.WriteTObject(efficiency)
answer(["containers", "efficiency", "efficiency_passed"], efficiency.GetPassedHistogram())
answer(["containers", "efficiency", "efficiency_total"], efficiency.GetTotalHistogram())
stack = ROOT.THStack("stack", "")
stacked = fill(ROOT.TH1F("stacked", "", 3, 0.0, 4.0))
stack.Add(stacked)
folder.WriteTObject(stack)
answer(["containers", "stack", "stacked"], stacked)

folder = file.mkdir("names")
for name in ("with/slash", "with:colon", "with;semicolon", " blanks ", "π→µ", "n" * 300):
    put(
        folder, fill(ROOT.TH1F("own", "", 2, 0.0, 4.0)), name, path=["names", name.rstrip()]
    )  # TKey drops blanks at the end
for cycle in range(3):
    last = fill(ROOT.TH1F("cycles", "", 2, 0.0, 4.0), n=cycle + 1)
    folder.WriteTObject(last, "cycles")
answer(["names", "cycles"], last)
folder.WriteTObject(fill(ROOT.TH1F("deleted", "", 2, 0.0, 4.0)), "deleted")
folder.Delete("deleted;*")
file.mkdir("empty")
file.mkdir("a/b/c")
put(file.Get("a/b/c"), fill(ROOT.TH1F("deep", "", 2, 0.0, 4.0)), path=["a", "b", "c", "deep"])

folder = file.mkdir("others")
graph = ROOT.TGraph(3)
folder.WriteTObject(graph, "graph")
text = ROOT.TObjString("text")
folder.WriteTObject(text, "text")
sparse = ROOT.THnSparseD("sparse", "", 4, array("i", [2] * 4), array("d", [0.0] * 4), array("d", [1.0] * 4))
folder.WriteTObject(sparse, "sparse")
file.Close()

# The same two histograms by every packing; the large one takes two blocks of 16 MB.
small = fill(ROOT.TH1F("small", "", 500, 0.0, 4.0), 500)
large = ROOT.TH2F("large", "", 2100, 0.0, 1.0, 2100, 0.0, 1.0)
for number in range(0, large.GetNcells(), 40009):
    large.SetBinContent(number, number)
for name, setting in {"none": 0, "zlib": 101, "lzma": 207, "lz4": 404, "zstd": 505}.items():
    file = ROOT.TFile(str(HERE / f"packed_{name}.root"), "RECREATE", "", setting)
    file.WriteTObject(small, "small")
    if setting not in (0, 404):  # of these 18 MB and 70 kB
        file.WriteTObject(large, "large")
    file.Close()
answer(["small"], small)

(HERE / "classes.json").write_text(json.dumps(answers, indent=0, ensure_ascii=False))
