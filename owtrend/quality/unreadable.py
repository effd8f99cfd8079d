"""Files that could not be read, as findings, and the runs that have nothing else."""

from collections.abc import Sequence

import numpy as np

from owtrend.display import quoted
from owtrend.errors import NotFoundError, near_runs
from owtrend.histograms.listing import select_runs
from owtrend.model.finding import Finding, Score
from owtrend.model.wording import plural
from owtrend.store.quarantine import missing_snapshots
from owtrend.store.reader import Reader

__all__ = ["chosen_runs", "unreadable"]


def unreadable(reader: Reader) -> list[Finding]:
    """Whole files in quarantine whose subsystem, run and time are known, also where a run has no others.

    Files of one time are one finding. It begins with the snapshot before it, readable or not.
    """
    findings = []
    for (subsystem, run), by_time in sorted(missing_snapshots(reader.quarantine).items()):
        view = reader.subsystem(subsystem) if subsystem in reader.registered else None
        readable = view.rows(view.run_indices[run]).time if view and run in view.run_indices else np.empty(0, np.int64)
        spacing = int(np.median(np.diff(readable))) if len(readable) > 1 else 60 * 10**9
        before = 0
        for stop, found in sorted(by_time.items()):
            start = max(before, *readable[readable < stop].tolist()[-1:], 0) or stop - spacing
            more = f" and {plural(len(found) - 1, 'more file')}" if len(found) > 1 else ""
            findings.append(
                Finding(
                    subsystem=subsystem, run=run, histograms=(), start=start, stop=stop, score=Score.UNREADABLE,
                    certain=True, why=f"{found[0]}{more}", report=spacing,
                )
            )  # fmt: skip
            before = stop
    return findings


def chosen_runs(reader: Reader, subsystem: str | None, runs: slice | Sequence[int] | int | None) -> set[int] | None:
    """Runs chosen for findings; None: all. They may have nothing but unreadable files.

    Raises
    ------
    NotFoundError
        If there is no such subsystem or run.
    """
    files = [Finding.from_json(line) for line in reader.quality("unreadable") or ()]
    if subsystem is not None and all(finding.subsystem != subsystem for finding in files):
        reader.subsystem(subsystem)  # or an error that lists those there are
    if runs is None:
        return None
    known = {run for name in reader.subsystems for run in reader.subsystem(name).run_indices}
    known |= {finding.run for finding in files}
    chosen = {runs} if isinstance(runs, int) else set(select_runs(known, runs))
    for run in sorted(chosen - known):
        raise NotFoundError(f"{reader.location}: no run {quoted(run)}{near_runs(run, known)}")
    return chosen
