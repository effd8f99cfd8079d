"""Start-up: `import owtrend`, and the first thing that people do then, each in a new interpreter."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.inputs import Compare, Source


def python(code: str) -> Callable[[], object]:
    """A function that runs code in a new interpreter, which may write bytecode at its first call."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return lambda: subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)


def test_import(compare: Compare) -> None:
    """`import owtrend` against `import uproot`, with bytecode compiled; the interpreter's own start is in both."""
    compare("import owtrend", "", python("import owtrend"), "import uproot", python("import uproot"), target="< 0.7 s")


def test_first_use(source: Source, store: Path, compare: Compare) -> None:
    """`import owtrend`, open the store and list its runs, against `import uproot`, open a file and list its keys."""
    ours = python(f"import owtrend; print(owtrend.open({str(store)!r}).runs)")
    theirs = python(f"import uproot; print(uproot.open({source.paths[-1]!r}).keys())")
    compare("first use", source.label, ours, "uproot", theirs)
