"""One histogram in a run whose axis ROOT extended, whose labels came in another order, or whose class changed."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import owtrend
from owtrend.errors import BinningChangedError
from owtrend.histograms.labelled import axis_of, to_xarray
from owtrend.model.axis import Axis
from tests.builders import archive_of, filled, histogram, labelled, snapshots, table

KINDS = ("TH1", "weighted", "TH2", "weighted TH2", "TH3", "TProfile", "TProfile2D")
PERIOD = ("12:03", "12:06")


def of_kind(kind, x, fills):
    """A histogram of fills of x; further axes have two bins, filled in turn."""
    dimension = int(kind[-1]) if kind[-1].isdigit() else 2 if kind == "TProfile2D" else 1
    points = np.stack([fills, *[np.arange(len(fills)) % 2 + 0.5] * (dimension - 1)], axis=1)
    axes = [x, *[Axis.spaced(2, 0, 2)] * (dimension - 1)]
    weights = np.full(len(fills), 0.5) if kind.startswith("weighted") else None
    values = fills / 10 if kind.startswith("TProfile") else None
    return filled(axes, points, weights=weights, values=values)


def content_along_x(contents):
    """Contents or bin entries over x; contents of a weighted histogram are half the fills."""
    part = contents["bin_entries" if "bin_entries" in contents else "contents"]
    factor = 2 if "sumw2" in contents else 1
    return (factor * part.sum([dim for dim in part.dims if dim != "x"])).values.tolist()


def extended(kind):
    """A plot against lumisections: 20 more each minute, 5 fills each, until the axis has to go twice as far."""
    rows = [np.repeat(np.arange(20 * (minute + 1)) + 0.5, 5) for minute in range(8)]
    return archive_of(
        *snapshots({"h": [of_kind(kind, Axis.spaced(10, 0, 100 if n < 5 else 200), rows[n]) for n in range(8)]})
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_an_axis_that_root_extended_is_one_histogram(kind):
    archive = extended(kind)
    cumulative = archive.histogram("EMC", "h", run=300000)
    part = owtrend.time_slice(cumulative, *PERIOD)
    assert content_along_x(part) == [0, 0, 0, 0, 100, 100, 100, 0, 0, 0]
    assert part["sums"].sel(sum="entries") == 300
    assert (part.restarts, part.reported, part.start.values) == (0, 3, cumulative.time[3].values)
    (change,) = archive.changes.to_dict("records")
    assert (str(change["time"]), change["run"]) == ("2018-06-01 12:05:00", 300000)
    assert change["change"] == "x goes from 0 to 200, before from 0 to 100"
    assert cumulative.attrs["changes"] == ("2018-06-01 12:05:00 UTC: x goes from 0 to 200, before from 0 to 100",)
    (of_all,) = archive.time_slice("EMC", 300000, *PERIOD).values()
    for name in part.data_vars.keys() - {"sums"}:
        np.testing.assert_array_equal(of_all.part(name, flow=False), part[name])
    steps = owtrend.increments(cumulative)
    assert [np.flatnonzero(content_along_x(steps.isel(time=n))).tolist() for n in range(8)] == [[n] for n in range(8)]
    for reductor, whole in (("entries", 800), ("mean", 80), ("underflow", 0), ("overflow", 0)):
        assert archive.trend("EMC", "h", reductor, run=300000, every="run").value.item() == whole
    trend = archive.trend("EMC", "h", "entries", run=300000)
    assert trend.value.values.tolist() == [100] * 8
    assert not trend.restart.any()
    assert archive.trend("EMC", "h", "entries", run=300000, every="3min").value.values.tolist() == [100, 300, 300, 100]
    if not kind.startswith("TProfile"):
        middle = archive.trend("EMC", "h", "median", run=300000).value.values.tolist()
        assert middle == [10, 30, 50, 70, 90, 110, 130, 150]
        every = archive.trend("EMC", "h", "integral", run=300000, every="3min").value.values
        np.testing.assert_array_equal(2 * every if kind.startswith("weighted") else every, [100, 300, 300, 100])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_are_matched_and_one_that_a_restart_lacks_has_a_bin_of_its_own(kind):
    rate = {"A": 10, "B": 40, "C": 5, "D": 20, "E": 7}

    def row(order, minutes):
        fills = np.repeat(np.arange(len(order)) + 0.5, [minutes * rate[label] for label in order])
        return of_kind(kind, labelled(list(order)), fills)

    rows = [row("ABCD", 1), row("ABCD", 2), row("BDAC", 3), row("EABD", 1), row("EABD", 2)]
    archive = archive_of(*snapshots({"h": rows}))
    whole = owtrend.time_slice(archive.histogram("EMC", "h", run=300000, flow=True))
    found = dict(zip(whole["x_label"].values.tolist()[1:-1], content_along_x(whole)[1:-1], strict=True))
    assert found == {"A": 50, "B": 200, "C": 15, "D": 100, "E": 14}
    assert content_along_x(whole)[-1] == 0
    assert whole.restarts == 1
    assert archive.trend("EMC", "h", "entries", run=300000).value.values.tolist() == [75, 75, 75, 77, 77]
    assert not archive.trend("EMC", "h", "overflow", run=300000).value.any()
    (change,) = archive.changes.to_dict("records")
    assert (str(change["time"]), change["change"]) == ("2018-06-01 12:03:00", "x has 1 new label: 'E'")


def test_of_many_new_labels_a_few_are_named_and_none_as_it_came():
    hostile = ["\x1b[2J", "\u202eevil", "n" * 500, *map(str, range(7))]
    rows = [of_kind("TH1", labelled(labels), np.array([0.5])) for labels in (["a"], ["a", *hostile])]
    (change,) = archive_of(*snapshots({"h": rows})).changes["change"]
    assert change == f"x has 10 new labels: '\\x1b[2J', '\\u202eevil', '{'n' * 40}…' and 7 more"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["TH1", "TH2", "TProfile"])
def test_another_class_or_error_option_is_the_same_histogram(kind):
    rows = [of_kind(kind, Axis.spaced(4, 0, 4), np.arange(100 * (minute + 1)) % 4 + 0.5) for minute in range(6)]
    for minute, one in enumerate(rows):
        if kind == "TProfile":
            rows[minute] = replace(one, error_option="s" if minute > 2 else "")
        elif minute < 3:
            parts = {"contents": one.parts["contents"].astype("f4")}
            rows[minute] = replace(one, class_name=f"{kind}F", parts=parts)
    archive = archive_of(*snapshots({"h": rows}))
    cumulative = archive.histogram("EMC", "h", run=300000)
    words = "error option '' became 's'" if kind == "TProfile" else f"{kind}F became {kind}D"
    assert archive.changes["change"].tolist() == [words]
    assert (cumulative.attrs["class"], cumulative.attrs["error_option"]) == (rows[-1].class_name, rows[-1].error_option)
    assert owtrend.increments(cumulative)["sums"].sel(sum="entries").values.tolist() == [100] * 6
    assert content_along_x(owtrend.time_slice(cumulative, "12:02", "12:03")) == [25] * 4
    assert archive.time_slice("EMC", 300000, "12:02", "12:03")["h"].sums["entries"] == 100
    trend = archive.trend("EMC", "h", "entries", run=300000)
    assert trend.value.values.tolist() == [100] * 6
    assert not trend.restart.any()


def test_a_profile_and_a_histogram_of_one_name_are_kept_apart():
    x = Axis.spaced(4, 0, 4)
    rows = [filled([x], [0.5]), filled([x], [0.5, 1.5], values=np.array([1.0, 2.0]))]
    archive = archive_of(*snapshots({"h": rows}))
    assert archive.histogram("EMC", "h", run=300000, binning=0).attrs["class"] == "TH1D"
    assert archive.histogram("EMC", "h", run=300000, binning=1).attrs["class"] == "TProfile"


def test_runs_are_brought_together_by_label_and_as_root_extends():
    one = {"named": histogram([0, 1, 2, 0], axes=[labelled(["a", "b"])]), "h": histogram([0, 1, 2, 3, 4, 0])}
    wide = Axis.spaced(4, 0, 8)
    other = {
        "named": histogram([0, 4, 8, 1, 0], axes=[labelled(["b", "c", "a"])]),
        "h": histogram([0, 5, 5, 5, 5, 0], axes=[wide]),
    }
    archive = archive_of(*snapshots([one], 1), *snapshots([other], 2))
    named = archive.histogram("EMC", "named")
    assert named["x_label"].values.tolist() == ["b", "c", "a"]
    assert named["contents"].values.tolist() == [[2, 0, 1], [4, 8, 1]]
    joined = archive.histogram("EMC", "h")
    assert joined["x_right"].values.tolist() == [2, 4, 6, 8]
    assert joined["contents"].values.tolist() == [[3, 7, 0, 0], [5, 5, 5, 5]]
    assert joined["run"].values.tolist() == [1, 2]


@pytest.mark.parametrize("flow", [False, True])
def test_two_histograms_are_compared_and_divided_by_label(flow):
    one = to_xarray(histogram([0, 30, 10, 20, 0], axes=[labelled(["a", "b", "c"])]), flow=flow)
    other = to_xarray(histogram([1, 20, 30, 10, 5, 2], "other", axes=[labelled(["c", "a", "b", "d"])]), flow=flow)
    ratio = owtrend.ratio(one, other)
    inside = slice(1, -1) if flow else slice(None)
    assert ratio["x_label"].values.tolist()[inside] == ["a", "b", "c", "d"]
    assert ratio["value"].values.tolist()[inside] == [1, 1, 1, 0]
    expected = owtrend.compare(one, other, scores=[])["expected"]
    np.testing.assert_allclose(expected, np.array([30, 10, 20, 5]) * 60 / 65)


def test_two_histograms_are_compared_after_their_bins_are_merged_as_root_extends():
    rows = table([[1, 2, 3, 4], [2, 4, 6, 8]], flow=False)
    wide = to_xarray(histogram([0, 3, 7, 0, 0, 0], axes=[Axis.spaced(4, 0, 8)]))
    assert owtrend.ratio(rows, wide)["value"].values[:, :2].tolist() == [[1, 1], [2, 2]]
    assert owtrend.ratio(wide, rows.chunk())["value"].transpose("time", "x").values[:, :2].tolist() == [
        [1, 1],
        [0.5, 0.5],
    ]
    with pytest.raises(BinningChangedError, match="bins of x differ"):
        owtrend.ratio(rows, to_xarray(histogram([0, 3, 7, 0], axes=[Axis.spaced(2, 0, 4)])))


@pytest.mark.slow
def test_a_reference_of_runs_with_other_labels_is_their_sum_by_label():
    runs = [("ab", [0, 1, 2, 0]), ("cba", [0, 30, 20, 10, 0]), ("bad", [0, 200, 100, 400, 0])]
    rows = [
        snapshots({"h": [histogram(contents, axes=[labelled(list(order))])]}, run)
        for run, (order, contents) in enumerate(runs)
    ]
    archive = archive_of(*(one for row in rows for one in row))
    whole = archive.reference("EMC", runs=[0, 1, 2]).histogram("h")
    assert whole.axes[0].labels == {1: "b", 2: "a", 3: "d", 4: "c"}
    assert whole.values().tolist() == [222, 111, 400, 30]


MINUTES = 5


@st.composite
def extensions(draw):
    """An axis that ROOT extends now and then: in each minute the axis, and what was filled, 0 to 1 of its range."""
    bins, low, high = draw(st.integers(1, 5)), 0.0, 1.0
    rows = []
    for _ in range(MINUTES):
        for upwards in draw(st.lists(st.booleans(), max_size=2)):
            low, high = (low, 2 * high - low) if upwards else (2 * low - high, high)
        fills = low + (high - low) * np.array(draw(st.lists(st.integers(0, 63), max_size=4))) / 64
        rows.append((Axis.spaced(bins, low, high), fills))
    return rows


@st.composite
def named(draw):
    """An axis that gets labels, in any order: in each minute the axis, and the numbers of the labels filled."""
    known, rows = [], []
    for _ in range(MINUTES):
        fills = draw(st.lists(st.integers(0, 5), max_size=4))
        known = draw(st.permutations(list(dict.fromkeys([*known, *fills]))))
        axis = labelled([f"label {number}" for number in known]) if known else Axis.spaced(1, 0, 1)
        rows.append((axis, np.array(fills)))
    return rows


def state(axis, fills):
    """A histogram of all fills so far, as ROOT has it."""
    if not axis.labels:
        return filled([axis], fills)
    numbers = {int(label.split()[1]): number - 0.5 for number, label in axis.labels.items()}
    return filled([axis], [numbers[int(fill)] for fill in fills])


@pytest.mark.study
@settings(max_examples=10)
@given(st.lists(extensions() | named(), min_size=1, max_size=6))
def test_the_gains_of_random_histories_are_those_of_the_truth(histories):
    rows = [
        {"clock": histogram([0, minute, 0])}
        | {
            f"h{number}": state(rows[minute][0], np.concatenate([fills for _, fills in rows[: minute + 1]]))
            for number, rows in enumerate(histories)
        }
        for minute in range(MINUTES)
    ]
    archive = archive_of(*snapshots(rows))
    for number, history in enumerate(histories):
        gained = owtrend.increments(archive.histogram("EMC", f"h{number}", run=300000))
        (axis,) = [axis_of(gained, "x")]
        for minute, (_, fills) in enumerate(history):
            expected = state(axis, fills).values() if axis.labels or len(fills) else np.zeros(len(axis))
            np.testing.assert_array_equal(gained["contents"][minute], expected)
        assert not gained["restart"].any()
