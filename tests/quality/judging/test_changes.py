"""What another version of rules alters: exactly the moments at which the quality differs."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.quality.judging.changes import changes
from owtrend.quality.rules.flags import judged
from tests import builders
from tests.quality.rules.test_flags import minute, rule, snapshots

GAINS = [[(5, 0), (9, 0), (0, 0), (7, 0), (3, 0), (8, 0), (1, 0)], [(2, 0), (6, 0), (6, 0)]]


@pytest.fixture(scope="module")
def reader():
    runs = [snapshots(run, gains, day=run) for run, gains in enumerate(GAINS)]
    return builders.archive_of(*itertools.chain(*runs))._reader


def differing(reader, old, new):
    return changes(reader, judged(reader, old), judged(reader, new))


def test_equal_rules_alter_nothing(reader):
    rules = [rule(error="entries > 4", warning="entries > mean(entries, 3)")]
    assert differing(reader, rules, rules) == []


def test_neighbouring_reports_that_change_alike_are_one(reader):
    found = differing(reader, [rule(error="entries > 4")], [rule(error="entries > 6")])
    assert [(one.run, one.start, one.stop, one.old, one.new) for one in found] == [
        (0, minute(-1), minute(0), "error", "ok"),
        (1, minute(24 * 60), minute(24 * 60 + 2), "error", "ok"),
    ]
    assert found[0].why == "entries 5; error: entries > 4"


def test_a_rule_of_one_version_only_is_not_judged_by_the_other(reader):
    found = differing(reader, [], [rule(error="entries > 6", histogram="*")])
    assert [(one.old, one.new) for one in found if one.run == 1] == [("not judged", "ok")]
    assert [(one.new, one.why) for one in found if one.run == 0] == [
        ("ok", ""), ("error", "entries 9; error: entries > 6"), ("ok", ""), ("error", "entries 8; error: entries > 6"),
        ("ok", ""),
    ]  # fmt: skip


@settings(max_examples=5, deadline=None)
@given(limits=st.lists(st.integers(0, 10), min_size=4, max_size=4))
def test_exactly_the_moments_that_differ_are_listed(reader, limits):
    def version(error, warning):
        return [rule(error=f"entries > {error}", warning=f"entries > {warning} and entries < previous(entries)")]

    old, new = version(*limits[:2]), version(*limits[2:])
    flags = [[flag for one in judged(reader, of) for flag in one.flags()] for of in (old, new)]
    found = differing(reader, old, new)
    for run, last in ((0, 6), (1, 24 * 60 + 2)):
        for time in np.arange(minute(last - 8), minute(last) + 1, 60 * 10**9).tolist():
            qualities = [
                next((flag.quality for flag in of if flag.run == run and flag.start < time <= flag.stop), None)
                for of in flags
            ]
            listed = [(one.old, one.new) for one in found if one.run == run and one.start < time <= one.stop]
            assert listed == ([tuple(qualities)] if qualities[0] != qualities[1] else [])
