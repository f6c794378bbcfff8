"""Run folders: what they hold, resuming to the bit, and files that can not be trusted."""

import csv
import fcntl
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from conftest import ONE_THREAD, QUIET, ROOT, composed, run_of
from faults.contents import contents
from omegaconf import OmegaConf
from safetensors.torch import load_file

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.config.schema import run_config
from bayes_pruning.runs import checkpoint, files, layout, ledger, progress, run_folder, tracking, train
from bayes_pruning.runs.progress import Display
from bayes_pruning.training.metrics import COLUMNS, Metrics
from bayes_pruning.training.trainer import Trainer

SMALL = ("dataset=mnist_5k", "sparsity=0.9", *QUIET)
ONE_WORKER, TWO_WORKERS = "hydra.launcher.workers=1", "hydra.launcher.workers=2"
TINY = (*SMALL, "model.hidden=[8]", "batch_size=500", "epochs=2")
Command = Callable[..., tuple[Any, str]]


def only_folder(output: Path) -> Path:
    [folder] = [path for path in output.iterdir() if path.is_dir()]
    return folder


@pytest.fixture(scope="module")
def finished(few_digits: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An output_dir with the finished run TINY; not to be written to."""
    output = tmp_path_factory.mktemp("finished")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bayes_pruning.data.datasets.load", lambda *_: few_digits)
        [outcome] = train.train_stack(
            [train.job_of(composed(*TINY, f"output_dir={output}"))], Display("none", 2), train.Clock(None)
        )
    assert outcome.status == "finished"
    return output


@pytest.fixture
def output(finished: Path, tmp_path: Path) -> Path:
    """A copy of it whose run looks as if it had been cut short before its end was written."""
    shutil.copytree(finished, tmp_path / "runs")
    for name in ("summary.json", "weights.safetensors"):
        (only_folder(tmp_path / "runs") / name).unlink()
    return tmp_path / "runs"


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
    last = {name: None if pd.isna(value) else value for name, value in rows.iloc[-1].items()}  # not computed
    assert summary["metrics"] == last
    identity = {name: summary[name] for name in ("dataset", "model", "pruner", "sparsity", "seed", "epochs")}
    assert identity == {
        **{"dataset": "mnist_5k", "model": "fcn", "pruner": "bayes_magnitude"},
        **{"sparsity": 0.9, "seed": 0, "epochs": 2},
    }
    assert summary["protocol"]["prior"] == {"mean": 0.0, "std": 1.0}
    assert summary["hash"] == folder.name.rpartition("-")[2]
    assert summary["parameters"] == summary["prunable_weights"] + 256 + 128 + 10
    assert summary["device"] == "cpu"
    assert summary["versions"].keys() == {"python", "torch", "bayes_pruning"}
    assert "git_commit" in summary
    assert summary["wall_seconds"] == pytest.approx(rows.seconds.sum())
    assert rows.seconds.min() > 0
    weights = load_file(folder / "weights.safetensors")
    prunable = [weight for weight in weights.values() if weight.ndim > 1]
    assert summary["prunable_weights"] == sum(weight.numel() for weight in prunable) == 784 * 256 + 256 * 128 + 1280
    zeros = sum(int((weight == 0).sum()) for weight in prunable)
    assert rows.sparsity.iloc[-1] == zeros / summary["prunable_weights"]
    lines = (folder / "train.log").read_text().splitlines()
    assert [line.split()[:2] for line in lines] == [["epoch", "1/2"], ["epoch", "2/2"]]
    assert all(b"\r" not in path.read_bytes() for path in folder.glob("*.csv"))
    assert (folder / ".hydra" / "overrides.yaml").read_text().splitlines()[:2] == [
        "- dataset=mnist_5k",
        "- sparsity=0.9",
    ]


def test_the_epochs_done_are_the_rows_below_the_header(finished: Path, tmp_path: Path) -> None:
    assert layout.epochs_done(only_folder(finished)) == 2
    assert layout.epochs_done(tmp_path / "none") == 0


def test_a_ledger_reads_back_as_it_was_written(finished: Path) -> None:
    path = only_folder(finished) / "decisions.csv"
    rows = [",".join("" if cell is None else repr(cell) for cell in astuple(row)) for row in ledger.read(path)]
    assert rows == path.read_text().splitlines()[1:]


def test_a_finished_run_is_skipped_and_not_touched(command: Command, tmp_path: Path) -> None:
    command(*SMALL, "epochs=1", f"output_dir={tmp_path}")
    times = {path: path.stat().st_mtime_ns for path in only_folder(tmp_path).rglob("*")}
    code, printed = command(*SMALL, "epochs=1", f"output_dir={tmp_path}", "device=cpu")
    assert not code
    assert "finished already" in printed
    assert times == {path: path.stat().st_mtime_ns for path in only_folder(tmp_path).rglob("*")}


def test_a_process_that_dies_after_its_run_was_written_has_finished_it(finished: Path, tmp_path: Path) -> None:
    assert train.outcome_in_folder(only_folder(finished), "killed").status == "finished"
    assert train.outcome_in_folder(tmp_path, "killed") == train.Outcome("failed", tmp_path, "killed")


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
    assert run_of("pruner=none", "protocol.regrow=false").hash() == run_of("pruner=none").hash()
    assert run_of("pruner=magnitude", *unread).hash() == run_of("pruner=magnitude").hash()
    assert run_of("pruner=magnitude", "protocol.regrow=false").hash() != run_of("pruner=magnitude").hash()
    ratio = "protocol.ratio=of_logs"
    assert run_of("pruner=magnitude", ratio).hash() == run_of("pruner=magnitude").hash()
    assert run_of("pruner=bayes_magnitude", ratio).hash() != run_of("pruner=bayes_magnitude").hash()
    closed = "protocol.first_gate=closed"
    assert run_of("pruner=magnitude", closed).hash() == run_of("pruner=magnitude").hash()
    assert run_of("pruner=bayes_magnitude", closed).hash() != run_of("pruner=bayes_magnitude").hash()
    biases = "protocol.prunes=parameters"
    assert run_of("pruner=none", biases).hash() == run_of("pruner=none").hash()
    assert run_of("pruner=magnitude", biases).hash() != run_of("pruner=magnitude").hash()
    candidate = ("pruner=bayes_magnitude", "protocol.decision=candidate")
    assert run_of(*candidate, closed).hash() == run_of(*candidate).hash()
    assert run_of("pruner=gradual", *unread).hash() == run_of("pruner=gradual").hash()
    assert run_of("pruner=bayes_schedule", "protocol.beta=3").hash() != run_of("pruner=bayes_schedule").hash()
    control = ("pruner=matched_random", "pruner.gate_options.openings=3")  # of a run that reads a Bayes factor
    assert run_of(*control, "protocol.beta=3").hash() != run_of(*control).hash()
    assert run_of("pruner=magnitude", "pruner.gate_options=null").hash() == run_of("pruner=magnitude").hash()


@pytest.mark.slow
def test_a_real_command_that_is_killed_ends_as_if_nothing_had_happened(command: Command, tmp_path: Path) -> None:
    """The real `python train.py`, two workers, killed after its first epoch; faults/ kills at chosen moments."""
    sweep = ("-m", "pruner=random,bayes_magnitude", "protocol.regrow=true,false", *SMALL, "epochs=8", "batch_size=200")
    undisturbed, killed = tmp_path / "undisturbed", tmp_path / "killed"
    arguments = [sys.executable, str(ROOT / "train.py"), *sweep, TWO_WORKERS, f"output_dir={killed}"]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    assert not command(*sweep, ONE_WORKER, f"output_dir={undisturbed}")[0]
    process = subprocess.Popen(arguments, cwd=tmp_path, env=ONE_THREAD, **silent)
    while process.poll() is None and not any(killed.glob("*/checkpoint.pt")):
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert not list(killed.glob("*/summary.json"))
    assert subprocess.run(arguments, cwd=tmp_path, env=ONE_THREAD, **silent).returncode == 0
    assert contents(killed) == contents(undisturbed)


LEFT: dict[tuple[str, ...], dict[str, Any]] = {}  # by the same sweep undisturbed


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize("target", [(Trainer, "run_epoch"), (files, "_write_all")])
@pytest.mark.parametrize("sweep", [(), ("-m", "seed=0,1", ONE_WORKER), ("-m", "seed=0,1", TWO_WORKERS)])
def test_ctrl_c_ends_it_and_the_next_start_goes_on(
    target: tuple[Any, str], sweep: tuple[str, ...], command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the middle of training or of a file."""
    original, calls = getattr(*target), [0]

    def interrupted(*arguments: Any) -> Any:
        calls[0] += 1
        if (calls[0] == 2 and target[1] == "run_epoch") or calls[0] == 15:
            raise KeyboardInterrupt
        return original(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(*target, interrupted)
        code, _ = command(*sweep, *TINY, f"output_dir={tmp_path / 'a'}")
    assert code == 130
    assert not list(tmp_path.glob("a/*/summary.json"))
    assert not list(tmp_path.rglob("*.part"))
    assert not command(*sweep, *TINY, f"output_dir={tmp_path / 'a'}")[0]
    if sweep not in LEFT:
        assert not command(*sweep, *TINY, f"output_dir={tmp_path / 'b'}")[0]
        LEFT[sweep] = contents(tmp_path / "b")
    assert contents(tmp_path / "a") == LEFT[sweep]


@pytest.mark.usefixtures("digits_only")
def test_max_minutes_ends_at_an_epoch_and_the_next_start_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An epoch takes 25 seconds by a clock that only training moves, so that two fit into a minute."""
    now, run_epoch = [1000.0], Trainer.run_epoch

    def slowly(trainer: Trainer) -> Any:
        now[0] += 25
        return run_epoch(trainer)

    run = (*TINY[:-1], "epochs=4")
    with monkeypatch.context() as patch:
        patch.setattr(train.time, "monotonic", lambda: now[0])
        patch.setattr(Trainer, "run_epoch", slowly)
        code, printed = command(*run, f"output_dir={tmp_path / 'a'}", "max_minutes=1")
    assert not code
    assert "max_minutes was reached after epoch 2" in printed
    folder = only_folder(tmp_path / "a")
    assert not layout.is_finished(folder)
    assert len(pd.read_csv(folder / "metrics.csv")) == 2
    with monkeypatch.context() as patch:
        shown: list[Any] = []
        patch.setattr(progress, "Display", lambda *_, **counts: shown.append(counts) or Display("none", **counts))
        code, printed = command(*run, f"output_dir={tmp_path / 'a'}")
    assert not code
    assert "is finished" in printed
    assert shown == [{"total": 4, "done": 2}]
    command(*run, f"output_dir={tmp_path / 'b'}")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize(
    ("arguments", "failed", "epochs"),
    [((), False, 2), (("max_minutes=1e-9",), False, None), (("learning_rate=1e30",), True, None)],
)
def test_wandb_hears_of_each_end_what_it_was(
    arguments: tuple[str, ...], failed: bool, epochs: int | None, command: Command, tmp_path: Path, monkeypatch: Any
) -> None:
    """A run that is finished, one that goes on later, and one whose numbers became infinite: the last alone failed."""
    heard: list[Any] = []
    monkeypatch.setattr(tracking, "_send_through", heard.append)
    command(*TINY, *arguments, "wandb.mode=offline", f"output_dir={tmp_path}")
    [end] = [message["finish"] for message in heard if "finish" in message]
    assert end["failed"] is failed
    assert (end["summary"] or {}).get("epoch") == epochs


@pytest.mark.usefixtures("digits_only")
def test_wandb_hears_of_all_epochs_of_a_run_that_goes_on(
    command: Command, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[Any] = []
    monkeypatch.setattr(tracking, "_send_through", heard.append)
    command(*TINY, "wandb.mode=offline", f"output_dir={output}")
    assert [message["row"]["epoch"] for message in heard if "row" in message] == [1, 2]


@pytest.mark.usefixtures("digits_only")
def test_a_run_that_another_process_finishes_meanwhile_is_left_as_it_is(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = shutil.copytree(finished, tmp_path / "runs")
    summary, is_finished, first_look = only_folder(output) / "summary.json", layout.is_finished, [False]
    written = summary.stat().st_mtime_ns
    monkeypatch.setattr(layout, "is_finished", lambda folder: first_look.pop() if first_look else is_finished(folder))
    job = train.job_of(composed(*TINY, f"output_dir={output}"))
    [outcome] = train.train_stack([job], Display("none", 2), train.Clock(None))
    assert outcome.status == "skipped"
    assert summary.stat().st_mtime_ns == written


@pytest.mark.usefixtures("digits_only")
def test_wandb_hears_that_a_run_failed_if_training_breaks_off(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(trainer: Trainer) -> Any:
        raise RuntimeError("broken")

    heard: list[Any] = []
    monkeypatch.setattr(tracking, "_send_through", heard.append)
    monkeypatch.setattr(Trainer, "run_epoch", broken)
    with pytest.raises(RuntimeError, match="broken"):
        command(*TINY, "wandb.mode=offline", f"output_dir={tmp_path}")
    assert [message["finish"] for message in heard if "finish" in message] == [{"summary": None, "failed": True}]


@pytest.mark.usefixtures("digits_only")
def test_the_stack_trace_of_a_function_that_failed_is_in_the_log(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SELECTORS.functions, "mine", lambda layer: layer.nothing)
    code, _ = command(*TINY, "pruner.selector=mine", f"output_dir={tmp_path}")
    assert "pruner.selector=mine failed in" in code
    lines = (only_folder(tmp_path) / "train.log").read_text().splitlines()
    assert (lines[0], lines[-1].split(":")[0]) == ("Traceback (most recent call last):", "AttributeError")


@pytest.mark.usefixtures("digits_only")
def test_a_stack_whose_runs_have_all_failed_trains_no_further(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_epoch, trained = Trainer.run_epoch, list[int]()

    def counted(trainer: Trainer) -> Any:
        trained.append(trainer.epoch + 1)
        return run_epoch(trainer)

    monkeypatch.setattr(Trainer, "run_epoch", counted)
    code, _ = command(*TINY[:-1], "epochs=9", "learning_rate=1e30", f"output_dir={tmp_path}")
    failure = json.loads((only_folder(tmp_path) / "failure.json").read_text())
    assert failure["reason"] in code
    assert trained == list(range(1, failure["epoch"] + 1))
    assert len(trained) < 9


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "torn": lambda whole: whole + b"3,0.12",
    "torn in the last row": lambda whole: whole[:-9],
    "extra row": lambda whole: whole + whole.splitlines(keepends=True)[-1],
    "missing row": lambda whole: b"".join(whole.splitlines(keepends=True)[:-1]),
    "empty": lambda whole: b"",
    "garbage": lambda whole: bytes(range(256)) * 9,
}


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize("damage", DAMAGES)
def test_rows_are_brought_in_line_with_the_checkpoint(
    damage: str, command: Command, finished: Path, output: Path
) -> None:
    for name in ("metrics.csv", "decisions.csv", "train.log"):
        file = only_folder(output) / name
        file.write_bytes(DAMAGES[damage](file.read_bytes()))
    code, _ = command(*TINY, f"output_dir={output}")
    assert not code
    assert contents(output) == contents(finished)
    for name in ("metrics.csv", "decisions.csv", "train.log"):  # the times too
        assert (only_folder(output) / name).read_bytes() == (only_folder(finished) / name).read_bytes()


@pytest.mark.usefixtures("digits_only")
@pytest.mark.parametrize(
    ("damage", "sentence"),
    [
        (lambda path, state: path.write_bytes(path.read_bytes()[:1000]), "is not a readable checkpoint"),
        (lambda path, state: path.write_bytes(b""), "is not a readable checkpoint"),
        (lambda path, state: torch.save({**state, "hash": "0123456789"}, path), "belongs to another run"),
        (lambda path, state: torch.save({**state, "parameters": {}}, path), "of a network with other layers"),
    ],
)
def test_a_checkpoint_that_can_not_be_used_is_refused_and_left_as_it_is(
    damage: Callable[[Path, dict[str, Any]], Any], sentence: str, command: Command, output: Path
) -> None:
    path = only_folder(output) / "checkpoint.pt"
    damage(path, torch.load(path, weights_only=True))
    damaged = path.read_bytes()
    code, _ = command(*TINY, f"output_dir={output}")
    assert sentence in code
    assert f"remove {path} to start the run anew" in code
    assert path.read_bytes() == damaged
    assert not layout.is_finished(path.parent)


@pytest.mark.usefixtures("digits_only")
def test_a_run_whose_checkpoint_was_removed_starts_anew(command: Command, finished: Path, output: Path) -> None:
    (only_folder(output) / "checkpoint.pt").unlink()
    code, _ = command(*TINY, f"output_dir={output}")
    assert not code
    assert contents(output) == contents(finished)


def test_a_flipped_bit_in_a_checkpoint_never_becomes_another_number(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    state = {"epoch": 3, "parameters": {"1.weight": torch.randn(40, 30, generator=generator)}}
    path = tmp_path / "checkpoint.pt"
    checkpoint.save(path, "0123456789", [], [], state)
    whole = path.read_bytes()
    bits = random.Random(0)
    refused = 0
    for _ in range(300):
        bit = bits.randrange(8 * len(whole))
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            loaded = checkpoint.load(path, "0123456789")
        except UserError:
            refused += 1
        else:  # the bit was one of the archive's padding
            assert loaded.state is not None
            assert loaded.state["epoch"] == 3
            assert torch.equal(loaded.state["parameters"]["1.weight"], state["parameters"]["1.weight"])
    assert refused > 200


@pytest.mark.parametrize("version", [1, 3])
def test_a_checkpoint_of_another_version_is_refused(version: int, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pt"
    torch.save({"format": version, "hash": "0123456789", "metrics": [], "decisions": []}, path)
    with pytest.raises(UserError, match=f"has format {version}, this version reads 2: remove {path} to start the run"):
        checkpoint.load(path, "0123456789")


def test_a_checkpoint_that_can_not_be_opened_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"^{tmp_path} can not be read \(Is a directory\)\.$"):
        checkpoint.load(tmp_path, "0123456789")


def test_a_checkpoint_holds_its_own_member_of_a_stack_alone(tmp_path: Path) -> None:
    stack = torch.zeros(1000, 100)
    checkpoint.save(tmp_path / "checkpoint.pt", "0123456789", [], [], {"parameters": {"1.weight": stack[3]}})
    assert (tmp_path / "checkpoint.pt").stat().st_size < 10_000  # 400 bytes of numbers; the stack has 400,000


def test_a_poisoned_checkpoint_is_never_unpickled(tmp_path: Path) -> None:
    class Poison:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "poisoned"),)

    path = tmp_path / "checkpoint.pt"
    torch.save({"format": checkpoint.FORMAT, "hash": "0123456789", "metrics": [], "decisions": Poison()}, path)
    with pytest.raises(UserError, match=r"is not a readable checkpoint \(UnpicklingError\)"):
        checkpoint.load(path, "0123456789")
    assert not (tmp_path / "poisoned").exists()


def test_the_commit_is_of_a_repository_that_holds_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), "-c", "user.name=me", "-c", "user.email=me@here", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    package = tmp_path / "site" / "run_folder.py"
    package.parent.mkdir()
    package.write_text("")
    (tmp_path / ".gitignore").write_text("site")
    monkeypatch.setattr(run_folder, "__file__", str(package))
    git("init")
    for forced, commit in ((".gitignore", False), (str(package), True)):
        git("add", "--force", forced)
        git("commit", "--message", "Add a file.")
        assert run_folder.git_commit.__wrapped__() == (git("rev-parse", "HEAD") if commit else None)


@pytest.mark.parametrize("damaged", [b"", b"{", b"[]", b'{"metrics": {"epoch": 1}}', b"\xff"])
def test_a_damaged_summary_is_one_sentence(damaged: bytes, output: Path) -> None:
    summary = only_folder(output) / "summary.json"
    summary.write_bytes(damaged)
    with pytest.raises(UserError) as caught:
        layout.final_metrics(summary.parent)
    assert str(caught.value).startswith(f"{summary} can not be read")
    assert str(caught.value).endswith("remove it, and the same command writes it anew.")


@pytest.mark.usefixtures("digits_only")
def test_a_damaged_summary_is_refused_and_written_anew_when_removed(
    command: Command, finished: Path, output: Path
) -> None:
    summary = only_folder(output) / "summary.json"
    summary.write_bytes(b"{")
    for sweep in ((), ("-m",)):
        code, _ = command(*sweep, *TINY, f"output_dir={output}")
        assert f"{summary} can not be read" in code
        assert not code.endswith("..")
    assert summary.read_bytes() == b"{"
    summary.unlink()
    code, _ = command(*TINY, f"output_dir={output}")
    assert not code
    assert contents(output) == contents(finished)


def test_a_folder_whose_config_does_not_match_its_hash_is_refused(command: Command, output: Path) -> None:
    folder = only_folder(output)
    stored = folder / ".hydra" / "config.yaml"
    stored.write_text(stored.read_text().replace("learning_rate: 0.001", "learning_rate: 0.01"))
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    code, _ = command(*TINY, f"output_dir={output}")
    assert "does not match its folder" in code
    assert before == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_config_that_can_not_be_read_is_said_to_be_so(command: Command, output: Path) -> None:
    (only_folder(output) / ".hydra" / "config.yaml").write_text("[")
    code, _ = command(*TINY, f"output_dir={output}")
    assert "its hash is unreadable (" in str(code)
    assert "NoneType" not in str(code)


@pytest.mark.usefixtures("digits_only")
def test_what_an_earlier_attempt_left_does_not_stay(command: Command, finished: Path, output: Path) -> None:
    """The reason of a failure, a file that was half written, and a folder of configs that was made and not filled."""
    folder = only_folder(output)
    (folder / "decisions.csv.part").write_bytes(b"half")
    (folder / "failure.json").write_text('{"epoch": 2, "reason": "a full disk"}')
    for path in (folder / ".hydra").iterdir():
        path.unlink()
    code, _ = command(*TINY, f"output_dir={output}")
    assert not code
    assert contents(finished).items() <= contents(output).items()
    assert not (folder / "failure.json").exists()
    assert not list(folder.rglob("*.part"))


def test_the_config_is_written_last_of_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill before it leaves a folder without it, and the next start writes all three."""
    written: list[str] = []
    monkeypatch.setattr(run_folder, "write_atomically", lambda path, _: written.append(path.name))
    config, hydra = composed("dataset=mnist_5k", "epochs=1"), OmegaConf.create({"hydra": {"overrides": {"task": []}}})
    with run_folder.RunFolder(run_config(config), tmp_path, config, hydra):
        assert written == ["hydra.yaml", "overrides.yaml", "config.yaml"]


def test_the_commit_is_that_of_a_runs_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(run_folder, "git_commit", lambda: asked.append("now"))
    config = composed("dataset=mnist_5k", "epochs=1")
    with run_folder.RunFolder(run_config(config), tmp_path, config, None):
        assert asked == ["now"]


@pytest.mark.usefixtures("digits_only")
def test_rows_are_on_the_disk_before_the_summary_says_that_they_are_all(
    output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    job = train.job_of(composed(*TINY, f"output_dir={output}"))
    train.train_stack([job], Display("none", 2), train.Clock(None))
    rows = ["metrics.csv", "decisions.csv", "train.log"]
    assert synced == ["weights.safetensors.part", *rows, "summary.json.part"]


def test_two_processes_can_not_write_one_folder(tmp_path: Path) -> None:
    config = composed("dataset=mnist_5k", "epochs=1")
    with (
        run_folder.RunFolder(run_config(config), tmp_path, config, None),
        pytest.raises(Exception, match="being written by another process"),
    ):
        run_folder.RunFolder(run_config(config), tmp_path, config, None)


def test_status_that_looks_at_a_run_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    """It holds the lock for a moment, as here for a twentieth of a second."""
    config = composed("dataset=mnist_5k", "epochs=1")
    with run_folder.RunFolder(run_config(config), tmp_path, config, None) as folder:
        path = folder.path / "metrics.csv"
    with path.open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)
        assert not layout.in_use(folder.path)  # nor are two that look at once in each other's way
        threading.Timer(0.05, fcntl.flock, (file, fcntl.LOCK_UN)).start()
        with run_folder.RunFolder(run_config(config), tmp_path, config, None):
            assert layout.in_use(folder.path)
    assert not layout.in_use(folder.path)


def test_the_end_of_a_run_is_the_row_of_its_last_epoch_and_all_that_training_changed(tmp_path: Path) -> None:
    """An earlier epoch had the higher accuracy, and the network has a buffer, as BatchNorm has its running mean."""
    rows = [Metrics(epoch, *[1 / epoch] * (len(COLUMNS) - 1)) for epoch in (1, 2)]
    state = {"parameters": {"weight": torch.ones(2)}, "buffers": {"running_mean": torch.full((3,), 4.0)}}
    config = composed(*TINY)
    with run_folder.RunFolder(run_config(config), tmp_path, config, None) as folder:
        folder.finish(rows, state, torch.device("cpu"), 2)
    assert layout.final_metrics(folder.path) == rows[1]
    tensors = load_file(folder.path / "weights.safetensors")
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {"weight": [1, 1], "running_mean": [4, 4, 4]}


def test_numbers_read_back_exactly(tmp_path: Path) -> None:
    """By another reader than the one of this package, from the file of a run."""
    awkward = [0.1 + 0.2, 1e-300, -123456.78901234567, 5e-324, 2**53 + 1.0, 1 / 3]
    values = dict(zip(COLUMNS[1:], [*awkward, *awkward, *awkward], strict=False)) | {"epoch": 1, "pruned": 1}
    config = composed(*TINY)
    with run_folder.RunFolder(run_config(config), tmp_path, config, None) as folder:
        folder.resume()
        folder.save_epoch([Metrics(**values)], [], None)
    with (folder.path / "metrics.csv").open(newline="") as file:
        [row] = csv.DictReader(file)
    assert {name: float(cell) for name, cell in row.items()} == values
