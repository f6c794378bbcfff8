"""The examples of docs/extending.md of a new pruner, model and data set, written out as a reader would and run."""

import csv
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from conftest import ONE_THREAD, QUIET, ROOT, run_of

from bayes_pruning.data import datasets
from bayes_pruning.engine import device

METHODS = ("random", "bayes_random", "magnitude", "bayes_magnitude")
BLOCK = re.compile(r"```(?:python|yaml) (\S+)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_the_examples_run_together(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "docs" / "extending.md").read_text())
    assert len(blocks) == 6
    for name, text in blocks:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    command = [sys.executable, ROOT / "train.py", "--config-dir", tmp_path, "pruner=disturbed", "model=highway"]
    more = ["dataset=small_digits", "epochs=4", "sparsity=0.5", *QUIET, f"output_dir={tmp_path / 'outputs'}"]
    subprocess.run([*command, *more], check=True, cwd=tmp_path, env=ONE_THREAD | {"PYTHONPATH": str(tmp_path)})
    [folder] = (tmp_path / "outputs").iterdir()
    assert folder.name.startswith("small_digits-highway-disturbed-0.5-seed0")
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["pruned"] for row in rows] == ["0", "0", "1", "0"]
    assert float(rows[2]["sparsity"]) == 0.5
    assert float(rows[3]["test_accuracy"]) > 0.7


def test_the_readme_is_short_and_its_links_lead_somewhere() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 150
    for link in re.findall(r"\]\(([^)#]+)\)", text):
        assert link.startswith("http") or (ROOT / link).exists(), link


def test_the_readmes_rows_are_those_of_the_published_table() -> None:
    """The paper's value, ours before pruning and ours after."""
    table = pd.read_csv(ROOT / "outputs" / "published" / "table1.csv").query("dataset == 'mnist' and model == 'fcn'")
    mean = table.set_index(["accuracy", "method", "sparsity"])["mean"]
    paper = table.set_index(["accuracy", "method", "sparsity"])["paper"]
    rows = re.findall(r"^\| (\d+)% \| (.+) \|$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert [row[0] for row in rows] == ["25", "50", "75", "90", "99"]
    for percent, cells in rows:
        for method, cell in zip(METHODS, cells.split(" | "), strict=True):
            before, after = (("before", method, int(percent) / 100), ("after", method, int(percent) / 100))
            assert cell == f"{paper[before]:.4f}, {mean[before]:.4f}, {mean[after]:.4f}"


def test_a_runs_network_is_loaded_as_the_page_says(command: Any, tmp_path: Path) -> None:
    """It is the pruned one: its zeros and its accuracy are those of the last epoch after pruning."""
    run = ("dataset=mnist_5k", "model.hidden=[16]", "pruner=magnitude", "sparsity=0.9", "epochs=1", *QUIET)
    assert not command(*run, f"output_dir={tmp_path}")[0]
    [folder] = tmp_path.iterdir()
    [snippet] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "runs.md").read_text(), re.DOTALL)
    names: dict[str, Any] = {}
    exec(snippet, names)
    network = names["load_network"](folder)
    row = pd.read_csv(folder / "metrics.csv").iloc[-1]
    weights = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    zeros = sum(int((weight == 0).sum()) for weight in weights) / sum(weight.numel() for weight in weights)
    assert zeros == pytest.approx(row["sparsity"])
    test = datasets.load(run_of(*run[:2]).dataset, "unused", device.pick("cpu")).test
    accuracy = float((network(test.images).argmax(1) == test.labels).float().mean())
    assert accuracy == pytest.approx(row["pruned_test_accuracy"])
    assert row["pruned_test_accuracy"] != row["test_accuracy"]
