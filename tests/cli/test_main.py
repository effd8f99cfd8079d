import json
import os
import subprocess
import sys

import pytest
from click.testing import CliRunner

import owtrend
from ingest import SnapshotReader, simulate
from owtrend.cli import main, output
from owtrend.model.axis import Axis
from owtrend.store.repository import Store
from tests import builders
from tests.builders import archive_of, histogram, snapshots


def call(*arguments):
    """Exit status of the command, run in this process."""
    return main.status(arguments)


def verbs():
    return main.main.list_commands(None)


def test_every_verb_has_help_with_an_example():
    known = {
        "compute",
        "demo",
        "export",
        "ingest",
        "outliers",
        "runs",
        "serve",
        "simulate",
        "slice",
        "status",
        "trends",
    }
    assert known <= set(verbs())
    for verb in verbs():
        result = CliRunner().invoke(main.main, [verb, "--help"])
        assert result.exit_code == 0
        assert f"owtrend {verb}" in result.output, f"{verb} has no example"


def test_from_files_to_a_table(tmp_path, capsys):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    store = str(tmp_path / "store")
    assert call("ingest", str(tmp_path / "data"), "--store", store, "--workers", "0") == 0
    assert "2 snapshots of 1 run (EMC) added" in capsys.readouterr().out
    assert call("compute", store, "--workers", "0") == 0
    assert "14 trend points of 1 run x subsystem" in capsys.readouterr().out
    assert call("runs", store, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["snapshots"], row["start"]) == (300000, 2, "2018-06-01 10:00:00")
    assert call("status", store, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["subsystems"][0]["histograms"] == 1
    assert status["quarantine"] == []


@pytest.mark.slow
def test_quarantine_is_shown_and_strict_makes_it_an_error(tmp_path, capsys):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    next((tmp_path / "data").rglob("*.root")).write_bytes(b"not ROOT")
    arguments = ("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--workers", "0")
    assert call(*arguments) == 0
    assert "1 in quarantine" in capsys.readouterr().out
    assert call(*arguments, "--strict") == 1
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "new"), "--workers", "0", "--json") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["quarantine"][0]["reason"].endswith("(8 bytes, starting with b'not ROOT')")


def test_files_none_of_which_is_readable_are_an_error(tmp_path, capsys):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    next((tmp_path / "data").rglob("*.root")).write_bytes(b"not ROOT")
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--workers", "0") == 1
    assert "1 in quarantine" in capsys.readouterr().out


@pytest.mark.slow
def test_ingest_says_what_comes_next_and_which_names_contain_the_run(tmp_path, capsys):
    builders.write_run(tmp_path / "data", {"QA/Run 300000/h": [[0, 1, 0]]})
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--workers", "0") == 0
    shown = capsys.readouterr().out
    assert "contain the run (QA/Run 300000/h)" in shown
    assert f"Next: `owtrend compute {tmp_path / 'store'}`" in shown
    rule = shown.split("--rename '")[1].split("'")[0]
    renamed = ("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "other"), "--workers", "0", "--rename", rule)
    assert call(*renamed) == 0
    assert "contain the run" not in capsys.readouterr().out
    assert owtrend.open(tmp_path / "other").histograms("EMC").index.tolist() == ["QA/h"]


def test_no_incidents_of_runs_that_are_not_scored_or_not_there_is_no_good_news(capsys):
    archive = builders.archive_of(builders.snapshot(1), builders.snapshot(2))
    assert call("outliers", archive.location) == 0
    assert "Not scored yet: 300000" in capsys.readouterr().out
    assert archive.not_scored("EMC", runs=[300000]) == [300000]
    assert call("outliers", archive.location, "--runs", "299999") == 1
    assert "no run 299999; near it are 300000" in capsys.readouterr().err


def test_a_dry_run_makes_no_store(tmp_path, capsys):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"subsystem": "EMC", "run": 300000, "time": "2018-06-01T10:00:00.000",
         "file": "Run300000/EMC/EMChists.2018_06_01_12_00_00.root"}
    ]  # fmt: skip
    assert not (tmp_path / "store").exists()


