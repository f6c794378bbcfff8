"""The commands of the first hour on a GPU, on a CPU and a few images."""

import json
from pathlib import Path
from typing import Any

import pytest
from test_datasets import real_files


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


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_a_precision_that_a_cpu_lacks_is_refused(precision: str, script: Any) -> None:
    code, _ = script(
        "check_gpu.py", "--device", "cpu", "--dataset", "mnist_5k", "--precision", precision, "--models", "fcn"
    )
    assert f"precision={precision} is not accepted" in code


def test_the_cpu_passes_the_check_against_itself(script: Any) -> None:
    small = ("--dataset", "mnist_5k", "--images", 120, "--epochs", 2, "--models", "fcn")
    code, printed = script("check_gpu.py", "--device", "cpu", *small)
    assert code == 0
    assert "decisions that differ, of 18: 0.00e+00" in printed
