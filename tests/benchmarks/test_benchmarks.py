"""The benchmarks run, and their page is complete. No test depends on speed."""

import math
from pathlib import Path

import numpy as np
import pytest

import owtrend
from benchmarks import table
from benchmarks.studies import calibration
from benchmarks.table import Input, Row
from owtrend.comparison.scores import SCORES, parse
from tests import builders
from tests.studies import sizes

ROW = Row(
    theme="decode", benchmark="test_decode_against_uproot", what="all files", input="EMC", value=0.02, unit="s",
    rate=150.0, rate_unit="MB/s", peer="uproot", peer_value=0.5, target=">= 20 x", remark="a remark",
)  # fmt: skip
INPUT = Input(label="EMC", runs=1, files=64, histograms=100, cells=545005, bytes=41_500_000)


@pytest.mark.slow
@pytest.mark.parametrize("left_out", sizes(["page", "runs"], []))  # other tests open pages and long stores
def test_every_benchmark_runs_with_finite_ratios(left_out):
    files = [str(path) for path in sorted(table.FOLDER.glob("bench_*.py")) if path.stem[6:] not in left_out]
    inputs, rows = table.run(["--size=tiny", *files])
    assert [(one.label, one.files) for one in inputs] == [("simulated tiny", 12)]
    assert all(math.isfinite(row.ratio) and row.ratio > 0 for row in rows)
    needs_more = {"test_decode_against_root", "test_ingest_and_trends_against_overwatch"}
    needs_chromium = {"test_first_plot", "test_slider_to_redraw"}
    known = {name for theme, names in table.benchmarks().items() for name in names if theme not in left_out}
    assert known - needs_more - needs_chromium <= {row.benchmark for row in rows} <= known


def test_the_page_has_a_heading_for_every_theme_and_names_every_benchmark():
    text = table.DOCUMENT.read_text()
    known = table.benchmarks()
    assert known.keys() == table.THEMES.keys()
    for theme, names in known.items():
        assert f"## {table.THEMES[theme]}" in text
        for name, docstring in names.items():
            assert docstring, f"{name} does not say what it compares"
            assert f"`{name}`" in text, "run benchmarks/table.py again"


def test_a_row_is_rendered_with_its_ratio_and_target(tmp_path: Path):
    seen = []

    def measure(arguments):
        seen.extend(arguments)
        return [INPUT], [ROW]

    page = tmp_path / "docs" / "benchmarks.md"
    table.main(["--size", "tiny", "--archive", "some/folder/EMC", "--output", str(page)], measure)
    text = page.read_text()
    assert seen == ["--size=tiny", "--archive=some/folder/EMC"]
    assert "| EMC | 1 | 64 | 100 | 545,005 | 41.5 MB |" in text
    times = table.TIMES
    assert (
        f"| all files | EMC | 20 ms | 150 MB/s | 500 ms uproot | 25 {times} | ≥ 20 {times} | yes | a remark |" in text
    )
    assert "some/folder" not in text
    assert text.count("*Not measured this time.*") == sum(map(len, table.benchmarks().values())) - 1


@pytest.mark.parametrize(
    ("target", "reached"),
    [
        ("", None),
        (">= 20 x", True),
        (">= 25.1 x", False),
        ("< 0.1 s", True),
        ("< 0.02 s", False),
        (">= 1 GB/s", True),
        ("< 2 GiB", True),
    ],
)
def test_targets_apply_to_the_ratio_the_value_or_the_rate(target: str, reached: bool | None):
    assert Row(**(vars(ROW) | {"target": target})).reached is reached


def test_a_target_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match=r"test_decode_against_uproot.*20 times"):
        _ = Row(**(vars(ROW) | {"target": "20 times"})).reached


def test_calibration_measures_the_p_values_of_compare_for_every_score_that_has_one():
    rng = np.random.default_rng(5)
    data, reference = rng.poisson(4, (5, 6)).astype(float), rng.poisson(9, (5, 6)).astype(float)
    numbers = np.arange(30) % 2
    brackets = {"bad_bins": "(3)", "outside": "(0, 9)", "x_outside": "(0, 3)", "y_outside": "(0, 3)"}
    names = [name + brackets.get(name, "") for name in SCORES]
    one, other = (builders.table(counts[None], flow=False).isel(time=0) for counts in (data, reference))
    component = one.contents.copy(data=numbers.reshape(5, 6))
    for pull in ("beta_binomial", "exact"):
        for of_bins, array in ((numbers, component), (0 * numbers, None)):
            compared = owtrend.compare(one, other, pull=pull, scores=names, component=array)
            pair = calibration.paired(data, reference, of_bins.astype(np.intp), pull)
            np.testing.assert_allclose(pair.pulls[0], compared.pull)
            found = {name: parse(name)(pair).p_value[0] for name in calibration.BY_DEFAULT_PULLS}
            assert found == {name: compared.p_value.sel(score_name=name).item() for name in found}
    assert set(compared.score_name[compared.p_value.notnull()].values) == {*calibration.BY_DEFAULT_PULLS, "empty"}


@pytest.mark.parametrize(
    ("p", "word"),
    [
        (np.linspace(0, 1, 1000), "uniform"),
        (np.linspace(0, 1, 1000) ** 0.5, "conservative"),
        (np.linspace(0, 1, 1000) ** 2, "NOT calibrated"),
        (np.append(np.linspace(0, 1, 1000), [1e-9] * 12), "NOT calibrated"),
        (np.append(np.ones(1000), [1e-4] * 12), "NOT calibrated"),
        (np.full(3, np.nan), "no p-value"),
    ],
)
def test_verdicts_on_p_values_by_hand(p, word):
    assert calibration.verdict(p).word == word


@pytest.mark.study
def test_the_tables_of_calibration_have_a_verdict_for_each_score_and_occupancy():
    lines = [*calibration.one_scale(12, (2, 20)), *calibration.by_component(12, (20,))]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("| ")]
    heads = [row for row in rows if row[0] == "score"]
    assert [len(head) for head in heads] == [3, 3, 3, 2]
    assert ["components found", "5"] in rows
    verdicts = [cell for row in rows if row[0].startswith("`") for cell in row[1:]]
    assert len(verdicts) == 3 * 2 * 11 + 20
    assert all(
        cell.strip("*").split(" (")[0].strip("*") in ("uniform", "conservative", "NOT calibrated") for cell in verdicts
    )
