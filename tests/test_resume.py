"""A run that was cut short after any epoch ends in the bits of the one that was not: in process, through its file."""

from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import run_of

from bayes_pruning.config.schema import RunConfig
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.runs import checkpoint
from bayes_pruning.training.trainer import Trainer

CPU = torch.device("cpu")
EPOCHS = 5
SMALL = ("model.hidden=[24]", f"epochs={EPOCHS}", "sparsity=0.8")
RUNS = {  # what each would lose: the gate's evidence, the masks, the count of steps, all of them
    "evidence": ("pruner=bayes_random", "protocol.regrow=true"),
    "evidence of a candidate": ("pruner=bayes_magnitude", "protocol.decision=candidate"),
    "masks": ("pruner=random", "protocol.regrow=false"),
    "masks that grow": ("pruner=gradual", "pruner.schedule_options.end=4"),
    "evidence and masks": ("pruner=bayes_random", "protocol.regrow=false"),
}


@pytest.fixture(scope="module")
def data(digits: Dataset) -> Dataset:
    """150 images: two whole batches of 64 and one of 22."""
    train, test = digits.train, digits.test
    return Dataset(Split(train.images[:150], train.labels[:150]), Split(test.images[:50], test.labels[:50]))


def trainer_of(run: RunConfig, data: Dataset) -> Trainer:
    return Trainer([run], data, CPU)


def epoch(trainer: Trainer) -> dict[str, Any]:
    [row] = trainer.run_epoch()
    assert row is not None
    return {**vars(row), "seconds": 0.0}


def bits(trainer: Trainer, member: int = 0) -> dict[str, bytes]:
    """Everything that changes as a member trains."""
    state = trainer.state(member)
    groups = {kind: tensors for kind, tensors in state.items() if isinstance(tensors, dict) and kind != "evidence"}
    return {f"{k} {n}": t.detach().numpy().tobytes() for k, tensors in groups.items() for n, t in tensors.items()}


@pytest.mark.parametrize("name", RUNS)
def test_a_run_stopped_after_any_epoch_ends_in_the_same_bits(name: str, data: Dataset, tmp_path: Path) -> None:
    run = run_of(*SMALL, *RUNS[name])
    whole = trainer_of(run, data)
    rows, saved = [], []
    for number in range(1, EPOCHS + 1):
        rows.append(epoch(whole))
        path = tmp_path / f"{number}.pt"
        checkpoint.save(path, run.hash(), [], [], whole.state(0))
        saved.append(path)
    opened = [row["pruned"] for row in rows]
    if name == "evidence":
        assert opened[:3] == [1, 0, 1]  # a start that forgot the evidence would prune in epoch 2
    for done, path in enumerate(saved[:-1], start=1):
        progress = checkpoint.load(path, run.hash())
        assert progress is not None
        resumed = trainer_of(run, data)
        resumed.load_state(0, progress.state)
        assert [epoch(resumed) for _ in range(done, EPOCHS)] == rows[done:], f"stopped after epoch {done}"
        assert bits(resumed) == bits(whole), f"stopped after epoch {done}"


def test_members_of_a_stack_go_on_each_with_its_own_masks(data: Dataset, tmp_path: Path) -> None:
    """Of two pruners, one after the other loaded into a new stack."""
    runs = [run_of(*SMALL, f"pruner={pruner}", "protocol.regrow=false") for pruner in ("random", "magnitude")]
    whole = Trainer(runs, data, CPU)
    for _ in range(2):
        whole.run_epoch()
    for member, run in enumerate(runs):
        checkpoint.save(tmp_path / f"{member}.pt", run.hash(), [], [], whole.state(member))
    resumed = Trainer(runs, data, CPU)
    for member, run in enumerate(runs):
        progress = checkpoint.load(tmp_path / f"{member}.pt", run.hash())
        assert progress is not None
        resumed.load_state(member, progress.state)
    for trainer in (whole, resumed):
        trainer.run_epoch()
    for member in range(2):
        assert bits(resumed, member) == bits(whole, member)
