import json
import shutil
from pathlib import Path

import pytest

import owtrend
from tests import builders

DATA = Path(__file__).parents[1] / "data" / "detectors"


@pytest.fixture(scope="session")
def answers():
    return json.loads((DATA / "answers.json").read_text())


@pytest.fixture(scope="session")
def monitored(tmp_path_factory):
    """Three snapshots of EMC, TPC and HLT that ROOT wrote; ROOT's answers are of the last two intervals."""
    folder = tmp_path_factory.mktemp("detectors")
    shutil.copytree(DATA, folder / "data", ignore=shutil.ignore_patterns("*.py", "*.json"))
    builders.ingest(folder / "data", folder / "store")
    return owtrend.open(folder / "store")
