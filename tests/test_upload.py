"""What is uploaded to W&B and what its run folders say, with W&B's calls, `wandb sync` and its reader played here."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from fixtures import raw_rows, summary, unpack
from omegaconf import OmegaConf

from bayes_pruning.results import wandb_upload
from bayes_pruning.results.frame import load
from bayes_pruning.results.wandb_upload import upload
from bayes_pruning.runs import layout, wandb_process
from bayes_pruning.training.metrics import COLUMNS, WHOLE


class Uploaded:
    """A run of W&B that keeps what it is given."""

    def __init__(self, commit: str | None, **init: Any) -> None:
        self.commit, self.init, self.summary, self.exit_code = commit, init, dict[str, Any](), -1
        self.rows: list[tuple[int, dict[str, Any]]] = []

    def log(self, row: dict[str, Any], step: int) -> None:
        self.rows.append((step, row))

    def finish(self, exit_code: int) -> None:
        self.exit_code = exit_code


@pytest.fixture
def uploaded(monkeypatch: pytest.MonkeyPatch) -> list[Uploaded]:
    """The runs that were opened on a server that takes everything."""
    opened: list[Uploaded] = []

    def open_run(commit: str | None, **init: Any) -> Uploaded:
        opened.append(Uploaded(commit, **init))
        return opened[-1]

    monkeypatch.setattr(wandb_upload, "_log_in", lambda: None)
    monkeypatch.setattr(wandb_process, "open_run", open_run)
    return opened


def log_of(output: Path, run: str, day: int = 1, synced: bool = False) -> Path:
    """W&B's folder of a run, of a day of January, perhaps with the mark that it was uploaded."""
    folder = output / "wandb" / f"offline-run-202601{day:02}_000000-{run}"
    folder.mkdir(parents=True)
    (folder / f"run-{run}.wandb").touch()
    if synced:
        (folder / f"run-{run}.wandb.synced").touch()
    return folder


@pytest.fixture
def output(tmp_path: Path, folder: Path) -> Path:
    """A finished run of three epochs and one of which two are done."""
    for name, source in (("whole", "none-seed0"), ("half", "random-0.9-seed1")):
        shutil.copytree(next(folder.glob(f"*-{source}-*")), tmp_path / name)
    (tmp_path / "half" / "summary.json").unlink()
    lines = (tmp_path / "half" / "metrics.csv").read_text().splitlines()
    (tmp_path / "half" / "metrics.csv").write_text("\n".join(lines[:3]) + "\n")
    return tmp_path


def test_a_run_is_uploaded_from_its_own_folder_epoch_by_epoch(output: Path, uploaded: list[Uploaded]) -> None:
    lines = [line.split(",") for line in (output / "half" / "metrics.csv").read_text().splitlines()]
    lines[2][COLUMNS.index("log_likelihood")] = ""  # it was not computed
    (output / "half" / "metrics.csv").write_text("\n".join(map(",".join, lines)) + "\n")
    logs = [log_of(output, "half"), log_of(output, "half", 2), log_of(output, "whole")]
    assert upload(output / "wandb", output) == (["half", "whole"], {})
    half, whole = uploaded
    for run in uploaded:
        folder = output / run.init["id"]
        wanted = [{name: float(text) for name, text in row.items() if text} for row in raw_rows(folder)]
        assert run.rows == [(int(row["epoch"]), row) for row in wanted]
        assert all(type(row[name]) is int for _, row in run.rows for name in WHOLE)
        assert (run.init["mode"], run.init["resume"]) == ("online", "allow")
    assert "log_likelihood" not in half.rows[1][1]
    assert (half.exit_code, half.summary, half.commit) == (1, {}, None)
    said = summary(output / "whole")
    assert (whole.exit_code, whole.commit) == (0, said["git_commit"])
    assert whole.summary == {name: value for name, value in said["metrics"].items() if value is not None}
    assert all((log / f"run-{log.name[28:]}.wandb.synced").exists() for log in logs)
    assert upload(output / "wandb", output) == ([], {})


