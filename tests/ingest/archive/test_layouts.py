"""Overwatch's folders and names -> store: in any layout each snapshot is stored once, at its time."""

import json
import shutil

import numpy as np
import pytest

import owtrend
from ingest.archive import ingest as archive
from owtrend.errors import NotFoundError
from owtrend.store.repository import Store
from tests import builders

LAYOUTS = {
    "processed": "Run300000/{subsystem}/{subsystem}hists.{time}.root",
    "incoming": "{subsystem}histos_300000_C_{time}.root",
}


def write(folder, times, subsystem="EMC", layout="processed", names=("h",)):
    """A snapshot at each of ``times`` (as in file names), whose only bin counts them from one."""
    for count, time in enumerate(times, start=1):
        path = folder / LAYOUTS[layout].format(subsystem=subsystem, time=time)
        builders.write(path, *(builders.histogram([0, count, 0], name) for name in names))


def ingest(folder, store, **options):
    return archive.ingest(archive.find_files([folder]), store, workers=0, **options)


def counts(store, subsystem="EMC", name="h"):
    return owtrend.open(store).histogram(subsystem, name, run=300000).contents.values[:, 0].tolist()


def seconds(store, subsystem="EMC"):
    view = Store.open(store).reader().subsystem(subsystem)
    return view.rows(view.run_indices[300000]).time.view("datetime64[ns]").astype("datetime64[s]")


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_unpadded_times_are_put_in_order_of_time_not_of_name(tmp_path, layout):
    times = ["2018_6_9_9_59_5", "2018_6_9_10_0_5", "2018_6_10_2_3_5", "2018_6_10_2_3_15"]
    write(tmp_path / "data", times, layout=layout)
    assert ingest(tmp_path / "data", tmp_path / "store").added == 4
    assert counts(tmp_path / "store") == [1, 2, 3, 4]
    utc = ["2018-06-09T07:59:05", "2018-06-09T08:00:05", "2018-06-10T00:03:05", "2018-06-10T00:03:15"]
    assert seconds(tmp_path / "store").astype(str).tolist() == utc


@pytest.mark.slow
def test_padded_and_unpadded_names_of_one_time_are_one_snapshot(tmp_path):
    write(tmp_path / "data", ["2018_6_1_9_5_0"], layout="incoming")
    write(tmp_path / "data", ["2018_06_01_09_05_00"], layout="incoming")
    summary = ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.duplicates, summary.quarantined) == (1, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("times", "first"),
    [
        pytest.param(["2018_6_1_23_59_30", "2018_6_2_0_0_30"], "2018-06-01T21:59:30", id="midnight"),
        pytest.param(["2018_6_2_1_59_30", "2018_6_2_2_0_30"], "2018-06-01T23:59:30", id="midnight-in-utc"),
        pytest.param(["2017_12_31_23_59_30", "2018_1_1_0_0_30"], "2017-12-31T22:59:30", id="new-year"),
        pytest.param(["2017_3_26_1_59_30", "2017_3_26_3_0_30"], "2017-03-26T00:59:30", id="summer-time-begins"),
        pytest.param(["2017_10_29_1_59_30", "2017_10_29_2_0_30"], "2017-10-28T23:59:30", id="hour-that-comes-twice"),
        pytest.param(["2017_10_29_2_59_30", "2017_10_29_3_0_30"], "2017-10-29T01:59:30", id="summer-time-ends"),
    ],
)
def test_snapshots_are_a_minute_apart_over(tmp_path, times, first):
    write(tmp_path / "data", times)
    ingest(tmp_path / "data", tmp_path / "store")
    assert counts(tmp_path / "store") == [1, 2]
    times_utc = seconds(tmp_path / "store")
    assert (str(times_utc[0]), times_utc[1] - times_utc[0]) == (first, np.timedelta64(60, "s"))


