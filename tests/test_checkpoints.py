"""checkpoint_seconds: rows every epoch, checkpoints less often, and the same bits at the end."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import QUIET, composed
from faults.contents import contents

from bayes_pruning.runs import train
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.train import Clock, Intervals, Job, job_of
from bayes_pruning.training.trainer import Trainer

RUN = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=100", "sparsity=0.9", "epochs=4", *QUIET)
Command = Callable[..., tuple[Any, str]]
pytestmark = pytest.mark.usefixtures("digits_only")


def epoch_of_checkpoint(output: Path) -> int | None:
    [path] = output.iterdir()
    file = path / "checkpoint.pt"
    return torch.load(file, weights_only=True)["epoch"] if file.exists() else None


@pytest.fixture
def whole(command: Command, tmp_path: Path) -> dict[str, Any]:
    """What the run leaves without interruption, its checkpoint and its ledger too."""
    assert not command(*RUN, f"output_dir={tmp_path / 'whole'}")[0]
    return contents(tmp_path / "whole")


def test_a_run_that_stops_in_time_goes_on_from_its_last_epoch(
    command: Command, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "parts"
    with monkeypatch.context() as patch:
        answers: Iterator[bool] = iter([True, True, False])
        patch.setattr(Clock, "allows_epoch", lambda self: next(answers))
        assert not command(*RUN, "checkpoint_seconds=1000", f"output_dir={output}")[0]
    assert epoch_of_checkpoint(output) == 2
    assert not command(*RUN, "checkpoint_seconds=1000", f"output_dir={output}")[0]
    assert epoch_of_checkpoint(output) == 4
    assert contents(output) == whole


def test_runs_that_stopped_at_different_epochs_go_on_in_one_call_each_from_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def jobs(output: Path) -> list[Job]:
        return [job_of(composed(*RUN, f"seed={seed}", f"output_dir={output}")) for seed in range(3)]

    def train_all(stack: list[Job]) -> None:
        assert len(train.train_stack(stack, Display("none", 0), Clock(None))) == len(stack)

    train_all(jobs(tmp_path / "whole"))
    for epochs, job in enumerate(jobs(tmp_path / "parts")):
        with monkeypatch.context() as patch:
            answers = iter([*[True] * epochs, False])
            patch.setattr(Clock, "allows_epoch", lambda self, answers=answers: next(answers))
            train_all([job])
    train_all(jobs(tmp_path / "parts"))
    assert contents(tmp_path / "parts") == contents(tmp_path / "whole")


def test_a_run_that_is_killed_goes_on_from_its_last_checkpoint(
    command: Command, tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Epochs 1 and 3 leave none; in epoch 4 the run is cut short, with three rows and a checkpoint of epoch 2."""
    output, run_epoch = tmp_path / "parts", Trainer.run_epoch

    def killed(trainer: Any) -> Any:
        if trainer.epoch == 3:
            raise KeyboardInterrupt
        return run_epoch(trainer)

    with monkeypatch.context() as patch:
        answers = iter([False, True, False])
        patch.setattr(train.Intervals, "due", lambda self: next(answers))
        patch.setattr(Trainer, "run_epoch", killed)
        assert command(*RUN, "checkpoint_seconds=1000", f"output_dir={output}")[0] == 130
    [folder] = output.iterdir()
    assert len((folder / "metrics.csv").read_text().splitlines()) == 4
    assert epoch_of_checkpoint(output) == 2
    assert not command(*RUN, f"output_dir={output}")[0]
    assert contents(output) == whole


def test_intervals_begin_when_a_checkpoint_was_due(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(train.time, "monotonic", lambda: now[0])
    intervals, always = Intervals(60), Intervals(0)
    due = []
    for now[0] in (110.0, 159.0, 161.0, 200.0, 221.5):
        due.append(intervals.due())
        assert always.due()
    assert due == [False, False, True, False, True]


@pytest.mark.parametrize("value", ["-1", "often", "true", "null"])
def test_other_values_are_refused_before_anything_is_written(value: str, command: Command, tmp_path: Path) -> None:
    code, _ = command(*RUN, f"checkpoint_seconds={value}", f"output_dir={tmp_path / 'out'}")
    assert "takes a number of at least 0" in code
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "accepted"),
    [
        ("precision=half", "fp32 or tf32"),
        ("precision=tf32", "only fp32 on a CPU"),
        ("deterministic=1", "true or false"),
        ("compile=1", "true or false"),
        ("compile=True", "only false on a CPU"),
    ],
)
@pytest.mark.parametrize("sweep", [(), ("-m",)])
def test_settings_of_a_gpu_that_are_refused(
    setting: str, accepted: str, sweep: tuple[str, ...], command: Command, tmp_path: Path
) -> None:
    code, _ = command(*sweep, *RUN, setting, "device=cpu", f"output_dir={tmp_path / 'out'}")
    assert f"{setting} is not accepted" in code
    assert accepted in code
    assert "\n" not in code.strip()
    assert not (tmp_path / "out").exists()
