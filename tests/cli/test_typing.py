"""Commands typed wrongly or halfway: choices, ranges, completion, errors in one line."""

import json

import pandas as pd
import pytest
from click.shell_completion import ShellComplete
from rich.console import Console
from rich.table import Table

from owtrend.cli import completing, main, output, unexpected
from owtrend.cli.ports import require_free
from owtrend.cli.verbs import results
from owtrend.errors import UsageError
from owtrend.quality.incident import Part


def call(*arguments):
    return main.status(arguments)


def completed(*arguments, incomplete=""):
    complete = ShellComplete(main.main, {}, "owtrend", "_OWTREND_COMPLETE")
    return [item.value for item in complete.get_completions(list(arguments), incomplete)]


def test_the_latest_runs_alone_are_listed(capsys, small_store):
    assert call("runs", str(small_store), "--last", "1", "--json") == 0
    assert [row["run"] for row in json.loads(capsys.readouterr().out)] == [300001]


@pytest.mark.slow
def test_histograms_are_listed_with_class_bins_and_runs(capsys, small_store):
    assert call("histograms", str(small_store), "--json") == 0
    rows = {row["histogram"]: row for row in json.loads(capsys.readouterr().out)}
    assert set(rows) == {"h", "sometimes", "t"}
    assert (rows["h"]["subsystem"], rows["h"]["class"], rows["h"]["bins"]) == ("EMC", "TH1D", 2)
    assert rows["h"]["runs"] == [300000, 300001]
    assert rows["sometimes"]["runs"] == [300000]
    assert call("histograms", str(small_store), "s*", "t", "--runs", "300000-300001") == 0
    out = capsys.readouterr().out
    assert "2 histograms in" in out
    assert call("histograms", str(small_store), "sometime") == 1
    assert "did you mean 'sometimes'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        ("300000", [300000]),
        ("300000-300002", [300000, 300001]),
        ("300001,300000", [300000, 300001]),
        (" 1 - 300000 , 300001", [300000, 300001]),
        ("300000-999999999999", [300000, 300001]),
    ],
)
def test_runs_are_numbers_ranges_and_mixtures(capsys, small_store, text, runs):
    assert call("trends", str(small_store), "--histogram", "h", "--runs", text, "--json") == 0
    assert sorted({row["run"] for row in json.loads(capsys.readouterr().out)}) == runs
    assert call("outliers", str(small_store), "--runs", text, "--json") == 0


def test_a_range_may_have_holes_in_one_subsystem(capsys, small_store):
    assert call("trends", str(small_store), "--subsystem", "TPC", "--runs", "300000-300001", "--json") == 0
    assert {row["run"] for row in json.loads(capsys.readouterr().out)} == {300000}


@pytest.mark.parametrize("text", ["all", "300002-300001", "-5", "1,", "", "1-2-3", "9" * 30])
def test_what_is_no_run_is_refused(capsys, small_store, text):
    assert call("trends", str(small_store), "--runs", text) == 2
    assert "expected run numbers such as" in capsys.readouterr().err


def test_a_range_without_a_run_names_those_there_are(capsys, small_store):
    assert call("compute", str(small_store), "--runs", "5-7") == 1
    assert "no run from 5 to 7; it has 300000 to 300001" in capsys.readouterr().err


def test_an_incident_of_two_subsystems_gives_the_strongest_reason_of_each():
    times = pd.to_datetime(["2018-06-01 12:00", "2018-06-01 12:05", "2018-06-01 12:10", "2018-06-01 18:00"])
    reasons = [("weak", "t", 5.0), ("strong", "u", 9.0), ("elsewhere", "v", 99.0)]
    found = [
        {"start": start, "stop": stop, "z": z, "certain": False, "why": why, "place": "", "histograms": [name]}
        for start, stop, (why, name, z) in zip(times[:-1], times[1:], reasons, strict=True)
    ]
    start, stop = times[0].value, times[2].value
    parts = (Part("EMC", 7, start, stop, 1), Part("TPC", 7, start, stop, 2))
    incident = {"subsystem": "EMC", "parts": parts}
    assert results._other_reasons({("TPC", 7): found}, incident) == "\nTPC: u: strong"


def test_more_trends_than_somebody_reads_are_a_choice(capsys, small_store, monkeypatch):
    monkeypatch.setattr(results, "MOST_TRENDS", 5)
    assert call("trends", str(small_store)) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "trends in" in printed.err.splitlines()[0]
    assert f"owtrend trends {small_store} --subsystem TPC" in printed.err
    monkeypatch.setattr(results, "MOST_TRENDS", 0)
    few = ("trends", str(small_store), "--subsystem", "TPC", "--reductor", "mean")
    assert call(*few) == 2
    assert capsys.readouterr().err.startswith("1 trends")
    assert call(*few, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)) == 1
    assert call(*few, "--all") == 0
    monkeypatch.setattr(results, "MOST_TRENDS", 1)
    assert call(*few) == 0


def test_every_command_of_the_choice_can_be_typed(capsys, small_store, monkeypatch):
    monkeypatch.setattr(results, "MOST_TRENDS", 0)
    assert call("trends", str(small_store)) == 2
    lines = [line.split("  # ")[0].split() for line in capsys.readouterr().err.splitlines() if line[:2] == "  "]
    monkeypatch.setattr(results, "MOST_TRENDS", 1000)
    assert len(lines) == 4
    for _, *arguments in lines:
        assert call(*arguments) == 0


