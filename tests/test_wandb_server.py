"""W&B's server, played by a stub on loopback: what is uploaded, and that it is read back as it is on disk."""

import math
import os
import subprocess
import sys
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ROOT
from test_tracking import job, metrics, opened
from wandb_stub import ENTITY, Stub

from bayes_pruning.config.schema import run_config
from bayes_pruning.results import frame
from bayes_pruning.runs import tracking
from bayes_pruning.runs.run_folder import RunFolder
from bayes_pruning.training.metrics import Metrics

pytestmark = pytest.mark.slow


def sync(stub: Stub, output_dir: Path) -> subprocess.CompletedProcess[str]:
    """scripts/sync_wandb.py against the stub."""
    command = [sys.executable, str(ROOT / "scripts" / "sync_wandb.py"), "--outputs", str(output_dir)]
    return subprocess.run(command, env={**os.environ, **stub.environment()}, capture_output=True, text=True)


def logged(output_dir: Path, name: str, epochs: range, *overrides: str) -> None:
    """A finished W&B run of these epochs; close it with tracking.close()."""
    tracker = opened(job(output_dir, *overrides), name)
    for epoch in epochs:
        tracker.log(metrics(epoch))
    tracker.finish(metrics(epochs[-1]), failed=False)


def rows(stub: Stub, name: str) -> list[dict[str, Any]]:
    """The rows that the server has of a run, without W&B's own columns; NaN for what was not computed."""
    return [{field.name: row.get(field.name, math.nan) for field in fields(Metrics)} for row in stub.runs[name].rows()]


def write_run(output_dir: Path, *overrides: str) -> str:
    """A finished run of three epochs as training leaves it: its folder and its offline W&B run; its name."""
    config = job(output_dir, "epochs=3", "wandb.group=trio", *overrides)
    run = run_config(config)
    done = [metrics(epoch, shift=run.seed) for epoch in (1, 2, 3)]
    state: dict[str, Any] = {"parameters": {}, "buffers": {}}
    with RunFolder(run, output_dir, config, None) as folder:
        folder.resume()
        tracker = tracking.Tracker(run, config, folder.path)
        for i, row in enumerate(done):
            folder.save_epoch(done[: i + 1], [], state)
            tracker.log(row)
        folder.finish(done, state, torch.device("cpu"), 10)
        tracker.finish(done[-1], failed=False)
    return folder.path.name


def test_uploaded_runs_are_read_back_as_they_are_on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bad = write_run(tmp_path, "pruner=bayes_random", "seed=1")
    write_run(tmp_path, "pruner=magnitude", "sparsity=0.9", "seed=2")
    write_run(tmp_path, "pruner=none", "model=cnn")
    tracking.close()
    disk = frame.load(tmp_path).frame
    assert len(disk) == 9
    with Stub() as stub:
        stub.refuse = {bad}
        refused = sync(stub, tmp_path)
        assert (refused.returncode, refused.stdout) == (1, "2 uploaded\n")
        assert f"not uploaded: {bad} (permission denied)" in refused.stderr
        stub.refuse = set()
        again = sync(stub, tmp_path)
        assert (again.returncode, again.stdout) == (0, "1 uploaded\n"), again.stderr

        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        import wandb

        wandb.teardown()  # this process may have used it with another server
        server = frame.load(wandb=f"{ENTITY}/bayes_pruning", filters={"group": "trio"})
        one = frame.load(wandb=f"{ENTITY}/bayes_pruning", filters={"config.pruner.name": "magnitude"})
    assert server.incomplete == []
    pd.testing.assert_frame_equal(server.frame, disk, check_exact=True)
    own = disk[disk["pruner"] == "magnitude"].reset_index(drop=True)
    own["settings"] = own["settings"].cat.remove_unused_categories()
    pd.testing.assert_frame_equal(one.frame, own, check_exact=True)


@pytest.mark.parametrize("moved", [False, True])
def test_a_run_uploaded_before_and_after_it_was_resumed_has_each_epoch_once(moved: bool, tmp_path: Path) -> None:
    """Also where it was resumed in another time zone, by whose clock its first part is the newer one."""
    config = job(tmp_path, "epochs=3", "wandb.group=trio")
    run = run_config(config)
    with RunFolder(run, tmp_path, config, None) as folder:  # it was cut short after two epochs
        folder.resume()
        tracker = tracking.Tracker(run, config, folder.path)
        for epoch in (1, 2):
            folder.save_epoch([metrics(each) for each in range(1, epoch + 1)], [], {"parameters": {}, "buffers": {}})
            tracker.log(metrics(epoch))
    tracking.close()
    name = folder.path.name
    folder.checkpoint.unlink()  # so that `write_run` begins with the first epoch
    with Stub() as stub:
        assert sync(stub, tmp_path).returncode == 0
        assert (len(rows(stub, name)), stub.runs[name].state) == (2, "failed")
        if moved:
            [first] = (tmp_path / "wandb").glob("offline-run-*")
            first.rename(first.with_name(f"offline-run-29991231_235959-{name}"))
        assert write_run(tmp_path) == name  # all three epochs
        tracking.close()
        done = sync(stub, tmp_path)
        assert (done.returncode, done.stdout) == (0, "1 uploaded\n"), done.stderr
        assert rows(stub, name) == [asdict(metrics(epoch)) for epoch in (1, 2, 3)]
        assert stub.runs[name].state == "finished"
        assert sync(stub, tmp_path).stdout == "0 uploaded\n"


def test_runs_online_are_uploaded_as_they_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tracking.END_PATIENCE, "online", 30.0)
    with Stub() as stub:
        for name, value in stub.environment().items():
            monkeypatch.setenv(name, value)
        for name in ("a", "b"):
            logged(tmp_path, name, range(1, 4), "wandb.mode=online")
        tracking.close()
        assert rows(stub, "a") == rows(stub, "b") == [asdict(metrics(epoch)) for epoch in (1, 2, 3)]
        assert [run.state for run in stub.runs.values()] == ["finished", "finished"]
        logged(tmp_path, "a", range(1, 6), "wandb.mode=online")  # resumed
        tracking.close()
        assert [row["epoch"] for row in rows(stub, "a")] == [1, 2, 3, 4, 5]
        assert sync(stub, tmp_path).stdout == "0 uploaded\n"
