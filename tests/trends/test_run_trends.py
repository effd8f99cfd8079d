"""Trends of one detector are the same in four ways: cumulative with restarts, row by row alone, in intervals."""

import sys
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import owtrend
from owtrend.compute import compute
from owtrend.config import Config
from owtrend.errors import NotFoundError, UsageError
from owtrend.histograms import prefetch, run_histogram
from owtrend.model.axis import Axis
from owtrend.store.derived import StoredTrends
from owtrend.store.repository import Store
from owtrend.trends import run_trends
from owtrend.trends.reductors import DEFAULT, REDUCTORS, parse
from owtrend.trends.settings import kept, kept_reductors
from tests.builders import MINUTE, START, append, archive_of, filled, snapshots
from tests.studies import cases, sizes

ROWS = 140
RESTARTS = (70, 131)  # the second lies in the third chunk of rows
ABSENT = {20, 21, 63, 64, 127}  # rows without "sometimes", at the ends of chunks too
FEW = range(60, 81)  # rows with "few": what takes long is computed in them only
CUMULATIVE, ALONE, TENS, AT_ONCE = 1, 2, 3, 4  # runs
X, Y, Z = Axis.spaced(20, 0, 10), Axis.spaced(8, -4, 4), Axis.spaced(4, 0, 1)
SETTINGS = {
    "modules": ["reductors_of_a_test"],
    "subsystems": {
        "EMC": {
            "events": "events",
            "reductors": {
                "[!e]*": ["quantile_x(0.9)", "fraction_x(2,6)", "maximum", "peak", "rate", "events"],
                "[hw]": ["mean_x(x=1:7)", "entries(x=0:5)", "ratio(all)"],
                "h": ["efficiency(all)"],
                "few": ["gauss", "gauss_width(0,6)", "spread_of_bins"],
                "[hp][23]": ["mean_x(y=-1:3)", "median_y(x=0:2.5)"],
                "p2": ["mean_z(x=0:5)"],
            },
        }
    },
}
MODULE = '''
import owtrend

@owtrend.reductor
def spread_of_bins(gained):
    """Standard deviation of the contents of the bins."""
    values = owtrend.values(gained).value.values
    return values.std(), values.max()
'''


class Fills:
    """What was filled in each row, and histograms of any number of rows of it."""

    def __init__(self, rows):
        rng = np.random.default_rng(5)
        self.size = rng.integers(20, 60, rows)
        self.bounds = np.concatenate([[0], np.cumsum(self.size)])
        total = self.bounds[-1]
        x, y, z = rng.gamma(3, 1.3, total), rng.normal(0.5, 1.5, total), rng.uniform(-0.1, 1, total)
        self.fills = np.stack([x, y, z], axis=1)
        self.weights = rng.choice([0.25, 1.0, 2.5], total)
        self.values = self.fills[:, 0] * rng.normal(2, 0.5, total)
        self.good = rng.random(total) < 0.7

    def of(self, first, last, absent=()):
        """The histograms of rows ``first`` to before ``last``, as a subsystem with nothing else would send them."""
        part = slice(self.bounds[first], self.bounds[last])
        fills, weights, values = self.fills[part], self.weights[part], self.values[part]
        good = self.good[part]
        made = {
            "events": filled([Axis.spaced(1, 0, 1)], np.full((int(np.ceil((last - first) * 7)), 1), 0.5)),
            "h": filled([X], fills[good, :1]),
            "all": filled([X], fills[:, :1]),
            "w": filled([X], fills[:, :1], weights=weights),
            "h2": filled([X, Y], fills[:, :2]),
            "h3": filled([X, Y, Z], fills),
            "p1": filled([X], fills[:, :1], values=values),
            "p2": filled([X, Y], fills[:, :2], values=values),
            "p3": filled([X, Y, Z], fills, values=values),
            "sometimes": filled([X], fills[:, :1]),
            "few": filled([X], fills[good, :1]),
        }
        return {name: one for name, one in made.items() if name not in absent}


