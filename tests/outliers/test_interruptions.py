"""Interruptions of the sending, in small runs made by hand."""

from dataclasses import replace
from itertools import chain, count

import numpy as np
import pytest

import owtrend
from owtrend.compute import compute
from owtrend.config import Config
from owtrend.model.axis import Axis
from owtrend.model.finding import table
from owtrend.outliers.interruptions import interruptions
from tests import builders
from tests.builders import MINUTE, START, archive_of, histogram, snapshots


def flags_of(*runs):
    """Flags of runs an hour apart, from the rows of each by histogram."""
    return findings(*chain(*(snapshots(rows, 300000 + n, minutes=count(60 * n)) for n, rows in enumerate(runs))))


def findings(*rows):
    """The interruptions alone: without scores, `compute` takes a third of the time."""
    archive = archive_of(*rows)
    compute.compute(archive.location, workers=0, scores=False)
    view = archive.latest().stored("EMC")
    return table(one for run in view.run_indices for one in interruptions(view, "EMC", run))


def growing(snapshots=12, bins=3, every=1):
    """Counts that grow by ten in each bin in every ``every``-th snapshot."""
    return [[10 * (number // every + 1)] * (bins + 2) for number in range(snapshots)]


def minutes(flags):
    since = [(flags[end] - START) / MINUTE for end in ("start", "stop")]
    return list(zip(*(one.tolist() for one in since), strict=True))


@pytest.mark.slow
def test_an_undisturbed_run_has_no_findings():
    archive = archive_of(*snapshots({"a": growing(), "b": growing()}))
    compute.compute(archive.location, workers=0)
    assert archive.latest().findings().empty


@pytest.mark.slow
def test_a_restart_concerns_one_histogram_or_the_whole_subsystem():
    again = [*growing(6), *growing(6)]
    held = {name: growing() for name in "bcd"}
    flags = flags_of({"a": again, **held}, dict.fromkeys("abcd", again))
    found = flags[flags["score"] == "restart"]
    assert found["histograms"].tolist() == [("a",), ()]
    assert minutes(found) == [(5, 6), (65, 66)]
    assert found["why"].tolist() == [
        "a restarted from zero",
        "all 4 histograms restarted from zero",
    ]
    assert found["certain"].all()
    assert found["z"].isna().all()


@pytest.mark.slow
def test_missing_snapshots_are_a_gap():
    late = [[10 * number] * 5 for number in range(8, 14)]
    flags = findings(*snapshots({"a": growing(4)}), *snapshots({"a": late}, minutes=count(7)))
    (found,) = flags[flags["score"] == "gap"].to_dict("records")
    assert found["why"] == "3 snapshots missing: none for 4.0 min"
    assert found["histograms"] == ()


@pytest.mark.slow
def test_a_missing_histogram_is_found_for_as_long_as_it_is_missing():
    for_a_while = [None if 4 <= number < 7 else row for number, row in enumerate(growing())]
    for_good = [None if number >= 9 else row for number, row in enumerate(growing())]
    held = {name: growing() for name in "cdef"}
    flags = flags_of({"a": for_a_while, "b": for_good, **held})
    found = flags[flags["score"] == "absent"]
    assert found["histogram"].tolist() == ["a", "b"]
    assert minutes(found) == [(3, 6), (8, 11)]
    assert found["why"].tolist() == ["a is missing for a while", "b is missing"]


@pytest.mark.slow
def test_a_component_that_is_silent_three_times_as_long_as_normal_is_found():
    quiet, others = growing(40, every=2), [growing(41, every=2)[1 + number] for number in range(40)]
    quiet[10:18] = [quiet[9]] * 8
    flags = flags_of({"a": quiet, "b": quiet, **dict.fromkeys("cdef", others)})
    (found,) = flags[flags["score"] == "silent"].to_dict("records")
    assert found["histograms"] == ("a", "b")
    assert found["why"] == "a and 1 more did not change for 10.0 min, normally for 2.0 min"


@pytest.mark.slow
def test_each_component_has_its_own_patience_and_its_stall_is_found_while_it_lasts():
    quick, slow = growing(40), growing(40, every=6)
    quick[30:] = [quick[29]] * 10
    flags = flags_of({"a": quick, "b": quick, **dict.fromkeys("cdefgh", slow)})
    (found,) = flags[flags["score"] == "silent"].to_dict("records")
    assert found["histograms"] == ("a", "b")
    assert found["why"] == "a and 1 more did not change for 7.0 min, normally for 1.0 min"


@pytest.mark.slow
def test_another_binning_in_a_run_is_found():
    rows = [*growing(6, bins=4), *[[10 * number] * 4 for number in range(9, 15)]]
    flags = flags_of({"a": rows, "b": growing(), "c": growing()})
    (found,) = flags[flags["score"] == "binning"].to_dict("records")
    assert (found["histogram"], found["why"]) == ("a", "a changed its binning: 2 bins, 4 before")


@pytest.mark.slow
@pytest.mark.parametrize(("more", "flagged"), [(0, 0), (1, 0), (3, 1)])
def test_snapshots_after_the_end_are_found_where_every_snapshot_brought_news(more, flagged):
    rows = growing(20)
    flags = flags_of({"a": [*rows, *[rows[-1]] * more]})
    assert flags["score"].tolist() == ["after_end"] * flagged


@pytest.mark.slow
def test_quiet_snapshots_at_the_end_are_nothing_where_components_report_now_and_then():
    rows = growing(40, every=5)
    flags = flags_of({"a": rows, "b": rows})  # the last four bring nothing new
    assert flags.empty


@pytest.mark.slow
def test_an_unreadable_file_is_a_finding_of_its_run(tmp_path):
    builders.write_run(tmp_path / "files", {"a": growing()})
    last = sorted((tmp_path / "files").rglob("*.root"))[-1]
    last.write_bytes(last.read_bytes()[:300])
    builders.ingest(tmp_path / "files", tmp_path / "store")
    compute.compute(tmp_path / "store", workers=0)
    (found,) = owtrend.open(tmp_path / "store").findings().to_dict("records")
    assert (found["score"], found["run"], found["histograms"]) == ("unreadable", 300000, ())
    assert found["stop"] - found["start"] == np.timedelta64(60, "s")
    assert "cut short" in found["why"]


def test_the_only_histogram_of_a_subsystem_is_named():
    flags = flags_of({"a": [*growing(6), *growing(6)]})
    assert flags["why"].tolist() == ["a restarted from zero"]


def runs_of(*runs):
    """Runs an hour apart, each of its histograms with the bins that they have, all growing."""
    every = ({name: growing(6, bins) for name, bins in run.items()} for run in runs)
    return list(chain(*(snapshots(rows, 300000 + n, minutes=count(60 * n)) for n, rows in enumerate(every))))


@pytest.mark.slow
def test_what_is_gone_new_or_binned_anew_between_runs_is_found_once():
    before, after = {"a": 3, "b": 3, "c": 3}, {"a": 3, "c": 6, "d": 4}
    archive = archive_of(*runs_of(before, before, after, after))
    compute.compute(archive.location, workers=0)
    found = archive.latest().findings()
    assert found["run"].tolist() == [300002] * 3
    words = dict(zip(found["score"], found["why"], strict=True))
    assert words == {
        "binning": "c has other bins than in run 300001: 6 bins, 0 to 6; before 3 bins, 0 to 3",
        "gone": "b is gone: run 300001 had it",
        "new": "d is new: no run before had it",
    }
    assert found["histograms"].tolist() == [("b",), ("c",), ("d",)]
    assert minutes(found) == [(119, 120)] * 3
    (incident,) = archive.latest().incidents().to_dict("records")
    assert incident["runs"] == (300002,)
    assert incident["findings"] == 2, "what is new is no incident"


@pytest.mark.slow
def test_a_likely_new_name_is_proposed_for_a_histogram_that_is_gone():
    archive = archive_of(*runs_of({"energy": 3, "time": 3, "a": 4}, {"QA/energy": 3, "QA/time": 3, "b": 5}))
    compute.compute(archive.location, workers=0)
    found = archive.latest().findings()
    (why,) = found["why"][found["score"] == "gone"]
    assert why == (
        "energy and 2 more are gone: run 300000 had them; instead there is QA/energy for energy, QA/time for time"
    )


@pytest.mark.slow
def test_runs_of_another_mode_or_epoch_are_not_compared():
    one, other = runs_of({"a": 3, "b": 3}, {"a": 3, "c": 3})[::6]
    rows = [replace(one, mode="B"), replace(other, mode="C")]
    archive = archive_of(*rows)
    compute.compute(archive.location, workers=0)
    assert archive.latest().findings().empty
    config = Config.model_validate({"scores": {"epochs": {"EMC": [300001]}}})
    archive = archive_of(one, other)
    compute.compute(archive.location, config=config, workers=0)
    assert archive.latest().findings().empty


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other"),
    [
        pytest.param(builders.labelled("ab"), builders.labelled("bac"), id="labels"),
        pytest.param(builders.labelled("bac"), builders.labelled("ad"), id="fewer-labels", marks=pytest.mark.study),
        pytest.param(Axis.spaced(3, 0, 3), Axis.spaced(3, -9, 3), id="extended-twice"),
        pytest.param(Axis.spaced(3, -3, 3), Axis.spaced(3, 0, 3), id="no-longer-extended", marks=pytest.mark.study),
    ],
)
def test_other_labels_and_an_extended_axis_are_no_change_between_runs(one, other):
    rows = [[{"h": histogram([0, *range(len(axis)), 0], axes=[axis]), "a": growing(1)[0]}] for axis in (one, other)]
    archive = archive_of(*chain(*(snapshots(row, 300000 + n, minutes=[60 * n]) for n, row in enumerate(rows))))
    compute.compute(archive.location, workers=0)
    assert archive.latest().findings().empty


@pytest.mark.slow
def test_a_histogram_that_comes_back_is_no_change():
    archive = archive_of(*runs_of({"a": 3, "b": 3}, {"a": 3}, {"a": 3, "b": 3}))
    compute.compute(archive.location, workers=0)
    assert archive.latest().findings()["score"].tolist() == ["gone"]
