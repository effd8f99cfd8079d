"""Rules over an archive: one flag for each report, the same whatever is judged with it and however it arrived."""

import itertools

import numpy as np
import pytest

import owtrend
from owtrend import config
from owtrend.compute import compute
from owtrend.conditions import stored
from owtrend.conditions.columns import table_of
from owtrend.config import RuleConfig
from owtrend.errors import UsageError
from owtrend.quality.flag import Quality
from owtrend.quality.rules.flags import evaluate, judged
from owtrend.store.repository import Store
from tests import builders
from tests.studies import cases

DAY = 24 * 60  # minutes


def rule(**settings):
    return RuleConfig(**{"name": "r", "subsystem": "EMC", "histogram": "h", **settings})


def contents(gains):
    """Cumulative contents of a histogram of two bins that gains ``(first, second)`` in each snapshot."""
    return [[0, *total, 0] for total in np.cumsum(np.array(gains), axis=0).tolist()]


def snapshots(run, gains, *, day=0, minutes=None, name="h"):
    when = [day * DAY + (number if minutes is None else minutes[number]) for number in range(len(gains))]
    return builders.snapshots({name: contents(gains)}, run, minutes=when)


def minute(number):
    return int((builders.START + number * builders.MINUTE).astype("datetime64[ns]").view(np.int64))


def qualities(reader, *rules, **options):
    return [flag.quality.value for flag in evaluate(reader, rules, **options)]


# Entries in each minute; in the fourth nothing is gained, so that the histogram does not report.
GAINS = [(4, 0), (8, 0), (2, 2), (0, 0), (0, 6)]


@pytest.fixture(scope="module")
def reader():
    return builders.archive_of(*snapshots(1, GAINS), *snapshots(2, [(9, 0), (5, 5)], day=1))._reader


def test_each_report_has_a_flag_since_the_report_before(reader):
    flags = evaluate(reader, [rule(error="entries > 7", warning="entries < 5")], [1])
    assert [(flag.start, flag.stop, flag.quality) for flag in flags] == [
        (minute(-1), minute(0), "warning"), (minute(0), minute(1), "error"), (minute(1), minute(2), "warning"),
        (minute(2), minute(4), "ok"),
    ]  # fmt: skip
    first = flags[0]
    assert (first.subsystem, first.run, first.histogram, first.rule) == ("EMC", 1, "h", "r")
    assert first.why == "entries 4; warning: entries < 5"
    assert flags[3].why == ""


def test_an_error_comes_before_a_warning_and_unknown_before_both(reader):
    both = rule(error="entries > 6", warning="entries > 4")
    assert qualities(reader, both, runs=[1]) == ["ok", "error", "ok", "warning"]
    both = rule(error="entries > 4", unknown="entries == 8")
    assert qualities(reader, both, runs=[1]) == ["ok", "unknown", "ok", "error"]


def test_what_cannot_be_decided_is_unknown_and_says_what_is_missing(reader):
    flags = evaluate(reader, [rule(error="entries > mean(entries, 3)", warning="entries == 8")], [1])
    assert [flag.quality for flag in flags] == ["unknown", "warning", "ok", "ok"]
    assert flags[0].why == "no value of mean(entries, 3)"


def test_windows_reach_over_runs_unless_the_rule_ends_them_there(reader):
    jump = "abs(entries - previous(entries)) > 2"
    assert qualities(reader, rule(error=jump), runs=[2]) == ["error", "ok"]
    assert qualities(reader, rule(error=jump, history="run"), runs=[2]) == ["unknown", "ok"]


def test_runs_are_judged_alone_as_together(reader):
    rules = [rule(error="entries > mean(entries, 4)"), rule(name="s", warning="count(entries > 5, 2) >= 1")]
    together = evaluate(reader, rules)
    for run in (1, 2):
        assert evaluate(reader, rules, [run]) == [flag for flag in together if flag.run == run]


@pytest.mark.slow
def test_each_report_has_the_flag_live_that_it_has_later():
    sent = [*snapshots(1, GAINS, minutes=[0, 5, 9, 10, 16]), *snapshots(2, [(9, 0), (5, 5), (7, 1)], day=1)]
    rules = [rule(error="entries > mean(entries, 3)", warning="mean_x > previous(mean_x)"),
             rule(name="s", error="entries > 2 * reference(mean_x)", history="run")]  # fmt: skip
    later = evaluate(builders.archive_of(*sent)._reader, rules)
    assert len(later) == 14
    for number in range(1, len(sent)):
        live = evaluate(builders.archive_of(*sent[:number])._reader, rules, [sent[number - 1].run])
        assert live
        assert set(live) <= set(later)


