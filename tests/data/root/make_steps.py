"""Made steps.root: histograms that ROOT 6.40 scaled in mid-run, or filled beyond their type; a folder for each row."""

import ROOT

ROOT.TH1.AddDirectory(False)
ROOT.gErrorIgnoreLevel = ROOT.kError
ROOT.gInterpreter.Declare("""
void fill(TH1& h, int n, double x) { for (int i = 0; i < n; ++i) h.Fill(x); }
void gauss(TH1& h, TRandom3& rng, int n) {
  for (int i = 0; i < n; ++i) {
    double x = rng.Gaus(5, 1.5), y = rng.Gaus(2, 1);
    if (h.GetDimension() == 1) h.Fill(x);
    else if (h.GetDimension() == 2) static_cast<TH2&>(h).Fill(x, y);
    else static_cast<TH3&>(h).Fill(x, y, 1.0);
  }
}
""")
rng = ROOT.TRandom3(15)
scaled = [
    ROOT.TH1F("scaled_TH1F", "", 20, 0, 10), ROOT.TH1D("scaled_TH1D", "", 20, 0, 10),
    ROOT.TH2F("scaled_TH2F", "", 10, 0, 10, 4, 0, 4), ROOT.TH3D("scaled_TH3D", "", 5, 0, 10, 4, 0, 4, 2, 0, 2),
]  # fmt: skip
weighted = ROOT.TH1D("scaled_weighted", "", 20, 0, 10)
weighted.Sumw2()
full = {
    ROOT.TH1C("full_TH1C", "", 4, 0, 4): 127, ROOT.TH1S("full_TH1S", "", 4, 0, 4): 2**15 - 1,
    ROOT.TH1F("full_TH1F", "", 4, 0, 4): 2**24,
}  # fmt: skip
file = ROOT.TFile("steps.root", "RECREATE", "", 505)
for row in range(5):
    for h in scaled:
        if row == 2:
            h.Scale(0.5 if h.GetDimension() < 3 else 3.0)
        ROOT.gauss(h, rng, 1000)
    if row == 2:
        weighted.Scale(1e-3)
    for _ in range(1000):
        weighted.Fill(rng.Gaus(5, 1.5), rng.Uniform(0.5, 1.5))
    for h, limit in full.items():
        ROOT.fill(h, limit - 40 if row == 0 else 30, 1.5)
        ROOT.fill(h, 7, 2.5)
    folder = file.mkdir(str(row))
    for h in (*scaled, weighted, *full):
        folder.WriteTObject(h)
file.Close()
