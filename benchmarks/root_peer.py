"""Reads histograms by PyROOT: a line of JSON with paths comes in, the number of histograms goes out. Needs ROOT.

Each object is freed before the next (`SetOwnership`), without which PyROOT takes twice as long.
"""

import json
import sys

import numpy as np
import ROOT

_DTYPES = {"C": np.int8, "S": np.int16, "I": np.int32, "F": np.float32, "D": np.float64}


def read(path: str) -> list[tuple[np.ndarray, np.ndarray | None]]:
    """Contents, and sumw2 where it is kept, of every histogram in the file; the arrays own their memory."""
    file = ROOT.TFile.Open(path)
    arrays = _read(file)
    file.Close()
    return arrays


def _read(folder: ROOT.TDirectory) -> list[tuple[np.ndarray, np.ndarray | None]]:
    arrays = []
    for key in folder.GetListOfKeys():
        name, found = key.GetClassName(), key.ReadObj()
        if name.startswith("TDirectory"):
            arrays += _read(found)
            continue
        ROOT.SetOwnership(found, True)
        dtype = np.float64 if name.startswith("TProfile") else _DTYPES[name[-1]]
        contents = np.frombuffer(found.GetArray(), dtype=dtype, count=found.GetNcells()).copy()
        squares, kept = found.GetSumw2(), None
        if squares.GetSize():
            kept = np.frombuffer(squares.GetArray(), dtype=np.float64, count=squares.GetSize()).copy()
        arrays.append((contents, kept))
    return arrays


ROOT.TH1.AddDirectory(False)
for line in sys.stdin:
    print(sum(len(read(path)) for path in json.loads(line)), flush=True)
