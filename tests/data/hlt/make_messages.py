"""Write with ROOT itself the messages that the HLT receiver must read, and ROOT's own answers.

Run by a Python that has ROOT 6.40, in this folder. A file holds messages one after the other; each begins with its
length. `plain.bin` and `zipped_*.bin` hold the same objects, `streamers.bin` the class layouts of all of them.
"""

import json
from array import array
from pathlib import Path

import numpy as np
import ROOT

HERE = Path(__file__).parent
rng = np.random.default_rng(3)
ROOT.TH1.AddDirectory(False)
ROOT.gROOT.SetBatch(True)
ROOT.gInterpreter.Declare("""
#include "TMessage.h"
struct Sent : TMessage {
   Sent() : TMessage(kMESS_OBJECT) {}
   static std::vector<int> bytes(const char *b, int n) { return {(unsigned char *)b, (unsigned char *)b + n}; }
   std::vector<int> plain() { SetLength(); return bytes(Buffer(), Length()); }
   std::vector<int> zipped() {
      Compress();
      SetLength();
      return CompBuffer() ? bytes(CompBuffer(), CompLength()) : plain();  // ROOT leaves small ones as they are
   }
};
""")
METHODS = {"zlib": 101, "lzma": 205, "lz4": 404, "zstd": 505}


def message(obj, method=None):
    sent = ROOT.Sent()
    if method:
        sent.SetCompressionSettings(METHODS[method])
    sent.WriteObject(obj)
    return bytes(list(sent.zipped() if method else sent.plain()))


def answer(h):
    """What ROOT says of a histogram."""
    dimension = h.GetDimension()
    axes = (h.GetXaxis(), h.GetYaxis(), h.GetZaxis())[:dimension]
    stats = array("d", [0.0] * 13)
    h.GetStats(stats)
    return {
        "class": h.ClassName(),
        "edges": [[axis.GetBinUpEdge(i) for i in range(axis.GetNbins() + 1)] for axis in axes],
        "labels": [{i: axis.GetBinLabel(i) for i in range(1, axis.GetNbins() + 1) if axis.GetBinLabel(i)}
                   if axis.GetLabels() else {} for axis in axes],
        "contents": [h.GetBinContent(i) for i in range(h.GetNcells())],
        "errors": [h.GetBinError(i) for i in range(h.GetNcells())],
        "entries": h.GetEntries(),
        "stats": list(stats)[: {1: 4, 2: 7, 3: 11}[dimension] + 2 * h.ClassName().startswith("TProfile")],
        "title": h.GetTitle(),
    }  # fmt: skip


def fill(h, n=200, weights=False):
    dimension = h.GetDimension() + h.ClassName().startswith("TProfile")
    for x in rng.normal(2.0, 2.0, (n, dimension)).round(3):
        h.Fill(*map(float, x), *([round(float(rng.normal(1, 0.5)), 3)] if weights else []))
    return h


labelled = ROOT.TH1F("labelled", "trigger classes", 4, 0.0, 4.0)
for number, text in ((1, "INT7"), (3, "µ"), (4, "EMC7")):
    labelled.GetXaxis().SetBinLabel(number, text)
weighted = ROOT.TH1D("weighted", "", 5, 0.0, 4.0)
weighted.Sumw2()
inside = ROOT.TObjArray()
inside.SetName("component")
in_list = [fill(ROOT.TH1F("TPCQA/h x", "a slash and a space", 6, 0.0, 4.0)), fill(ROOT.TH1I("counts", "", 4, 0.0, 4.0))]
for h in in_list:
    inside.Add(h)
histograms = [
    fill(ROOT.TH1F("h1f", "title;x [cm];counts", 30, 0.0, 4.0)),
    fill(ROOT.TH1I("h1i", "", 5, 0.0, 4.0)),
    fill(ROOT.TH1L("h1l", "", 5, 0.0, 4.0)),
    fill(weighted, weights=True),
    fill(ROOT.TH2F("h2f", "", 12, 0.0, 4.0, 10, 0.0, 4.0)),
    fill(ROOT.TH2S("h2s", "", 3, array("d", [0, 1, 2.5, 5]), 2, array("d", [-1, 0, 9]))),
    fill(ROOT.TH3F("h3f", "", 4, 0.0, 4.0, 3, 0.0, 4.0, 2, 0.0, 4.0)),
    fill(ROOT.TProfile("p1", "", 8, 0.0, 4.0, "s")),
    fill(ROOT.TProfile2D("p2", "", 3, 0.0, 4.0, 2, 0.0, 4.0)),
    fill(labelled),
]
objects = [*histograms, inside, ROOT.TObjString("no histogram")]
answers = {h.GetName(): answer(h) for h in histograms} | {f"component/{h.GetName()}": answer(h) for h in in_list}
(HERE / "plain.bin").write_bytes(b"".join(map(message, objects)))
for method in METHODS:
    (HERE / f"zipped_{method}.bin").write_bytes(b"".join(message(obj, method) for obj in objects))
# the layouts as the merger sends them: those of all classes that the objects are made of
file = ROOT.TMemFile("all.root", "RECREATE")
for obj in objects:
    file.WriteTObject(obj, "o", "SingleKey")
file.Write()
infos = ROOT.TObjArray()
for info in file.GetStreamerInfoList():
    if info.ClassName() == "TStreamerInfo":
        infos.Add(info)
(HERE / "streamers.bin").write_bytes(message(infos))
(HERE / "streamers_zipped.bin").write_bytes(message(infos, "zlib"))
# the same histogram later: its template must take it
later = histograms[0].Clone()
fill(later)
(HERE / "later.bin").write_bytes(message(later))
answers["later"] = answer(later)
text = json.dumps(answers, indent=None, separators=(",", ":"))
(HERE / "answers.json").write_text(text.replace('},"', '},\n"') + "\n")
print(*(f"{path.name} {path.stat().st_size}" for path in sorted(HERE.iterdir())), sep="\n")
