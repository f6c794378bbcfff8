"""scripts/gpu_session.sh, the first hour on a GPU: what it says without a stage or images, and whole, on a CPU."""

import os
import re
import subprocess
from pathlib import Path

import pandas as pd
import pytest
from conftest import ONE_THREAD, ROOT
from needs import data_root, need

SCRIPT = ROOT / "scripts" / "gpu_session.sh"


def session(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    paths = {
        "OUT": str(folder / "out"),
        "WORK": str(folder / "work"),
        "PATH": f"{ROOT / '.venv/bin'}:{os.environ['PATH']}",
    }
    own = {name: value for name, value in ONE_THREAD.items() if name != "DATA_ROOT"}
    return subprocess.run(
        [SCRIPT, *arguments], env=own | paths | environment, capture_output=True, text=True, check=False
    )


def test_without_a_stage_the_commands_are_shown_and_nothing_is_written(tmp_path: Path) -> None:
    done = session(tmp_path, "D")
    assert done.returncode == 2
    assert all(f"scripts/gpu_session.sh {stage}" in done.stdout for stage in "ABC")
    assert not (tmp_path / "out").exists()


def test_the_page_names_what_is_there() -> None:
    page = (ROOT / "docs" / "gpu.md").read_text()
    assert len(re.findall(r"^\| `scripts/gpu_session.sh [ABC]` ", page, re.MULTILINE)) == 3
    for name in re.findall(r"(?:scripts|benchmarks|tests|bayes_pruning)/[\w/]+\.\w+", page + SCRIPT.read_text()):
        assert (ROOT / name).is_file(), name


@pytest.mark.parametrize(
    ("stage", "given", "trained", "status"),
    [
        ("B", (), "precision=tf32", 0),
        ("B", ("compile=true",), "precision=tf32 compile=true", 1),
        ("C", ("compile=true", "precision=fp32"), "compile=true precision=fp32", 0),
    ],
)
def test_the_rows_train_in_tf32_unless_a_precision_is_given(
    stage: str, given: tuple[str, ...], trained: str, status: int, tmp_path: Path
) -> None:
    """As a python3 that only says what it was called with, and then ends well or not, as the stage does then."""
    (tmp_path / "python3").write_text(f'#!/bin/sh\necho "called with $@"\nexit {status}\n')
    (tmp_path / "python3").chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = session(tmp_path, stage, *given, ROWS="fcn/mnist", DATA_ROOT=str(tmp_path), PATH=path)
    [train, publish] = [line for line in done.stdout.splitlines() if line.startswith("called with ")]
    assert re.search(rf"train\.py .* max_minutes=\S+ {trained}$", train)
    assert publish.startswith("called with scripts/publish.py ")
    assert (done.returncode, done.stdout.count("\nfailed: ")) == (status, 2 * status)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("stage", "archives"),
    [("A", {"precision_fp32": 9}), ("B", {"table1_B": 36}), ("C", {"table1_C": 18})],
)
def test_a_stage_on_a_cpu(stage: str, archives: dict[str, int], tmp_path: Path) -> None:
    """Three seeds of the unpruned network and of two methods, for each row; what comes back is few enough files."""
    roots = {data_root(name) for name in ("mnist", "fashion_mnist", "cifar10")}
    if None in roots or len(roots) > 1:
        need("data")
    [root] = roots
    done = session(tmp_path, stage, REHEARSE="1", DATA_ROOT=str(root))
    assert done.returncode == 0, done.stdout[-3000:]
    assert "0 of its steps failed" in done.stdout
    found = {path.stem: len(pd.read_parquet(path)["run"].unique()) for path in (tmp_path / "out").glob("*.parquet")}
    assert found == archives
    assert len(list((tmp_path / "out").iterdir())) <= 8
    assert (tmp_path / "out" / f"{stage}.txt").read_text() == done.stdout
