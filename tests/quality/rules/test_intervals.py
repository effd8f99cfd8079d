"""Intervals of one quality: what merges, what is unknown, and that no order of arrival matters."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.quality.journal import Action, Journal
from owtrend.quality.rules.intervals import joined
from owtrend.quality.rules.rule import QUALITIES
from tests import builders
from tests.quality.rules.test_flags import DAY, GAINS, minute, rule, snapshots

OK, UNKNOWN, WARNING, ERROR = (
    [str(one) for one in QUALITIES].index(name) for name in ("ok", "unknown", "warning", "error")
)


def merged(flags, cover=()):
    """Intervals ``(run, start, stop, quality)`` of flags of the same form."""
    columns = np.array(flags, dtype=np.int64).reshape(-1, 4).T
    run, start, stop, quality = columns
    found = joined(run, start, stop, quality.astype(np.int8), np.array(cover, dtype=np.int64).reshape(-1, 3))
    return list(zip(*(of.tolist() for of in (found.run, found.start, found.stop, found.quality)), strict=True))


@pytest.mark.parametrize(
    ("flags", "cover", "expected"),
    [
        pytest.param([(1, 0, 5, OK), (1, 5, 9, OK)], [], [(1, 0, 9, OK)], id="adjacent-equal-ones-are-one"),
        pytest.param(
            [(1, 0, 5, OK), (1, 5, 9, ERROR)], [], [(1, 0, 5, OK), (1, 5, 9, ERROR)], id="others-stay-apart"
        ),
        pytest.param(
            [(1, 0, 5, OK), (1, 7, 9, OK)], [(1, 0, 12)],
            [(1, 0, 5, OK), (1, 5, 7, UNKNOWN), (1, 7, 9, OK), (1, 9, 12, UNKNOWN)], id="a-gap-is-unknown"
        ),
        pytest.param(
            [(1, 0, 5, UNKNOWN), (1, 7, 9, ERROR)], [(1, 0, 9)], [(1, 0, 7, UNKNOWN), (1, 7, 9, ERROR)],
            id="no-value-and-no-report-are-unknown-alike",
        ),
        pytest.param([], [(1, 0, 12), (2, 30, 40)], [(1, 0, 12, UNKNOWN), (2, 30, 40, UNKNOWN)], id="nothing-arrived"),
        pytest.param([(1, -3, 5, OK)], [(1, 0, 5)], [(1, -3, 5, OK)], id="a-flag-may-begin-before-the-run"),
        pytest.param([(1, 0, 5, OK), (2, 5, 9, OK)], [], [(1, 0, 5, OK), (2, 5, 9, OK)], id="runs-are-not-merged"),
        pytest.param(
            [(1, 0, 9, OK), (1, 3, 5, ERROR), (1, 4, 7, WARNING)], [],
            [(1, 0, 3, OK), (1, 3, 5, ERROR), (1, 5, 7, WARNING), (1, 7, 9, OK)], id="the-worst-of-several-wins"
        ),
    ],
)  # fmt: skip
def test_intervals_by_hand(flags, cover, expected):
    for order in itertools.permutations(flags):
        assert merged(order, cover) == expected


FLAGS = st.tuples(st.integers(1, 2), st.integers(0, 20), st.integers(1, 8), st.integers(0, 4)).map(
    lambda one: (one[0], one[1], one[1] + one[2], one[3])
)


@settings(max_examples=15, deadline=None)
@given(flags=st.lists(FLAGS, max_size=6), data=st.data())
def test_each_moment_has_its_worst_flag_whatever_arrives_first(flags, data):
    cover = [(1, 2, 25), (2, 0, 10)]
    found = merged(flags, cover)
    assert merged(data.draw(st.permutations(flags)), cover) == found
    assert merged([*flags, *flags], cover) == found
    for run, begin, end in ((1, 2, 25), (2, 0, 10)):
        for time in range(30):
            there = [quality for of, start, stop, quality in flags if of == run and start < time <= stop]
            wanted = [max(there)] if there else [UNKNOWN] if begin < time <= end else []
            assert [quality for of, start, stop, quality in found if of == run and start < time <= stop] == wanted
    for one, other in itertools.pairwise(found):
        assert one[0] != other[0] or one[2] != other[1] or one[3] != other[3]


@pytest.fixture(scope="module")
def archive():
    sometimes = snapshots(2, [(9, 0), (5, 5)], day=1, name="sometimes")
    return builders.archive_of(*snapshots(1, GAINS), *sometimes, *snapshots(3, [(4, 4)], day=2))


RULES = """
rules:
- name: many
  subsystem: EMC
  histogram: {histogram}
  error: entries > 5
"""


def test_an_archive_has_flags_by_the_rules_of_a_file(archive, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format(histogram='"h*"'))
    flags = archive.flags(path)
    minutes = [((flags[end] - builders.START) / builders.MINUTE).tolist() for end in ("start", "stop")]
    assert list(zip(*minutes, flags["quality"], flags["reports"], strict=True)) == [
        (-1, 0, "ok", 1), (0, 1, "error", 1), (1, 2, "ok", 1), (2, 4, "error", 1),
        (2 * DAY - 1, 2 * DAY, "error", 1),
    ]  # fmt: skip
    assert flags["run"].tolist() == [1, 1, 1, 1, 3]
    assert flags["why"][1] == "entries 8; error: entries > 5"
    assert archive.flags(path, runs=3).equals(flags[4:].reset_index(drop=True))
    assert archive.flags().empty  # the store keeps no rules


def test_a_run_without_the_histogram_is_unknown_if_the_rule_names_it(archive, tmp_path):
    path = tmp_path / "rules.yaml"
    path.write_text(RULES.format(histogram="h"))
    flags = archive.flags(path, runs=2)
    assert flags[["quality", "reports", "why"]].values.tolist() == [["unknown", 0, "no report"]]


def test_a_warning_that_the_journal_accepts_is_acceptable_in_the_archive():
    archive = builders.archive_of(*snapshots(1, GAINS))
    rules = [rule(warning="entries > 3")]
    assert set(archive.flags(rules)["quality"]) == {"warning"}
    accepted = {"rule": "r", "subsystem": "EMC", "histogram": "h", "start": minute(1)}
    Journal(archive.location).add(Action.ACCEPT_WARNING, "0b41", note="known", who="me", details=accepted)
    assert archive.flags(rules)[["quality", "reports"]].values.tolist() == [["warning", 2], ["acceptable", 2]]
