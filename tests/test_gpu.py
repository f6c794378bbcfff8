"""What only a GPU can show: its numbers against the CPU's, recorded steps against plain ones, bits that repeat.

On a machine with torch, pytest and the packages of docs/gpu.md: python -m pytest tests/test_gpu.py
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, run_of
from test_gpu_path import images, mixed_runs, network
from torch import Tensor

from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.engine import device, graphs
from bayes_pruning.engine.stack import Stack
from bayes_pruning.runs.train import Clock
from bayes_pruning.training.trainer import Trainer

pytestmark = pytest.mark.needs("gpu")
CUDA = torch.device("cuda")


@pytest.fixture(autouse=True)
def _settings_restored() -> Iterator[None]:
    device.prepare("fp32", False, CUDA)
    yield
    device.prepare("fp32", False, CUDA)


@pytest.fixture
def gpu_digits(few_digits: Dataset) -> Dataset:
    splits = (Split(s.images.to(CUDA), s.labels.to(CUDA)) for s in (few_digits.train, few_digits.test))
    return Dataset(*splits)


def apart(found: Tensor, wanted: Tensor) -> float:
    """Relative distance, in float64 on the CPU."""
    found, wanted = found.detach().double().cpu(), wanted.detach().double().cpu()
    return ((found - wanted).norm() / wanted.norm()).item()


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_recorded_steps_do_what_plain_ones_do(model: str, gpu_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the same bits: the same kernels in the same order. Masks appear after the first epoch."""
    device.prepare("fp32", True, CUDA)
    runs = [run_of(f"model={model}", *_of(run)) for run in mixed_runs()]
    found = []
    for warm_ups in (graphs.WARM_UPS, 10**9):
        monkeypatch.setattr(graphs, "WARM_UPS", warm_ups)
        trainer = Trainer(runs, gpu_digits, CUDA)
        rows = [[vars(row) | {"seconds": 0} for row in trainer.run_epoch() if row] for _ in range(3)]
        assert trainer.resident is not None
        assert (trainer.resident.step.graph is None) == (warm_ups > 1000)
        found.append((rows, {name: p.detach().clone() for name, p in trainer.stack.parameters.items()}))
    assert found[0][0] == found[1][0]
    for name in found[0][1]:
        assert torch.equal(found[0][1][name], found[1][1][name])


def _of(run: Any) -> list[str]:
    regrow = str(run.protocol.regrow).lower()
    return [f"pruner={run.pruner.name}", f"seed={run.seed}", "sparsity=0.9", f"protocol.regrow={regrow}"]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("kind", ["fcn", "cnn", "settings"])
def test_a_step_is_the_cpus_step(kind: str, compiled: bool) -> None:
    """Of two seeds with two members each."""
    networks = [network(kind, seed) for seed in range(4)]
    x, labels = images(2, 16, 1, 8, 8), torch.arange(32).view(2, 16).remainder(10)
    cpu, gpu = (Stack(networks, 0.001, place) for place in (torch.device("cpu"), CUDA))
    if compiled:
        gpu.compile()
    for _ in range(3):
        one, other = cpu.step(x, labels), gpu.step(x.to(CUDA), labels.to(CUDA))
        torch.testing.assert_close(one, other.cpu(), rtol=1e-4, atol=1e-5)
    for name, parameter in cpu.parameters.items():
        assert apart(gpu.parameters[name], parameter) < 1e-3, name


@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_no_step_of_an_epoch_waits_for_the_host(model: str, gpu_digits: Dataset) -> None:
    trainer = Trainer([run_of(f"model={model}", *_of(run)) for run in mixed_runs()], gpu_digits, CUDA)
    for _ in range(2):
        trainer.run_epoch()
    assert trainer.resident is not None
    order = trainer.resident.order.clone()
    torch.cuda.set_sync_debug_mode("error")
    try:
        total = trainer.resident.run(order)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert torch.isfinite(total).all()


def test_a_sweep_resumes_on_a_gpu(command: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cut short after its first epoch, to the same bits."""
    arguments = ("-m", "dataset=mnist_5k", "model=cnn", "pruner=random,magnitude", "sparsity=0.9", *QUIET)
    arguments += ("device=cuda", "deterministic=true", "epochs=3")
    assert not command(*arguments, f"output_dir={tmp_path / 'whole'}")[0]
    with monkeypatch.context() as patch:
        answers = iter([True, True, False])  # the stack may start, its first epoch too
        patch.setattr(Clock, "allows_epoch", lambda self: next(answers))
        assert not command(*arguments, f"output_dir={tmp_path / 'parts'}")[0]
    assert not command(*arguments, f"output_dir={tmp_path / 'parts'}")[0]
    weights = {path.parent.name: path.read_bytes() for path in tmp_path.glob("whole/*/weights.safetensors")}
    assert len(weights) == 2
    assert weights == {path.parent.name: path.read_bytes() for path in tmp_path.glob("parts/*/weights.safetensors")}