@pytest.mark.slow
def test_any_order_of_arrival_gives_the_same_flags():
    runs = [
        snapshots(3, [(3, 1), (5, 0), (1, 1)]),
        snapshots(1, [(1, 7), (2, 2)], minutes=[1.5, 2.5]),  # in parallel with run 3
        snapshots(2, [(4, 4), (3, 3), (2, 9)], day=1),
    ]
    rules = [rule(error="entries > 2 * median(entries, 3)", warning="mean_x > previous(mean_x)"),
             rule(name="run by run", error="entries > previous(entries)", history="run")]  # fmt: skip
    found = {
        tuple(evaluate(builders.archive_of(*itertools.chain(*order))._reader, rules))
        for order in itertools.permutations(runs)
    }
    assert len(found) == 1
    assert {flag.quality for flag in found.pop()} == {"ok", "error", "warning", "unknown"}


def test_parallel_runs_are_one_series_in_order_of_time():
    both = builders.archive_of(*snapshots(3, [(3, 0), (4, 0)]), *snapshots(1, [(6, 0)], minutes=[0.5]))._reader
    flags = evaluate(both, [rule(error="previous(entries) == 3", warning="previous(entries) == 6")])
    assert [(flag.run, flag.quality) for flag in flags] == [(3, "unknown"), (1, "error"), (3, "warning")]


def test_an_alarm_may_end_beyond_its_recovery_threshold_only(reader):
    (one,) = judged(reader, [rule(error="entries > 7", recovery="entries < 5")], [1])
    assert [flag.quality for flag in one.flags()] == [Quality.OK, Quality.ERROR, Quality.OK, Quality.OK]
    assert one.recovered.tolist() == [True, False, True, False]
    (plain,) = judged(reader, [rule(error="entries > 7")], [1])
    assert plain.recovered.tolist() == [True, False, True, True]


def test_a_warning_that_a_person_accepted_is_acceptable(reader):
    flags = evaluate(
        reader, [rule(error="entries == 8", warning="entries < 7")], [1], accepted=lambda flag: flag.stop > minute(2)
    )
    assert [flag.quality for flag in flags] == ["warning", "error", "warning", "acceptable"]
    assert flags[3].recovered
    assert "entries 6" in flags[3].why


def test_conditions_come_from_a_lookup(reader):
    def lookup(name, subsystem, runs, times):
        assert (name, subsystem, len(times)) == ("energy", "EMC", len(runs))
        return np.where(runs == 1, 13.0, np.nan)

    rules = rule(error='condition("energy") > 8')
    assert qualities(reader, rules, conditions=lookup) == ["error"] * 4 + ["unknown"] * 2


def test_a_condition_that_nobody_added_is_missing_and_reported(reader, caplog):
    assert qualities(reader, rule(error='condition("energy") > 8')) == ["unknown"] * 6
    assert "no condition 'energy'" in caplog.text


def test_conditions_of_the_store_are_inputs():
    archive = builders.archive_of(*snapshots(1, [(1, 0)]), *snapshots(2, [(1, 0), (2, 0)], day=1))
    table = table_of({"run": [1, 2], "beam": ["pp", "PbPb"], "energy": [13, 5]}, "fills")
    stored.add(archive._store, table)
    rules = rule(error='condition("beam") == "pp"', warning='condition("energy") < 8')
    assert qualities(archive.latest()._reader, rules) == ["error", "warning", "warning"]


def test_a_reference_is_the_median_of_whole_earlier_runs():
    runs = [snapshots(run, [(run, 1), (run, 3)], day=run) for run in range(1, 9)]
    found = builders.archive_of(*itertools.chain(*runs))._reader
    flags = evaluate(found, [rule(error="entries != 0 * reference(entries) - 1")])
    assert [flag.quality for flag in flags[:2]] == ["unknown", "unknown"]
    assert {flag.why.split(";")[0].split(", ")[1] for flag in flags if flag.run == 8} == {
        f"reference(entries) {2 * 5 + 4}"  # of the runs 3 to 7
    }


def test_errors_of_values_are_inputs(reader):
    assert qualities(reader, rule(error="error(entries) ** 2 < 5"), runs=[1]) == ["error", "ok", "error", "ok"]


