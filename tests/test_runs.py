"""Run folders: what they hold, resuming to the bit, and files that can not be trusted."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ONE_THREAD, QUIET, ROOT, composed, run_of
from safetensors.torch import load_file

from bayes_pruning import runs
from bayes_pruning.columns import COLUMNS
from bayes_pruning.config import run_config

SMALL = ("dataset=mnist_5k", "sparsity=0.9", *QUIET)
Command = Callable[..., tuple[Any, str]]


def only_folder(output: Path) -> Path:
    [folder] = [path for path in output.iterdir() if path.is_dir()]
    return folder


def contents(output: Path) -> dict[str, Any]:
    """All that a finished sweep left, times and checkpoints' containers aside."""
    found: dict[str, Any] = {}
    for folder in sorted(path for path in output.iterdir() if (path / ".hydra").is_dir()):
        found[f"{folder.name}/metrics"] = (
            pd.read_csv(folder / "metrics.csv", dtype=str).drop(columns="seconds").to_csv()
        )
        found[f"{folder.name}/weights"] = (folder / "weights.safetensors").read_bytes()
        summary = json.loads((folder / "summary.json").read_text())
        del summary["wall_seconds"], summary["metrics"]["seconds"]
        found[f"{folder.name}/summary"] = summary
        state = torch.load(folder / "checkpoint.pt", weights_only=True)
        found[f"{folder.name}/moments"] = [t.numpy().tobytes() for t in state["exp_avg_sq"].values()]
        found[f"{folder.name}/files"] = sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))
    return found


def test_a_run_leaves_the_files_and_columns_of_the_contract(command: Command, tmp_path: Path) -> None:
    code, printed = command(*SMALL, "epochs=2", f"output_dir={tmp_path}")
    assert not code
    folder = only_folder(tmp_path)
    assert str(folder) in printed
    assert {path.name for path in folder.iterdir()} == {
        *(".hydra", "metrics.csv", "checkpoint.pt", "decisions.csv", "weights.safetensors", "summary.json", "train.log")
    }
    assert {path.name for path in (folder / ".hydra").iterdir()} == {"config.yaml", "overrides.yaml", "hydra.yaml"}
    header = "epoch train_loss test_loss test_accuracy pruned_test_loss pruned_test_accuracy sparsity_before sparsity"
    header += " pruned log_likelihood_before log_prior_before log_likelihood log_prior log_bayes_factor seconds"
    rows = pd.read_csv(folder / "metrics.csv", dtype=str).map(float)
    assert list(rows.columns) == header.split() == list(COLUMNS)
    assert list(rows.epoch) == [1, 2]
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["metrics"] == rows.iloc[-1].to_dict()
    weights = load_file(folder / "weights.safetensors")
    prunable = [weight for weight in weights.values() if weight.ndim > 1]
    assert summary["prunable_weights"] == sum(weight.numel() for weight in prunable) == 784 * 256 + 256 * 128 + 1280
    zeros = sum(int((weight == 0).sum()) for weight in prunable)
    assert rows.sparsity.iloc[-1] == zeros / summary["prunable_weights"]
    assert (folder / ".hydra" / "overrides.yaml").read_text().splitlines()[:2] == [
        "- dataset=mnist_5k",
        "- sparsity=0.9",
    ]


def test_a_finished_run_is_skipped_and_not_touched(command: Command, tmp_path: Path) -> None:
    command(*SMALL, "epochs=1", f"output_dir={tmp_path}")
    times = {path: path.stat().st_mtime_ns for path in only_folder(tmp_path).rglob("*")}
    code, printed = command(*SMALL, "epochs=1", f"output_dir={tmp_path}", "device=cpu")
    assert not code
    assert "finished already" in printed
    assert times == {path: path.stat().st_mtime_ns for path in only_folder(tmp_path).rglob("*")}


def test_the_hash_follows_the_science_and_nothing_else() -> None:
    base = run_of("sparsity=0.9")
    for other in ("device=cpu", "output_dir=elsewhere", "wandb.mode=disabled", "sparsity=0.90", "progress=none"):
        changed = run_of(*(["sparsity=0.9", other] if "sparsity" not in other else [other]))
        assert changed.hash() == base.hash(), other
    changes = (
        "seed=1",
        "epochs=3",
        "model.hidden=[9]",
        "protocol.beta=2",
        "protocol.prior.std=2",
        "learning_rate=0.01",
    )
    hashes = {run_of("sparsity=0.9", change).hash() for change in changes} | {
        base.hash(),
        run_of("sparsity=0.8").hash(),
    }
    assert len(hashes) == len(changes) + 2


def test_runs_that_are_the_same_run_have_the_same_hash() -> None:
    unread = ("protocol.beta=3", "protocol.decision=candidate")
    assert run_of("pruner=none", "sparsity=0.5", *unread).hash() == run_of("pruner=none", "sparsity=0.9").hash()
    assert run_of("pruner=magnitude", *unread).hash() == run_of("pruner=magnitude").hash()
    assert run_of("pruner=magnitude", "protocol.regrow=false").hash() != run_of("pruner=magnitude").hash()


