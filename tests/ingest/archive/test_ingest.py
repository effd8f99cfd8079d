"""Files -> store -> back: contents are read back whatever the order, grouping, duplicates and damage."""

import json
import random
import shutil
from dataclasses import replace
from itertools import count

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import owtrend
from ingest.archive import convert, ingest
from owtrend.errors import BinningChangedError, NotFoundError, StoreLockedError, UsageError
from owtrend.model.axis import Axis
from owtrend.model.rows import RowFlag
from owtrend.output.root_writer import root_object
from owtrend.quality.unreadable import unreadable
from owtrend.store import quarantine
from owtrend.store.append import appender
from owtrend.store.repository import Store
from owtrend.store.upkeep.check import check
from tests import builders
from tests.builders import MINUTE, START, file_name, snapshot


def contents(store, name="h", run=300000, subsystem="EMC", **options):
    histogram = owtrend.open(store).histogram(subsystem, name, run=run, flow=True, **options)
    return histogram.contents.values.tolist()


def test_a_run_is_read_back_bin_by_bin(tmp_path):
    rows = [[0, 1, 2, 0], [1, 5, 2, 0], [1, 5, 9, 3]]
    builders.write_run(tmp_path / "data", {"h": rows, "TPCQA/g": rows[::-1]})
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.quarantined, summary.runs) == (3, 0, {"EMC": [300000]})
    assert contents(tmp_path / "store") == rows
    assert contents(tmp_path / "store", "TPCQA/g") == rows[::-1]
    opened = owtrend.open(tmp_path / "store")
    times = opened.histogram("EMC", "h", run=300000).time.values
    assert times[0] == START
    assert opened.runs.loc[300000, "snapshots"] == 3


def test_a_second_call_reads_and_changes_nothing(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    version = Store.open(tmp_path / "store").version
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.known) == (0, 2)
    assert Store.open(tmp_path / "store").version == version


@pytest.mark.slow
def test_more_rows_than_a_chunk_and_late_files_in_between_land_in_order(tmp_path):
    rows = [[0, 3 * n, n, 0] for n in range(150)]
    builders.write_run(tmp_path / "all", {"h": rows})
    files = sorted((tmp_path / "all").rglob("*.root"))
    for part, picked in (("one", files[::2]), ("two", files[1::2])):
        for file in picked:
            target = tmp_path / part / file.relative_to(tmp_path / "all")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(file, target)
    builders.ingest(tmp_path / "one", tmp_path / "store")
    assert contents(tmp_path / "store") == rows[::2]
    builders.ingest(tmp_path / "two", tmp_path / "store")
    assert contents(tmp_path / "store") == rows


