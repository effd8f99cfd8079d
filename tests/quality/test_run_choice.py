"""Runs chosen by conditions: one comparison, or an expression as rules have it."""

import pytest

from owtrend.conditions.columns import table_of
from owtrend.conditions.selection import Filter, run_spans
from owtrend.conditions.stored import Conditions, add
from owtrend.errors import NotFoundError, UsageError
from owtrend.quality.run_choice import fitting_runs
from owtrend.store.repository import Store
from tests.builders import archive_of, snapshot

RUNS = (300000, 300001, 300002, 300003)
LOGBOOK = {
    "run": RUNS[:3], "period": ["a", "a", "b and c"], "interaction_rate": [100.0, 110.0, 300.0],
    "good": ["true", "false", "true"],
}  # fmt: skip


@pytest.fixture(scope="module")
def conditions():
    """Of four runs, the last of which has none."""
    archive = archive_of(*(snapshot(60 * number, run=run) for number, run in enumerate(RUNS)))
    store = Store.open(archive.location)
    add(store, table_of(LOGBOOK, "logbook"))
    return Conditions(store.reader())


@pytest.mark.parametrize(
    ("filters", "runs"),
    [
        (["period=a"], [300000, 300001]),
        (["period == 'a'", "good=true"], [300000]),
        (["period!=a"], [300002]),
        (["period = b and c"], [300002]),
        (["interaction_rate >= 110"], [300001, 300002]),
        (["logbook.good = no"], [300001]),
        (['condition("period") == "a" and condition("interaction_rate") > 105'], [300001]),
        (['condition("period") != "a" || condition("interaction_rate") < 105'], [300000, 300002]),
        (['not (condition("interaction_rate") < 105)', "good=true"], [300002]),
        (['condition("good") == 1'], [300000, 300002]),
    ],
)
def test_runs_are_chosen_by_conditions(conditions, filters, runs):
    assert fitting_runs(conditions, run_spans(conditions), filters) == runs


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("period", "no name 'period'"),
        ("period=c", "no run with 'period=c'"),
        ("interaction_rate=fast", "'fast' is not a number"),
        ("good=perhaps", "'perhaps' is not true or false"),
        ("__import__('os')=1", "--where"),
        ("nothing=1", "no condition 'nothing'"),
        ('condition("nothing") > 1', "no condition 'nothing'"),
        ("mean_x > 5 and entries > 3", "is no condition"),
        ("=1", "such as period=LHC18b"),
    ],
)
def test_a_filter_that_means_nothing_is_one_line(conditions, text, words):
    with pytest.raises((UsageError, NotFoundError)) as error:
        fitting_runs(conditions, run_spans(conditions), [text])
    assert words in str(error.value)
    assert str(error.value).isprintable()


@pytest.mark.parametrize("text", ["a=b or c==d", 'period == "a" and energy > 5', "f(x)=1", "a=", "a=b=c", "1a=2"])
def test_what_is_more_than_one_comparison_is_no_filter(text):
    assert Filter.parsed(text) is None
