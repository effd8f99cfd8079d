"""The planned faults in the smallest detector, simulated once."""

import pytest

from ingest.simulator.simulate import Simulation, simulate
from tests.ingest.simulated import Series, read


@pytest.fixture(scope="package")
def simulation(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    return simulate(tmp_path_factory.mktemp("simulated"), runs=6, snapshots=40, scale=0.001)


@pytest.fixture(scope="package")
def series(simulation: Simulation) -> Series:
    return read(simulation.folder)