def test_a_rule_for_what_does_not_exist_is_reported_with_the_nearest_name(reader, caplog):
    assert evaluate(reader, [rule(subsystem="EMD", error="entries > 1")]) == []
    assert "did you mean 'EMC'" in caplog.text
    assert evaluate(reader, [rule(histogram="hh", error="entries > 1")]) == []
    assert "did you mean 'h'" in caplog.text


def test_a_reductor_without_a_meaning_for_any_histogram_is_reported(reader, caplog):
    assert evaluate(reader, [rule(error="mean_y > 1")]) == []
    assert "no histogram like 'h'" in caplog.text
    assert "has mean_y" in caplog.text


def test_an_expression_without_a_meaning_is_an_error(reader):
    with pytest.raises(UsageError, match=r"rule 'r', recovery, column 5: no name 'entris'; did you mean 'entries'"):
        evaluate(reader, [rule(error="entries > 1", recovery="0 < entris")])


@pytest.fixture(scope="module")
def scored():
    store = Store.in_memory()
    rng = np.random.default_rng(5)
    for run in range(1, 5):
        gains = rng.poisson((200, 200), (12, 2))
        gains[6:] = rng.poisson((900, 200) if run == 4 else (200, 200), (6, 2))
        builders.append(store.location, snapshots(run, gains, day=run))
    compute.compute(store.location, workers=0)
    return store


@pytest.mark.slow
def test_scores_are_inputs(scored):
    scored, location = scored.reader(), scored.location
    flags = evaluate(scored, [rule(error="z > threshold"), rule(name="s", error='score("chi2") > 5', history="run")])
    archive = owtrend.open(location)
    assert [flag.stop for flag in flags if flag.rule == "r" and flag.quality == "error"] == [
        int(time.astype("datetime64[ns]").view(np.int64))
        for time in archive.scores("EMC", ["h"]).where(lambda s: s["total"] > s["threshold"], drop=True)["time"].values
    ]
    assert any(flag.rule == "s" and flag.quality == "error" and flag.run == 4 for flag in flags)
    assert evaluate(scored, [rule(error="z > threshold")], [4]) == [
        flag for flag in flags if flag.run == 4 and flag.rule == "r"
    ]


@pytest.mark.slow
def test_a_store_keeps_rules_and_another_rule_makes_nothing_stale(scored):
    settings = config.Config(rules=(rule(error="entries > 1000"),))
    compute.compute(scored.location, config=settings, workers=0)
    archive = owtrend.open(scored.location)
    assert archive.config.rules == settings.rules
    assert archive.flags()["quality"].isin(["ok", "error"]).all()
    assert archive.stale.empty
    wrong = config.Config(rules=(rule(error="entris > 1000"),))
    with pytest.raises(UsageError, match=r"rule 'r', error, column 1: no name 'entris'"):
        compute.compute(scored.location, config=wrong, workers=0)


def _random_runs(seed):
    """Twelve short runs, some in parallel, some without the histogram ``g``, in any order of arrival."""
    rng = np.random.default_rng(seed)
    runs, begin = [], 0
    for run in rng.permutation(np.arange(1, 13)).tolist():
        size = int(rng.integers(1, 5))
        rows = {"h": contents(rng.integers(0, 9, (size, 2))), "g": contents(rng.integers(0, 9, (size, 2)))}
        if rng.random() < 0.5:
            del rows["g"]
        minutes = begin + np.sort(rng.choice(np.arange(1, 20), size, replace=False))
        runs.append(builders.snapshots(rows, run, minutes=minutes.tolist()))
        begin += int(rng.integers(5, 30))
    return [runs[at] for at in rng.permutation(len(runs))]


@pytest.mark.slow
@pytest.mark.parametrize("seed", cases(range(12), [0]))
def test_any_run_of_any_archive_is_judged_alone_as_together(seed):
    reader = builders.archive_of(*itertools.chain(*_random_runs(seed)))._reader
    rules = [
        rule(histogram="*", error="entries > mean(mean(entries, 3), 5)", warning="mean_x > previous(mean_x)"),
        rule(name="s", histogram="g", warning="count(entries > 5, 7) >= 3"),
        rule(name="t", error="entries > max(previous(entries), 2)", history="run"),
    ]
    together = evaluate(reader, rules)
    assert {flag.quality for flag in together} == {"ok", "unknown", "warning", "error"}
    for runs in ([run] for run in range(1, 13)):
        assert evaluate(reader, rules, runs) == [flag for flag in together if flag.run in runs]
    assert evaluate(reader, rules, [2, 9]) == [flag for flag in together if flag.run in (2, 9)]
