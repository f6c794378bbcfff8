"""The commands of the first hour on a GPU, on a CPU and a few images."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
from needs import real_files


@pytest.mark.slow
def test_profiling_a_stack_gives_its_times_and_floors(script: Any, tmp_path: Path) -> None:
    root = real_files("mnist")
    small = ("--members", 3, "--images", 120, "--side", 64, "--copied", 1000, "--stacks", "fcn/mnist")
    out = tmp_path / "found.jsonl"
    code, printed = script(
        "profile_stacks.py", "--data-root", root, *small, "--out", out, "--trace", tmp_path / "trace"
    )
    assert code == 0
    assert "| fcn/mnist | fp32 | 3 |" in printed
    [line] = out.read_text().splitlines()
    found = json.loads(line)
    assert found["members"] == 3
    assert found["images"] == 140
    assert min(found["training"], found["evaluation"], found["pruning"]) > 0
    assert found["training"] + found["evaluation"] + found["pruning"] <= found["epoch"]
    assert found["floors"]["training"][0] > found["floors"]["evaluation"][0] > 0
    assert "aten::" in (tmp_path / "trace" / "fcn_mnist_fp32.txt").read_text()


@pytest.mark.slow
def test_a_precision_that_a_cpu_lacks_is_refused(script: Any) -> None:
    code, _ = script(
        "check_gpu.py", "--device", "cpu", "--dataset", "mnist_5k", "--precision", "tf32", "--models", "fcn"
    )
    assert "precision=tf32 is not accepted" in code


def test_a_distance_that_is_no_number_is_the_worst() -> None:
    from check_gpu import worst

    assert worst([0.0, 0.2, 0.1]) == 0.2
    assert all(math.isnan(worst([0.0, distance])) for distance in (math.nan, math.inf))
