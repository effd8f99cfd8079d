"""Runs the benchmarks and writes docs/benchmarks.md from what they recorded.

``python benchmarks/table.py --size S [--archive FOLDER]... [--root-python PYTHON]``
"""

import argparse
import ast
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent
DOCUMENT = FOLDER.parent / "docs" / "benchmarks.md"
INTRODUCTION = FOLDER / "introduction.md"
PACKAGES = ("numpy", "numba", "uproot", "zarr", "numcodecs", "icechunk", "dask", "xarray", "panel", "bokeh")
TIMES = "\N{MULTIPLICATION SIGN}"
# In the order of the document; every file bench_<theme>.py has its heading here.
THEMES = {
    "decode": "Decode: one snapshot file to arrays",
    "ingest": "Ingest: ROOT folder to committed store",
    "append": "Append: decoded snapshots one after the other",
    "live": "Live: trends, findings and incidents of a run that goes on",
    "store": "Store: cells read back, one run among thousands",
    "runs": "Runs: what people wait for when there are thousands",
    "compute": "Compute: trends from the store",
    "compare": "Compare: histograms and references",
    "slice": "Slice: any time slice of any histogram",
    "page": "Page: in a headless browser",
    "kernels": "Kernels: arrays in memory",
    "import": "Import",
}
_UNITS = {"s": ((1, "s"), (1e-3, "ms"), (1e-6, "µs")), "B": ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"))}


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison. ``value`` and ``peer_value`` are seconds or bytes, so less is better and ``ratio`` > 1 is good.

    ``target`` is for example ``>= 20 x`` (of the ratio), ``< 0.1 s`` or ``< 2 GiB`` (of the value), ``>= 1 GB/s`` or
    ``>= 400 M cells/s`` (of the rate), or empty.
    """

    theme: str
    benchmark: str
    what: str
    input: str
    value: float
    unit: str
    rate: float | None
    rate_unit: str
    peer: str
    peer_value: float
    target: str = ""
    remark: str = ""

    @property
    def ratio(self) -> float:
        """The peer's value divided by ours."""
        return self.peer_value / self.value

    @property
    def reached(self) -> bool | None:
        """True if the target is reached; None without a target."""
        if not self.target:
            return None
        match = re.fullmatch(r"(>=|<) ([\d.]+) (x|s|GiB|GB/s|M cells/s)", self.target)
        if match is None:
            raise ValueError(f"{self.benchmark}: cannot read the target {self.target!r}; see Row")
        sign, number, unit = match[1], float(match[2]), match[3]
        measured = {"x": self.ratio, "s": self.value, "GiB": self.value / 2**30}.get(unit, self.rate or 0.0)
        return measured >= number if sign == ">=" else measured < number


@dataclass(frozen=True, kw_only=True)
class Input:
    """One input of the benchmarks."""

    label: str
    runs: int
    files: int
    histograms: int  # of all subsystems
    cells: int  # of one snapshot of each subsystem, flow included
    bytes: int


def run(arguments: Sequence[str], folder: Path = FOLDER) -> tuple[list[Input], list[Row]]:
    """Run the benchmarks with these options of pytest in a process of their own; return what they recorded.

    Raises
    ------
    RuntimeError
        If one of them fails.
    """
    with tempfile.TemporaryDirectory() as temporary:
        file = Path(temporary) / "rows.json"
        command = [
            sys.executable, "-m", "pytest", "-q", "-n0", "--dist=no", "-p", "no:cacheprovider",
            "-o", "faulthandler_timeout=1800", f"--rows={file}", *arguments,
        ]  # fmt: skip
        files = [] if any(".py" in argument for argument in arguments) else sorted(map(str, folder.glob("bench_*.py")))
        alone = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_XDIST")}
        done = subprocess.run([*command, *files], cwd=folder.parent, env=alone, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"a benchmark failed:\n{done.stdout}\n{done.stderr}")
        recorded = json.loads(file.read_text())
    return [Input(**fields) for fields in recorded["inputs"]], [Row(**fields) for fields in recorded["rows"]]


def record(path: Path, inputs: Iterable[Input], rows: Iterable[Row]) -> None:
    """Write the file that `run` reads."""
    path.write_text(json.dumps({"inputs": list(map(asdict, inputs)), "rows": list(map(asdict, rows))}))


def benchmarks(folder: Path = FOLDER) -> dict[str, dict[str, str]]:
    """The docstring of each benchmark, by theme and name."""
    found: dict[str, dict[str, str]] = {}
    for path in sorted(folder.glob("bench_*.py")):
        docstrings = found.setdefault(path.stem.removeprefix("bench_"), {})
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                docstrings[node.name] = " ".join((ast.get_docstring(node) or "").split())
    return found


def render(inputs: Sequence[Input], rows: Sequence[Row], command: str, machine: str) -> str:
    """Text of docs/benchmarks.md."""
    measured = f"Measured {datetime.now(UTC):%Y-%m-%d} by `{command}` on {machine}"
    lines = [INTRODUCTION.read_text().rstrip(), "", measured, "", "## Inputs", ""]
    lines += _table(
        ("input", "runs", "files", "histograms", "cells per snapshot", "ROOT files"),
        [(i.label, i.runs, i.files, i.histograms, f"{i.cells:,}", _amount(i.bytes, "B")) for i in inputs],
        numbers=range(1, 6),
    )
    known = benchmarks()
    for theme, heading in THEMES.items():
        lines += ["", f"## {heading}", ""]
        of_theme = [row for row in rows if row.theme == theme]
        for name, text in known.get(theme, {}).items():
            left_out = "" if any(row.benchmark == name for row in of_theme) else " *Not measured this time.*"
            lines.append(f"- `{name}`: {text}{left_out}")
        if of_theme:
            lines += ["", *_table(_HEAD, [_cells(row) for row in of_theme], numbers=range(2, 7))]
    return "\n".join(lines) + "\n"


_HEAD = ("what", "input", "owtrend", "rate", "peer", "ratio", "target", "reached", "remark")


def _cells(row: Row) -> tuple[str, ...]:
    reached = {True: "yes", False: "**no**", None: ""}[row.reached]
    rate = "" if row.rate is None else f"{_digits(row.rate)} {row.rate_unit}"
    peer = f"{_amount(row.peer_value, row.unit)} {row.peer}"
    target = row.target.replace(">=", "≥").replace(" x", f" {TIMES}")
    value = _amount(row.value, row.unit)
    return row.what, row.input, value, rate, peer, f"{_digits(row.ratio)} {TIMES}", target, reached, row.remark


def _table(head: Sequence[str], rows: Iterable[Sequence[Any]], numbers: Iterable[int]) -> list[str]:
    right = set(numbers)
    rules = ["---:" if column in right else "---" for column in range(len(head))]
    return [f"| {' | '.join(map(str, cells))} |" for cells in (head, rules, *rows)]


def _amount(value: float, unit: str) -> str:
    """The value with three digits and a suitable unit."""
    scale, name = next((pair for pair in _UNITS[unit] if value >= pair[0]), _UNITS[unit][-1])
    return f"{_digits(value / scale)} {name}"


def _digits(value: float) -> str:
    return f"{value:.3g}" if value < 1000 else f"{value:,.0f}"


def machine() -> str:
    """CPU, cores, memory and versions, in a sentence."""
    information = Path("/proc/cpuinfo")
    text = information.read_text() if information.exists() else ""
    cpu = text.partition("model name")[2].partition(":")[2].partition("\n")[0].strip() or platform.processor()
    cores = len(os.sched_getaffinity(0))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{cpu}, {cores} cores, {memory:.0f} GiB; Python {platform.python_version()}, {packages}."


def main(argv: Sequence[str] | None = None, measure: Callable[..., tuple[list[Input], list[Row]]] = run) -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", choices=("tiny", "S", "M"), default="S", help="of the simulated input")
    parser.add_argument("--archive", action="append", default=[], help="folder of snapshot files to measure on as well")
    parser.add_argument("--root-python", help="Python that has ROOT, to compare with")
    parser.add_argument("--output", type=Path, default=DOCUMENT)
    options = parser.parse_args(argv)
    arguments = [f"--size={options.size}", *(f"--archive={folder}" for folder in options.archive)]
    shown = ["python benchmarks/table.py", f"--size {options.size}"]
    shown += [f"--archive {Path(folder).name}" for folder in options.archive]
    if options.root_python:
        arguments.append(f"--root-python={options.root_python}")
        shown.append("--root-python PYTHON")
    inputs, rows = measure(arguments)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(render(inputs, rows, " ".join(shown), machine()))


if __name__ == "__main__":
    main()