def train_process(output: Path, *more: str) -> subprocess.Popen[bytes]:
    arguments = [sys.executable, str(ROOT / "train.py"), *more, *SMALL, "epochs=6", f"output_dir={output}"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(arguments, cwd=output.parent, env=ONE_THREAD, **silent)


@pytest.mark.parametrize("sweep", [(), ("-m", "pruner=random,bayes_magnitude", "protocol.regrow=true,false")])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_happened(sweep: tuple[str, ...], tmp_path: Path) -> None:
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    undisturbed.mkdir()
    killed.mkdir()
    assert train_process(undisturbed, *sweep).wait() == 0
    moments = random.Random(os.getpid())
    for _ in range(2):
        process = train_process(killed, *sweep)
        while process.poll() is None and not any(killed.glob("*/checkpoint.pt")):
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert train_process(killed, *sweep).wait() == 0
    assert contents(killed) == contents(undisturbed)


def test_max_minutes_ends_at_an_epoch_and_the_next_start_goes_on(command: Command, tmp_path: Path) -> None:
    code, printed = command(*SMALL, "epochs=3", f"output_dir={tmp_path / 'a'}", "max_minutes=0.00001")
    assert not code
    assert "stopped" in printed
    code, printed = command(*SMALL, "epochs=3", f"output_dir={tmp_path / 'a'}")
    assert not code
    assert "is finished" in printed
    command(*SMALL, "epochs=3", f"output_dir={tmp_path / 'b'}")
    a, b = contents(tmp_path / "a"), contents(tmp_path / "b")
    assert a == b


def stopped_run(command: Command, output: Path) -> Path:
    """A run that was cut short after its first epoch."""
    command(*SMALL, "epochs=1", f"output_dir={output / 'donor'}")
    command(*SMALL, "epochs=2", f"output_dir={output}", "max_minutes=0.00001")
    [folder] = [path for path in output.iterdir() if path.name != "donor"]
    return folder


@pytest.mark.parametrize("damage", ["torn", "extra row", "missing row"])
def test_metrics_are_brought_in_line_with_the_checkpoint(damage: str, command: Command, tmp_path: Path) -> None:
    command(*SMALL, "epochs=2", f"output_dir={tmp_path}")
    folder = only_folder(tmp_path)
    whole = (folder / "metrics.csv").read_text()
    for name in ("summary.json", "weights.safetensors"):
        (folder / name).unlink()
    lines = whole.splitlines(keepends=True)
    damaged = {"torn": whole + "3,0.12", "extra row": whole + lines[-1], "missing row": "".join(lines[:-1])}[damage]
    (folder / "metrics.csv").write_text(damaged)
    code, _ = command(*SMALL, "epochs=2", f"output_dir={tmp_path}")
    assert not code
    assert (folder / "metrics.csv").read_text() == whole
    assert runs.is_finished(folder)


@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path, state: path.write_bytes(path.read_bytes()[:1000]), "is not a readable checkpoint"),
        (lambda path, state: torch.save({**state, "format": 99}, path), "has format 99"),
        (lambda path, state: torch.save({**state, "hash": "0123456789"}, path), "belongs to another run"),
    ],
)
def test_a_checkpoint_that_can_not_be_used_is_refused_with_a_remedy(
    damage: Callable[[Path, dict[str, Any]], Any], sentence: str, command: Command, tmp_path: Path
) -> None:
    command(*SMALL, "epochs=2", f"output_dir={tmp_path}")
    folder = only_folder(tmp_path)
    (folder / "summary.json").unlink()
    path = folder / "checkpoint.pt"
    damage(path, torch.load(path, weights_only=True))
    code, _ = command(*SMALL, "epochs=2", f"output_dir={tmp_path}")
    assert sentence in code
    assert f"remove {path} to start the run anew" in code


def test_a_folder_whose_config_does_not_match_its_hash_is_refused(command: Command, tmp_path: Path) -> None:
    command(*SMALL, "epochs=1", f"output_dir={tmp_path}")
    folder = only_folder(tmp_path)
    (folder / "summary.json").unlink()
    stored = folder / ".hydra" / "config.yaml"
    stored.write_text(stored.read_text().replace("learning_rate: 0.001", "learning_rate: 0.01"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, _ = command(*SMALL, "epochs=1", f"output_dir={tmp_path}")
    assert "does not match its folder" in code
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_processes_can_not_write_one_folder(tmp_path: Path) -> None:
    config = composed("dataset=mnist_5k", "epochs=1")
    with (
        runs.RunFolder(run_config(config), tmp_path, config, None),
        pytest.raises(Exception, match="being written by another process"),
    ):
        runs.RunFolder(run_config(config), tmp_path, config, None)


def test_numbers_read_back_exactly() -> None:
    values = [0.1 + 0.2, 1e-300, -123456.78901234567, 5e-324, 2**53 + 1.0]
    assert [float(repr(value)) for value in values] == values
