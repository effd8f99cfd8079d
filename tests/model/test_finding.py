import json
import math

import pandas as pd
import pytest

from owtrend.errors import StoreError
from owtrend.model.axis import Axis
from owtrend.model.finding import COLUMNS, Aspect, BinRange, Finding, Score, table

MINUTE = 60 * 10**9


def flag(start, stop, subsystem="EMC", histograms=("h",), z=5.0, certain=False, **more):
    rest = {"run": 1, "score": Score.BIN, "why": f"at {start}", "report": 5 * MINUTE, **more}
    significance = {"certain": True} if certain else {"z": z}
    return Finding(
        subsystem=subsystem,
        histograms=tuple(histograms),
        start=start * MINUTE,
        stop=stop * MINUTE,
        **significance,
        **rest,
    )


def minutes(times):
    return [int(time.value // MINUTE) for time in pd.DatetimeIndex(times)]


AXES = (Axis.spaced(10, 0.0, 5.0), Axis(Axis.spaced(3, 0.0, 3.0).edges, labels={1: "a", 2: "b"}))


def test_a_finding_survives_its_line_with_its_identity():
    for one in (
        flag(0, 5, histograms=()),
        flag(0, 5, size=0.0312, size_error=0.004),
        flag(0, 5, bins=(BinRange.from_axes(AXES, 0, 0, 3), BinRange.from_axes(AXES, 1, 2, 2)), side=-1),
    ):
        assert Finding.from_json(one.to_json()) == one
        assert json.loads(one.to_json())["id"] == one.id


def test_the_identity_is_what_is_found_where_and_since_when():
    one = flag(0, 5)
    assert len(one.id) == 12
    assert one.id == flag(0, 9, z=7, why="in other words", side=1).id
    others = [
        flag(1, 5), flag(0, 5, "TPC"), flag(0, 5, run=2), flag(0, 5, histograms=("h", "k")),
        flag(0, 5, histograms=()), flag(0, 5, score=Score.WINDOW),
    ]  # fmt: skip
    assert len({one.id, *(other.id for other in others)}) == 7


def test_a_line_of_before_identities_is_read_and_one_of_a_newer_owtrend_is_an_error():
    line = json.loads(flag(0, 5).to_json())
    old = {name: value for name, value in line.items() if name not in ("id", "bins", "side")}
    assert math.isnan(Finding.from_json(json.dumps(old)).size)
    assert Finding.from_json(json.dumps(old | {"score": "strip"})).score is Score.WINDOW
    for newer in ({"score": "colour"}, {"more": 1}):
        with pytest.raises(StoreError, match="update owtrend"):
            Finding.from_json(json.dumps(line | newer))


def test_ranges_of_bins_have_root_numbers_and_edges():
    assert BinRange.from_axes(AXES, 0, 0, 3) == BinRange("x", 0, 3, -math.inf, 1.5)
    assert BinRange.from_axes(AXES, 0, 3, 11) == BinRange("x", 3, 11, 1.0, math.inf)
    assert BinRange.from_axes(AXES, 1, 2, 2) == BinRange("y", 2, 2, 1.0, 2.0, "b")
    assert "Infinity" not in json.dumps(BinRange.from_axes(AXES, 0, 0, 11).to_dict())


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"score": Score.CHI2, "bins": (), "side": 0}, True),
        ({"score": Score.WINDOW, "bins": (BinRange.from_axes(AXES, 0, 2, 4),)}, True),
        ({"score": Score.WINDOW, "bins": (BinRange.from_axes(AXES, 0, 3, 4),)}, False),
        ({"score": Score.WINDOW, "bins": (BinRange.from_axes(AXES, 1, 3, 3),)}, True),
        ({"side": -1}, False),
        ({"score": Score.SHIFT, "side": -1}, True),
        ({"score": Score.FRACTION}, False),
        ({"histograms": ("k",)}, False),
        ({"subsystem": "TPC"}, False),
    ],
)
def test_deviations_are_alike_unless_bins_or_sides_contradict(other, same):
    (one,) = flag(0, 5, bins=(BinRange.from_axes(AXES, 0, 2, 2),), side=1).deviations
    (two,) = flag(9, 12, run=2, **{"bins": (BinRange.from_axes(AXES, 0, 2, 2),), "side": 1, **other}).deviations
    assert one.same_way(two) is two.same_way(one) is same


def test_bins_with_labels_are_the_same_by_label():
    one, moved, other = BinRange("x", 2, 2, 1, 2, "b"), BinRange("x", 5, 5, 4, 5, "b"), BinRange("x", 2, 2, 1, 2, "c")
    assert one.overlaps(moved)
    assert not one.overlaps(other)


def test_events_deviate_from_nothing():
    assert flag(0, 5, certain=True, score=Score.RESTART).deviations == ()
    assert {score.aspect for score in Score} == set(Aspect)


@pytest.mark.parametrize("z", [math.inf, None])
def test_a_stored_finding_with_an_infinite_z_or_none_is_certain(z):
    line = json.loads(flag(0, 5, certain=True).to_json())
    assert math.isinf(line["z"])
    assert "certain" not in line
    again = Finding.from_json(json.dumps(line | {"z": z}))
    assert again.certain
    assert math.isnan(again.z)
    assert again.to_json() == flag(0, 5, certain=True).to_json()


def test_the_table_is_in_order_of_time_and_names_a_single_histogram():
    made = table([flag(10, 15, histograms=("a", "b")), flag(0, 5), flag(5, 10, histograms=())])
    assert tuple(made.columns) == (*COLUMNS, "bins", "side", "report")
    assert made["histogram"].tolist() == ["h", None, None]
    assert minutes(made["start"]) == [0, 5, 10]
    assert made["report"].iloc[0] == pd.Timedelta("5min")
    assert table([]).empty
