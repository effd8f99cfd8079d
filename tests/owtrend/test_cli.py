import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ingest import simulate
from owtrend import cli
from tests import making


def call(*arguments):
    """Exit status, stdout and stderr of the command, in this process."""
    with pytest.raises(SystemExit) as left:
        cli.run(arguments)
    return left.value.code


def verbs():
    return cli.main.list_commands(None)


def test_every_verb_has_help_with_an_example():
    assert {"compute", "demo", "ingest", "runs", "serve", "simulate", "status"} <= set(verbs())
    for verb in verbs():
        result = CliRunner().invoke(cli.main, [verb, "--help"])
        assert result.exit_code == 0
        assert f"owtrend {verb}" in result.output, f"{verb} has no example"


def test_from_files_to_a_table(tmp_path, capsys):
    making.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    store = str(tmp_path / "store")
    assert call("ingest", str(tmp_path / "data"), "--store", store, "--workers", "0") == 0
    assert "2 snapshots of 1 run (EMC) added" in capsys.readouterr().out
    assert call("compute", store, "--workers", "0") == 0
    assert "6 trend points of 1 run x subsystem" in capsys.readouterr().out
    assert call("runs", store, "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["run"], row["snapshots"], row["start"]) == (300000, 2, "2018-06-01 10:00:00")
    assert call("status", store, "--json") == 0
    status = json.loads(capsys.readouterr().out)
    assert status["subsystems"][0]["histograms"] == 1
    assert status["quarantine"] == []


def test_quarantine_is_shown_and_strict_makes_it_an_error(tmp_path, capsys):
    making.write_run(tmp_path / "data", {"h": [[0, 1, 0], [0, 2, 0]]})
    next((tmp_path / "data").rglob("*.root")).write_bytes(b"not ROOT")
    arguments = ("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--workers", "0")
    assert call(*arguments) == 0
    assert "1 in quarantine" in capsys.readouterr().out
    assert call(*arguments, "--strict") == 1
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "new"), "--workers", "0", "--json") == 0
    summary = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert summary["quarantine"][0]["reason"].endswith("(8 bytes that begin with b'not ROOT')")


def test_a_dry_run_makes_no_store(tmp_path, capsys):
    making.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    assert call("ingest", str(tmp_path / "data"), "--store", str(tmp_path / "store"), "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["run"] == 300000
    assert not (tmp_path / "store").exists()


def test_user_errors_are_one_line_and_status_1_or_2(tmp_path, capsys):
    assert call("runs", str(tmp_path / "nothing")) == 1
    error = capsys.readouterr().err
    assert error.startswith("owtrend: ")
    assert error.count("\n") == 1
    assert call("runs") == 2
    assert call("ingest", str(tmp_path), "--store", str(tmp_path / "store")) == 2
    assert "no snapshot files found" in capsys.readouterr().err


def test_import_is_quick_because_heavy_packages_wait():
    heavy = ["numba", "dask", "distributed", "uproot", "zarr", "icechunk", "xarray", "pandas", "panel", "holoviews"]
    code = f"import sys, owtrend, owtrend.cli; print([m for m in {heavy!r} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


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
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, capsys, arguments):
    making.write_run(tmp_path / "data", {"h": [[0, 1, 0]]})
    making.ingest(tmp_path / "data", tmp_path / "store")
    places = {"store": tmp_path / "store", "data": tmp_path / "data"}
    assert call(*(argument.format(**places) for argument in arguments)) == 1
    error = capsys.readouterr().err
    assert error.startswith("owtrend: ")
    assert error.strip().count("\n") == 0


def test_simulate_tells_its_faults(tmp_path, capsys):
    small = ("--runs", "1", "--snapshots", "30", "--scale", "0.001", "--workers", "0")
    assert call("simulate", str(tmp_path / "one"), *small, "--faults", "gap,drift") == 0
    out = capsys.readouterr().out
    files = len(list((tmp_path / "one").rglob("*.root")))
    assert f"{files} files of runs 300000 to 300000; the truth is in truth.json" in out
    assert f"gap: {90 - files} snapshot files in a row are missing" in out
    assert call("simulate", str(tmp_path / "two"), *small, "--faults", "1", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["runs"], len(told["faults"])) == ([300000], 1)
    assert call("simulate", str(tmp_path / "none"), *small, "--faults", "none", "--json") == 0
    assert json.loads(capsys.readouterr().out)["faults"] == []
    assert call("simulate", str(tmp_path / "bad"), *small, "--faults", "gab") == 1
    assert "did you mean gap?" in capsys.readouterr().err


def test_demo_uses_again_what_is_there_and_tells_where_the_faults_are(tmp_path, capsys):
    simulate(tmp_path / "data", runs=1, snapshots=30, scale=0.001)
    assert call("demo", str(tmp_path), "--no-serve", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ingest"]["added"] == 85
    assert told["trends"]["points"] > 0
    assert [fault["kind"] for fault in told["faults"]] == ["gap", "truncated_file"]
    assert call("demo", str(tmp_path), "--no-serve") == 0
    out = capsys.readouterr().out
    assert "What to look for" in out
    assert f"owtrend serve {tmp_path / 'store'}" in out.replace("\n", "")
