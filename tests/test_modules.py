import importlib
import shutil
import sys

import numpy as np
import pytest
from click.testing import CliRunner

import owtrend
from owtrend import modules
from owtrend.cli import main
from owtrend.compute import compute
from owtrend.compute.cluster import local_cluster
from owtrend.config import Config
from owtrend.errors import NotFoundError, UsageError
from owtrend.trends import reductors
from tests.builders import append, filled, snapshots

SOURCE = "import owtrend\n\n\n@owtrend.reductor\ndef reductor_of_a_module(gained):\n    return {}\n"
CONFIG = Config.model_validate(
    {"modules": ["module_of_a_test"], "subsystems": {"EMC": {"reductors": {"h": ["reductor_of_a_module"]}}}}
)


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A module with a reductor on Python's path; forgotten after the test."""
    folder = tmp_path / "modules"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    path = folder / "module_of_a_test.py"
    path.write_text(SOURCE.format(1.5))
    yield path
    forget()


def forget():
    """As in another process, which has not imported the module."""
    sys.modules.pop("module_of_a_test", None)
    reductors.REDUCTORS.pop("reductor_of_a_module", None)
    reductors.parse.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture(scope="module")
def made_elsewhere(tmp_path_factory):
    folder = tmp_path_factory.mktemp("elsewhere")
    (folder / "module_of_a_test.py").write_text(SOURCE.format(1.5))
    append(folder / "store", snapshots([{"h": filled([owtrend.Axis.spaced(4, 0, 4)], [0.5])}], 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        compute.compute(folder / "store", config=CONFIG, workers=0, scores=False)
    forget()
    return folder / "store"


@pytest.fixture
def store(made_elsewhere, tmp_path, module):
    """A store whose configuration names the module; it was made elsewhere."""
    return shutil.copytree(made_elsewhere, tmp_path / "store")


@pytest.mark.slow
def test_nothing_imports_a_module_because_a_store_names_it(store, module, caplog):
    module.write_text("raise SystemExit('code of a store was run')")
    archive = owtrend.open(store)
    assert compute.compute(store, workers=0, scores=False).runs == 0
    assert "reductor_of_a_module not computed: module 'module_of_a_test' (code " in caplog.text
    for arguments in (
        ["status", str(store)],
        ["compute", str(store), "--force", "--workers", "0"],
        ["trends", str(store)],
    ):
        assert CliRunner().invoke(main.main, arguments).exit_code == 0
    assert archive.trends("EMC", run=1).sizes["histogram"] == 1
    assert archive.latest().config == CONFIG
    assert "module_of_a_test" not in sys.modules


@pytest.mark.slow
def test_stored_values_of_a_module_that_is_not_loaded_are_read_and_stay(store):
    append(store, snapshots([{"h": filled([owtrend.Axis.spaced(4, 0, 4)], [0.5])}], 2))
    assert compute.compute(store, workers=0, scores=False).runs == 1
    archive = owtrend.open(store)
    assert archive.trend("EMC", "h", "reductor_of_a_module", run=1).value.values.tolist() == [1.5]
    with pytest.raises(NotFoundError, match=r"is not stored of all .* its module 'module_of_a_test' is not loaded"):
        archive.trend("EMC", "h", "reductor_of_a_module", run=2)
    (sentence,) = archive.other_code
    assert "nothing is imported because a store names it" in sentence
    summary = compute.compute(store, config=CONFIG, workers=0, scores=False)
    assert summary.runs == 1, "the run that lacks it, and no other"
    assert owtrend.open(store).trend("EMC", "h", "reductor_of_a_module").value.values.tolist() == [1.5, 1.5]


@pytest.mark.slow
def test_other_code_is_reported_and_makes_trends_stale(store, module, caplog):
    module.write_text(SOURCE.format(2.5))
    modules.import_local(["module_of_a_test"])
    (sentence,) = owtrend.open(store).other_code
    assert sentence.startswith("reductor_of_a_module: stored trends were made with module 'module_of_a_test' (code ")
    assert compute.compute(store, workers=0, scores=False).runs == 1
    assert sentence in caplog.text
    assert owtrend.open(store).other_code == []
    assert owtrend.open(store).trend("EMC", "h", "reductor_of_a_module", run=1).value.values.tolist() == [2.5]


def test_an_entry_point_is_imported_when_a_reductor_is_not_known(store, monkeypatch):
    class Point:
        name = "test"

        def load(self):
            return importlib.import_module("module_of_a_test")

    monkeypatch.setattr(modules, "entry_points", lambda group: [Point()] if group == "owtrend.reductors" else [])
    modules.import_installed.cache_clear()
    assert owtrend.open(store).trend("EMC", "h", "reductor_of_a_module", run=1, every="run").value.values == [1.5]
    assert owtrend.open(store).other_code == []
    modules.import_installed.cache_clear()


def test_the_command_imports_what_its_own_configuration_names(store, tmp_path):
    (tmp_path / "own.yaml").write_text("modules: [module_of_a_test]")
    arguments = ["trends", str(store), "--reductor", "reductor_of_a_module", "-c", str(tmp_path / "own.yaml")]
    result = CliRunner().invoke(main.main, arguments)
    assert result.exit_code == 0, result.output
    assert "module_of_a_test" in sys.modules


def test_a_module_that_fails_is_an_error(module):
    module.write_text("1 / 0")
    with pytest.raises(UsageError, match=r"'module_of_a_test' cannot be imported \(ZeroDivisionError: "):
        modules.import_local(["module_of_a_test"])
    module.write_text("import no_such_module_at_all")
    with pytest.raises(UsageError, match=r"'module_of_a_test' cannot be imported .*no_such_module_at_all"):
        modules.import_local(["module_of_a_test"])


def test_a_worker_without_the_module_or_with_other_code_says_so(module):
    modules.import_local(["module_of_a_test"])
    function = reductors.REDUCTORS["reductor_of_a_module"].function
    origin = modules.origin(function)
    modules.require_same({"reductor_of_a_module": origin})
    with pytest.raises(NotFoundError, match=r"'module_of_a_test' on a worker has other code \(.* than here \(0"):
        modules.require_same({"reductor_of_a_module": origin._replace(code="0")})
    with pytest.raises(NotFoundError, match=r"module 'gone' cannot be imported on a worker .*; install it there"):
        modules.require_same({"reductor_of_a_module": origin._replace(module="gone")})


@pytest.mark.slow
def test_worker_processes_import_the_modules_of_the_configuration_and_not_those_of_a_store(store, tmp_path, module):
    append(store, snapshots([{"h": filled([owtrend.Axis.spaced(4, 0, 4)], [0.5])}], 2))
    with local_cluster(1) as cluster:
        address = cluster.scheduler_address
        assert compute.compute(store, scheduler=address, scores=False).runs == 1
        with pytest.raises(NotFoundError, match="'module_of_a_test' is not loaded"):
            owtrend.open(store).trend("EMC", "h", "reductor_of_a_module", run=2)
        assert compute.compute(store, config=CONFIG, scheduler=address, scores=False).runs == 1
    values = owtrend.open(store).trend("EMC", "h", "reductor_of_a_module").value.values
    np.testing.assert_array_equal(values, [1.5, 1.5])
