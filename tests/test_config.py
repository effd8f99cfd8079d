import logging
import re
from fnmatch import fnmatchcase
from pathlib import Path

import numpy as np
import pytest

import owtrend
from ingest.simulator.detector import EVENTS, histograms
from owtrend.compute import compute
from owtrend.config import Config, load
from owtrend.errors import UsageError
from owtrend.store.repository import Store
from owtrend.trends.reductors import parse
from owtrend.trends.settings import existing
from tests.builders import append, archive_of, filled, snapshots

EXAMPLE = Path(__file__).parents[1] / "examples" / "owtrend.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "modul: []",
            "modul: no such setting; did you mean modules. There are modules, rename, scores, journal, alarms",
        ),
        ("subsystems: {EMC: {event: h}}", "subsystems.EMC.event: no such setting; did you mean events"),
        ("subsystems: {EMC: {reductors: {h: mean}}}", "subsystems.EMC.reductors.h: Input should be a valid list"),
        ("subsystems: {EMC: {events: [h]}}", "subsystems.EMC.events: Input should be a valid string"),
        ("- modules", "Input should be a valid dictionary"),
        ("modules: [", "not YAML"),
    ],
)
def test_what_is_not_known_is_an_error_that_names_the_nearest(tmp_path, text, message):
    (tmp_path / "owtrend.yaml").write_text(text)
    with pytest.raises(UsageError, match=rf"owtrend.yaml: .*{message}"):
        load(tmp_path / "owtrend.yaml")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    (tmp_path / "latin.yaml").write_bytes("modules: [größe]".encode("latin-1"))
    with pytest.raises(UsageError, match=r"latin.yaml: not YAML"):
        load(tmp_path / "latin.yaml")


def test_an_empty_file_sets_nothing(tmp_path):
    (tmp_path / "owtrend.yaml").write_text("# nothing\n")
    assert load(tmp_path / "owtrend.yaml") == Config()


def test_the_example_fits_the_simulated_detector():
    """Every pattern is like a histogram, and every reductor has a meaning for each of them."""
    config = load(EXAMPLE)
    assert config.subsystems
    for subsystem, settings in config.subsystems.items():
        known = {histogram.name: histogram for histogram in histograms(subsystem, 1.0)}
        assert settings.events == EVENTS[subsystem]
        for pattern, reductors in settings.reductors.items():
            like = [histogram for name, histogram in known.items() if fnmatchcase(name, pattern)]
            assert like, pattern
            for histogram in like:
                axes = tuple(owtrend.Axis(np.asarray(binning.edges, dtype=float)) for binning in histogram.axes)
                for single in map(parse, reductors):
                    assert not single.axis or "xyz".index(single.axis) < len(axes), (histogram.name, single.name)
                    single.require_bins(axes)


def counted(store, **settings):
    return compute.compute(
        store, config=Config.model_validate({"subsystems": {"EMC": settings}}), workers=0, scores=False
    )


def two_rows():
    axes = [owtrend.Axis.spaced(4, 0, 4)]
    rows = [{"h": filled(axes, [0.5] * n), "events": filled(axes, [1.5] * n)} for n in (1, 3)]
    return archive_of(*snapshots(rows, 1))


@pytest.fixture
def store():
    archive = two_rows()
    yield archive.location  # noqa: PT022 - memory lasts as long as the archive


@pytest.fixture(scope="module")
def computed():
    """Shared by tests that change nothing but the configuration."""
    archive = two_rows()
    compute.compute(archive.location, workers=0)
    yield archive.location  # noqa: PT022 - as above


@pytest.mark.slow
def test_a_configuration_that_means_nothing_is_refused_and_not_kept(store):
    for settings, message in (
        ({"events": "events", "count": "ratio(h)"}, "count: reductor .* has no meaning for events"),
        ({"events": "events", "count": "entries(x=0:9)"}, "no bin begins or ends at 9"),
        ({"reductors": {"h": ["quantile_x"]}}, "quantile takes 1 numbers in brackets"),
    ):
        with pytest.raises(UsageError, match=message):
            counted(store, **settings)
        assert owtrend.open(store).config == Config()
    assert counted(store, events="events").runs == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"subsystems": {"ECM": {"events": "h"}}}, "subsystems: .* has no subsystem 'ECM'; did you mean 'EMC'"),
        ({"scores": {"epochs": {"ECM": [1]}}}, "scores.epochs: .* has no subsystem 'ECM'; did you mean 'EMC'"),
        ({"subsystems": {"EMC": {"events": "event"}}}, "EMC, events: no histogram 'event'; did you mean 'events'"),
        ({"subsystems": {"EMC": {"events": "events", "count": "meen"}}}, "no reductor 'meen'; did you mean 'mean'"),
        ({"subsystems": {"EMC": {"reductors": {"event*x": ["peak"]}}}}, "matches 'event.x'; did you mean 'events'"),
        ({"subsystems": {"EMC": {"reductors": {"h": ["meen"]}}}}, "reductors: no reductor 'meen'; did you mean 'mean'"),
        ({"subsystems": {"EMC": {"reductors": {"h": ["ratio(hh)"]}}}}, r"ratio\(hh\): no histogram 'hh'; did you mean"),
        ({"modules": ["json_"]}, r"modules: 'json_' cannot be imported .*; did you mean '\w*json\w*'.* PYTHONPATH"),
    ],
)
def test_what_does_not_exist_is_a_warning_with_the_nearest_name_and_nothing_is_computed_again(
    computed, caplog, settings, message
):
    archive = owtrend.open(computed)
    summary = compute.compute(computed, config=Config.model_validate(settings), workers=0)
    assert re.search(message, caplog.text)
    assert (summary.runs, summary.unchanged, summary.scored) == (0, 1, 0)
    assert archive.latest().stale.empty
    assert archive.latest().config == Config.model_validate(settings)  # kept: it may exist in the next run


