"""pyproject.toml and environment.yml name the same packages."""

import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[1]


def test_conda_and_pip_users_get_the_same_packages():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {*project["dependencies"], *project["optional-dependencies"]["test"]}
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = [item["pip"] for item in environment if isinstance(item, dict)]
    conda = {item for item in environment if isinstance(item, str)}
    assert f"python{project['requires-python']}" in conda
    assert pip == ["-e ."]
    conda_names = {"dask": "dask-core", "xxhash": "python-xxhash"}

    def normal(text):
        name, bounds = re.fullmatch(r"([\w-]+)(.*)", text).groups()
        return conda_names.get(name, name) + bounds

    assert {normal(text) for text in wanted} == conda - {f"python{project['requires-python']}", "pip"}