def test_what_was_uploaded_and_what_is_being_trained_is_left(
    output: Path, uploaded: list[Uploaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a run's own folder all logs count, since clocks differ; of a run without one the newest has everything."""
    log_of(output, "whole", 1)
    log_of(output, "whole", 2, synced=True)
    log_of(output, "half")
    log_of(output, "publication", 1)
    log_of(output, "publication", 2, synced=True)
    monkeypatch.setattr(layout, "in_use", lambda folder: folder == output / "half")
    monkeypatch.setattr(wandb_upload, "_sync", lambda _: pytest.fail("nothing is left to be synced"))
    taken, left = upload(output / "wandb", output)
    assert taken == [run.init["id"] for run in uploaded] == ["whole"]
    assert left == {"half": "it is being trained: try again when it has ended"}


def test_runs_without_a_folder_are_synced_together_and_their_marks_count(
    output: Path, uploaded: list[Uploaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def sync(folders: Sequence[Path]) -> str:
        asked.append([folder.name for folder in folders])
        for folder in folders:
            if not folder.name.endswith("-c"):
                (folder / f"run-{folder.name[-1]}.wandb.synced").touch()
        return "permission denied" if "-c" in asked[-1][-1] else ""

    monkeypatch.setattr(wandb_upload, "_sync", sync)
    old, *logs = [log_of(output, "a"), log_of(output, "a", 2), log_of(output, "b", 3), log_of(output, "c", 4)]
    assert upload(output / "wandb", output) == (["a", "b"], {"c": "permission denied"})
    assert asked == [[log.name for log in logs]]
    assert old.name not in asked[0]
    assert uploaded == []


def test_a_run_that_the_server_does_not_take_stops_no_other(
    output: Path, uploaded: list[Uploaded], monkeypatch: pytest.MonkeyPatch
) -> None:
    take = wandb_process.open_run

    def refuse(commit: str | None, **init: Any) -> Any:
        if init["id"] == "half":
            raise PermissionError
        return take(commit, **init)

    monkeypatch.setattr(wandb_process, "open_run", refuse)
    log = log_of(output, "half")
    log_of(output, "whole")
    assert upload(output / "wandb", output) == (["whole"], {"half": "PermissionError"})
    assert not (log / "run-half.wandb.synced").exists()


def test_what_wandb_sync_says_of_errors_is_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "syncing\nwandb: ERROR  refused\n", "wandb: ERROR  refused\nERROR other\n"
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=lines[0], stderr=lines[1]))
    assert wandb_upload._sync([Path("a")]) == "refused; other"

    def late(*_: Any, timeout: float, **__: Any) -> None:
        raise subprocess.TimeoutExpired("wandb", timeout)

    monkeypatch.setattr(subprocess, "run", late)
    assert wandb_upload._sync([Path("a"), Path("b")]) == "no answer from W&B's server in 70 seconds"  # 60, 5 a run


def test_an_offline_run_is_what_the_records_of_its_folders_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One was cut short after epoch 2 and went on after epoch 1, by a clock that was set back; two are not finished."""
    runs = unpack(tmp_path / "runs")
    whole, other, third = (next(runs.glob(f"*-{name}-*")) for name in ("random-0.9-seed0", "random-0.9-seed1", "none"))

    def records(run: Path, started: str, epochs: Sequence[int], code: int, **changed: Any) -> list[dict[str, Any]]:
        config: Any = OmegaConf.to_container(OmegaConf.load(run / ".hydra" / "config.yaml"))
        rows = [{name: json.loads(text) for name, text in row.items()} for row in raw_rows(run)]
        return [
            {"type": "run", "run": {"start_time": started, "config": {"update": config | {"epochs": 99}}}},
            {"type": "config", "config": {"update": {"epochs": 3, "hash": summary(run)["hash"]}}},
            *({"type": "history", "history": {"item": rows[epoch - 1] | changed}} for epoch in epochs),
            {"type": "history", "history": {"item": {"epoch": 3}}},  # not a whole row
            *({"type": "history", "history": {"item": rows[epoch - 1]}} for epoch in epochs if epoch != 2 or not code),
            {"type": "exit", "exit": {"exit_code": code}},
        ]

    logs = {
        log_of(tmp_path, "z", 9): records(whole, "2026-01-01", (1, 2), 1, test_accuracy=0.5),
        log_of(tmp_path, "y", 8): records(whole, "2026-01-02", (2, 3), 0),
        log_of(tmp_path, "x", 7): records(other, "2026-01-03", (1,), 1),
        log_of(tmp_path, "w", 6): records(other, "2026-01-03", (1,), 0)[:1],
        log_of(tmp_path, "v", 5): records(third, "2026-01-04", (1, 2), 0),
    }

    def inspect(command: list[str], **_: Any) -> Any:
        lines = map(json.dumps, logs[Path(command[-2])])
        return SimpleNamespace(returncode=0, stdout="\n".join(lines))

    monkeypatch.setattr(subprocess, "run", inspect)
    found = load(tmp_path / "wandb")
    assert found.frame.equals(load(whole).frame)
    reasons = {name.rpartition("-")[2]: why for name, why in found.incomplete}
    assert "no hash" in reasons.pop("w")
    assert reasons == {
        summary(other)["hash"]: "failed: 1 epoch of 3", summary(third)["hash"]: "not finished: 2 epochs of 3"
    }  # fmt: skip


def test_a_folder_that_wandb_can_not_read_is_named_with_what_it_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = log_of(tmp_path, "a")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: SimpleNamespace(returncode=1, stderr=" broken\n"))
    with pytest.raises(wandb_upload.UserError, match=rf"^{log} can not be read as a W&B run \(broken\)\.$"):
        load(tmp_path / "wandb")
