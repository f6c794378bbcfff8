"""The README's examples of a new pruner, model and data set, written out as a reader would and run."""

import csv
import re
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ONE_THREAD, QUIET, ROOT

BLOCK = re.compile(r"```(?:python|yaml) (\S+)\n(.*?)```", re.DOTALL)


@pytest.mark.slow
def test_the_examples_of_the_readme_run_together(tmp_path: Path) -> None:
    blocks = BLOCK.findall((ROOT / "README.md").read_text())
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
