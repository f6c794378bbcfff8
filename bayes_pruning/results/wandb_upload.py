"""Upload offline W&B runs to W&B's server, each run once, however often it was resumed.

A run is uploaded from its own folder, which has everything whatever became of W&B's log while it trained: its config
and the rows of metrics.csv, under its id, so that W&B takes only the epochs beyond those that it has. A W&B run that
has no such folder (scripts/publish.py --wandb logs one) goes through `wandb sync`, which exits with 0 when the server
refused a run: whether it was taken shows only in its mark.

What is uploaded is marked by a file `run-ID.wandb.synced`, the mark that `wandb sync` leaves.
"""

import math
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.config.schema import run_config
from bayes_pruning.results.run_records import is_run_folder, read_json, read_metrics
from bayes_pruning.runs import layout, tracking, wandb_process
from bayes_pruning.training.metrics import COLUMNS, WHOLE

PATIENCE_PER_RUN = 5.0  # seconds of `wandb sync`, on top of wandb_process.UPLOAD_PATIENCE


def upload(wandb_dir: Path, train_dir: Path) -> tuple[list[str], dict[str, str]]:
    """Upload what is not yet uploaded; return the ids of the runs uploaded, and of the others with the reason.

    `wandb_dir` holds W&B's run folders, `train_dir` ours; a run that is being trained is left for later. Raise
    UserError if there are no W&B runs, or the server can not be used.
    """
    folders = folders_of(wandb_dir)
    if not folders:
        raise UserError(f"{wandb_dir} has no W&B runs in it: train some with wandb.mode=offline, or name their folder.")
    failed = {
        run: "it is being trained: try again when it has ended" for run in folders if layout.in_use(train_dir / run)
    }
    own = {run for run in folders if is_run_folder(train_dir / run)}
    # Which of a run's W&B folders is the newest is only known to W&B's local time, so all of them count where they can.
    count = {run: dirs if run in own else dirs[-1:] for run, dirs in folders.items() if run not in failed}
    pending = {run: folders[run] for run, dirs in count.items() if not all(_mark(each).exists() for each in dirs)}
    if not pending:
        return [], failed
    _log_in()
    others = [run for run in pending if run not in own]
    said = _sync([pending[run][-1] for run in others]) if others else ""
    for run, dirs in pending.items():
        if run in others:
            if not _mark(dirs[-1]).exists():
                failed[run] = said or "`wandb sync` did not say why"
            continue
        try:
            _upload_folder(train_dir / run)
            for each in dirs:
                _mark(each).touch()
        except Exception as error:  # whatever W&B or a damaged file may raise, the other runs go on
            failed[run] = str(error).strip() or type(error).__name__
    return [run for run in pending if run not in failed], failed


def folders_of(wandb_dir: Path) -> dict[str, list[Path]]:
    """Return W&B's run folders by run id, the oldest first by the local time in their names."""
    folders: dict[str, list[Path]] = {}
    files = wandb_dir.glob("*run-*/run-*.wandb")  # offline-run-TIME-ID/run-ID.wandb; online it is run-TIME-ID
    for file in sorted(files, key=lambda file: file.parent.name.removeprefix("offline-")):
        folders.setdefault(file.stem.removeprefix("run-"), []).append(file.parent)
    return folders


def _mark(folder: Path) -> Path:
    return next(folder.glob("run-*.wandb")).with_suffix(wandb_process.SYNCED)


def _log_in() -> None:
    """Raise UserError if W&B's server does not take our key."""
    os.environ.setdefault("WANDB_HTTP_TIMEOUT", f"{wandb_process.SERVER_PATIENCE:g}")
    import wandb

    with user_error("W&B's server can not be used"):  # no key, a wrong one, no network, no answer
        wandb.setup(wandb.Settings(silent=True, mode="online"))
        wandb_process.log_in()


def _sync(folders: Sequence[Path]) -> str:
    """Call `wandb sync` and return what it said about errors; only a run's mark shows that it was uploaded."""
    command = [sys.executable, "-m", "wandb", "sync", *map(str, folders)]
    environment = {**os.environ, "WANDB_MODE": "online"}
    try:
        patience = wandb_process.UPLOAD_PATIENCE + PATIENCE_PER_RUN * len(folders)
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=patience)
    except subprocess.TimeoutExpired as error:
        return f"no answer from W&B's server in {error.timeout:g} seconds"
    lines = (done.stdout + done.stderr).splitlines()
    return "; ".join(dict.fromkeys(line.split("ERROR", 1)[1].strip() for line in lines if "ERROR" in line))


def _upload_folder(folder: Path) -> None:
    """Upload a run from its folder, to a run that the server may have in part."""
    config = OmegaConf.load(folder / ".hydra" / "config.yaml")
    assert isinstance(config, DictConfig)
    summary = read_json(folder / "summary.json") if (folder / "summary.json").exists() else {}
    init = tracking.arguments(run_config(config), config, folder)
    with tempfile.TemporaryDirectory(prefix="wandb-upload-") as scratch:
        run = wandb_process.open_run(summary.get("git_commit"), **init, mode="online", resume="allow", dir=scratch)
        for values in read_metrics(folder / "metrics.csv"):
            row = {name: value for name, value in zip(COLUMNS, values, strict=True) if not math.isnan(value)}
            row |= {name: int(row[name]) for name in WHOLE}
            run.log(row, step=row["epoch"])  # a step that the server has is ignored
        run.summary.update({name: value for name, value in summary.get("metrics", {}).items() if value is not None})
        run.finish(exit_code=0 if summary else 1)
