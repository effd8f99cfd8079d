"""Docs are true: commands, links, the README's code."""

import importlib.util
import re
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest

import owtrend
from ingest import simulate
from owtrend.cli import main

ROOT = Path(__file__).parents[1]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def test_the_command_reference_is_fresh():
    path = ROOT / "docs" / "reference" / "make_cli.py"
    spec = importlib.util.spec_from_file_location("make_cli", path)
    make_cli = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(make_cli)
    assert make_cli.reference() == path.with_name("cli.md").read_text(), f"run python {path.relative_to(ROOT)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_readme_opens_with_the_two_lines_that_do_everything():
    text = (ROOT / "README.md").read_text()
    first, second = re.findall(r"^    (pip .*)$|^(pip .*)$", text, flags=re.MULTILINE)[:2]
    assert "".join(first) == "pip install -e . && owtrend demo"
    assert "".join(second) == 'pip install -e ".[test]" && pytest'


def test_public_names_have_docstrings():
    for name in owtrend.__all__:
        assert (getattr(owtrend, name).__doc__ or "").strip(), name


def test_the_changelog_begins_with_this_version():
    assert f"## {owtrend.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def code_of(text, language):
    """Blocks of code in a language, in order."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    return [code for name, code in blocks if name == language]


@pytest.mark.slow
def test_every_line_of_the_readme_runs(tmp_path, monkeypatch):
    """The commands on the simulated detector, then the notebook, then the reader; only the server is left out."""
    shutil.copy(ROOT / "examples/rules.yaml", tmp_path)
    simulate(tmp_path / "FOLDER", runs=2, snapshots=60, scale=0.005)
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text()
    commands = [shlex.split(line, comments=True) for line in code_of(text, "")[0].splitlines()]
    assert len(commands) > 12
    for _, verb, *options in commands:
        if verb == "accept":
            options[1] = owtrend.open(options[0]).incidents().query("not certain")["id"].iloc[0]
        if verb not in ("serve", "receive", "replay"):  # they go on until somebody stops them
            here = ["--workers", "0"] if verb in ("ingest", "compute") else []
            assert main.main.main([verb, *options, *here], standalone_mode=False) is None, verb
    notebook, live = code_of(text, "python")
    names: dict[str, Any] = {"arrived": sorted(tmp_path.rglob("*EMC*.root"))[:2]}
    exec(notebook, names)
    assert names["late"].contents.sum() > 0
    exec(live, names)
