"""Who may import whom: ingest -> owtrend <- dashboards, and inside owtrend only from above."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("owtrend", "ingest", "dashboards")

# In reading order: each module imports only what stands above it.
OWTREND = [
    "errors", "model.versions", "model.finding", "model.schema", "model.snapshot", "kernels", "model.registry",
    "model.rows", "store.layout", "store.reader", "store.transaction", "store.repository", "store.append",
    "store.check", "store.repair", "config", "histograms.run_histogram", "histograms.prefetch", "histograms.lazy",
    "histograms.labelled", "histograms.difference", "histograms.projection", "histograms.ratio", "comparison.pair",
    "comparison.exact", "comparison.scores", "comparison.normalise", "comparison.compare", "comparison.patches",
    "histograms.time_slice", "trends.fit", "trends.increments", "trends.reductions", "trends.reductors",
    "trends.run_trends", "trends.query", "outliers.components", "comparison.reference", "histograms.cells",
    "trends.series", "trends.changepoint", "trends.zscore", "outliers.monitor", "outliers.explain", "model.finding",
    "outliers.histogram_scores", "outliers.component_scores", "compute.stale", "outliers.interruptions",
    "outliers.results", "learned.report_counts", "learned.shape_models", "learned.shape", "learned.isolation_forest",
    "archive", "compute.cluster", "compute.update_scores", "compute.compute", "output.root_writer", "output.tables",
    "cli.main",
]  # fmt: skip

# Packages that only these modules may know.
GUARDED = {
    "zarr": {"owtrend/store/layout.py", "owtrend/store/reader.py", "owtrend/store/transaction.py"},
    "icechunk": {"owtrend/store/reader.py", "owtrend/store/transaction.py", "owtrend/store/repository.py"},
    "uproot": {"owtrend/output/root_writer.py", "ingest/simulator/simulate.py"},
    "pyarrow": {"owtrend/output/tables.py"},
    "deflate": {"ingest/decode/records.py"},
    "cramjam": {"ingest/decode/records.py"},
    "panel": {"dashboards/"},
    "holoviews": {"dashboards/"},
    "bokeh": {"dashboards/"},
    "distributed": {"owtrend/compute/cluster.py"},
    "dask": {"owtrend/compute/cluster.py"},
    "numba": {"owtrend/kernels/", "ingest/decode/unpack.py"},
    "sklearn": {"owtrend/learned/shape_models.py", "owtrend/learned/isolation_forest.py"},
    "scipy": {"owtrend/kernels/", "owtrend/histograms/ratio.py", "owtrend/trends/fit.py"},
}


def modules():
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def imported(path, top_only=False):
    """Dotted names that a module imports, anywhere in it."""
    tree = ast.parse(path.read_text())
    for node in tree.body if top_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("path", modules(), ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_module_imports_only_what_it_may(path):
    name = path.relative_to(ROOT).as_posix()
    package = name.split("/")[0]
    for module in imported(path):
        top = module.split(".")[0]
        if package == "owtrend":
            assert top not in ("ingest", "dashboards"), f"{name} imports {module}"
        elif top in PACKAGES:
            assert top in (package, "owtrend"), f"{name} imports {module}"
        allowed = GUARDED.get(top, {""})
        assert any(name.startswith(place) for place in allowed), f"{name} imports {module}, which is for {allowed}"


@pytest.mark.parametrize("module", OWTREND)
def test_inside_owtrend_a_module_imports_only_from_above(module):
    place = ROOT / "owtrend" / module.replace(".", "/")
    paths = sorted(place.rglob("*.py")) if module == "kernels" else [place.with_suffix(".py")]
    above = {*OWTREND[: OWTREND.index(module)], "kernels" if module == "kernels" else ""}
    for path in paths:
        for name in imported(path):
            for one in OWTREND:
                if f"{name}.".startswith(f"owtrend.{one}."):
                    assert one in above, f"{module} imports {name}"


def test_every_module_has_its_place_in_the_order():
    places = [path.relative_to(ROOT / "owtrend") for path in (ROOT / "owtrend").rglob("*.py")]
    found = {".".join(place.with_suffix("").parts) for place in places if place.name != "__init__.py"}
    assert {name for name in found if not name.startswith("kernels.")} == set(OWTREND) - {"kernels"}


def test_kernels_know_arrays_only():
    for path in (ROOT / "owtrend" / "kernels").rglob("*.py"):
        known = {name.split(".")[0] for name in imported(path)}
        plain = {"collections", "functools", "itertools", "math"}
        assert known <= {"numba", "numpy", "owtrend", "scipy"} | plain, path
