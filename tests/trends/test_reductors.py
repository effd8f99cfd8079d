"""Reductors by name: labels in their ranges."""

import numpy as np
import pytest

import owtrend
from owtrend.errors import NotFoundError, UsageError
from owtrend.model.axis import Axis
from owtrend.output.tables import run_table
from owtrend.trends.reductors import parse
from tests.builders import archive_of, filled, histogram, labelled, snapshot, table


@pytest.mark.parametrize(
    ("spec", "name", "label"),
    [
        ('entries(x="B")', 'entries(x="B")', "B"),
        ("entries(x=B_1)", 'entries(x="B_1")', "B_1"),
        ('mean_y( x="a, b" )', 'mean_y(x="a, b")', "a, b"),
        (r'entries(x="say \"x=1:2\")")', r'entries(x="say \"x=1:2\")")', 'say "x=1:2")'),
        ('entries(x="Zähler")', 'entries(x="Zähler")', "Zähler"),
    ],
)
def test_a_label_can_be_named(spec, name, label):
    assert (parse(spec).name, parse(spec).ranges) == (name, {"x": label})
    assert parse(name).ranges == {"x": label}


@pytest.mark.parametrize("inside", ['x="B', 'x="")B"', r'x="\q"', "x=a b", f'x="{"a" * 201}"', 'x="', "x="])
def test_what_is_no_label_is_refused(inside):
    with pytest.raises(UsageError):
        parse(f"entries({inside})")


@pytest.fixture(scope="module")
def archive():
    orders = ["ABCD", "DCBA", "AD"]
    rate = {"A": 10, "B": 40, "C": 5, "D": 20}
    rows = []
    for run, order in enumerate(orders):
        for minute in range(3):
            contents = [0, *((minute + 1) * rate[label] for label in order), 0]
            rows.append(snapshot(10 * run + minute, histogram(contents, axes=[labelled(list(order))]), run=run))
    return archive_of(*rows)


@pytest.mark.parametrize("every", [None, "2min"])
def test_a_label_is_followed_over_runs_and_missing_where_there_is_none(archive, every, caplog):
    found = archive.trend("EMC", "h", "entries(x=B)", every=every)
    bins = [40, 40, 40] if every is None else [40, 80]
    np.testing.assert_array_equal(found.value, [*bins, *bins, *[np.nan] * len(bins)])
    whole = archive.trend("EMC", "h", "entries(x=B)", every="run").value
    np.testing.assert_array_equal(whole, [120, 120, np.nan])
    assert {record.getMessage() for record in caplog.records} == {"h: no entries(x=\"B\") in run 2: no label 'B'"}


def test_a_label_that_no_run_has_is_an_error_that_names_others(archive):
    with pytest.raises(NotFoundError, match="h, x: no label 'Bb'; did you mean 'B'"):
        archive.trend("EMC", "h", 'entries(x="Bb")')


@pytest.mark.parametrize(("spec", "said"), [("mean", True), ("std", True), ("mean_x", False), ("median", False)])
def test_a_name_without_an_axis_is_of_x_and_that_is_said_of_profiles(spec, said, caplog):
    profile = filled([Axis.spaced(4, 0, 4)], [[0.5], [1.5]], "p", values=np.array([10.0, 20.0]))
    archive = archive_of(snapshot(0, profile, histogram([0, 1, 2, 0])))
    assert archive.trend("EMC", "p", spec, run=300000).attrs["reductor"] == (spec if "_" in spec else f"{spec}_x")
    words = f"{spec} of a profile is {spec}_x, of its x axis; of the profiled quantity it is {spec}_y"
    assert caplog.messages == ([words] if said else [])
    archive.trend("EMC", "h", spec, run=300000)
    assert len(caplog.messages) == int(said)
    list(run_table(archive.location, reductors=[spec]).rows())
    assert caplog.messages == [words] * 2 * said


def test_a_projection_takes_the_bin_with_a_label():
    one = table(np.arange(6).reshape(1, 3, 2), labels=["a", "beam", "c"], flow=False).isel(time=0)
    assert owtrend.project(one, "y", x="beam").contents.values.tolist() == [2, 3]
    with pytest.raises(UsageError, match="h: no label 'beams' along x; did you mean 'beam'"):
        owtrend.project(one, "y", x="beams")
