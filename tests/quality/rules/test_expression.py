"""Expressions: equal to NumPy, three-valued where a value is missing, and refused at the right column."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from owtrend.quality.rules.expression import ExpressionError, compile_condition
from owtrend.quality.rules.functions import WINDOW
from owtrend.quality.rules.windows import FALSE, TRUE, UNKNOWN, Reports

NAN = np.nan


def reports(series=None, **values):
    """Reports of one histogram with these trends."""
    arrays = {name: np.asarray(of) for name, of in values.items()}
    size = len(next(iter(arrays.values())))
    number = np.zeros(size, dtype=np.int64) if series is None else np.asarray(series)
    return Reports(number, {("trend", name): of for name, of in arrays.items()}, np.ones(size, dtype=bool))


def truth(text, *args, **values):
    return compile_condition(text).truth(reports(*args, **values)).tolist()


def test_a_comparison_is_true_false_or_unknown():
    assert truth("mean_x > 2", mean_x=[1.0, 3.0, NAN]) == [FALSE, TRUE, UNKNOWN]


def test_what_divides_by_zero_is_missing():
    assert truth("1 / entries > 0 or log(entries) < 0", entries=[0.0, 0.5]) == [UNKNOWN, TRUE]


T, F, U = "entries > 0", "entries < 0", "mean_x > 0"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"{T} or {U}", TRUE), (f"{U} or {T}", TRUE), (f"{F} or {U}", UNKNOWN), (f"{U} or {U}", UNKNOWN),
        (f"{F} or {F}", FALSE), (f"{T} and {U}", UNKNOWN), (f"{F} and {U}", FALSE), (f"{U} and {F}", FALSE),
        (f"{T} and {T}", TRUE), (f"not ({U})", UNKNOWN), (f"not {T}", FALSE), (f"!({F})", TRUE),
        (f"{T} && {U} || {T}", TRUE), (f"{F} && {U} || {F}", FALSE), (f"AndAlarm({F}, {U})", FALSE),
        (f"OrAlarm({T}, {U})", TRUE), ("0 < entries < mean_x", UNKNOWN), ("2 < entries < mean_x", FALSE),
        ("mean_x == mean_x", UNKNOWN), ("mean_x != mean_x", UNKNOWN), ("count(mean_x > 0, 1) == 0", UNKNOWN),
    ],
)  # fmt: skip
def test_logic_has_three_values(text, expected):
    assert truth(text, entries=[1.0], mean_x=[NAN]) == [expected]


def test_the_signs_of_tree_draw_mean_the_same():
    values = {"entries": np.arange(6.0), "mean_x": np.arange(6.0) % 3}
    typed = truth("!(entries > 4 || mean_x == 0) && entries != 2", **values)
    assert typed == truth("not (entries > 4 or mean_x == 0) and entries != 2", **values)


def test_a_sign_in_quotes_is_no_operator():
    expression = compile_condition('condition("a && !b") == 1 && entries(x="|| (") > 0')
    assert expression.inputs == {("condition", "a && !b"), ("trend", 'entries(x="|| (")')}


def test_a_window_has_the_last_reports_with_a_value_and_the_present_one():
    values = [1.0, NAN, 3.0, 5.0, NAN, 7.0]
    expected = [UNKNOWN, UNKNOWN, TRUE, TRUE, UNKNOWN, TRUE]
    assert truth("mean(mean_x, 2) == (mean_x + previous(mean_x)) / 2", mean_x=values) == expected


def test_a_window_ends_with_its_series():
    assert truth("max(mean_x, 2) > 8", [0, 0, 1, 1], mean_x=[1.0, 9.0, 1.0, 1.0]) == [UNKNOWN, TRUE, UNKNOWN, FALSE]


def test_a_band_without_a_size_is_over_twenty_reports():
    x = np.random.default_rng(3).normal(size=WINDOW + 2)
    x[-1] = 20.0
    found = truth("abs(mean_x - median(mean_x)) > 6 * mad(mean_x)", mean_x=x)
    assert found == [UNKNOWN] * (WINDOW - 1) + [FALSE, FALSE, TRUE]


def test_texts_are_compared_with_run_conditions_only():
    conditions = {("condition", "beam"): np.array(["pp", "PbPb", None], dtype=object)}
    of = Reports(np.zeros(3, dtype=np.int64), conditions, np.ones(3, dtype=bool))
    assert compile_condition('condition("beam") == "pp"').truth(of).tolist() == [TRUE, FALSE, UNKNOWN]
    assert compile_condition('"pp" != condition("beam")').truth(of).tolist() == [FALSE, TRUE, UNKNOWN]
    assert compile_condition('condition("fill") == "pp"').truth(of).tolist() == [UNKNOWN] * 3


def test_values_that_decide_are_those_of_calls_and_names():
    expression = compile_condition("abs(mean_x - median(mean_x, 2)) > 3 and entries > 0")
    deciding = expression.deciding(reports(mean_x=[1.0, 3.0], entries=[5.0, 6.0]))
    assert {text: values[1] for text, values in deciding.items()} == {
        "mean_x": 3.0, "median(mean_x, 2)": 2.0, "entries": 6.0
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "column", "words"),
    [
        ("", 1, "nothing here"),
        ("mean_x", 1, "compare it"),
        ("entris > 3", 1, "did you mean 'entries'"),
        ("  3 < entris", 7, "did you mean 'entries'"),
        ("mean_x && entries > 3", 1, "expected a condition"),
        ("entries > 3 && mean(std_x, 5) > previos(mean_x)", 33, "did you mean 'previous'"),
        ("mean_x > ", 10, "found the end"),
        ("(1 < entries", 1, "never closed"),
        ("entries > 3)", 12, "never opened"),
        ("entries 3", 9, "expected an operator"),
        ("entries > * 3", 11, "expected a value"),
        ("entries & 3", 9, "'&&'"),
        ("entries = 3", 9, "'=='"),
        ("entries.real > 3", 8, "'.'"),
        ("[1] > 0", 1, "'['"),
        ("1j > 0", 1, "no number"),
        ("1e999 > 0", 1, "too large"),
        ("lambda: 3", 1, "'lambda'"),
        ("True", 1, "'True'"),
        ("__import__('os') > 3", 1, "'__import__'"),
        ("entries > 3 if entries else 2", 13, "'if'"),
        ("mean_x > 1 and 'abc", 16, "no end"),
        ("médian > 2", 2, "'é'"),
        ("mean_x ** mean_x > 3", 11, "power"),
        ("2 ** 11 > mean_x", 6, "power"),
        ("mean(mean_x, 0) > 2", 14, "from 1 to 1000"),
        ("mean(mean_x, 1001) > 2", 14, "from 1 to 1000"),
        ("mean(mean_x, entries) > 2", 14, "whole number"),
        ("mean(mean_x, 2, 3) > 2", 17, "too many"),
        ("mean(mean_x, x=2) > 2", 14, "twice"),
        ("mean(mean_x, m=3) > 1", 14, "no argument 'm'"),
        ("mean() > 1", 1, "x is missing"),
        ("error(mean_x + 1) > 3", 7, "expected a reductor"),
        ("quantile_x(2) > 1", 1, "from 0 to 1"),
        ("entries > quantile_x", 11, "takes 1 numbers"),
        ("mean(y=2:5) > 3", 9, "mean_x(y=2:5)"),
        ('score("chi3") > 5', 1, "did you mean 'chi2'"),
        ('"a" == "b"', 1, "run condition"),
        ("z > not entries", 5, "brackets"),
        ("!z > 3", 2, "expected a condition"),
        ("entries > 3, 4", 12, "comma"),
        ("previous > 3", 1, "expected brackets"),
        ("RelativePreviousValueAlarm(mean_x, ratio=1)", 1, "more than 1"),
        ("MeanInRangeAlarm(mean_x, minVal=9, maxVal=3)", 1, "above"),
        ("(" * 40 + "z > 0" + ")" * 40, 31, "brackets in brackets"),
        ("z > 0 or " * 400 + "z > 0", 2000, "2,000"),
    ],
)
def test_what_is_no_expression_is_refused_at_its_column(text, column, words):
    with pytest.raises(ExpressionError) as refused:
        compile_condition(text)
    assert refused.value.column == column
    assert words in str(refused.value)


WINDOWED = {
    "mean": np.mean, "median": np.median, "std": np.std, "min": np.min, "max": np.max,
    "mad": lambda values: 1.4826 * np.median(np.abs(values - np.median(values))),
}  # fmt: skip


def windowed(name, values, size):
    """The plain way: over the last values that are there."""
    out = np.full(len(values), np.nan)
    for at in range(len(values)):
        known = [one for one in values[: at + 1] if not np.isnan(one)]
        if not np.isnan(values[at]) and len(known) >= size:
            out[at] = WINDOWED[name](known[-size:])
    return out


def known(values):
    return np.where(np.isfinite(values), values, np.nan)


@st.composite
def numbers(draw, depth=3):
    """Text of a number, and what NumPy makes of it."""
    kind = draw(
        st.sampled_from(["name", "plain", "two", "minus", "function", "window"] if depth else ["name", "plain"])
    )
    if kind == "name":
        name = draw(st.sampled_from(["entries", "mean_x", "std_x"]))
        return name, lambda values: values[name]
    if kind == "plain":
        number = draw(st.integers(0, 30)) / 4
        return f"{number:g}", lambda values: np.full(len(values["entries"]), number)
    text, inner = draw(numbers(depth=depth - 1))
    if kind == "minus":
        return f"-({text})", lambda values: -inner(values)
    if kind == "function":
        name, function = draw(st.sampled_from([("abs", np.abs), ("sqrt", np.sqrt), ("log", np.log)]))
        return f"{name}({text})", lambda values: known(function(inner(values)))
    if kind == "window":
        name, size = draw(st.sampled_from(sorted(WINDOWED))), draw(st.integers(1, 6))
        return f"{name}({text}, {size})", lambda values: windowed(name, inner(values), size)
    other_text, other = draw(numbers(depth=depth - 1))
    sign, function = draw(st.sampled_from([("+", np.add), ("-", np.subtract), ("*", np.multiply), ("/", np.divide)]))
    return f"({text}) {sign} ({other_text})", lambda values: known(function(inner(values), other(values)))


@st.composite
def conditions(draw, depth=2):
    """Text of a condition, and its truth by NumPy as pairs of (true, known)."""
    kind = draw(st.sampled_from(["compare", "and", "or", "not"] if depth else ["compare"]))
    if kind == "compare":
        (left, a), (right, b) = draw(numbers()), draw(numbers())
        sign, function = draw(st.sampled_from([("<", np.less), (">=", np.greater_equal)]))
        return f"{left} {sign} {right}", lambda values: _compared(function, a(values), b(values))
    text, inner = draw(conditions(depth=depth - 1))
    if kind == "not":
        return f"!({text})", lambda values: 2 - inner(values)
    other_text, other = draw(conditions(depth=depth - 1))
    join = np.minimum if kind == "and" else np.maximum
    sign = draw(st.sampled_from({"and": ["and", "&&"], "or": ["or", "||"]}[kind]))
    return f"({text}) {sign} ({other_text})", lambda values: join(inner(values), other(values))


def _compared(function, a, b):
    return np.where(np.isnan(a) | np.isnan(b), UNKNOWN, np.where(function(a, b), TRUE, FALSE))


def _agrees(case, seed):
    text, expected = case
    rng = np.random.default_rng(seed)
    values = {name: rng.integers(-20, 20, 12) / 4 for name in ("entries", "mean_x", "std_x")}
    values["mean_x"][rng.random(12) < 0.2] = np.nan
    with np.errstate(all="ignore"):
        wanted = expected(values)
    assert compile_condition(text).truth(reports(**values)).tolist() == wanted.tolist(), text


@settings(max_examples=20, deadline=None)
@given(case=conditions(), seed=st.integers(0, 99))
def test_random_expressions_equal_numpy(case, seed):
    _agrees(case, seed)


@pytest.mark.study
@settings(max_examples=2000, deadline=None)
@given(case=conditions(), seed=st.integers(0, 999))
def test_many_random_expressions_equal_numpy(case, seed):
    _agrees(case, seed)


PIECES = [
    "mean_x", "entries", "quantile_x(0.9)", 'entries(x="B")', "fraction_x(0,5)", "z", "score", "median(mean_x)", "mad",
    "previous(", "count(", "mean(", "error(", "reference(", "BetweenValuesAlarm(", "(", ")", "((", "))", ",", "=", "==",
    "!=", "!", "&&", "||", "and", "or", "not", "+", "-", "*", "/", "**", "<", "<=", ">", "0", "1", "5", "1e5", "0.9",
    "x", "n=", "minVal=", '"', "'", '"a"', "\\", "__import__", "os", ".", "lambda", "[", "]", "{", "}", ":", ":=", "@",
    "eval", "exec", "__class__", "é", "\0", "\n", "\t", "%", "//", "~", "if", "else", "for", "in", "True", "None", "_x",
    "ratio(", "a b", "1j", "0x10", "f''", ";", "#", "`", "yield", "await", "*entries", "...",
]  # fmt: skip


VALID = [
    "abs ( mean_x - median ( mean_x ) ) > 4 * mad ( mean_x ) and entries > 1",
    "! ( z > 5 && count ( entries < 3 , n= 2 ) >= 1 ) || quantile_x(0.9) <= 3 ** 2",
    "AndAlarm ( BetweenValuesAlarm ( mean_x , minVal= 0 ) , CheckLastNAlarm ( entries , 1 , 5 ) )",
    'error ( mean_x ) / previous ( mean_x ) != - 1 or 0 < reference ( entries ) < score ( "bin" )',
]  # fmt: skip


def _fuzzed(rng, long):
    """Pieces at random, or an expression with some pieces left out, replaced or added."""
    space = " " if rng.random() < 0.7 else ""
    if long or rng.random() < 0.4:
        return space.join(rng.choice(PIECES, int(rng.integers(1, 300 if long else 12))))
    words = str(rng.choice(VALID)).split()
    for _ in range(int(rng.integers(0, 4))):
        at = int(rng.integers(len(words)))
        words[at : at + int(rng.integers(0, 2))] = rng.choice(PIECES, int(rng.integers(0, 2))).tolist()
    return " ".join(words)


def _fuzz(rounds, seed):
    """Each is refused, or judges reports; returns the slowest refusal [s], and how many judge."""
    rng = np.random.default_rng(seed)
    of = reports(mean_x=[1.0, NAN, 3.0], entries=[1.0, 2.0, 3.0])
    slowest, judging = 0.0, 0
    for number in range(rounds):
        text = _fuzzed(rng, long=number % 20 == 0)
        began = time.process_time()
        try:
            expression = compile_condition(text)
        except ExpressionError as refused:
            slowest = max(slowest, time.process_time() - began)
            assert 1 <= refused.column <= len(text) + 1, text
        else:
            judging += 1
            assert set(expression.truth(of).tolist()) <= {FALSE, UNKNOWN, TRUE}, text
            expression.deciding(of)
    return slowest, judging


def test_fuzzed_expressions_are_refused_or_judge():
    _, judging = _fuzz(300, 1)
    assert 30 < judging < 270


@pytest.mark.study
def test_a_hundred_thousand_fuzzed_expressions_are_refused_within_ten_milliseconds():
    slowest, judging = _fuzz(100_000, 2)
    assert 10_000 < judging < 90_000
    assert slowest < 0.010
