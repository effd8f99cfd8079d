"""Tiny shifts, with detectors whose answer is known: one that knows the truth, one that finds nothing."""

import json

import pandas as pd
import pytest

from benchmarks.studies import shifts
from benchmarks.studies.incidents import COLUMNS
from ingest.simulator.faults import FAULTS
from owtrend.errors import UsageError

pytestmark = pytest.mark.study

SIZE = {"runs": 4, "snapshots": 31, "scale": 0.0001}
ARGUMENTS = [f"--{name}={value}" for name, value in SIZE.items()]
EMPTY = pd.DataFrame(columns=list(COLUMNS))


def truthful(store):
    """A finding for every fault, from its start to its stop."""
    faults = json.loads((store.parent / "truth.json").read_text())["faults"]
    rows = [(*(one[c] for c in COLUMNS[:5]), one["kind"], 9.0, one["details"]) for one in faults]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def always(store):
    """A finding for the whole of HLT in one run."""
    row = ("HLT", 300000, None, "2018-06-01T12:00:00", "2018-06-01T12:32:00", "none", 1.0, "")
    return pd.DataFrame([row], columns=list(COLUMNS))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("shifts")


@pytest.fixture(scope="module")
def both(folder):
    return tuple(shifts.prepared(folder, 7, clean=clean, **SIZE) for clean in (False, True))


def test_a_faulty_shift_has_each_kind_and_a_clean_one_none(both):
    faulty, clean = both
    assert sorted(one.kind for one in faulty.faults) == sorted(FAULTS)
    assert clean.faults == ()
    assert faulty.hours == clean.hours == 4 * 31 / 60


def test_a_detector_that_knows_the_truth_finds_all_at_once_and_nothing_else(both):
    result = shifts.judged(truthful, *both)
    delays = {one.fault.kind: one.delay for one in result.matches}
    assert delays == dict.fromkeys(FAULTS, 1) | {"gap": 2}  # it is found at its end, here after 8 minutes
    assert [one.delay for one in result.by_chance] == [None] * 10
    assert result.true > 0
    assert (result.false, result.elsewhere, result.false_clean, result.flagged) == (0, 0, 0, 0)


def test_a_detector_without_findings_matches_no_fault(both):
    result = shifts.judged(lambda store: EMPTY, *both)
    assert {one.delay for one in result.matches} == {None}
    assert (result.true, result.false, result.false_clean) == (0, 0, 0)


def test_a_permanent_finding_is_false_on_the_clean_shift(both):
    result = shifts.judged(always, *both)
    assert (result.false_clean, result.flagged) == (1, pytest.approx(32 / 60))
    assert result.true + result.false == 1


def test_the_command_prints_both_tables_of_kept_shifts(both, folder, monkeypatch, capsys):
    monkeypatch.setitem(shifts.DETECTORS, "owtrend", truthful)
    kept = {path: path.stat().st_mtime_ns for path in folder.glob("*/truth.json")}
    named = ["--shifts=1", "--first-seed=7", f"--keep={folder}", "--detector=owtrend", "--detector=o2-tpc"]
    shifts.main([*ARGUMENTS, *named])
    printed = capsys.readouterr()
    rate = f"0.00 [0.00, {3.689 * 8 / both[0].hours:.2f}] (0)"
    assert f"| owtrend | 10 | 10/10 [69%, 100%] | 10/10 [69%, 100%] | 0 / 0 | 1, 2 | {rate} | {rate} |" in printed.out
    assert "| o2-tpc | 10 |" in printed.out
    assert "| hot_channel | 1/1 [3%, 100%], 1; 1, 1 |" in printed.out
    assert "shift 1 of 1, seed 7" in printed.err
    assert kept == {path: path.stat().st_mtime_ns for path in folder.glob("*/truth.json")}


def test_a_kept_shift_simulated_with_other_arguments_is_an_error(both, folder):
    with pytest.raises(UsageError, match=r"7-clean was simulated with .*31.*, not .*32"):
        shifts.prepared(folder, 7, clean=True, **SIZE | {"snapshots": 32})
