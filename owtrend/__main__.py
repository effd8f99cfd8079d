"""The command ``owtrend``, also as ``python -m owtrend``: Ctrl-C is heard while all else is still being imported."""

import os
import signal
from typing import NoReturn

__all__ = ["run"]

_INTERRUPTED = b"owtrend: interrupted; what was committed is safe, the same command continues from there\n"


def run() -> NoReturn:
    """Run the command that was typed, and end the process with its exit status."""
    before = signal.getsignal(signal.SIGINT)
    if before is signal.default_int_handler:  # it is ignored by what a shell started in the background
        signal.signal(signal.SIGINT, _leave)
    from owtrend.cli import main

    signal.signal(signal.SIGINT, before)
    main.run()


def _leave(*_: object) -> NoReturn:
    os.write(2, _INTERRUPTED)
    os._exit(130)


if __name__ == "__main__":
    run()
