"""Made the snapshots and answers.json next to it: `python make_snapshots.py` in an environment with ROOT 6.40.

Three cumulative snapshots of one run. The answers are ROOT's own for each batch of fills *alone* (a histogram of the
same kind filled with nothing else): what the time slice between two snapshots must give.
"""

import json
import random
from array import array

import ROOT

ROOT.TH1.AddDirectory(False)
NAMES = ["EMChistos_300000_C_2018_6_1_12_0_0.root", "EMChistos_300000_C_2018_6_1_12_1_3.root",
         "EMChistos_300000_C_2018_6_1_12_2_1.root"]  # fmt: skip


def book() -> dict:
    """Empty histograms by path; the first part of a path is a folder."""
    labelled = ROOT.TH1F("labelled", "by trigger class;class;events", 3, 0, 3)
    for bin_, label in enumerate(("INT7", "EMC L0", "other"), start=1):
        labelled.GetXaxis().SetBinLabel(bin_, label)
    weighted = ROOT.TH1D("weighted", "energy;E [GeV];sum of weights", 20, 0, 10)
    weighted.Sumw2()
    return {
        "TH1F": ROOT.TH1F("TH1F", "amplitude;ADC;hits", 20, 0, 100),
        "weighted": weighted,
        "variable": ROOT.TH1D("variable", "pT;p_{T} [GeV/c]", 4, array("d", [0, 1, 2.5, 5, 10])),
        "TH2I": ROOT.TH2I("TH2I", "towers;column;row", 6, 0, 48, 8, 0, 104),
        "TH3S": ROOT.TH3S("TH3S", "vertex;x;y;z", 3, -1, 1, 4, -1, 1, 5, -10, 10),
        "profile": ROOT.TProfile("profile", "mean energy;module;E [GeV]", 8, 0, 8),
        "profile_s": ROOT.TProfile("profile_s", "spread;module;E [GeV]", 8, 0, 8, "s"),
        "profile2d": ROOT.TProfile2D("profile2d", "mean energy;column;row", 4, 0, 48, 4, 0, 104),
        "labelled": labelled,
        "set_by_hand": ROOT.TH1F("set_by_hand", "bins set, not filled;x", 5, 0, 5),
        "TPCQA/tracks": ROOT.TH1I("tracks", "in a folder;tracks", 10, 0, 10),
        "name/with slash": ROOT.TH1F("name/with slash", "not in a folder", 5, 0, 5),
    }


def fill(histograms: dict, rng: random.Random, fills: int) -> None:
    for _ in range(fills):
        x, y, z, w = rng.gauss(50, 30), rng.uniform(-5, 110), rng.expovariate(0.3), rng.choice([0.25, 1.5, 3.0])
        histograms["TH1F"].Fill(x)
        histograms["weighted"].Fill(z, w)
        histograms["variable"].Fill(z)
        histograms["TH2I"].Fill(x / 2, y)
        histograms["TH3S"].Fill(x / 100, y / 100 - 0.5, z)
        histograms["profile"].Fill(x / 12, z)
        histograms["profile_s"].Fill(x / 12, z)
        histograms["profile2d"].Fill(x / 2, y, z)
        histograms["labelled"].Fill(rng.randrange(3))
        bin_ = rng.randrange(7)
        histograms["set_by_hand"].SetBinContent(bin_, histograms["set_by_hand"].GetBinContent(bin_) + 1)
        histograms["TPCQA/tracks"].Fill(z)
        histograms["name/with slash"].Fill(y / 20)


def along(histogram: object, number: int) -> object:
    """The bins in range along one axis, of the values that are drawn: of a profile the means."""
    if histogram.GetDimension() == 1:
        return histogram
    if histogram.InheritsFrom("TProfile2D"):
        histogram = histogram.ProjectionXY("values")
    bins = [axis.GetNbins() for axis in (histogram.GetXaxis(), histogram.GetYaxis(), histogram.GetZaxis())]
    others = [bin_ for n, size in enumerate(bins[: histogram.GetDimension()], 1) if n != number for bin_ in (1, size)]
    return getattr(histogram, f"Projection{'XYZ'[number - 1]}")("along", *others)


def answers(histogram: object) -> dict:
    dimension = histogram.GetDimension() + histogram.InheritsFrom("TProfile") + histogram.InheritsFrom("TProfile2D")
    found = {"entries": [histogram.GetEntries(), histogram.GetEntries() ** 0.5]}
    for number, axis in enumerate("xyz"[:dimension], start=1):
        found[f"mean_{axis}"] = [histogram.GetMean(number), histogram.GetMean(number + 10)]
        found[f"std_{axis}"] = [histogram.GetStdDev(number), histogram.GetStdDev(number + 10)]
    last = [axis.GetNbins() for axis in (histogram.GetXaxis(), histogram.GetYaxis(), histogram.GetZaxis())]
    last, error = last[: histogram.GetDimension()], array("d", [0])
    ranges = [bin_ for n in last for bin_ in (1, n)]
    found["integral"] = [histogram.IntegralAndError(*ranges, error), error[0]]
    # Of more axes, and of one, along each: ROOT's errors of these are those of a normal distribution, so none is kept.
    for number, axis in enumerate("xyz"[: histogram.GetDimension()], start=1):
        found[f"skewness_{axis}"] = [histogram.GetSkewness(number), None]
        found[f"kurtosis_{axis}"] = [histogram.GetKurtosis(number), None]
        line = along(histogram, number)
        for name, share in {"quantile_{}(0.05)": 0.05, "median_{}": 0.5, "quantile_{}(0.9)": 0.9}.items():
            quantile = array("d", [0])
            line.GetQuantiles(1, quantile, array("d", [share]))
            found[name.format(axis)] = [quantile[0], None]
    cells = range(histogram.GetNcells())
    return {
        "reductors": found,
        "values": [histogram.GetBinContent(i) for i in cells],
        "errors": [histogram.GetBinError(i) for i in cells],
    }


def main() -> None:
    rng, total, stored = random.Random(1), book(), {}
    for name, fills in zip(NAMES, (300, 200, 7), strict=True):
        state = rng.getstate()
        alone = book()
        fill(alone, rng, fills)
        rng.setstate(state)
        fill(total, rng, fills)
        stored[name] = {path: answers(histogram) for path, histogram in alone.items()}
        file = ROOT.TFile(name, "RECREATE", "", 101)
        folder = file.mkdir("TPCQA")
        for path, histogram in total.items():
            (folder if path.startswith("TPCQA/") else file).WriteTObject(histogram, histogram.GetName())
        file.Close()
    with open("answers.json", "w") as file:
        json.dump({"root": ROOT.gROOT.GetVersion(), "alone": stored}, file, indent=None, separators=(",", ":"))


if __name__ == "__main__":
    main()
