"""Made comparisons.json: `python make_comparisons.py` in an environment with ROOT 6.40.

Pairs of histograms with and without weights, in one to three dimensions, some bins empty in one or both; and what
Chi2TestX, KolmogorovTest and TMath::KolmogorovProb make of them.
"""

import ctypes
import json
from pathlib import Path

import numpy as np
import ROOT

rng = np.random.default_rng(6)
ROOT.TH1.AddDirectory(False)
ROOT.gErrorIgnoreLevel = ROOT.kFatal
BINS = {1: (12,), 2: (5, 4), 3: (3, 2, 4)}


def made(dims, n, weights, shift=0.0, profile=False):
    axes = [number for bins in BINS[dims] for number in (bins, 0.0, float(bins))]
    name = f"TProfile{'' if dims == 1 else f'{dims}D'}" if profile else f"TH{dims}D"
    h = getattr(ROOT, name)("h", "", *axes)
    if weights:
        h.Sumw2()
    for _ in range(n):
        x = [float(rng.normal(bins / 2 + shift, bins / 4)) for bins in BINS[dims]]
        quantity = [float(rng.normal(5, 2))] if profile else []
        h.Fill(*x, *quantity, *([float(rng.gamma(2.0, 0.7))] if weights else []))
    return h


def flat(h, get):
    """Bins in range, the last axis fastest."""
    cells = np.array([getattr(h, get)(i) for i in range(h.GetNcells())])
    shape = [n + 2 for n in BINS[h.GetDimension()]]
    return cells.reshape(shape[::-1]).T[(slice(1, -1),) * len(shape)].ravel().tolist()


cases = []
for dims in BINS:
    for option in ("UU", "UW", "WW"):
        for n, m, shift in ((60, 90, 0.0), (3000, 900, 0.1), (25, 4000, 0.0), (400, 300, 1.0)):
            a = made(dims, n, option == "WW")
            b = made(dims, m, option != "UU", shift)
            chi2, ndf, good = ctypes.c_double(), ctypes.c_int(), ctypes.c_int()
            p = a.Chi2TestX(b, chi2, ndf, good, option)
            cases.append({
                "shape": BINS[dims], "option": option,
                "data": flat(a, "GetBinContent"), "variance": [e * e for e in flat(a, "GetBinError")],
                "reference": flat(b, "GetBinContent"), "reference_variance": [e * e for e in flat(b, "GetBinError")],
                "chi2": chi2.value, "ndf": ndf.value, "igood": good.value, "chi2_p": p,
                "ks": a.KolmogorovTest(b, "M"), "ks_p": a.KolmogorovTest(b),
            })  # fmt: skip
z = [0.1, 0.25, 0.5, 0.7, 0.76, 0.9, 1.3, 2.0, 2.9, 4.0, 6.5]
answers = {
    "root": ROOT.gROOT.GetVersion(),
    "cases": cases,
    "kolmogorov": [[x, ROOT.TMath.KolmogorovProb(x)] for x in z],
}
Path(__file__).with_name("comparisons.json").write_text(json.dumps(answers, separators=(",", ":")))