@pytest.fixture(scope="module")
def variants(tmp_path_factory):
    """A store of those four runs, with stored trends; and the archive before they were stored."""
    folder = tmp_path_factory.mktemp("trends")
    (folder / "reductors_of_a_test.py").write_text(MODULE)
    store, fills = Store.in_memory(), Fills(ROWS)
    began = [max(restart for restart in (0, *RESTARTS) if restart <= row) for row in range(ROWS)]
    present = {"sometimes": [row for row in range(ROWS) if row not in ABSENT], "few": FEW}
    absent = [[name for name, rows in present.items() if row not in rows] for row in range(ROWS)]
    cumulative = [fills.of(began[row], row + 1, absent[row]) for row in range(ROWS)]
    append(store.location, snapshots(cumulative, CUMULATIVE))
    alone = [fills.of(row, row + 1, absent[row]) for row in range(ROWS)]
    for name, rows in present.items():
        for before, row in pairwise((-1, *rows)):
            alone[row][name] = fills.of(before + 1, row + 1)[name]
    append(store.location, snapshots(alone, ALONE), reset=True)
    bounds = [0, *range(1, ROWS, 10), ROWS]
    tens = [fills.of(first, last, () if last - 1 in FEW else ("few",)) for first, last in pairwise(bounds)]
    first = next(row for row in tens if "few" in row)
    first["few"] = fills.of(0, FEW[0] + 1)["few"]
    append(store.location, snapshots(tens, TENS, minutes=[last - 1 for last in bounds[1:]]), reset=True)
    at_once = fills.of(0, ROWS) | {"few": fills.of(0, FEW[-1] + 1)["few"]}
    append(store.location, snapshots([at_once], AT_ONCE, minutes=[ROWS - 1]))
    before = owtrend.open(store.location)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        compute.compute(store.location, config=Config.model_validate(SETTINGS), workers=0, scores=False)
        yield owtrend.open(store.location), before
    REDUCTORS.pop("spread_of_bins")
    sys.modules.pop("reductors_of_a_test")  # a process may run tests of this file in two batches
    parse.cache_clear()


def specs(archive, name):
    """Every reductor that is kept of a histogram."""
    entry = archive.stored("EMC").registry.find(name, "")
    settings = archive.config
    every = kept_reductors(settings, "EMC")
    return [one for one in every if kept(settings, "EMC", entry, one) and parse(one).fits(entry.first)]


NAMES = ["h", "all", "w", "h2", "h3", "p1", "p2", "p3", "sometimes", "few"]
QUICK = ["w", "p2", "sometimes", "few"]


def close(one, other, **more):
    for name in ("value", "error"):  # of a profile's bin with one entry the error is 0, or what rounding left
        np.testing.assert_allclose(one[name].values, other[name].values, rtol=1e-7, atol=3e-6, **more)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(NAMES, QUICK))
def test_a_cumulative_run_with_restarts_gives_what_its_rows_alone_give(variants, name):
    archive, _ = variants
    chosen = specs(archive, name)
    found, expected = (archive.trends("EMC", [name], chosen, run=run).load() for run in (CUMULATIVE, ALONE))
    close(found, expected)
    np.testing.assert_array_equal(found.exposure, expected.exposure)
    np.testing.assert_array_equal(found.reported, expected.reported)
    for spec in chosen:
        values = found.value.sel(reductor=spec).values[found.reported.values]
        assert np.isfinite(values).mean() > (0.5 if "gauss" in spec else 0.8), spec
    restarts = [row for row in RESTARTS if name != "few" or row in FEW]
    assert np.argwhere(found.restart.values).max(axis=1).tolist() == restarts
    assert not expected.restart.any()


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(NAMES, QUICK))
def test_intervals_and_whole_runs_are_reductors_of_the_summed_increments(variants, name):
    archive, _ = variants
    chosen = specs(archive, name)
    tens = archive.trends("EMC", [name], chosen, run=CUMULATIVE, every="10min").load()
    if name != "sometimes":  # which in an interval may have been absent at its end
        expected = archive.trends("EMC", [name], chosen, run=TENS).load()
        if name == "few":
            tens, expected = (
                one.isel(time=np.isfinite(one.value).any(["histogram", "reductor"])) for one in (tens, expected)
            )
            assert tens.sizes["time"] == 3
        close(tens, expected)
        np.testing.assert_array_equal(tens.time, expected.time)
    events = ("events", "per_event") if name == "few" else ()  # which go on where it is absent
    of_runs = [spec for spec in chosen if spec not in ("rate", *events)]
    whole = archive.trends("EMC", [name], of_runs, runs=[CUMULATIVE, ALONE, AT_ONCE], every="run").load()
    close(whole.isel(run=[0, 1]), whole.isel(run=[2, 2]))
    at_once = archive.trends("EMC", [name], of_runs, run=AT_ONCE).load()
    np.testing.assert_array_equal(whole.value.isel(run=2).values.ravel(), at_once.value.values.ravel())


