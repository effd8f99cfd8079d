"""Coverage-guided search for files that fail with anything but an OwtrendError: `python -m tests.fuzz.guided`.

Needs the extra ``fuzz`` (atheris). The first argument is a folder for the corpus, the others are libFuzzer's; by
default 10,000 files, at most 2 s each, and 500 MB in all:

    python -m tests.fuzz.guided CORPUS -runs=10000
"""

import random
import shutil
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["ingest"]):
    from ingest import SnapshotReader

from owtrend.errors import OwtrendError
from tests.fuzz import mutations

SEEDS = Path(__file__).parents[1] / "data" / "root"
reader = SnapshotReader()


def one_file(content: bytes) -> None:
    """Read it as a user would, by a reader that remembers other files; any other exception is a finding."""
    try:
        snapshot = reader.read(content)
        for histogram in snapshot.values():
            histogram.values(), histogram.variances(), histogram.digest
    except OwtrendError as error:
        assert "\n" not in str(error)


def mutate(content: bytes, max_size: int, seed: int) -> bytes:
    """Damage a file, half of the time by libFuzzer."""
    if seed % 2:
        return atheris.Mutate(content, max_size)
    return mutations.mutated(content, random.Random(seed))[:max_size]


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for path in SEEDS.glob("*.root"):
        shutil.copy(path, folder)
    defaults = ["-runs=10000", "-timeout=2", "-rss_limit_mb=500", "-max_len=100000"]
    arguments = [
        *sys.argv[2:],
        *(option for option in defaults if not any(a.startswith(option.split("=")[0]) for a in sys.argv)),
    ]
    atheris.Setup([sys.argv[0], str(folder), *arguments], one_file, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
