"""The notebooks run, from the first cell to the last."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.slow

EXAMPLES = sorted((Path(__file__).parents[1] / "examples").glob("*.ipynb"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
# jupyter_client's own: its channels and event loop are closed by the garbage collector.
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning", "ignore::ResourceWarning")
def test_a_notebook_runs(path, tmp_path):
    """From the first cell to the last, with a smaller detector."""
    notebook = nbformat.read(path, as_version=4)
    simulating = next(cell for cell in notebook.cells if "scale=0.02" in cell.source)
    simulating.source = simulating.source.replace("scale=0.02", "scale=0.002")
    NotebookClient(notebook, timeout=120, resources={"metadata": {"path": tmp_path}}).execute()
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert len(shown) > 5


def test_there_is_a_notebook():
    assert EXAMPLES
