"""Decoded numbers of the real files against the answers of ROOT 6.40; see docs/explanation/decoding.md."""

import json
import math
from functools import cache

import numpy as np
import pytest

from ingest import SnapshotReader

MAX_CELLS = 2**27  # one of the files holds 78.9 million cells
NUMBERS = {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}  # which JSON has no form for


class Comparison:
    """Our numbers against ROOT's: equal, or to 1e-9 where ROOT sums in another order."""

    def __init__(self):
        self.compared, self.wrong = 0, []

    def expect(self, where, ours, theirs):
        self.compared += 1
        theirs = NUMBERS.get(theirs, theirs) if isinstance(theirs, str) else theirs
        if ours != theirs and ours != pytest.approx(theirs, rel=1e-9, abs=1e-12, nan_ok=True):
            self.wrong.append(f"{where}: {ours} here, {theirs} in ROOT")


def inner(histogram, entry):
    """Bin centres, contents and squared errors in the range that is set, without the flow bins."""
    cut = tuple(slice(None) if r is None else slice(r[0] - 1, r[1]) for r in entry["axis_range"])
    centres = [((a.edges[1:] + a.edges[:-1]) / 2)[c] for a, c in zip(histogram.axes, cut, strict=True)]
    return centres, filled(histogram)[cut], histogram.variances()[cut]


def filled(histogram, flow=False):
    """Contents as in ROOT, where the mean of an empty bin of a profile is 0."""
    values = np.asarray(histogram.values(flow), dtype=np.float64)
    return np.where(histogram.part("bin_entries", flow) == 0, 0, values) if histogram.kind == "MEAN" else values


def statistics(histogram, entry):
    """``TH1::GetStats``: those kept while filling, unless a range is set or there are none."""
    sums = histogram.sums
    if not any(entry["axis_range"]) and not (sums["tsumw"] == 0 and sums["entries"] > 0):
        return sums
    centres, weight, variance = inner(histogram, entry)
    made = {"tsumw": weight.sum(), "tsumw2": variance.sum()}
    for letter, x in zip("xyz", np.meshgrid(*centres, indexing="ij"), strict=False):
        made[f"tsumw{letter}"], made[f"tsumw{letter}2"] = (weight * x).sum(), (weight * x * x).sum()
    return made


def compare(histogram, entry, expect):
    expect("class", histogram.class_name, entry["class"])
    axes = [entry[name] for name in ("nbins", "low", "high", "variable", "labels")]
    for axis, bins, low, high, variable, labels in zip(histogram.axes, *axes, strict=True):
        expect("bins", len(axis), bins)
        expect("variable", not axis.regular, variable)
        expect("labels", len(axis.labels), labels)
        if entry["key"] != "contents/buffered":  # there ROOT was asked before it had emptied the buffer
            expect("low", axis.edges[0], low)
            expect("high", axis.edges[-1], high)
    expect("entries", histogram.sums["entries"], entry["entries"])
    expect("integral", inner(histogram, entry)[1].sum(), entry["integral"])
    kept = statistics(histogram, entry)
    sumw, sumw2 = kept["tsumw"], kept["tsumw2"]
    effective = sumw * sumw / sumw2 if sumw2 else abs(sumw)
    for axis, letter in enumerate("xyz"[: len(histogram.axes)]):
        mean = kept[f"tsumw{letter}"] / sumw if sumw else 0.0
        variance = kept[f"tsumw{letter}2"] / sumw - mean**2 if sumw else 0.0
        std = math.sqrt(variance) if variance > 0 else 0.0  # not a number counts as none
        expect(f"mean {letter}", mean, entry["mean"][axis])
        expect(f"std {letter}", std, entry["stddev"][axis])
        if axis == 0:
            expect("mean error", std / math.sqrt(effective) if effective > 0 else 0.0, entry["mean_error"][0])
    flat, errors = filled(histogram, True).ravel("F"), np.sqrt(histogram.variances(flow=True)).ravel("F")
    if len(histogram.axes) == 1:
        expect("underflow", flat[0], entry["underflow"])
        expect("overflow", flat[-1], entry["overflow"])
    for number, content, error, *_ in entry["bins"]:
        expect(f"bin {number}", flat[number], content)
        expect(f"error {number}", errors[number], error)


def compare_efficiency(passed, total, entry, expect):
    expect("passed", passed.values().sum(), entry["passed_integral"])
    expect("total", total.values().sum(), entry["total_integral"])
    for number, value, *_ in entry["efficiency"]:
        of = total.parts["contents"][number]
        expect(f"efficiency {number}", passed.parts["contents"][number] / of if of else 0.0, value)


@pytest.mark.slow
def test_decoded_numbers_equal_roots(shared):
    @cache
    def read(name):
        return SnapshotReader(max_cells=MAX_CELLS).read(shared / name)

    comparison, unsupported = Comparison(), []
    for entry in json.loads((shared / "oracle.json").read_text())["histograms"]:
        snapshot = read(entry["file"])
        name = "/".join([entry["key"], *(name for _, name in entry["inside"])])
        where = f"{entry['file']} {name}"

        def expect(what, ours, theirs, where=where):
            comparison.expect(f"{where} {what}", ours, theirs)

        if name in snapshot.unsupported:
            unsupported.append(entry["class"])
        elif entry["class"] == "TEfficiency":
            passed, total = (h for path, h in snapshot.items() if "/".join(path).startswith(f"{name}/"))
            compare_efficiency(passed, total, entry, expect)
        else:
            compare(snapshot[name], entry, expect)
    assert comparison.compared > 10_000
    assert not comparison.wrong, "\n".join(comparison.wrong)
    assert {one.split("T<")[0] for one in unsupported} == {"THn", "THnSparse"}