@pytest.mark.study
@settings(max_examples=8)
@given(data=st.data())
def test_any_order_and_grouping_and_duplication_gives_the_same_rows(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("any")
    number = data.draw(st.integers(2, 8))
    value = st.one_of(st.integers(-3, 99), st.sampled_from([0.5, 2.0**31, -0.0, float("inf")]))
    rows = [[data.draw(value) for _ in range(4)] for _ in range(number)]
    absent = [row if data.draw(st.booleans()) else None for row in rows]
    clock = [[0, row + 1, 0] for row in range(number)]  # so that no row at the end is without news
    builders.write_run(folder / "all", {"h": rows, "sometimes": absent, "clock": clock})
    files = sorted((folder / "all").rglob("*.root"))
    order = data.draw(st.permutations(files)) + data.draw(st.lists(st.sampled_from(files), max_size=3))
    while order:
        size = data.draw(st.integers(1, len(order)))
        found = ingest.find_files(order[:size], timezone="UTC")
        ingest.ingest(found, folder / "store", workers=0, timezone="UTC")
        order = order[size:]
    np.testing.assert_array_equal(np.array(contents(folder / "store"), dtype=float), np.array(rows, dtype=float))
    signs = np.signbit(np.array(contents(folder / "store"), dtype=float))
    np.testing.assert_array_equal(signs, np.signbit(np.array(rows, dtype=float)))
    present = [row for row in absent if row is not None]
    if present:
        got = np.array(contents(folder / "store", "sometimes"), dtype=float)
        np.testing.assert_array_equal(got, np.array(present, dtype=float))


@pytest.mark.slow
def test_equal_content_at_one_time_is_dropped_and_at_another_is_flagged_unchanged(tmp_path):
    builders.write_run(tmp_path / "a", {"h": [[0, 1, 0], [0, 1, 0], [0, 2, 0]]})
    first = file_name(snapshot(0))
    shutil.copytree(tmp_path / "a", tmp_path / "both" / "a")
    (tmp_path / "both" / "b" / first).parent.mkdir(parents=True)
    shutil.copy(tmp_path / "a" / first, tmp_path / "both" / "b" / first)
    summary = builders.ingest(tmp_path / "both", tmp_path / "store")
    assert (summary.added, summary.duplicates, summary.unchanged) == (3, 1, 1)
    assert builders.ingest(tmp_path / "both", tmp_path / "store").known == 4


@pytest.mark.slow
def test_of_two_contents_at_one_time_the_one_with_more_entries_is_kept_in_any_order(tmp_path):
    for folder, rows in (("few", [[0, 1, 0]]), ("many", [[0, 7, 0]])):
        builders.write_run(tmp_path / folder, {"h": rows})
    for order in (["few", "many"], ["many", "few"]):
        store = tmp_path / "-".join(order)
        for folder in order:
            builders.ingest(tmp_path / folder, store)
        assert contents(store) == [[0, 7, 0]]
        (line,) = owtrend.open(store).quarantine["reason"]
        assert "with 1 entries against 7" in line


@pytest.mark.slow
def test_unchanged_snapshots_after_the_end_of_a_run_are_not_shown(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0], [0, 2, 0], [0, 2, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    assert contents(tmp_path / "store") == [[0, 1, 0], [0, 2, 0]]
    builders.write_run(tmp_path / "late", {"h": [[0, 5, 0]]}, minutes=[4])
    builders.ingest(tmp_path / "late", tmp_path / "store")
    assert contents(tmp_path / "store") == [[0, 1, 0], [0, 2, 0], [0, 2, 0], [0, 2, 0], [0, 5, 0]]


@pytest.mark.slow
def test_a_histogram_that_becomes_non_integer_is_read_as_one_series(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2.5, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    builders.write_run(tmp_path / "next", {"h": [[0, 4, 0]]}, minutes=[5])
    builders.ingest(tmp_path / "next", tmp_path / "store")
    assert contents(tmp_path / "store") == [[0, 1, 0], [0, 2.5, 0], [0, 4, 0]]
    assert owtrend.open(tmp_path / "store").trend("EMC", "h", "entries", run=300000).value.values.tolist() == [
        1,
        1.5,
        1.5,
    ]


@pytest.mark.slow
def test_after_a_change_of_binning_both_are_kept_and_the_error_names_them(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0], [0, 1, 2, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    with pytest.raises(BinningChangedError, match=r"1 bins in \[0, 1\] since .*12:00:00 UTC.*2 bins in \[0, 2\] since"):
        contents(tmp_path / "store")
    assert contents(tmp_path / "store", binning=0) == [[0, 1, 0], [0, 2, 0]]
    assert contents(tmp_path / "store", binning=-1) == [[0, 1, 2, 0]]


def test_damaged_files_are_listed_with_their_reason_and_do_not_stop_the_rest(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0], [0, 3, 0]]})
    first, second, _ = sorted((tmp_path / "data").rglob("*.root"))
    first.write_bytes(b"")
    second.write_bytes(second.read_bytes()[:500])
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert summary.added == 1
    reasons = [json.loads(line)["reason"] for line in summary.quarantine]
    assert ["empty file" in reasons[0], "cut short" in reasons[1]] == [True, True]
    assert builders.ingest(tmp_path / "data", tmp_path / "store").quarantined == 2
    assert len(owtrend.open(tmp_path / "store").quarantine) == 2


def test_a_damaged_file_is_read_again_by_another_decoder_only(tmp_path, monkeypatch):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    (path,) = (tmp_path / "data").rglob("*.root")
    path.write_bytes(b"no root file")
    first = builders.ingest(tmp_path / "data", tmp_path / "store")
    with monkeypatch.context() as patched:
        patched.setattr(convert.RunTask, "read", None)
        again = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert (again.known, again.quarantine) == (1, first.quarantine)
    monkeypatch.setattr(quarantine, "DECODER", "owtrend of later")
    assert builders.ingest(tmp_path / "data", tmp_path / "store").known == 0
    assert len(owtrend.open(tmp_path / "store").quarantine) == 1


@pytest.mark.slow
def test_a_further_call_with_only_damaged_files_makes_no_new_version(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0], [0, 3, 0]]})
    sorted((tmp_path / "data").rglob("*.root"))[1].write_bytes(b"")
    builders.ingest(tmp_path / "data", tmp_path / "store")
    store = Store.open(tmp_path / "store")
    version = store.version
    again = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert (again.added, again.known, again.quarantined, again.runs) == (0, 3, 1, {})
    assert store.version == version


