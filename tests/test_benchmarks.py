"""The benchmarks run, and the page made of them is complete. How fast anything is, no test asks."""

import math
from pathlib import Path

import pytest

from benchmarks import table
from benchmarks.table import Input, Row

MADE = Row(
    theme="decode", benchmark="test_decode_against_uproot", what="all files", input="EMC", value=0.02, unit="s",
    rate=150.0, rate_unit="MB/s", peer="uproot", peer_value=0.5, target=">= 20 x", remark="a remark",
)  # fmt: skip
INPUT = Input(label="EMC", runs=1, files=64, histograms=100, cells=545005, bytes=41_500_000)


def test_every_benchmark_runs_and_gives_finite_ratios():
    inputs, rows = table.run(["--size=tiny"])
    assert [(one.label, one.files) for one in inputs] == [("simulated tiny", 12)]
    assert all(math.isfinite(row.ratio) and row.ratio > 0 for row in rows)
    needs_more = {"test_decode_against_root", "test_ingest_and_trends_against_overwatch"}
    needs_chromium = {"test_first_plot", "test_slider_to_redraw"}
    known = {name for names in table.benchmarks().values() for name in names}
    assert known - needs_more - needs_chromium <= {row.benchmark for row in rows} <= known


def test_the_page_has_a_heading_for_every_theme_and_names_every_benchmark():
    text = table.DOCUMENT.read_text()
    known = table.benchmarks()
    assert known.keys() == table.THEMES.keys()
    for theme, names in known.items():
        assert f"## {table.THEMES[theme]}" in text
        for name, told in names.items():
            assert told, f"{name} says nothing of what it compares"
            assert f"`{name}`" in text, "run benchmarks/table.py again"


def test_a_row_is_rendered_with_its_ratio_and_target(tmp_path: Path):
    seen = []

    def measure(arguments):
        seen.extend(arguments)
        return [INPUT], [MADE]

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
def test_targets_are_of_the_ratio_the_value_or_the_rate(target: str, reached: bool | None):
    assert Row(**(vars(MADE) | {"target": target})).reached is reached


def test_a_target_that_cannot_be_read_is_an_error():
    with pytest.raises(ValueError, match=r"test_decode_against_uproot.*20 times"):
        _ = Row(**(vars(MADE) | {"target": "20 times"})).reached
