"""Made answers.json: what ROOT 6.40 says of a time slice that owtrend wrote. In this folder, in two steps:

`python make_answers.py write slice.root` where owtrend is, then `python make_answers.py ask slice.root` where ROOT is.
``bytes`` are the digests of the objects as ROOT found them, by this version of uproot.
"""

import json
import sys
from pathlib import Path

FILE = Path(__file__).with_name("answers.json")


def write(path: str) -> None:
    sys.path.insert(0, str(Path(__file__).parents[3]))
    import uproot

    from owtrend.output import root_writer
    from tests.output import test_slices

    made = test_slices.slice_of_every_class()
    root_writer.write(Path(path), made.histograms)
    digests = {json.dumps(own): test_slices.bytes_digest(one) for own, one in made.items()}
    FILE.write_text(json.dumps({"uproot": uproot.__version__, "bytes": digests}))


def ask(path: str) -> None:
    import ROOT

    answers = json.loads(FILE.read_text())
    file, found = ROOT.TFile(path), {}
    for key in answers["bytes"]:
        *folders, name = json.loads(key)
        folder = file
        for part in folders:
            folder = folder.GetDirectory(part)
        (one,) = [one for one in folder.GetListOfKeys() if one.GetName() == name.rstrip()]
        histogram = one.ReadObj()
        dimension = histogram.GetDimension()
        axes = (histogram.GetXaxis(), histogram.GetYaxis(), histogram.GetZaxis())[:dimension]
        cells = range(histogram.GetNcells())
        found[key] = {
            "class": histogram.ClassName(),
            "title": histogram.GetTitle(),
            "gauge": bool(histogram.TestBit(ROOT.TH1.kIsAverage)),
            "labels": [[axis.GetBinLabel(i + 1) for i in range(axis.GetNbins())] for axis in axes],
            "edges": [[axis.GetBinUpEdge(i) for i in range(axis.GetNbins() + 1)] for axis in axes],
            "entries": histogram.GetEntries(),
            "mean": [histogram.GetMean(i + 1) for i in range(dimension)],
            "std": [histogram.GetStdDev(i + 1) for i in range(dimension)],
            "values": [histogram.GetBinContent(i) for i in cells],
            "errors": [histogram.GetBinError(i) for i in cells],
        }
    lines = json.dumps({"root": ROOT.gROOT.GetVersion(), **answers, "histograms": found}, ensure_ascii=False)
    FILE.write_text(lines.replace(', "[', ',\n"[') + "\n")


if __name__ == "__main__":
    {"write": write, "ask": ask}[sys.argv[1]](sys.argv[2])