@pytest.mark.slow
@pytest.mark.parametrize("names", sizes(QUICK[1:3], NAMES))
def test_stored_trends_are_those_computed_on_demand_for_every_reductor(variants, monkeypatch, names):
    archive, _ = variants
    view = archive.stored("EMC")
    held = set(view.trends.reductors)
    assert {"quantile_x(0.9)", "mean_x(x=1:7)", "ratio(all)", "efficiency(all)", "spread_of_bins", "per_event"} <= held
    asked = [(name, {"run": run}) for name in names for run in (CUMULATIVE, TENS)]
    asked += [(name, {"runs": [AT_ONCE, TENS], "every": "run"}) for name in names]
    stored = [archive.trends("EMC", [name], specs(archive, name), **which).load() for name, which in asked]
    monkeypatch.setattr(view, "trends", StoredTrends(None, len(view.per_run["run"])))
    for (name, which), expected in zip(asked, stored, strict=True):
        assert archive.trends("EMC", [name], specs(archive, name), **which).load().identical(expected), name


@pytest.mark.slow
def test_windows_of_rows_change_nothing(variants, monkeypatch):
    view = variants[0].stored("EMC")
    entries = list(view.registry.histograms.values())
    slow = {"gauss_x", "gauss_width_x(0,6)", "spread_of_bins"}
    names, config = [name for name in view.trends.reductors if name not in slow], variants[0].config
    whole = run_trends.run_trends(view, CUMULATIVE, entries, names, config, "EMC")
    monkeypatch.setattr(prefetch, "WINDOW_BYTES", 1)
    assert len(list(prefetch.Prefetched(view, 0, entries).windows())) == 3
    pieces = run_trends.run_trends(view, CUMULATIVE, entries, names, config, "EMC")
    for name, expected in whole.items():
        np.testing.assert_allclose(pieces[name], expected, rtol=1e-9, atol=1e-12)


def some_histograms():
    """Rows of histograms with equal bins of which one restarts, one is filled by hand, one comes late; and profiles."""
    chance, axis = np.random.default_rng(4), Axis.spaced(4, 0.0, 4.0)
    rows, every = [], {name: chance.uniform(-0.5, 4.5, (240, 2)) for name in "abcdpq"}
    for number in range(6):
        fills = {name: values[: 40 * (number + 1)] for name, values in every.items()}
        counts = {name: filled([axis], fills[name][:, :1], name) for name in "abd"}
        counts["c"] = filled(
            [axis], fills["c"][:10, :1] if number == 3 else np.repeat(fills["a"][:20, :1], number + 1), "c"
        )
        counts["d"] = replace(counts["d"], sums=dict.fromkeys(counts["d"].sums, 0.0) | {"entries": 40.0 * (number + 1)})
        counts |= {name: filled([axis], fills[name][:, :1], name, values=fills[name][:, 1]) for name in "pq"}
        rows.append({name: None if name == "b" and number == 2 else one for name, one in counts.items()})
    return rows


