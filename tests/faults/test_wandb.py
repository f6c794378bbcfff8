"""Test that results do not depend on what became of W&B, and that what it was not told can be uploaded later."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from conftest import QUIET, ROOT
from test_wandb_server import rows, sync
from wandb_stub import Stub

from bayes_pruning.results import run_records
from bayes_pruning.runs import tracking
from bayes_pruning.training import trainer
from faults.contents import contents
from faults.wandb_troubles import TROUBLES, descendants

RUN = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=500", "epochs=4", "progress=none")
SLOWEST = 3.0  # seconds that an epoch and its log may take; with W&B in the way it would be tens
Command = Callable[..., tuple[Any, str]]
pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("digits_only")]


@pytest.fixture(autouse=True)
def _no_helper_left() -> Iterator[None]:
    yield
    for process in descendants(os.getpid()):
        with suppress(ProcessLookupError):
            os.kill(process, signal.SIGKILL)


@pytest.mark.parametrize(
    "trouble",
    ["server that hangs later", "helper killed", "wandb-core killed"],
)
def test_results_are_those_without_wandb_and_its_data_can_be_uploaded_later(
    trouble: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Start the trouble once W&B has started, after the second epoch."""
    monkeypatch.setitem(tracking.END_PATIENCE, "online", 1.0)
    run_epoch, epochs = trainer.Trainer.run_epoch, []

    with TROUBLES[trouble]() as (overrides, environment, act):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)

        def watched(self: trainer.Trainer) -> Any:
            if self.epoch == 2:
                deadline = time.monotonic() + 60
                while not list(tmp_path.glob("a/wandb/*run-*/run-*.wandb")) and time.monotonic() < deadline:
                    time.sleep(0.05)
                act(os.getpid())
            epochs.append(time.monotonic())
            return run_epoch(self)

        with monkeypatch.context() as patch:
            patch.setattr(trainer.Trainer, "run_epoch", watched)
            code, _ = command(*RUN, *overrides, f"output_dir={tmp_path / 'a'}")
        assert not code
        assert time.monotonic() - epochs[2] < 2 * SLOWEST
        tracking.close()
    command(*RUN, *QUIET, f"output_dir={tmp_path / 'b'}")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    [folder] = tmp_path.glob("b/mnist_5k-*")
    epochs_on_disk = run_records.read_metrics(tmp_path / "a" / folder.name / "metrics.csv")
    with Stub() as server:
        done = sync(server, tmp_path / "a")
        assert (done.returncode, done.stdout) == (0, "1 uploaded\n"), done.stderr
        assert [list(row.values()) for row in rows(server, folder.name)] == epochs_on_disk
        assert server.runs[folder.name].state == "finished"
        assert sync(server, tmp_path / "a").stdout == "0 uploaded\n"


def test_the_helper_of_a_killed_process_ends_by_itself_and_leaves_no_other(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *RUN, "epochs=100000", f"output_dir={tmp_path}"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob("wandb/*run-*/run-*.wandb")) and time.monotonic() < deadline:
        time.sleep(0.05)
    helpers = descendants(process.pid)
    while not any("wandb-core" in line for line in helpers.values()) and time.monotonic() < deadline:
        time.sleep(0.05)  # W&B's own process starts after its file does
        helpers = descendants(process.pid)
    assert any("wandb_process.py" in line for line in helpers.values())
    assert any("wandb-core" in line for line in helpers.values())
    process.kill()
    process.wait()
    while any(Path(f"/proc/{helper}").exists() for helper in helpers) and time.monotonic() < deadline + 60:
        time.sleep(0.05)
    assert not [line for helper, line in helpers.items() if Path(f"/proc/{helper}").exists()]
