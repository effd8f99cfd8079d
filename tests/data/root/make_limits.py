"""Made limits.json: ranges that ROOT 6.40 finds for axes without one, and the bins it puts values into."""

import json
import random

import ROOT

random.seed(2)
bins, ranges = [], []
for _ in range(60):
    n = random.choice([1, 2, 3, 7, 10, 50, 100, 999])
    low = round(random.uniform(-10, 10), random.choice([0, 1, 3, 9]))
    high = low + round(random.uniform(0.1, 50), random.choice([1, 3, 9]))
    axis = ROOT.TAxis(n, low, high)
    values = [axis.GetBinLowEdge(random.randint(1, n)) for _ in range(20)]
    values += [low + random.randint(0, n) * (high - low) / n for _ in range(10)]
    values += [round(random.uniform(low, high), 2) for _ in range(10)]
    bins.append((n, low, high, values, [axis.FindFixBin(value) for value in values]))
for _ in range(200):
    n = random.choice([1, 2, 3, 5, 6, 10, 20, 50, 100, 128])
    low = random.choice([1, 1e3, 1e-4]) * random.uniform(-5, 5)
    high = low + random.choice([0, 1, 1e-6, 1e5, 30]) * random.random()
    histogram = ROOT.TH1F("h", "", n, 0, 0)
    ROOT.THLimitsFinder.GetLimitsFinder().FindGoodLimits(histogram, low, high)
    assert histogram.GetNbinsX() == n
    ranges.append((n, low, high, histogram.GetXaxis().GetXmin(), histogram.GetXaxis().GetXmax()))
with open("limits.json", "w") as file:
    json.dump({"bins": bins, "ranges": ranges}, file)