@pytest.mark.slow
def test_status_lists_what_changed_within_a_run(capsys):
    counts = [histogram([0, 2 * n, 0, 0, 0, 0], dtype="f4" if n < 25 else "f8") for n in range(50)]
    axes = [[Axis.spaced(4, 0, 4 * 2 ** (n // 2))] for n in range(50)]
    rows = {"a": counts, "b": [histogram([0, n, 0, 0, 0, 0], axes=axis) for n, axis in enumerate(axes)]}
    archive = archive_of(*snapshots(rows))
    assert call("status", archive.location, "--json") == 0
    changes = json.loads(capsys.readouterr().out)["changes"]
    assert len(changes) == 25
    assert changes[0] == {
        "subsystem": "EMC", "run": 300000, "histogram": "a", "time": "2018-06-01 12:25:00",
        "change": "TH1F became TH1D",
    }  # fmt: skip
    assert call("status", archive.location) == 0
    printed = capsys.readouterr().out
    assert "Histograms that go on as one after a change within a run" in printed
    assert printed.count("x goes from 0 to") == 20
    assert "and 5 earlier ones; all with --json" in printed


def test_user_errors_are_one_line_and_status_1_or_2(tmp_path, capsys):
    assert call("runs", str(tmp_path / "nothing")) == 1
    error = capsys.readouterr().err
    assert error.startswith("owtrend: ")
    assert error.count("\n") == 1
    assert call("runs") == 2
    assert call("ingest", str(tmp_path), "--store", str(tmp_path / "store")) == 2
    assert "no snapshot files found" in capsys.readouterr().err


def test_import_is_quick_because_heavy_packages_wait():
    heavy = [
        "numba", "dask", "distributed", "uproot", "zarr", "icechunk", "xarray", "pandas", "pyarrow", "panel",
        "holoviews",
    ]  # fmt: skip
    code = f"import sys, owtrend, owtrend.cli.main; print([m for m in {heavy!r} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


def end(code, **options):
    """What is left of a process that runs some code, then leaves with status 3."""
    script = f"from owtrend.cli.main import leave, run\nimport atexit, sys\n{code}\nleave(3)"
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, **options)


def test_a_process_ends_with_its_own_status_whatever_threads_and_destructors_do():
    # Like threads of a library that wants the interpreter's lock, which Python would kill or wait for.
    done = end("""
import threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
class Late:
    def __del__(self): print("taken apart")
late = Late()
""")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_what_was_registered_and_printed_is_done_before_a_process_ends():
    done = end("print('first'); atexit.register(lambda: print('last'))")
    assert (done.returncode, done.stdout) == (3, "first\nlast\n")


@pytest.mark.slow
def test_a_command_typed_ends_with_its_own_status(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "owtrend", "runs", str(tmp_path / "nothing")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("owtrend: ")


@pytest.mark.slow
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_output_that_nobody_reads_is_status_1_without_a_word(unbuffered):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-m", "owtrend", "--help"], stdout=pipe, stderr=subprocess.PIPE, check=False,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.slow
def test_what_only_lists_imports_neither_kernels_nor_labels(small_store):
    heavy = ["numba", "scipy", "xarray", "dask", "distributed", "uproot", "hist", "holoviews", "sklearn"]
    code = f"""import sys; from owtrend.cli.main import main
for verb in ("runs", "outliers", "status"):
    main.main([verb, {str(small_store)!r}], standalone_mode=False)
    heavy = {heavy!r} + ["pydantic"] * (verb != "status")  # which reads the configuration
    assert not [name for name in heavy if name in sys.modules], verb"""
    subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("compute", "{store}", "--scheduler", "nowhere"),
        ("ingest", "{data}", "--store", "{store}", "--pattern", "{{run}}{{run}}"),
        ("ingest", "{data}", "--store", "{store}", "--subsystem", "A/B"),
        ("ingest", "{data}", "--store", "/proc/no/store", "--workers", "0"),
        ("ingest", "{data}", "--store", "{store}", "--timezone", "Mars"),
    ],
)
def test_an_error_is_one_line(tmp_path, capsys, arguments):
    builders.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    builders.ingest(tmp_path / "data", tmp_path / "store")
    places = {"store": tmp_path / "store", "data": tmp_path / "data"}
    assert call(*(argument.format(**places) for argument in arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("owtrend: ")
    assert error.strip().count("\n") == 0


def test_a_time_slice_goes_into_a_root_file(tmp_path, capsys, small_store):
    file = tmp_path / "late.root"
    arguments = ("slice", str(small_store), "300000", "EMC", "-o", str(file))
    assert call(*arguments, "--from", "12:00:30", "--to", "12:02") == 0
    out = capsys.readouterr().out
    assert "late.root: 2 histograms of EMC in run 300000, (2018-06-01T12:00:00, 2018-06-01T12:02:00] UTC" in out
    assert "2 snapshots, 1 restart, 0 gaps" in out
    assert call(*arguments, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["histograms"], printed["start"], printed["widened"], printed["absent"]) == (2, None, {}, [])
    assert printed["partial"]["sometimes"]["snapshots"] == 2
    assert SnapshotReader().read(file)["h"].values(flow=True).tolist() == [1, 6, 5, 1]
    assert call(*arguments[:-1], str(tmp_path / "late.txt")) == 2
    assert "expected a name that ends with .root" in capsys.readouterr().err
    assert call("slice", str(small_store), "300000", "EMC") == 2
    assert call(*arguments, "--from", "noon") == 1
    assert "not a time: 'noon'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_slice_lists_what_was_changed(tmp_path, capsys):
    rows = [[0, 1, 0], [0, 2, 0], [0, 1, 2, 3, 0], [0, 1, 2, 4, 0]]
    full = [builders.histogram([0, 0.1 * 9**number, 0], dtype="f4") for number in range(4)]
    builders.append(tmp_path / "store", builders.snapshots({"h": rows, "full": full}))
    assert call("slice", str(tmp_path / "store"), "300000", "EMC", "-o", str(tmp_path / "all.root")) == 0
    assert call(
        "slice", str(tmp_path / "store"), "300000", "EMC", "-o", str(tmp_path / "late.root"), "--from", "12:01",
    ) == 0  # fmt: skip
    out = capsys.readouterr().out
    assert "h#2: another binning, with everything it held when it first appeared" in out
    assert "full: written as TH1D, its numbers do not fit TH1F" in out


def test_trends_are_shown_run_by_run(capsys, small_store):
    assert call("trends", str(small_store), "--histogram", "h", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    entries = {row["run"]: row["value"] for row in rows if row["reductor"] == "entries"}
    assert entries == {300000: 13.0, 300001: 7.0}
    assert call("trends", str(small_store), "--subsystem", "TPC", "--reductor", "mean", "--runs", "300000") == 0
    assert "0.95 ± 0.15" in capsys.readouterr().out
    assert call("trends", str(small_store), "--reductor", "meen") == 1
    assert "no reductor 'meen'; did you mean 'mean'; there are entries" in capsys.readouterr().err
    assert call("trends", str(small_store), "--runs", "all") == 2


@pytest.mark.parametrize("ending", ["parquet", "csv", "ndjson"])
def test_trends_are_exported(tmp_path, capsys, small_store, ending):
    file = tmp_path / f"trends.{ending}"
    assert call("export", str(small_store), "-o", str(file), "--histogram", "h", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["rows"], printed["trends"], printed["runs"], printed["bytes"]) == (6, 9, 2, file.stat().st_size)
    assert call("export", str(small_store), "-o", str(file), "--subsystem", "TPC") == 0
    assert "4 rows of 1 run, 9 trends" in capsys.readouterr().out
    assert call("export", str(small_store), "-o", f"{file}.xls") == 2
    assert "expected a name that ends with .parquet or .csv or .ndjson" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (12.3456, 0.567, "12.35 ± 0.57"),
        (1234.5, 56.7, "1234 ± 57"),
        (2.0, 0.0, "2 ± 0"),
        (2.0, float("nan"), "2"),
        (float("nan"), float("nan"), "no value"),
    ],
)
def test_a_value_is_shown_with_two_digits_of_its_error(value, error, text):
    assert output.with_error(value, error) == text


@pytest.mark.slow
def test_simulate_lists_its_faults(tmp_path, capsys):
    small = ("--runs", "1", "--snapshots", "30", "--scale", "0.001", "--workers", "0")
    assert call("simulate", str(tmp_path / "one"), *small, "--faults", "gap,drift") == 0
    out = capsys.readouterr().out
    files = len(list((tmp_path / "one").rglob("*.root")))
    assert f"{files} files of runs 300000 to 300000; the faults are in truth.json" in out
    assert f"gap: {90 - files} snapshot files in a row are missing" in out
    assert call("simulate", str(tmp_path / "two"), *small, "--faults", "1", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert (printed["runs"], len(printed["faults"])) == ([300000], 1)
    assert call("simulate", str(tmp_path / "none"), *small, "--faults", "none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    assert call("simulate", str(tmp_path / "bad"), *small, "--faults", "gab") == 1
    assert "did you mean gap?" in capsys.readouterr().err


@pytest.mark.slow
def test_demo_uses_existing_files_and_lists_the_faults(tmp_path, capsys):
    simulate(tmp_path / "data", runs=1, snapshots=30, scale=0.001)
    assert call("demo", str(tmp_path), "--no-serve", "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["ingest"]["added"] == 85
    assert printed["trends"]["points"] > 0
    assert [fault["kind"] for fault in printed["faults"]] == ["gap", "truncated_file"]
    assert call("demo", str(tmp_path), "--no-serve") == 0
    out = capsys.readouterr().out
    assert "What to look for" in out
    assert f"owtrend serve {tmp_path / 'store'}" in out.replace("\n", "")


def test_a_run_in_a_store_without_runs_is_an_error_that_says_so(tmp_path, capsys):
    Store.create(tmp_path / "store")
    assert call("sign-off", str(tmp_path / "store"), "300000", "--note", "x") == 1
    assert "no run 300000; there are no runs" in capsys.readouterr().err
