"""Commands in processes that start at once, forked from one that has imported everything; to be killed at will."""

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

__all__ = ["Forks", "Process"]


@dataclass
class Process:
    """A command on its way; ``output`` is a file with what it has printed so far."""

    pid: int
    command: str
    output: Path
    _server: "Forks"
    status: int | None = None

    def kill(self) -> None:
        """Kill it by SIGKILL, if it is still there."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> int:
        """Wait for its end; returns its exit status, -9 if it was killed."""
        if self.status is None:
            self.status = self._server.ask({"wait": self.pid})
        return self.status

    @property
    def lines(self) -> list[str]:
        """What it has printed, as whole lines."""
        return self.output.read_text().split("\n")[:-1]


class Forks:
    """A process without threads that forks for each command; `environment` is set in addition to that of this one."""

    def __init__(self, folder: Path, environment: Mapping[str, str] | None = None) -> None:
        folder.mkdir(exist_ok=True)
        self._folder, self._begun = folder, list[Process]()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.forks"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", **(environment or {})},
        )  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._begun:
            process.kill()
        self._process.communicate(timeout=60)
        assert self._process.returncode == 0

    def begin(self, *command: str | Path) -> Process:
        """Begin a command of owtrend, or ``append FROM TO STORE``: minutes of a run, folded now and then."""
        output = self._folder / f"{len(self._begun) + 1}.txt"
        output.touch()
        words = list(map(str, command))
        process = Process(self.ask({"begin": words, "output": str(output)}), " ".join(words), output, self)
        self._begun.append(process)
        return process

    def run(self, *command: str | Path) -> list[str]:
        """Run a command to its end, which must be a success; returns its lines."""
        process = self.begin(*command)
        assert process.wait() == 0, (process.command, process.output.read_text())
        return process.lines

    def ask(self, request: dict[str, Any]) -> int:
        """Send a request to the server; returns its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def _append(first: str, last: str, location: str) -> int:
    """Append minutes to two subsystems and print each one that came back."""
    from owtrend.store.append import appender
    from owtrend.store.repository import Store
    from tests.builders import snapshot

    with appender(Store.open(location)) as live:
        for minute in range(int(first), int(last)):
            live.append([snapshot(minute, run=300100), snapshot(minute, run=300100, subsystem="TPC")])
            print(minute, flush=True)
            live.fold(seconds=0.01)
            if minute % 20 == 19:
                live.fold(everything=True)
    return 0


def _serve() -> None:
    from importlib import import_module

    from owtrend.cli import main
    from owtrend.errors import OwtrendError

    for verb in main.main.list_commands(None):
        main.main.get_command(None, verb)
    for name in _NEEDED:
        import_module(name)
    threads = {path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")}
    assert threads <= {Path("/proc/self/comm").read_text().strip(), "jemalloc_bg_thd"}  # others may hang in a fork
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _, status = os.waitpid(request["wait"], 0)
            print(os.waitstatus_to_exitcode(status), flush=True)
        elif pid := os.fork():
            print(pid, flush=True)
        else:
            sink = os.open(request["output"], os.O_WRONLY)
            for stream in (1, 2):
                os.dup2(sink, stream)
            try:
                command = request["begin"]
                status = _append(*command[1:]) if command[0] == "append" else main.status(command)
            except OwtrendError as error:
                print(error)
                status = 1
            except BaseException:  # not to go on as a second server
                traceback.print_exc()
                status = 2
            main.leave(status)


# What commands import when they need it.
_NEEDED = (
    "ingest.archive.ingest", "owtrend.compute.compute", "owtrend.compute.update_scores", "owtrend.store.append",
    "owtrend.store.upkeep.check", "owtrend.store.upkeep.repair", "owtrend.store.upkeep.upgrade", "tests.builders",
)  # fmt: skip

if __name__ == "__main__":
    _serve()
