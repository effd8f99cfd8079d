"""The alarms of OVERWATCH on the sequences of its own tests: raised exactly where it raises them."""

from pathlib import Path

import numpy as np
import pytest

from owtrend import config
from owtrend.quality.rules.expression import compile_condition
from owtrend.quality.rules.rule import compile_rules
from owtrend.quality.rules.windows import TRUE, Reports

# By expression the values as they come; those that raise the alarm are in brackets.
SEQUENCES = {
    "BetweenValuesAlarm(mean_x, centerValue=50, maxDistance=50)":
        "3 (-10) 17 0 (105) 100 44 (-1) (101)",
    "BetweenValuesAlarm(mean_x, minVal=0, maxVal=100)":
        "3 (-10) 17 0 (105) 100 44 (-1) (101)",
    "RelativePreviousValueAlarm(mean_x, ratio=2)":
        "6 7 14 7 (15) 16 (7) (0.1) (0) (-0.1) (2) (-2) -1 -2 -4 (-1) (-3) -6",
    "AbsolutePreviousValueAlarm(mean_x, maxDelta=3)":
        "34 33 35 32 (36) (30) 29 (10) 9 (15) (0) -1 1 0 (-17) -15 (-9)",
    "MeanInRangeAlarm(mean_x, minVal=0, maxVal=10)":
        "10 3 -1 2 5 30 (20) (1) -10 (100) (0) (0) (-10) (-2) 20",
    "CheckLastNAlarm(mean_x, minVal=0, maxVal=10, ratio=0.6)":
        "10 8 4 2 -20 -10 (12) (1) (1) 2 0 -2 (-4) (10)",
    # With the defaults, by hand
    "BetweenValuesAlarm(mean_x)": "0 50 100 (100.5) (-0.5)",
    "BetweenValuesAlarm(mean_x, minVal=20)": "(0) 20 100 (101)",
    "AbsolutePreviousValueAlarm(mean_x)": "1 2 (3.5) 2.5",
    "RelativePreviousValueAlarm(mean_x)": "0 0 (1) 2 (5)",
    "MeanInRangeAlarm(mean_x)": "0 0 0 0 (0) 1 (600) (1)",
    "CheckLastNAlarm(mean_x)": "1 1 1 0 0 (0) (5) (5) 5",
    # The example's own values, by its rules on borders and their conjunction
    "BetweenValuesAlarm(mean_x, minVal=0, maxVal=70)": "3 14 15 (92) 65 35 (89) (79)",
    "AndAlarm(BetweenValuesAlarm(mean_x, minVal=0, maxVal=50), CheckLastNAlarm(mean_x, 0, 70, 0.6, 3))":
        "3 14 15 92 65 35 89 (79)",
}  # fmt: skip


def raised(expression, **trends):
    arrays = {("trend", name): np.array(values, dtype=float) for name, values in trends.items()}
    size = len(next(iter(arrays.values())))
    return (expression.truth(Reports(np.zeros(size, np.int64), arrays, np.ones(size, bool))) == TRUE).tolist()


@pytest.mark.parametrize(("text", "sequence"), SEQUENCES.items(), ids=range(len(SEQUENCES)))
def test_an_alarm_is_raised_where_overwatch_raises_it(text, sequence):
    values = [float(one.strip("()")) for one in sequence.split()]
    assert raised(compile_condition(text), mean_x=values) == ["(" in one for one in sequence.split()]


def test_alarms_on_several_trends_are_joined():
    both = "AndAlarm(BetweenValuesAlarm(mean_x, minVal=10, maxVal=30), BetweenValuesAlarm(std_x, minVal=40, maxVal=50))"
    mean, std = [1, 3, 25, 26, 100, 400], [2, 45, 4, 46, 200, 300]
    assert raised(compile_condition(both), mean_x=mean, std_x=std) == [True, False, False, False, True, True]


def test_alarms_may_be_nested():
    error, warning = "BetweenValuesAlarm({}, minVal=20, maxVal=50)", "BetweenValuesAlarm({}, minVal=30, maxVal=40)"
    warnings = f"AndAlarm({warning.format('mean_x')}, {warning.format('std_x')})"
    root = f"OrAlarm({warnings}, OrAlarm({error.format('mean_x')}, {error.format('std_x')}))"
    mean, std = [35, 41, 42, 53, 17, 54], [36, 30, 29, 35, 45, 18]
    assert raised(compile_condition(root), mean_x=mean, std_x=std) == [False, False, True, True, True, True]


@pytest.mark.parametrize(
    ("name", "sequence"),
    [
        ("mean, last values", "1 1 0 0 (0) (1) (1) 1 100 100 (100)"),
        ("mean", "0 50 (51) (-1) 3"),
        ("standard deviation", "1 1 1 1 1 (1000) (3)"),
        ("maximum", "0 300 (301) 5"),
    ],
)
def test_the_shipped_configuration_judges_as_overwatch_does(name, sequence):
    rules = config.load(Path(__file__).parents[3] / "examples" / "overwatch.yaml").rules
    values = [float(one.strip("()")) for one in sequence.split()]
    for subsystem in ("EMC", "HLT", "TPC"):
        (rule,) = compile_rules([one for one in rules if one.name == f"{subsystem} {name}"])
        assert rule.settings.subsystem == subsystem
        (expression,) = rule.expressions.values()
        ((_, trend),) = expression.inputs
        assert raised(expression, **{trend: values}) == ["(" in one for one in sequence.split()]


@pytest.mark.parametrize("name", ["overwatch", "owtrend", "rules"])
def test_the_rules_of_each_example_mean_something(name):
    rules = config.load(Path(__file__).parents[3] / "examples" / f"{name}.yaml").rules
    assert len(compile_rules(rules)) == len(rules) > 0
