"""The code keeps to the plan of docs/architecture.md: who imports whom, how many modules, how long."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MODULES = [path for top in ("owtrend", "ingest", "dashboards") for path in sorted((ROOT / top).rglob("*.py"))]
FOLDERS = sorted({path.parent for path in MODULES})
PAGE = ROOT / "docs" / "architecture.md"


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported(path: Path) -> set[str]:
    """Packages that a module imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_every_wing_imports_only_what_its_contracts_allow():
    # In a process of its own: import-linter switches off all loggers that there are.
    lint = "from importlinter.cli import lint_imports_command; lint_imports_command(['--no-cache'])"
    done = subprocess.run([sys.executable, "-c", lint], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_kernels_know_arrays_only():
    compiler = ROOT / "owtrend" / "kernels" / "compiled.py"
    plain = {"collections", "dataclasses", "enum", "functools", "itertools", "math", "typing", "warnings"}
    for path in {*(ROOT / "owtrend" / "kernels").rglob("*.py")} - {compiler}:
        assert imported(path) <= {"numpy", "owtrend", "scipy"} | plain, short(path)


@pytest.mark.parametrize("folder", FOLDERS, ids=short)
def test_a_folder_has_at_most_ten_modules(folder):
    assert len([path for path in folder.glob("*.py") if path.name != "__init__.py"]) <= 10


def test_a_long_module_has_its_reason_on_the_page():
    section = PAGE.read_text().split("## Modules of more than 400 lines")[1].split("\n## ")[0]
    explained = set(re.findall(r"^- `([\w/.]+)`: \w", section, flags=re.MULTILINE))
    assert {short(path) for path in MODULES if len(path.read_text().splitlines()) > 400} == explained


def test_the_list_of_modules_is_fresh():
    path = ROOT / "docs" / "make_architecture.py"
    spec = importlib.util.spec_from_file_location("make_architecture", path)
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    assert made.page() == PAGE.read_text(), f"run python {short(path)}"


def test_every_module_has_a_docstring():
    assert [short(path) for path in MODULES if not ast.get_docstring(ast.parse(path.read_text()))] == []


def test_the_page_names_places_that_exist():
    section = PAGE.read_text().split("## Where to find it")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (.+?) \| (.+?) \|$", section, flags=re.MULTILINE)[2:]
    assert len(rows) > 5
    for _, where in rows:
        paths = [ROOT / path for path in re.findall(r"`([\w/]+(?:\.py|/))`", where) if "/" in path]
        assert paths, where
        texts = "".join(path.read_text() for path in paths if path.is_file())
        assert all(path.exists() for path in paths), where
        for name in re.findall(r"`([A-Za-z_]+)`", where):
            assert name in texts, name
