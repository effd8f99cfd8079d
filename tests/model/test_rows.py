import json
from dataclasses import dataclass

import numpy as np
import pytest

from owtrend.model.rows import Provenance, settle


@dataclass
class Row:
    entries: float
    digest: bytes
    source: str = ""


@pytest.mark.parametrize(
    ("better", "worse"),
    [(Row(3, b"a", "better"), Row(2, b"b", "worse")), (Row(2, b"b", "better"), Row(2, b"a", "worse"))],
)
def test_the_row_that_is_kept_does_not_depend_on_the_order_of_arrival(better, worse):
    for settled in (settle(better, worse), settle(worse, better)):
        assert settled is not None
        winner, loser, reason = settled
        assert (winner, loser) == (better, worse)
        assert reason.startswith("same time as better but other content, with 2 entries against")


def test_rows_of_equal_content_are_duplicates():
    assert settle(Row(3, b"a", "one"), Row(3, b"a", "other")) is None


@pytest.mark.parametrize(
    "line",
    [
        {"source": "a", "told": "a", "size": 5, "mtime": 7, "mode": "", "timezone": "UTC", "entries": 3.0,
         "decoder": "owtrend 0.0.9", "unsupported": 1, "duplicates": [["b", 5, 8]]},
        {"source": "a", "told": "a", "size": 0, "mtime": 0, "mode": "C", "entries": 3.0, "decoder": "owtrend 0.1.0",
         "unsupported": 0, "received": "2026-01-01T00:00:00"},
    ],
    ids=["from a file", "live"],
)  # fmt: skip
def test_a_stored_line_of_provenance_stays_as_it_is(line):
    assert Provenance.from_json(json.dumps(line)).to_json() == json.dumps(line)


def test_entries_of_a_live_snapshot_may_be_a_numpy_number():
    assert json.loads(Provenance(source="a", entries=np.float64(3)).to_json())["entries"] == 3


def test_the_files_of_a_row_are_its_own_and_its_duplicates():
    came = Provenance(source="x/a", parsed="a", size=5, mtime=7, entries=3.0, duplicates=[("b", 5, 8)])
    assert came.files == [("a", 5, 7), ("b", 5, 8)]
