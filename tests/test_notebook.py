"""The notebook that starts from the published archive: it runs from top to bottom, and git has none of its output."""

import nbformat
import pytest
from conftest import ROOT
from nbclient import NotebookClient

NOTEBOOK = ROOT / "notebooks" / "explore.ipynb"


def test_no_output_is_stored() -> None:
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert 10 <= len(cells) <= 20
    for cell in cells:
        assert cell.get("outputs", []) == []
        assert cell.get("execution_count") is None


@pytest.mark.slow
def test_the_notebook_runs_and_draws_figure_4_and_a_question_of_its_own() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = NotebookClient(
        notebook, timeout=200, kernel_name="python3", resources={"metadata": {"path": NOTEBOOK.parent}}
    )
    client.execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert [output["output_type"] for output in outputs if output["output_type"] in ("error", "stream")] == []
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
    *_, correlations = (output["data"]["text/plain"] for output in outputs if "text/plain" in output.get("data", {}))
    numbers = dict(line.split() for line in correlations.splitlines() if len(line.split()) == 2)
    assert numbers.keys() == {"mnist", "fashion_mnist"}
    assert min(map(float, numbers.values())) > 0  # as the notebook's last words say