def test_completion_knows_subsystems_runs_and_histograms(small_store):
    store = str(small_store)
    assert completed("trends", store, "--subsystem") == ["EMC", "TPC"]
    assert completed("slice", store, "300000", incomplete="T") == ["TPC"]
    assert completed("slice", store) == ["300000", "300001"]
    assert completed("trends", store, "--subsystem", "TPC", "--runs") == ["300000"]
    assert completed("outliers", store, "--runs", incomplete="300000-3000") == ["300000-300000", "300000-300001"]
    assert completed("trends", store, "--histogram", incomplete="so") == ["sometimes"]
    assert completed("export", store, "--subsystem", "TPC", "--histogram") == ["t"]


def test_completion_never_fails_and_reads_no_store_where_none_is_needed(tmp_path, capfd):
    assert completed("trends", str(tmp_path), "--subsystem") == []
    assert completed("trends", "--subsystem") == []
    assert "trends" in completed(incomplete="tr")
    assert capfd.readouterr() == ("", "")


def test_a_name_with_shell_characters_is_inserted_quoted_in_bash(monkeypatch):
    assert completing._quoted("a;rm -rf ~") == "a;rm -rf ~"  # zsh and fish quote it
    monkeypatch.setenv("_OWTREND_COMPLETE", "bash_complete")
    assert completing._quoted("a;rm -rf ~") == "'a;rm -rf ~'"


@pytest.mark.parametrize("error", [RuntimeError("at\x1b[2J once\nmore"), ZeroDivisionError(), UnicodeError("x")])
def test_an_unexpected_error_is_one_line_and_its_traceback_is_in_a_file(monkeypatch, tmp_path, capsys, error):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    def fails(*_, **__):
        raise error

    monkeypatch.setattr(main.main, "main", fails)
    assert call("runs", "a store") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "please report it with the file" in line
    assert "\x1b" not in line
    (file,) = tmp_path.iterdir()
    assert str(file) in line
    text = file.read_text()
    assert "Traceback" in text
    assert "owtrend 'runs' 'a store'" in text


def test_what_the_system_refuses_is_not_called_a_fault_of_owtrend(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    line = unexpected.explain(PermissionError(13, "Permission denied", "/data/x"), ["runs"])
    assert line.startswith("/data/x: Permission denied; ")
    assert "fault" not in line


def test_a_file_for_a_store_or_a_folder_is_one_line(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("x")
    assert call("runs", str(file)) == 1
    assert "a file; a store is a folder" in capsys.readouterr().err
    assert call("demo", str(file)) == 2
    assert "is a file" in capsys.readouterr().err
    (tmp_path / "empty").mkdir()
    assert call("status", str(tmp_path / "empty")) == 1
    assert "not an owtrend store" in capsys.readouterr().err


def test_demo_asks_for_its_port_before_it_works(monkeypatch, tmp_path, capsys):
    def busy(address, port):
        raise UsageError(f"port {port} of {address} is in use")

    monkeypatch.setattr("ingest.commands.require_free", busy)
    assert call("demo", str(tmp_path / "new")) == 1
    assert "port 8850" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()
    require_free("127.0.0.1", 0)


def test_progress_without_a_terminal_is_a_line_now_and_then(capsys):
    seconds = iter([0.0, *map(float, range(0, 200))])
    move = output._plain_lines(lambda: next(seconds))
    for done in range(200):
        move("converting", done, 200)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "converting: 5 of 200, after 5 s"
    assert [line.split()[-2] for line in lines] == ["5", "15", "35", "75", "135", "195"]


def test_a_table_in_a_narrow_terminal_has_what_does_not_fit_below_each_row(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    row = {"run": 300000, "start": "2018-06-01 12:00:00", "mode": "C", "why": "a reason with words\nand others"}
    output.print_table([row, {**row, "why": ""}], as_json=False, title="Runs")
    assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == [
        "Runs", "   run  start                mode", "300000  2018-06-01 12:00:00  C", "    why: a reason with words",
        "    and others", "300000  2018-06-01 12:00:00  C",
    ]  # fmt: skip


def test_a_table_in_a_pipe_has_a_line_per_row_and_no_control_characters(capsys):
    output.print_table([{"name": "x" * 300, "why": "\x1b[2J"}], False, title="T")
    lines = [line for line in capsys.readouterr().out.splitlines() if "x" * 300 in line]
    assert len(lines) == 1
    assert "\\x1b[2J" in lines[0]


def test_a_table_is_printed_as_rich_prints_it(capsys):
    rows = [
        {
            "run": 300000 + number,
            "why": "\n".join(["word"] * (number % 4)),
            "sigma": 1.5 * number,
            "note": "é漢" * (number % 3),
        }
        for number in range(150)
    ]
    output.print_table(rows, as_json=False, title="Runs")
    printed = capsys.readouterr().out
    table = Table(title="Runs", title_justify="left")
    for name in rows[0]:
        table.add_column(name, justify="right" if name in ("run", "sigma") else "left")
    for row in rows:
        table.add_row(*map(str, row.values()))
    Console(markup=False, emoji=False, highlight=False, width=10_000).print(table)
    assert printed == capsys.readouterr().out
