from dataclasses import replace

import numpy as np
import pytest

import owtrend
from ingest.archive import ingest
from ingest.renaming import Renaming
from owtrend.compute import compute
from owtrend.errors import UsageError
from owtrend.model.rows import Provenance
from owtrend.model.snapshot import Snapshot
from owtrend.store.repository import Store
from tests import builders

NAME = "DQMData/Run {}/Ecal/Run summary/hVtxZ"
RULES = ["^DQMData/Run [0-9]+/=", "/Run summary/=/"]


def snapshot(*paths):
    histogram = builders.filled([owtrend.Axis.spaced(2, 0, 2)], [0.5])
    return Snapshot(histograms={path: replace(histogram, path=(path[-1],)) for path in paths}, source="x.root")


def test_rules_are_applied_in_order_and_leave_no_empty_parts():
    assert Renaming.compile(RULES).name(NAME.format(366495)) == "Ecal/hVtxZ"
    assert Renaming.compile([r"(\w+)_run\d+=\1"]).name("h_run7/g_run7") == "h/g"
    assert Renaming.compile(["(?=x)xy=z", "z=a"]).name("xy") == "a"  # the last = divides
    assert Renaming.compile(["^.*Ecal=/"]).name(NAME.format(1)) == "Run summary/hVtxZ"


def test_a_name_that_is_not_renamed_keeps_its_path():
    renamed = Renaming.compile(["run7/="]).apply(snapshot(("run7", "h"), ("Raws/Calib", "g")))
    assert list(renamed.histograms) == [("h",), ("Raws/Calib", "g")]
    assert renamed.histograms[("h",)].path == ("h",)


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("Run", "rename 'Run': expected PATTERN=REPLACEMENT"),
        ("=x", "expected PATTERN=REPLACEMENT"),
        ("(=x", r"rename '\(=x': no regular expression"),
        (r"a=\1", "no regular expression .invalid group reference 1"),
    ],
)
def test_a_rule_that_means_nothing_is_an_error(rule, message):
    with pytest.raises(UsageError, match=message):
        Renaming.compile([rule])


def test_two_histograms_of_one_name_are_an_error_that_names_both():
    renaming = Renaming.compile(["run[0-9]+/="])
    message = "gives two histograms the name 'h': 'run7/h' and 'run8/h'; make the patterns more specific"
    with pytest.raises(UsageError, match=message):
        renaming.apply(snapshot(("run7", "h"), ("run8", "h")))
    with pytest.raises(UsageError, match="name 'h': 'run7/h' and 'h'"):
        renaming.apply(snapshot(("run7", "h"), ("h",)))
    with pytest.raises(UsageError, match="name 'h': 'h' and 'run7/h'"):
        renaming.apply(snapshot(("h",), ("run7", "h")))
    with pytest.raises(UsageError, match="leaves nothing of the name 'run7/'"):
        renaming.apply(snapshot(("run7", "")))


@pytest.mark.slow
def test_runs_whose_names_carry_the_run_are_one_histogram(tmp_path):
    for run in (366495, 366496):
        builders.write_run(tmp_path / "data", {NAME.format(run): [[0, run - 366490, 0]]}, run=run)
    builders.ingest(tmp_path / "data", tmp_path / "store", rename=RULES)
    compute.compute(tmp_path / "store", workers=0, scores=False)
    archive = owtrend.open(tmp_path / "store")
    assert archive.histograms("EMC").index.tolist() == ["Ecal/hVtxZ"]
    np.testing.assert_array_equal(archive.trend("EMC", "Ecal/hVtxZ", "entries", every="run").value, [5, 6])
    (line,) = Store.open(tmp_path / "store").reader().subsystem("EMC").provenance(0)
    assert Provenance.from_json(line).rename == RULES


@pytest.mark.slow
def test_a_run_is_not_renamed_in_another_way_unnoticed(tmp_path):
    builders.write_run(tmp_path / "data", {"run7/h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store", rename=["run7/="])
    assert builders.ingest(tmp_path / "data", tmp_path / "store").known == 1
    builders.write_run(tmp_path / "data", {"run7/h": [[0, 1, 0], [0, 2, 0]]})
    with pytest.raises(UsageError, match="run 300000 of EMC was ingested with --rename run7/=; give the same"):
        builders.ingest(tmp_path / "data", tmp_path / "store")
    found = ingest.find_files([tmp_path / "data"], timezone="UTC")
    assert ingest.ingest(found, tmp_path / "store", rename=["run7/="], workers=0).added == 1


def test_the_run_of_a_file_may_come_from_the_names_of_its_histograms(tmp_path):
    for number, run in enumerate((366495, 366496)):
        path = tmp_path / "data" / f"mon_{1700039600 + number}.root"
        builders.write(path, *(builders.histogram([0, 1, 0], name) for name in ("config/note", NAME.format(run))))
    (tmp_path / "data" / "mon_1700039602.root").write_bytes(b"no ROOT")
    builders.write(tmp_path / "data" / "mon_1700039603.root", builders.histogram([0, 1, 0], "config/note"))
    rules = ["^DQMData/Run (?P<run>[0-9]+)/="]
    options = {"patterns": ["mon_{time}.root"], "subsystem": "Ecal"}
    found = ingest.find_files([tmp_path / "data"], **options, rename=rules)
    assert [file.run for file in found.files] == [366495, 366496]
    assert sorted(found.examples.values())[1:] == ["mon_1700039603.root"]
    assert "it cannot be read" in "".join(found.skipped)
    (reason,) = ingest.find_files([tmp_path / "data"], **options).skipped
    assert reason.startswith("no run in the file name (give --run, or --rename 'Run (?P<run>[0-9]+)/='")
