"""Peak memory of one job in a process of its own: ``python -m benchmarks.peak JOB INPUT OUTPUT`` prints bytes.

By the kernel's high-water mark of the process itself; ``ru_maxrss`` of getrusage begins with the parent's.
"""

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def peaks(jobs: Sequence[str], files: Iterable[object] | Path, output: Path) -> list[int]:
    """Bytes that each job had in memory at most, modules included; they run side by side, each in its own process."""
    told = str(files) if isinstance(files, Path) else json.dumps([asdict(file) for file in files])
    commands = [[sys.executable, "-m", "benchmarks.peak", job, str(output / job)] for job in jobs]
    run = partial(subprocess.run, cwd=ROOT, input=told, capture_output=True, text=True, check=True)
    with ThreadPoolExecutor() as pool:
        return [int(done.stdout) for done in pool.map(run, commands)]


def _do(job: str, output: Path) -> None:
    text = sys.stdin.read()
    if job in ("ingest", "uproot"):
        from ingest.archive.convert import SourceFile

        files = [SourceFile(**fields) for fields in json.loads(text)]
        if job == "ingest":
            from ingest.archive import ingest

            ingest.ingest(ingest.FoundFiles(files), output, workers=0)
        else:
            from benchmarks import plain

            plain.uproot_to_npz(files, output, compressed=False)
    elif job == "compute":
        from owtrend.compute import compute

        compute.compute(text, workers=0, force=True)
    elif job == "numpy":
        from benchmarks import plain

        for _ in plain.numpy_trends(Path(text)):
            pass


if __name__ == "__main__":
    _do(sys.argv[1], Path(sys.argv[2]))
    told = Path("/proc/self/status").read_text()
    print(int(told.partition("VmHWM:")[2].split()[0]) * 1024)
