"""Offline W&B runs -> W&B's server, each run once, however often it was resumed.

A run has a folder for each time it was started, `[offline-]run-TIME-ID`, and the newest one holds all its epochs
(`tracking`). `wandb sync` of several of them would append their epochs to one another, and it exits with 0 when the
server refused a run. Here only the newest folder counts. A run with a single, offline folder goes through `wandb sync`;
any other may be on the server in part, so it is continued there: W&B takes only the epochs beyond those it has.

W&B writes its log late: where it or the helper process died while a run trained, the log may even be empty. If such a
run was trained to its end, it is first logged again from its own folder, which has everything (`wandb_again`).

What is uploaded is marked by a file `run-ID.wandb.synced`, the mark that `wandb sync` leaves.
"""

import fcntl
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bayes_pruning.config.errors import UserError
from bayes_pruning.runs import wandb_process

BATCH = 100  # runs to one `wandb sync`
PATIENCE_PER_RUN = 5.0  # seconds, on top of mirror.UPLOAD_PATIENCE, for one `wandb sync`
NAME = re.compile(r"(?:offline-)?run-(\d{8}_\d{6})-(.+)")


def upload(wandb_dir: Path, train_dir: Path) -> tuple[list[str], dict[str, str]]:
    """Upload what is not yet uploaded: (ids of the runs uploaded, ids of the others with the reason).

    Args:
        wandb_dir: the folder of W&B's run folders.
        train_dir: the folder of run folders; a run that is being trained is left for later.

    Raises UserError if there are no W&B runs, or the server can not be used.
    """
    found = folders_of(wandb_dir)
    if not found:
        raise UserError(f"{wandb_dir} has no W&B runs in it: train some with wandb.mode=offline, or name their folder.")
    failed = {run: "it is being trained: try again when it has ended" for run in found if _in_use(train_dir / run)}
    damaged = [run for run in found if run not in failed and _is_damaged(found[run][-1], train_dir / run)]
    if damaged:
        from bayes_pruning.results.wandb_again import log_again

        failed |= log_again([train_dir / run for run in damaged])
        found = folders_of(wandb_dir)
    pending = {run: dirs for run, dirs in found.items() if run not in failed and not _mark(dirs[-1]).exists()}
    if not pending:
        return [], failed
    wandb = _server()
    simple = [dirs[0] for dirs in pending.values() if len(dirs) == 1 and dirs[0].name.startswith("offline-")]
    said = [_sync(simple[i : i + BATCH]) for i in range(0, len(simple), BATCH)]
    for run, dirs in pending.items():
        if dirs[0] not in simple:
            try:
                _continue(wandb, dirs)
            except Exception as error:  # whatever W&B or its files may raise, the other runs go on
                failed[run] = f"{type(error).__name__}: {str(error).strip()}"
        elif not _mark(dirs[0]).exists():
            failed[run] = "; ".join(filter(None, said)) or "`wandb sync` did not say why"
    return [run for run in pending if run not in failed], failed


def folders_of(wandb_dir: Path) -> dict[str, list[Path]]:
    """W&B's run folders by run id, the oldest first."""
    found: dict[str, list[Path]] = {}
    for file in sorted(wandb_dir.glob("*run-*/run-*.wandb"), key=lambda file: _time_and_id(file.parent)):
        found.setdefault(_time_and_id(file.parent)[1], []).append(file.parent)
    return found


def _time_and_id(folder: Path) -> tuple[str, str]:
    match = NAME.fullmatch(folder.name)
    return (match[1], match[2]) if match else ("", folder.name)


def _mark(folder: Path, mark: str = wandb_process.SYNCED) -> Path:
    return next(folder.glob("run-*.wandb")).with_suffix(mark)


def _is_damaged(folder: Path, run_folder: Path) -> bool:
    """Whether a finished run's newest W&B folder may lack a part of it."""
    is_whole = any(_mark(folder, mark).exists() for mark in (wandb_process.SYNCED, wandb_process.WHOLE))
    return (run_folder / "summary.json").exists() and not is_whole


def _in_use(run_folder: Path) -> bool:
    """Whether a process that trains holds the lock of a run's folder (runs.RunFolder)."""
    try:
        with (run_folder / "metrics.csv").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _server() -> Any:
    """The package wandb, logged in. Raises UserError if W&B's server does not take our key."""
    os.environ.setdefault("WANDB_HTTP_TIMEOUT", f"{wandb_process.SERVER_PATIENCE:g}")
    import wandb

    try:
        wandb.setup(wandb.Settings(silent=True, mode="online"))
        if wandb.login(prompt=False, verify=True):
            return wandb
    except Exception as error:  # a wrong key, no network, no answer
        raise UserError(f"W&B's server can not be used ({error}).") from error
    raise UserError("W&B's server can not be used: there is no API key, `wandb login` keeps one.")


def _sync(folders: Sequence[Path]) -> str:
    """`wandb sync`; what it said about errors. Whether a run is uploaded shows only in its mark."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    environment = {**os.environ, "WANDB_MODE": "online"}
    try:
        patience = wandb_process.UPLOAD_PATIENCE + PATIENCE_PER_RUN * len(folders)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired as error:
        return f"no answer from W&B's server in {error.timeout:g} seconds"
    lines = (done.stdout + done.stderr).splitlines()
    return "; ".join(dict.fromkeys(line.split("ERROR", 1)[1].strip() for line in lines if "ERROR" in line))


def _continue(wandb: Any, folders: Sequence[Path]) -> None:
    """Upload the newest of a run's folders to a run that the server may have in part, then mark them all."""
    log = _read(folders[-1])
    with tempfile.TemporaryDirectory(prefix="wandb-upload-") as folder:
        settings = wandb_process.settings((log.run.get("git") or {}).get("commit"))
        run = wandb.init(
            **log.init(), mode="online", resume="allow", reinit="create_new", dir=folder, settings=settings
        )
        run.define_metric("*", step_metric="epoch")
        for row in log.rows:
            run.log(_logged(row), step=row["_step"])  # a step that the server has is ignored
        run.summary.update(_logged(log.summary))
        run.finish(exit_code=log.exit_code)
    for each in folders:
        _mark(each).touch()


@dataclass
class _Log:
    """What a W&B run folder has in it; a run without an exit code was cut short."""

    run: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int = 1

    def init(self) -> dict[str, Any]:
        """Arguments of wandb.init that name this run."""
        names = {"id": "run_id", "name": "display_name", "group": "run_group"}
        names |= {name: name for name in ("entity", "project", "job_type", "tags")}
        return {name: self.run.get(key) for name, key in names.items()} | {"config": _logged(self.config)}


def _read(folder: Path) -> _Log:
    """Read a run folder through `wandb leet inspect`. Raises UserError if it can not be read."""
    command = [sys.executable, "-m", "wandb", "leet", "inspect", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise UserError(f"{folder} can not be read as a W&B run ({done.stderr.strip()})")
    log = _Log()
    for record in map(json.loads, done.stdout.splitlines()):
        content = record.get(record["type"]) or {}
        match record["type"]:
            case "run":
                log.run = content
                log.config |= content["config"]["update"]
            case "history":
                log.rows.append(content["item"])
            case "summary":
                log.summary |= content.get("update") or {}
            case "exit":
                log.exit_code = content["exit_code"]
    if not log.run:
        raise UserError(f"{folder} has no run in it: W&B was killed before it wrote one")
    return log


def _logged(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without what W&B itself adds."""
    return {name: value for name, value in values.items() if not name.startswith("_")}