@pytest.mark.slow
def test_a_file_that_overwatch_moves_into_its_run_is_a_duplicate(tmp_path):
    data, store = tmp_path / "data", tmp_path / "store"
    write(data, ["2018_6_1_12_0_5", "2018_6_1_12_1_5"], layout="incoming")
    ingest(data, store)
    (data / "Run300000" / "EMC").mkdir(parents=True)
    (data / "Run300000" / "runInfo.yaml").write_text("{hltMode: C}\n")
    for path in data.glob("EMChistos*.root"):
        time = path.stem.split("_", 3)[3]
        shutil.move(path, data / LAYOUTS["processed"].format(subsystem="EMC", time=time))
    summary = ingest(data, store)
    assert (summary.added, summary.duplicates, summary.quarantined) == (0, 2, 0)
    assert owtrend.open(store).runs.loc[300000, "mode"] == "C"
    assert counts(store) == [1, 2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "mode"),
    [
        pytest.param(b"{hltMode: C}\n", "C", id="as-overwatch-writes-it"),
        pytest.param(b"hltMode: C\n", "C", id="one-line-each"),
        pytest.param(b"'hltMode': 'U'\n", "U", id="quoted"),
        pytest.param(b"\xff\0\xfe", "", id="damaged"),
    ],
)
def test_a_processed_run_has_the_mode_of_its_run_info(tmp_path, written, mode):
    write(tmp_path / "data", ["2018_6_1_12_0_5"])
    (tmp_path / "data" / "Run300000" / "runInfo.yaml").write_bytes(written)
    ingest(tmp_path / "data", tmp_path / "store")
    assert owtrend.open(tmp_path / "store").runs.loc[300000, "mode"] == mode


@pytest.mark.slow
def test_files_of_an_amore_agent_are_of_mode_dqm(tmp_path):
    builders.write(tmp_path / "data" / "DQMhistos_300000_DQM_2018_06_01_12_00_05.root", builders.histogram([0, 1, 0]))
    ingest(tmp_path / "data", tmp_path / "store")
    runs = owtrend.open(tmp_path / "store").runs
    assert runs.loc[300000, ["subsystems", "mode"]].tolist() == ["DQM", "DQM"]


@pytest.mark.slow
def test_overwatchs_products_and_replays_are_counted_and_left_out(tmp_path):
    data = tmp_path / "data"
    write(data, ["2018_06_01_12_00_05", "2018_06_01_12_01_05"])
    left_out = {
        "product of Overwatch (combined, timeSlice, replay)": [
            "Run300000/EMC/hists.combined.2.1527847265.root",
            "Run300000/EMC/timeSlice.1527847205.1527847265.3f786850e387550fdab836ed7e6dc881de23001b.root",
            "ReplayData/Run300000/EMC/EMChists.2018_06_01_12_00_05.root",
            "tempStorage/site/EMChistos_300000_C_2018_6_1_12_0_5.root",
        ],
        "replay data (HLT mode E)": [
            "EMChistos_300000_E_2018_6_1_12_0_5.root",
            "EMChistos_300000_e_2018_06_01_12_01_05.root",
        ],
        "half-written (its name begins with a dot)": [".EMChistos_300000_C_2018_6_1_12_2_5.root"],
        "run 0": ["EMChistos_0_C_2018_6_1_12_0_5.root"],
    }
    for name in (name for names in left_out.values() for name in names):
        builders.write(data / name, builders.histogram([0, 99, 0]))
    for name in ("heartbeat.EMCReceiver", "overwatch.fs", "Run300000/EMC/img/h.png", "trending/EMC/json/h.json"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_text("1527847205")
    summary = ingest(data, tmp_path / "store")
    assert summary.skipped == {reason: len(names) for reason, names in left_out.items()}
    assert (summary.files, summary.added, summary.quarantined) == (2, 2, 0)
    assert counts(tmp_path / "store") == [1, 2]


@pytest.mark.slow
def test_placeholders_of_0_and_30_bytes_are_quarantined_with_different_reasons(tmp_path):
    times = ["2018_06_01_12_00_05", "2018_06_01_12_01_05", "2018_06_01_12_02_05", "2018_06_01_12_03_05"]
    write(tmp_path / "data", times)
    empty, few = (tmp_path / "data" / LAYOUTS["processed"].format(subsystem="EMC", time=time) for time in times[1:3])
    empty.write_bytes(b"")
    few.write_bytes(b"Just needed to be non-empty...")
    summary = ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.quarantined) == (2, 2)
    assert counts(tmp_path / "store") == [1, 4]
    listed = owtrend.open(tmp_path / "store").quarantine
    assert listed["time"].tolist() == ["2018-06-01T10:01:05", "2018-06-01T10:02:05"]
    assert listed["reason"].str.partition(": ")[2].tolist() == [
        "empty file (0 bytes); expected a ROOT file, copy it again",
        "not a ROOT file (30 bytes, starting with b'Just nee')",
    ]