@pytest.mark.slow
def test_rows_of_the_tail_are_folded_even_if_all_new_files_are_damaged(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    store = Store.open(tmp_path / "store")
    with appender(store) as live:
        live.append([new for minute in (3, 1, 2) for new in (snapshot(minute), snapshot(minute, run=300001))])
    before = check(store)
    for run in (300000, 300001):
        damaged = tmp_path / "damaged" / file_name(snapshot(0, run=run))
        damaged.parent.mkdir(parents=True)
        damaged.write_bytes(b"")
    builders.ingest(tmp_path / "damaged", tmp_path / "store")
    assert check(store) == before
    assert not store.reader().subsystem("EMC").tail


@pytest.mark.slow
def test_an_unreadable_run_is_quarantined_and_its_files_may_come_again(tmp_path):
    builders.write_run(tmp_path / "good", {"h": [[0, 1, 0]]})
    (good,) = (tmp_path / "good").rglob("*.root")
    bad = tmp_path / "bad" / good.relative_to(tmp_path / "good")
    bad.parent.mkdir(parents=True)
    bad.write_bytes(b"root but no more")
    assert builders.ingest(tmp_path / "bad", tmp_path / "store").added == 0
    assert owtrend.open(tmp_path / "store").subsystems == ()
    assert builders.ingest(tmp_path / "good", tmp_path / "store").added == 1
    assert contents(tmp_path / "store") == [[0, 1, 0]]


@pytest.mark.slow
def test_a_pattern_reads_other_folder_trees_and_the_header_has_the_time(tmp_path):
    path = builders.write(tmp_path / "MID" / "online" / "x.root", builders.histogram([0, 1, 0]))
    found = ingest.find_files([tmp_path], patterns=["{subsystem}/online/*.root"], run=7, timezone="UTC")
    (file,) = found.files
    assert (file.subsystem, file.run) == ("MID", 7)
    ingest.ingest(found, tmp_path / "store", workers=0)
    assert contents(tmp_path / "store", run=7, subsystem="MID") == [[0, 1, 0]]
    (reason,) = ingest.find_files([path]).skipped
    assert reason.startswith("name not recognised (give --pattern;")
    with pytest.raises(UsageError, match="no such file or folder"):
        ingest.find_files([tmp_path / "missing"])


@pytest.mark.slow
def test_flat_incoming_names_and_skipped_files_are_counted(tmp_path):
    for name in (
        "EMChistos_300000_C_2018_6_1_12_0_0.root",
        "EMChistos_300000_E_2018_6_1_12_1_0.root",
        "EMChistos_0_C_2018_6_1_12_1_0.root",
        "Run300000/EMC/hists.combined.1.1527847205.root",
    ):
        builders.write(tmp_path / "data" / name, builders.histogram([0, 1, 0]))
    found = ingest.find_files([tmp_path / "data"])
    assert [(file.subsystem, file.run, file.mode) for file in found.files] == [("EMC", 300000, "C")]
    assert sum(found.skipped.values()) == 3
    ingest.ingest(found, tmp_path / "store", workers=0)
    runs = owtrend.open(tmp_path / "store").runs
    assert runs.loc[300000, "mode"] == "C"
    assert str(runs.loc[300000, "start"]) == "2018-06-01 10:00:00"  # local time at CERN


@pytest.mark.slow
def test_two_worker_processes_give_the_same_store_as_threads(tmp_path):
    rng = random.Random(1)
    for run in range(300000, 300004):
        steps = [[0, *(rng.randrange(9) for _ in range(5)), 0] for _ in range(6)]
        builders.write_run(tmp_path / "data", {"h": np.cumsum(steps, axis=0).tolist()}, run=run)
    builders.ingest(tmp_path / "data", tmp_path / "threads")
    found = ingest.find_files([tmp_path / "data"], timezone="UTC")
    ingest.ingest(found, tmp_path / "processes", workers=2, timezone="UTC")
    for run in range(300000, 300004):
        assert contents(tmp_path / "threads", run=run) == contents(tmp_path / "processes", run=run)


@pytest.mark.slow
def test_a_second_raw_writer_is_refused_and_readers_are_not(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    with Store.open(tmp_path / "store").writer("raw"):
        with pytest.raises(StoreLockedError, match="another process is the raw writer"):
            builders.ingest(tmp_path / "data", tmp_path / "store")
        assert contents(tmp_path / "store") == [[0, 1, 0]]
        with Store.open(tmp_path / "store").writer("derived"):
            pass


@pytest.mark.slow
def test_a_missing_run_is_an_error_that_names_its_neighbours(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    with pytest.raises(NotFoundError, match="no run 300001; near it are 300000"):
        contents(tmp_path / "store", run=300001)


@pytest.mark.slow
def test_the_same_files_from_another_folder_change_no_data(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    assert builders.ingest(tmp_path, tmp_path / "store").known == 2  # recognised by name, size and time
    shutil.copytree(tmp_path / "data", tmp_path / "copy", copy_function=shutil.copy)  # with other times
    assert builders.ingest(tmp_path / "copy", tmp_path / "store").duplicates == 2
    assert builders.ingest(tmp_path / "copy", tmp_path / "store").known == 2
    view = Store.open(tmp_path / "store").reader().subsystem("EMC")
    assert view.per_run["revision"].tolist() == [1]


@pytest.mark.slow
def test_equal_files_in_reset_mode_are_increments_each(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]] * 3})
    builders.ingest(tmp_path / "data", tmp_path / "store", accumulation="reset")
    histogram = owtrend.open(tmp_path / "store").histogram("EMC", "h", run=300000)
    assert owtrend.time_slice(histogram).contents.values.tolist() == [3]


@pytest.mark.slow
def test_a_run_does_not_change_its_accumulation_unnoticed(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store", accumulation="reset")
    builders.write_run(tmp_path / "late", {"h": [[0, 2, 0]]}, minutes=[1])
    with pytest.raises(UsageError, match="run 300000 of EMC was not ingested as cumulative before"):
        builders.ingest(tmp_path / "late", tmp_path / "store")


@pytest.mark.slow
def test_shorter_provenance_replaces_longer(tmp_path):
    for folder in ("one", "two", "three"):
        builders.write_run(tmp_path / "a" / folder, {"h": [[0, 1, 0]]})
    builders.write_run(tmp_path / "b", {"h": [[0, 9, 0]]})
    for folder in ("a", "b", "a", "b"):
        builders.ingest(tmp_path / folder, tmp_path / "store")
    assert contents(tmp_path / "store") == [[0, 9, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("title", ["energy [\u00b5eV]", "line\u2028break\u0085", "[/red] :smile:"])
def test_any_text_in_a_title_is_kept(tmp_path, title):
    builders.write_run(tmp_path / "data", {"h": [replace(builders.histogram([0, 1, 0]), title=title)]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    assert owtrend.open(tmp_path / "store").histogram("EMC", "h", run=300000).attrs["title"] == title


@pytest.mark.slow
def test_a_damaged_file_that_comes_again_whole_leaves_the_quarantine(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    (path,) = (tmp_path / "data").rglob("*.root")
    whole = path.read_bytes()
    for content, expected in ((whole[:900], 1), (whole, 0)):
        path.write_bytes(content)
        builders.ingest(tmp_path / "data", tmp_path / "store")
        assert len(owtrend.open(tmp_path / "store").quarantine) == expected


@pytest.mark.slow
def test_files_of_one_name_in_folders_with_the_time_are_all_read(tmp_path):
    import os

    for minute in (0, 1):
        folder = tmp_path / "data" / f"2018-06-01 12:0{minute}:00"
        path = builders.write(folder / "hists.root", builders.histogram([0, 1 + minute, 0]))
        os.utime(path, (1, 1))
        found = ingest.find_files([folder], patterns=["{time}/hists.root"], run=1, subsystem="MID", timezone="UTC")
        ingest.ingest(found, tmp_path / "store", workers=0)
    assert contents(tmp_path / "store", run=1, subsystem="MID") == [[0, 1, 0], [0, 2, 0]]


@pytest.mark.slow
def test_labels_that_come_later_join_by_bin_and_then_by_label(tmp_path):
    rows = [([0, 0, 0, 0], ()), ([0, 3, 4, 0], ("a", "b")), ([0, 5, 3, 0], ("b", "a")), ([0, 1, 0, 0], ("b",))]
    axes = [replace(Axis.spaced(2, 0, 2), labels=dict(enumerate(labels, start=1))) for _, labels in rows]
    labelled = [builders.histogram(cells, axes=[axis]) for (cells, _), axis in zip(rows, axes, strict=True)]
    builders.write_run(tmp_path / "data", {"h": labelled})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    histogram = owtrend.open(tmp_path / "store").histogram("EMC", "h", run=300000)
    assert histogram.x_label.values.tolist() == ["b", "a"]
    assert histogram.contents.values.tolist() == [[0, 0], [4, 3], [5, 3], [1, 0]]


def test_an_interrupted_creation_is_finished_by_the_next_call(tmp_path):
    import icechunk

    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    icechunk.Repository.create(icechunk.local_filesystem_storage(str(tmp_path / "store")))
    assert builders.ingest(tmp_path / "data", tmp_path / "store").added == 1


@pytest.mark.slow
def test_a_broken_link_or_header_stops_nothing(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    link = tmp_path / "data" / file_name(snapshot(1))
    link.symlink_to(tmp_path / "gone.root")
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.skipped) == (1, {"cannot be opened": 1})
    (path,) = [path for path in (tmp_path / "data").rglob("*.root") if not path.is_symlink()]
    data = bytearray(path.read_bytes())
    data[8:12] = b"\x7f\xff\xff\xff"
    (tmp_path / "x.root").write_bytes(data)
    found = ingest.find_files([tmp_path / "x.root"], patterns=["x.root"], run=1, subsystem="EMC")
    assert len(found.quarantine) == 1


def minutes_until(time):
    return (np.datetime64(time) - START) / MINUTE


@pytest.mark.slow
def test_runs_on_both_sides_of_the_clock_change_land_in_their_hour(tmp_path):
    for run, start in ((281212, "2017-10-29T01:40"), (281213, "2017-10-29T02:40")):
        minutes = count(minutes_until(start), 6)
        builders.write_run(tmp_path / "data", {"h": [[0, n, 0] for n in range(8)]}, run, minutes=minutes)
    found = ingest.find_files([tmp_path / "data"], timezone="Europe/Zurich")
    ingest.ingest(found, tmp_path / "store", workers=0)
    opened = owtrend.open(tmp_path / "store")
    ends = [opened.histogram("EMC", "h", run=run).time.values[[0, -1]] for run in (281212, 281213)]
    utc = [["2017-10-28T23:40", "2017-10-29T00:22"], ["2017-10-29T01:40", "2017-10-29T02:22"]]
    assert np.array(ends).astype("datetime64[m]").astype(str).tolist() == utc
    assert not any(file.ambiguous for file in found.files)


@pytest.mark.slow
def test_rows_of_an_ambiguous_hour_are_flagged(tmp_path):
    rows = {"h": [[0, 1, 0], [0, 2, 0]]}
    builders.write_run(tmp_path / "data", rows, minutes=count(minutes_until("2017-10-29T02:10")))
    ingest.ingest(ingest.find_files([tmp_path / "data"], timezone="Europe/Zurich"), tmp_path / "store", workers=0)
    view = Store.open(tmp_path / "store").reader().subsystem("EMC")
    assert (view.rows(0).flags & RowFlag.AMBIGUOUS_TIME).all()


@pytest.mark.slow
def test_only_selected_histograms_are_ingested(tmp_path):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]], "QA/g": [[0, 1, 0]], "QA/wide": [[0, 1, 0]]})
    builders.write_run(tmp_path / "data", {"t": [[0, 1, 0]]}, subsystem="TPC")
    builders.ingest(tmp_path / "data", tmp_path / "store", select=("EMC/*",), exclude=("*/wide", "EMC/h"))
    opened = owtrend.open(tmp_path / "store")
    assert opened.subsystems == ("EMC",)
    assert opened.histograms("EMC").index.tolist() == ["QA/g"]
    with pytest.raises(UsageError, match=r"'EMC' selects no histogram: expected <subsystem>/<histogram>"):
        builders.ingest(tmp_path / "data", tmp_path / "store", select=("EMC",))


@pytest.mark.slow
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
def test_files_of_one_time_are_rows_of_their_own_whatever_their_order_of_arrival(tmp_path, order):
    """Their names have the same second; the later has more entries."""
    for number in order:
        path = tmp_path / "data" / f"part{number}_20180601120000.root"
        builders.write(path, builders.histogram([0, 1 + number, 0]))
        found = ingest.find_files(
            [tmp_path / "data"], patterns=["part*_{time}.root"], run=1, subsystem="EMC", timezone="UTC"
        )
        summary = ingest.ingest(found, tmp_path / "store", workers=0, timezone="UTC")
        assert (summary.added, summary.quarantined) == (1, 0)
    histogram = owtrend.open(tmp_path / "store").histogram("EMC", "h", run=1)
    assert histogram.contents.values.tolist() == [[1], [2], [3]]
    milliseconds = (histogram.time.values - START) // np.timedelta64(1, "ms")
    assert milliseconds.tolist() == [0, 333, 666]
    assert ingest.ingest(found, tmp_path / "store", workers=0, timezone="UTC").known == 3
    assert unreadable(Store.open(tmp_path / "store").reader()) == []


@pytest.mark.slow
def test_of_two_files_of_one_time_and_as_many_entries_one_is_kept_without_an_incident(tmp_path):
    for name, contents in (("a", [0, 3, 1, 0]), ("b", [0, 1, 3, 0])):
        builders.write(tmp_path / "data" / f"{name}_20180601120000.root", builders.histogram(contents))
    builders.write(tmp_path / "data" / "a_20180601120100.root", builders.histogram([0, 3, 4, 0]))
    found = ingest.find_files([tmp_path / "data"], patterns=["*_{time}.root"], run=1, subsystem="EMC", timezone="UTC")
    summary = ingest.ingest(found, tmp_path / "store", workers=0, timezone="UTC")
    assert (summary.added, summary.quarantined) == (2, 1)
    assert unreadable(Store.open(tmp_path / "store").reader()) == []
    archive = owtrend.open(tmp_path / "store")
    assert "same time as" in archive.quarantine["reason"].item()


@pytest.mark.slow
def test_what_is_no_histogram_is_counted_by_class_and_named(tmp_path):
    import uproot

    for run, trees in ((1, 1), (2, 2)):
        path = tmp_path / "data" / file_name(snapshot(0, run=run))
        path.parent.mkdir(parents=True)
        with uproot.recreate(path) as file:
            file["h"] = root_object(builders.histogram([0, 1, 0]))
            for number in range(trees):
                file.mktree(f"deep/tree{number}", {"x": "int32"})
            file["note"] = "text"
    summary = builders.ingest(tmp_path / "data", tmp_path / "store")
    table = owtrend.open(tmp_path / "store").not_stored
    columns = ["class", "objects", "example", "first_run", "last_run"]
    rows = sorted(table[columns].values.tolist())
    assert rows == [["TObjString", 1, "note", 1, 2], ["TTree", 2, "deep/tree0", 1, 2]]
    assert summary.not_stored["EMC"]["TTree"].objects == 2
    assert builders.ingest(tmp_path / "data", tmp_path / "store").not_stored == {}


@pytest.mark.slow
def test_an_exact_name_is_selected_before_it_is_a_pattern(tmp_path):
    builders.write_run(tmp_path / "data", [{name: [0, 1, 0] for name in ("h[1]", "h1", "h2")}])
    for name, pattern, chosen in (("exact", "EMC/h[1]", ["h[1]"]), ("pattern", "EMC/h[12]", ["h1", "h2"])):
        builders.ingest(tmp_path / "data", tmp_path / name, select=(pattern,))
        assert owtrend.open(tmp_path / name).histograms("EMC").index.tolist() == chosen
    builders.ingest(tmp_path / "data", tmp_path / "rest", exclude=("EMC/h[1]",))
    assert owtrend.open(tmp_path / "rest").histograms("EMC").index.tolist() == ["h1", "h2"]
