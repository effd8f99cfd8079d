"""Peak memory of one job in its own process: ``python -m benchmarks.peak JOB OUTPUT`` prints bytes.

This is the kernel's high-water mark of the process; ``ru_maxrss`` of getrusage starts from the parent's.
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
    """Peak memory of each job [bytes], modules included; they run at the same time, each in its own process."""
    text = str(files) if isinstance(files, Path) else json.dumps([asdict(file) for file in files])
    commands = [[sys.executable, "-m", "benchmarks.peak", job, str(output / job)] for job in jobs]
    run = partial(subprocess.run, cwd=ROOT, input=text, capture_output=True, text=True, check=True)
    with ThreadPoolExecutor() as pool:
        return [int(done.stdout) for done in pool.map(run, commands)]


def _do(job: str, output: Path) -> None:
    text = sys.stdin.read()
    if job in ("ingest", "uproot"):
        from ingest.archive.source_file import SourceFile

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
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024)