def test_of_the_files_of_overwatchs_own_tests_the_placeholders_are_quarantined(shared, tmp_path):
    summary = ingest(shared / "overwatch", tmp_path / "store")
    assert (summary.added, summary.runs) == (0, {})  # the one whole file says that it is of 1970
    assert summary.skipped == {
        "product of Overwatch (combined, timeSlice, replay)": 2,
        "name not recognised (give --pattern; for a single file --run and --subsystem)": 1,
    }
    listed = [json.loads(line) for line in summary.quarantine]
    placeholders = sorted((shared / "overwatch").rglob("???hists.*.root"))
    assert sorted(line["source"] for line in listed) == [
        path.relative_to(shared / "overwatch").as_posix() for path in placeholders
    ]
    for line in listed:
        size = (shared / "overwatch" / line["source"]).stat().st_size
        assert ("empty file (0 bytes)" if size == 0 else "not a ROOT file (30 bytes") in line["reason"]


@pytest.mark.slow
def test_histograms_of_v0_in_the_files_of_the_hlt_are_found_in_the_hlt(tmp_path):
    write(tmp_path / "data", ["2018_06_01_12_00_05", "2018_06_01_12_01_05"], "HLT", names=("fHistV0", "fHistZDC"))
    ingest(tmp_path / "data", tmp_path / "all")
    assert counts(tmp_path / "all", "HLT", "fHistV0") == [1, 2]
    with pytest.raises(NotFoundError, match="no subsystem 'V0'; it has HLT"):
        counts(tmp_path / "all", "V0", "fHistV0")
    ingest(tmp_path / "data", tmp_path / "selected", select=("HLT/*V0*",))
    assert owtrend.open(tmp_path / "selected").histograms("HLT").index.tolist() == ["fHistV0"]


@pytest.mark.slow
def test_a_subsystem_with_new_files_of_its_own_leaves_those_of_the_hlt_alone(tmp_path):
    times = [f"2018_06_01_12_0{minute}_05" for minute in range(4)]
    write(tmp_path / "data", times[:2], "HLT", names=("h", "TPCclusters"))
    ingest(tmp_path / "data", tmp_path / "store")
    write(tmp_path / "data", times, "HLT", names=("h", "TPCclusters"))
    write(tmp_path / "data", times[2:], "TPC", names=("TPCclusters",))
    ingest(tmp_path / "data", tmp_path / "store")
    assert counts(tmp_path / "store", "HLT", "TPCclusters") == [1, 2, 3, 4]
    assert counts(tmp_path / "store", "TPC", "TPCclusters") == [1, 2]
    assert seconds(tmp_path / "store", "TPC").tolist() == seconds(tmp_path / "store", "HLT")[2:].tolist()


@pytest.mark.slow
def test_a_file_of_another_subsystem_than_its_folder_is_skipped_and_a_pattern_reads_it(tmp_path):
    write(tmp_path / "data", ["2018_06_01_12_00_05"], "HLT")
    builders.write(tmp_path / "data/Run300000/HLT/V0hists.2018_06_01_12_00_05.root", builders.histogram([0, 7, 0]))
    summary = ingest(tmp_path / "data", tmp_path / "store")
    assert (summary.added, summary.skipped) == (
        1, {"name not recognised (give --pattern; for a single file --run and --subsystem)": 1}
    )  # fmt: skip
    found = archive.find_files([tmp_path / "data"], patterns=["Run{run}/HLT/{subsystem}hists.{time}.root"])
    assert archive.ingest(found, tmp_path / "store", workers=0).added == 1
    assert (counts(tmp_path / "store", "HLT"), counts(tmp_path / "store", "V0")) == ([1], [7])
