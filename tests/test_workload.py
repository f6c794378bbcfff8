"""Counted operations and bytes: against torch's own counter, and by hand."""

from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import workload
from conftest import ROOT, composed
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from workload import Cost

from bayes_pruning.models import networks


def network(model: str, dataset: str) -> nn.Module:
    return networks.build(composed(f"model={model}").model, workload.DATA[dataset][0], 10, seed=0)


@pytest.mark.parametrize("dataset", ["mnist", "cifar10"])
@pytest.mark.parametrize("model", ["fcn", "cnn"])
def test_operations_are_those_that_torch_counts_in_a_real_step(model: str, dataset: str) -> None:
    shape, module = workload.DATA[dataset][0], network(model, dataset)
    images, labels = torch.randn(4, *shape), torch.arange(4)
    with FlopCounterMode(display=False) as training:
        F.cross_entropy(module(images), labels).backward()
    with FlopCounterMode(display=False) as evaluating, torch.no_grad():
        module(images)
    assert workload.training_step(module, shape, 4).operations == training.get_total_flops()
    assert workload.evaluation(module, shape, 4, passes=1).operations == evaluating.get_total_flops()


def test_the_grid_has_the_operations_that_the_issue_and_the_page_say(
    script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """630 runs of 25 epochs: about 2.4e16. docs/performance.md has both tables as one, with like rows only once."""
    monkeypatch.setattr("setting.compose_config", composed)
    code, printed = script("count_work.py")
    assert code == 0
    total, *_ = [line.split("|") for line in printed.splitlines() if line.startswith("| all |")]
    assert float(total[6]) == pytest.approx(24, rel=0.02)  # PFLOP

    def table(text: str) -> list[list[str]]:
        lines = [line for line in text.splitlines() if line.startswith(("| fcn, ", "| cnn, ", "| all "))]
        return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]

    rows = table(printed)
    counted = {
        (*cells[1:5], ", ".join(cells[5:]), ", ".join(floor[1:]))
        for cells, floor in zip(rows[:7], rows[7:], strict=True)
    }
    page = table((ROOT / "docs" / "performance.md").read_text())
    assert {tuple(cell.split(" / ")[0] for cell in row[1:7]) for row in page} == counted


def test_what_is_moved_in_all_counts_the_passes_of_the_bayes_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte a step, a byte a pass over the test images, a byte a second: 25 epochs of 938 steps and of these passes.

    Two for all runs, and 0.4 x 2 / 2 over six times as many images for the Bayes runs.
    """
    import count_work

    evaluator = SimpleNamespace(sums=lambda *_: None)
    resident, test = SimpleNamespace(step=lambda: None), SimpleNamespace(test=None)
    trainer = SimpleNamespace(resident=resident, evaluator=evaluator, stack=SimpleNamespace(parameters={}), data=test)
    monkeypatch.setattr(count_work, "stack_of", lambda *_: trainer)
    monkeypatch.setattr(count_work, "GpuRules", lambda: nullcontext(SimpleNamespace(moved=1, peak=0)))
    assert count_work.as_done("fcn", "mnist", 1).endswith(f" | {25 * (938 + 2 + 0.4 * 6):.0f}")


def test_bytes_by_hand() -> None:
    """A convolution of 2 filters on 4 x 4 with pooling, then a linear layer of 8 to 3."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2), nn.Flatten(), nn.Linear(8, 3))
    images, pooled, logits, first, second = 5 * 16, 5 * 8, 5 * 3, 20, 27
    forward = images + 2 * pooled + logits + first + second
    assert workload.evaluation(module, (1, 4, 4), 5, passes=1) == Cost(5 * (2 * 18 * 16 + 2 * 24), 4 * forward)
    weights = (images + pooled + first) + (pooled + logits + second)  # read inputs and signals, write gradients
    inputs = pooled + logits + second
    cost = workload.training_step(module, (1, 4, 4), 5)
    assert cost.bytes == 4 * (forward + weights + inputs) + 28 * (first + second) + 3 * pooled
    assert cost.operations == 5 * (2 * 2 * 18 * 16 + 3 * 2 * 24)


def test_an_epoch_counts_the_smaller_last_batch() -> None:
    shape, module = (1, 8, 8), networks.fcn((1, 8, 8), 10, [5])
    step = [workload.training_step(module, shape, size) for size in (4, 2)]
    cost = workload.training(module, shape, 10, batch_size=4)
    assert cost == step[0] * 2 + step[1]
    assert cost.seconds(rate=2.0, bandwidth=4.0) == (cost.operations / 2, cost.bytes / 4)
    assert workload.optimiser_bytes(module, 10, 4) == 3 * 28 * (65 * 5 + 6 * 10)
