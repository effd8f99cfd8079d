"""Mutated files, one after the other, within limits of time and memory: `python -m tests.fuzz --seconds 60`.

Each is a snapshot or one named reason, and good files between them stay what they are. File ``n`` of a seed is always
the same, so ``--first n --files 1`` reads it again. Exit status 1 if anything was found.
"""

import argparse
import sys
import time
from itertools import count
from pathlib import Path

from tests.fuzz.campaign import Campaign, file_of

parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
parser.add_argument("--seed", type=int, default=int(time.time()), help="Of the files; by default the time.")
parser.add_argument("--first", type=int, default=0, help="Number of the first file.")
parser.add_argument("--files", type=int, help="Number of files.")
parser.add_argument("--seconds", type=float, help="Stop after this time.")
parser.add_argument("--keep", type=Path, help="Folder for the files that something is wrong with.")


def main() -> int:
    wanted = parser.parse_args()
    campaign, began = Campaign(wanted.seed), time.monotonic()
    for number in count(wanted.first):
        over = wanted.seconds is not None and time.monotonic() - began > wanted.seconds
        if over or (wanted.files is not None and campaign.read >= wanted.files):
            break
        campaign.take(number)
        if number in campaign.findings:
            print(f"FOUND in file {number} of seed {wanted.seed}: {campaign.findings[number]}", flush=True)
            if wanted.keep:
                wanted.keep.mkdir(parents=True, exist_ok=True)
                (wanted.keep / f"{wanted.seed}_{number}.root").write_bytes(file_of(wanted.seed, number)[1])
        if campaign.read % 1000 == 0:
            print(f"{campaign.read:,} files after {time.monotonic() - began:.0f} s", flush=True)
    findings = f"{len(campaign.findings)} findings, at most {campaign.slowest:.2f} s for one"
    print(f"{campaign.read:,} files of seed {wanted.seed}: {findings}")
    for outcome, times in sorted(campaign.outcomes.items()):
        print(f"  {times:8,} {outcome}")
    return 1 if campaign.findings else 0


if __name__ == "__main__":
    sys.exit(main())