def test_histograms_reduced_together_have_the_numbers_of_each_alone(monkeypatch):
    store = Store.in_memory()
    append(store.location, snapshots(some_histograms()), fold=False)
    view = store.reader().subsystem("EMC")
    entries = list(view.registry.histograms.values())

    def reduced(windows):
        trends, out = run_trends.RunTrends(entries), []
        for first, last in windows:
            held = run_histogram.each_by_binning(view, 300000, entries, view.cells)
            out.append(trends.rows(first, last, held, None)[0])
            kept = trends.state()
            trends = run_trends.RunTrends(entries)
            trends.restore(kept)
        return {name: np.concatenate([one[name] for one in out]) for name in out[0]} | trends.totals(view, 300000)

    together = [reduced(windows) for windows in ([(0, 6)], [(0, 1), (1, 3), (3, 4), (4, 6)])]
    monkeypatch.setattr(run_trends._Column, "alike", lambda *_: None)
    for name, values in reduced([(0, 6)]).items():
        for one in together:
            np.testing.assert_array_equal(one[name], values, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("name", cases(["h", "w", "h2", "p1", "p2", "p3"], QUICK))
def test_intervals_are_those_of_time_slices(variants, name):
    archive, _ = variants
    histogram = archive.histogram("EMC", name, run=CUMULATIVE)
    entries, integral, mean = (
        archive.trend("EMC", name, spec, run=CUMULATIVE, every="30min") for spec in ("entries", "integral", "mean")
    )
    for number, (start, stop) in enumerate(zip(entries.start.values, entries.time.values, strict=True)):
        piece = owtrend.time_slice(histogram, None if np.isnat(start) else start, stop)
        sums = piece.sums.to_series()
        assert entries.value[number] == sums["entries"]
        assert mean.value[number].item() == pytest.approx(sums["tsumwx"] / sums["tsumw"])
        assert integral.value[number].item() == pytest.approx(float(owtrend.values(piece).value.sum()))
        variance = owtrend.values(piece).variance
        assert integral.error[number].item() == pytest.approx(float(variance.sum()) ** 0.5, rel=1e-5)


@pytest.mark.slow
def test_means_and_widths_are_those_of_the_fills(variants):
    archive, _ = variants
    fills = Fills(ROWS)
    for row in (0, 69, 70, 100, 131):
        part = slice(fills.bounds[row], fills.bounds[row + 1])
        x, y, z = fills.fills[part].T
        inside = (x >= 0) & (x < 10)
        got = {spec: archive.trend("EMC", "all", spec, run=CUMULATIVE).value[row].item() for spec in ("mean", "std")}
        assert got == pytest.approx({"mean": x[inside].mean(), "std": x[inside].std()})
        w, inside = fills.weights[part], inside & (y >= -4) & (y < 4) & (z >= 0) & (z < 1)
        found = archive.trend("EMC", "p3", "mean_t", run=CUMULATIVE)
        assert found.value[row].item() == pytest.approx(fills.values[part][inside].mean())
        spread = fills.values[part][inside].std() / np.sqrt(inside.sum())
        assert found.error[row].item() == pytest.approx(spread)
        inside = (x >= 0) & (x < 10)
        weighted = archive.trend("EMC", "w", "mean", run=CUMULATIVE)
        average = np.average(x[inside], weights=w[inside])
        assert weighted.value[row].item() == pytest.approx(average)
        spread2 = np.average((x[inside] - average) ** 2, weights=w[inside])
        effective = w[inside].sum() ** 2 / (w[inside] ** 2).sum()
        assert weighted.error[row].item() == pytest.approx(np.sqrt(spread2 / effective))


@pytest.mark.slow
def test_slices_add_up(variants):
    archive, _ = variants
    for name in ("h", "w", "h3", "sometimes"):
        for spec in ("entries", "integral", "events"):
            of = {"run": CUMULATIVE}
            total = archive.trend("EMC", name, spec, runs=[CUMULATIVE], every="run").value.item()
            for every in (None, "7min", "1h"):
                assert archive.trend("EMC", name, spec, **of, every=every).value.sum() == pytest.approx(total)


@pytest.mark.slow
def test_events_are_counted_in_the_slice_across_absent_rows_and_restarts(variants):
    archive, _ = variants
    events = archive.trend("EMC", "sometimes", "events", run=CUMULATIVE)
    after_absence = {22: 3 * 7, 65: 3 * 7, 128: 2 * 7}
    expected = [np.nan if row in ABSENT else after_absence.get(row, 7) for row in range(ROWS)]
    np.testing.assert_array_equal(events.value, expected)
    entries = archive.trend("EMC", "sometimes", "entries", run=CUMULATIVE)
    share = archive.trend("EMC", "sometimes", "per_event", run=CUMULATIVE)
    np.testing.assert_allclose(share.value, entries.value / events.value)
    np.testing.assert_allclose(share.error, share.value * np.sqrt(1 / entries.value + 1 / events.value))
    every = archive.trend("EMC", "h", "events", run=CUMULATIVE, every="10min").value.values
    assert every.tolist() == [7, *[70] * 13, 63]


def test_without_an_event_counter_there_is_nothing_per_event(small):
    assert np.isnan(small.trend("EMC", "h", "per_event", run=300000).value).all()


@pytest.mark.slow
def test_some_stale_runs_and_many_at_once(monkeypatch):
    archive = archive_of()
    fills, absent = Fills(6), ("h3", "p1", "p2", "p3", "w", "all", "sometimes")
    for run in range(11):
        rows = [fills.of(0, row + 1, absent) for row in range(run % 3, 5)]
        append(archive.location, snapshots(rows, 100 - run))  # not in order
    compute.compute(archive.location, workers=0, scores=False)
    archive = archive.latest()
    fresh = archive.trends("EMC", ["h", "h2"], ["mean_y", "entries"]).load()
    by_run = archive.trends("EMC", ["h", "h2"], ["mean_y", "entries"], every="run").load()
    for run in (95, 92):
        append(archive.location, snapshots([fills.of(0, 6, absent)], run, minutes=[50]))
    stale = archive.latest()
    view = stale.stored("EMC")
    assert (view.trends.revisions != view.per_run["revision"]).sum() == 2
    more = stale.trends("EMC", ["h", "h2"], ["mean_y", "entries"]).load()
    assert more.sizes["snapshot"] == fresh.sizes["snapshot"] + 2
    old = more.isel(snapshot=more.time.values != START + 50 * MINUTE)
    assert old.equals(fresh)
    np.testing.assert_array_equal(more.value.isel(snapshot=[-1, 3, 30]), more.value.values[[-1, 3, 30]])
    whole = stale.trends("EMC", ["h", "h2"], ["mean_y", "entries"], every="run").load()
    unchanged = [run for run in range(90, 101) if run not in (95, 92)]
    assert whole.sel(run=unchanged).equals(by_run.sel(run=unchanged))
    assert np.isfinite(whole.value.sel(histogram="h2")).all()
    monkeypatch.setattr("owtrend.trends.query._SLAB", 1)
    again = stale.latest().trends("EMC", ["h", "h2"], ["mean_y", "entries"]).load()
    assert again.identical(more)


def test_a_gauge_is_not_differenced_and_of_an_interval_its_last_value_counts():
    rows = [{"status": filled([X], np.full(count, 3.1), gauge=True)} for count in (5, 5, 2, 9)]
    archive = archive_of(*snapshots(rows, 1))
    found = archive.trend("EMC", "status", "integral", run=1)
    assert found.value.values.tolist() == [5, 5, 2, 9]
    assert found.reported.values.tolist() == [True, False, True, True]
    assert not found.restart.any()
    assert archive.trend("EMC", "status", "integral", run=1, every="2min").value.values.tolist() == [5, 2, 9]
    assert archive.trend("EMC", "status", "integral", every="run").value.values.tolist() == [9]


def rebinned(*counts, later=(5, 0, 8)):
    """Fills of 0.5, ..., of so many each; from the third row on with other bins than four of width one."""
    rows, have = [], np.empty(0)
    for number, count in enumerate(counts):
        have = np.concatenate([have, np.arange(count) + 0.5]) if count > 0 else np.arange(-count) + 0.5
        rows.append({"h": filled([Axis.spaced(4, 0, 4) if number < 2 else Axis.spaced(*later)], have)})
    return archive_of(*snapshots(rows, 1))


@pytest.mark.slow
def test_statistics_go_on_where_bins_changed_and_bins_do_not():
    archive = rebinned(2, 3, 4, 2, later=(8, 0, 8.0))
    assert archive.trend("EMC", "h", "mean", run=1).value.values.tolist() == [1, 1.5, 2, 1]
    np.testing.assert_array_equal(archive.trend("EMC", "h", "integral", run=1).value, [2, 3, np.nan, 2])
    np.testing.assert_array_equal(archive.trend("EMC", "h", "entries(x=0:2)", run=1).value, [2, 2, np.nan, 2])
    np.testing.assert_array_equal(archive.trend("EMC", "h", "mean(x=0:4)", run=1).value, [1, 1.5, np.nan, 1])
    assert archive.trend("EMC", "h", "entries", every="run").value.item() == 11


@pytest.mark.slow
def test_bins_go_on_over_an_axis_that_root_extended():
    archive = rebinned(2, 3, 4, 2, later=(4, 0, 8))
    assert archive.trend("EMC", "h", "mean", run=1).value.values.tolist() == [1, 1.5, 2, 1]
    assert archive.trend("EMC", "h", "integral", run=1).value.values.tolist() == [2, 3, 4, 2]
    assert archive.trend("EMC", "h", "entries(x=0:2)", run=1).value.values.tolist() == [2, 2, 2, 2]
    assert archive.trend("EMC", "h", "mean(x=0:4)", run=1).value.values.tolist() == [1, 5 / 3, 2, 1]
    assert archive.trend("EMC", "h", "integral", every="run").value.item() == 11
    assert not archive.trend("EMC", "h", "entries", run=1).restart.any()


def test_an_axis_that_grew_in_a_restart_counts_from_zero():
    archive = rebinned(2, 3, -4, 2)
    for spec in ("entries", "integral"):
        found = archive.trend("EMC", "h", spec, run=1)
        assert found.value.values.tolist() == [2, 3, 4, 2]
        assert found.restart.values.tolist() == [False, False, True, False]
        assert found.exposure.values[1:].tolist() == [60, 60, 60]
    np.testing.assert_array_equal(archive.trend("EMC", "h", "rate", run=1).value, [np.nan, 3 / 60, 4 / 60, 2 / 60])


def test_labelled_axes_are_joined_by_label():
    axes = [Axis(np.arange(4.0), labels=dict(enumerate(names, start=1))) for names in (["a", "b"], ["b", "a", "c"])]
    rows = [
        {"h": filled([axes[0]], [0.5, 0.5, 1.5])},
        {"h": filled([axes[1]], [1.5, 1.5, 0.5, 0.5, 2.5])},  # one more of b, and a c
    ]
    archive = archive_of(*snapshots(rows, 1))
    assert archive.trend("EMC", "h", "integral", run=1).value.values.tolist() == [3, 2]
    assert archive.trend("EMC", "h", "maximum", run=1).value.values.tolist() == [2, 1]
    assert archive.trend("EMC", "h", "entries(x=1:2)", run=1).value.values.tolist() == [2, 0]  # a: it is second at last


def test_set_bins_have_statistics_of_their_bins():
    def by_hand(counts):
        one = filled([Axis.spaced(4, 0, 4)], np.repeat([0.5, 1.5, 2.5, 3.5], counts))
        return {"h": replace(one, sums={**dict.fromkeys(one.sums, 0.0), "entries": one.sums["entries"]})}

    archive = archive_of(*snapshots([by_hand([1, 0, 0, 1]), by_hand([1, 2, 0, 3])], 1))
    assert archive.trend("EMC", "h", "mean", run=1).value.values.tolist() == [2, 2.5]
    assert archive.trend("EMC", "h", "mean", every="run").value.values == pytest.approx((0.5 + 3 + 10.5) / 6)


def test_gaps_lengthen_the_exposure_and_lower_the_rate():
    fills = Fills(4)
    rows = [fills.of(0, row + 1) for row in range(4)]
    found = archive_of(*snapshots(rows, 1, minutes=[0, 1, 5, 6])).trend("EMC", "all", "rate", run=1)
    assert found.exposure.values[1:].tolist() == [60, 240, 60]
    np.testing.assert_allclose(found.value[1:], fills.size[1:] / [60, 240, 60])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "error", "message"),
    [
        ("meen", NotFoundError, "no reductor 'meen'; did you mean 'mean'; there are entries, integral"),
        ("entries_x", NotFoundError, "no reductor 'entries_x'"),
        ("mean_x(", NotFoundError, "no reductor"),
        ("quantile", UsageError, "quantile takes 1 numbers in brackets, not 0"),
        ("quantile(1.5)", UsageError, "expected a share from 0 to 1, not 1.5"),
        ("fraction(1)", UsageError, "fraction takes 2 numbers in brackets, not 1"),
        ("ratio", UsageError, "expected the name of another histogram"),
        ("mean(2..5)", UsageError, "'2..5' is neither a number nor a range"),
        ("mean(x=0:5.1)", UsageError, "h, mean_x.x=0:5.1.: range 0:5.1: no bin begins or ends at 5.1; .* is 5$"),
        ("fraction(0.2,5)", UsageError, "h, fraction_x.0.2,5.: range 0.2:5: .* the nearest bound is 0$"),
        ("mean(x=5:5)", UsageError, "range 5:5 holds no bin"),
        ("mean_x(y=0:1)", NotFoundError, "h: no reductor .* for it; it has entries"),
        ("ratio(alll)", NotFoundError, "did you mean 'all'"),
    ],
)
def test_a_reductor_without_a_meaning_is_an_error_that_says_why(variants, spec, error, message):
    with pytest.raises(error, match=message):
        variants[0].trend("EMC", "h", spec, run=CUMULATIVE)