@pytest.mark.slow
def test_an_exact_name_is_no_pattern():
    axes = [owtrend.Axis.spaced(4, 0, 4)]
    archive = archive_of(*snapshots([{name: filled(axes, [0.5]) for name in ("h[1]", "h1", "h2")}], 1))
    store = archive.location
    settings = {"reductors": {"h[1]": ["peak"], "h[12]": ["maximum"]}}
    compute.compute(store, config=Config.model_validate({"subsystems": {"EMC": settings}}), workers=0, scores=False)
    archive = owtrend.open(store)
    trends = archive.trends("EMC", ["h[1]", "h1", "h2"], ["peak_x", "maximum"], run=1)
    config = existing(archive.config, Store.open(store).reader())
    patterns = {name: config.for_subsystem("EMC").for_histogram(name) for name in ("h[1]", "h1", "h2")}
    assert patterns == {"h[1]": ["peak"], "h1": ["maximum"], "h2": ["maximum"]}
    assert trends.sizes["histogram"] == 3
    assert archive.trends("EMC", "h[1]", ["entries"], run=1).histogram.values.tolist() == ["h[1]"]
    assert list(archive.time_slice("EMC", 1, select=["h[1]"])) == [("h[1]",)]
    assert list(archive.time_slice("EMC", 1, select=["h[12]"])) == [("h1",), ("h2",)]


@pytest.mark.slow
def test_events_are_those_in_a_range_if_so_configured(store):
    counted(store, events="events", count="entries(x=1:2)")
    assert owtrend.open(store).trend("EMC", "h", "events", run=1).value.values.tolist() == [1, 2]
    counted(store, events="events", count="entries(x=2:3)")
    assert owtrend.open(store).trend("EMC", "h", "events", run=1).value.values.tolist() == [0, 0]


@pytest.mark.slow
def test_a_reductor_that_does_not_fit_a_histogram_is_missing_there_and_told_once(store, caplog):
    with caplog.at_level(logging.WARNING, logger="owtrend"):
        counted(store, reductors={"*": ["mean(x=0:2)", "fraction(0,9)"], "nothing*": ["peak"]})
    messages = [record.getMessage() for record in caplog.records]
    assert sum("no fraction_x(0,9) in run 1" in one for one in messages) == 2
    assert any("no histogram matches 'nothing*'" in one for one in messages)
    archive = owtrend.open(store)
    assert archive.trend("EMC", "h", "mean(x=0:2)", run=1).value.values.tolist() == [0.5, 0.5]
    trends = archive.trends("EMC", "*", ["fraction(0,9)"], run=1)
    assert trends.value.isnull().all()


@pytest.mark.slow
def test_a_function_of_ones_own_that_fails_on_one_histogram_stops_no_run(store, tmp_path, monkeypatch, caplog):
    (tmp_path / "reductor_that_fails.py").write_text(
        "import owtrend\n\n\n@owtrend.reductor\ndef fails_on_events(gained):\n"
        "    return {'h': 1.5}[gained.attrs['name']]\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    config = {"modules": ["reductor_that_fails"], "subsystems": {"EMC": {"reductors": {"*": ["fails_on_events"]}}}}
    compute.compute(store, config=Config.model_validate(config), workers=0, scores=False)
    archive = owtrend.open(store)
    assert archive.trend("EMC", "h", "fails_on_events", run=1).value.values.tolist() == [1.5, 1.5]
    assert archive.trend("EMC", "events", "fails_on_events", run=1).value.isnull().all()
    assert "no fails_on_events of events: KeyError('events')" in caplog.text


@pytest.mark.slow
def test_another_configuration_makes_all_trends_stale_also_of_runs_not_asked_for(store):
    rows = [{"h": filled([owtrend.Axis.spaced(4, 0, 4)], [0.5])}]
    append(store, snapshots(rows, 2, subsystem="TPC"))
    counted(store)
    compute.compute(
        store, config=Config.model_validate({"subsystems": {"TPC": {"events": "h"}}}), runs=[1], workers=0, scores=False
    )
    archive = owtrend.open(store)
    stale = archive.stale
    assert stale[stale["what"] == "trends"].values.tolist() == [["TPC", 2, "trends", "the configuration changed"]]
    assert archive.trend("TPC", "h", "per_event", run=2).value.values.tolist() == [1]
    assert compute.compute(store, workers=0, scores=False).runs == 1