@pytest.mark.slow
@pytest.mark.parametrize("every", ["ten minutes", "-5min", 0, float("nan"), "NaT", {}])
def test_what_is_no_length_of_time_is_an_error(variants, every):
    with pytest.raises(UsageError, match=r"not a length of time|longer than nothing"):
        variants[0].trend("EMC", "h", "mean", every=every)


@pytest.mark.slow
def test_intervals_of_several_histograms_are_an_error(variants):
    with pytest.raises(UsageError, match="one histogram at a time; 2 were asked for"):
        variants[0].trends("EMC", ["h", "all"], ["mean"], every="10min")


def test_intervals_leave_out_runs_without_the_histogram():
    fills = Fills(3)
    rows = [fills.of(0, row + 1) for row in range(3)]
    without = [{name: one for name, one in row.items() if name != "h"} for row in rows]
    archive = archive_of(*snapshots(rows, 1), *snapshots(without, 2))
    assert archive.trend("EMC", "h", "entries", every="10min").run.values.tolist() == [1, 1]
    with pytest.raises(NotFoundError, match="run 2 has no histogram 'h'"):
        archive.trend("EMC", "h", "entries", run=2, every="10min")


def test_the_names_of_reductors_are_the_same_however_they_are_typed():
    for typed in ("quantile(0.90)", "quantile_x(.9)", " quantile_x( 9e-1 )"):
        assert parse(typed).name == "quantile_x(0.9)"
    assert parse("mean_x(z=1:2, y=2.0:5)").name == "mean_x(y=2:5,z=1:2)"
    assert [parse(name).name for name in DEFAULT] == list(DEFAULT)


@pytest.mark.slow
def test_a_function_of_ones_own_takes_no_range(variants):
    with pytest.raises(UsageError, match=r"takes no range; it can choose bins by owtrend.project"):
        variants[0].trend("EMC", "h", "spread_of_bins(x=0:5)", run=CUMULATIVE)


def test_one_cannot_take_the_name_of_a_reductor_of_owtrend():
    def mean(gained):
        return 1.0

    with pytest.raises(UsageError, match="has a reductor 'mean' already"):
        owtrend.reductor(mean)
