"""Mirror a run on W&B. Training never fails because of it, and waits only for a helper process that does not read.

W&B runs in a helper process (`wandb_process`), which gets each epoch as a line of JSON through a pipe. Inside the
training process, W&B's import and start alone would hold up a short run by several seconds (with torch loaded,
pydantic's search for docstrings goes through thousands of modules), and its threads would compete for Python's lock.

With `wandb.mode=online` and no key, no network or a server that does not answer, runs are kept offline, and
`scripts/sync_wandb.py` uploads them later. With `wandb.mode=disabled` no helper is started and nothing of W&B imported.

A run that is resumed logs all its epochs again: the newest offline folder of a run holds all of it. Online, W&B ignores
the epochs that its server already has, because steps only rise.
"""

import atexit
import json
import logging
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bayes_pruning.config.schema import RunConfig
from bayes_pruning.runs import wandb_process
from bayes_pruning.runs.run_folder import git_commit
from bayes_pruning.training.metrics import Metrics

PIPE_PATIENCE = 2.0  # seconds for a helper that does not read; it reads ahead, so only a stopped one does not
END_PATIENCE = {"offline": 30.0, "online": 5.0}  # seconds that this process waits, at its end, for the helper's
log = logging.getLogger(__name__)


class _Helper:
    """Hold the helper process and the pipe to it; it is started with the first message.

    It is a session of its own, so that Ctrl-C stops training only and the helper can close the W&B runs in order.
    """

    def __init__(self) -> None:
        self._process: Any = None  # a subprocess.Popen
        self._patience = 0.0
        self._lost = False

    def send(self, message: Mapping[str, Any]) -> None:
        """Hand a message over. A helper that is gone, or takes nothing for PIPE_PATIENCE, is given up: one warning."""
        if self._lost:
            return
        if "open" in message:
            self._patience = max(self._patience, END_PATIENCE[message["open"]["mode"]])
        try:
            self._write(json.dumps(message).encode() + b"\n")
        except OSError as error:
            self._lost = True
            log.warning("W&B no longer mirrors the runs (%s); training goes on.", type(error).__name__)

    def close(self) -> None:
        """Tell the helper that nothing more comes, and wait for its end, but not for long."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.close)
        if self._lost:
            process.kill()
        process.stdin.close()
        try:
            process.wait(self._patience)
            self._warnings.join(1.0)
        except subprocess.TimeoutExpired:
            log.warning("W&B goes on uploading by itself; %s what it does not manage.", wandb_process.SYNC)
        self._lost = False

    def _write(self, data: bytes) -> None:
        pipe = self._started()
        ready = select.poll()  # select.select takes no descriptor above 1,023, and each open run folder has one
        ready.register(pipe, select.POLLOUT)
        deadline = time.monotonic() + PIPE_PATIENCE
        while data:
            try:
                data = data[os.write(pipe, data) :]
            except BlockingIOError:
                if not ready.poll(max(0.0, deadline - time.monotonic()) * 1000):
                    raise

    def _started(self) -> int:
        """Return the pipe to the helper, which is started if it is not running."""
        if self._process is None:
            # W&B says nothing, and sends no telemetry (as it would, even offline).
            fixed = {"WANDB_SILENT": "true", "WANDB_ERROR_REPORTING": "false"}
            patience = {"WANDB_HTTP_TIMEOUT": f"{wandb_process.SERVER_PATIENCE:g}"}
            self._process = subprocess.Popen(
                [sys.executable, "-P", wandb_process.__file__, *sys.argv],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                env=patience | os.environ | fixed,
            )
            os.set_blocking(self._process.stdin.fileno(), False)
            self._warnings = threading.Thread(target=_pass_on_warnings, args=(self._process.stdout,), daemon=True)
            self._warnings.start()
            atexit.register(self.close)
        return self._process.stdin.fileno()


def _pass_on_warnings(lines: Iterable[bytes]) -> None:
    for line in lines:
        log.warning(line.decode(errors="replace").strip())


_HELPER = _Helper()
close = _HELPER.close  # waits until W&B's files are whole; the end of the process does it too
_send_through: Callable[[Mapping[str, Any]], None] | None = None  # in a worker process: to the one that started it


def send_through(hand_over: Callable[[Mapping[str, Any]], None]) -> None:
    """Give all messages to `hand_over` from now on: a worker process starts no helper."""
    global _send_through
    _send_through = hand_over


def send(message: Mapping[str, Any]) -> None:
    """Send a message about a run to the helper."""
    (_send_through or _HELPER.send)(message)


def finish_left_open(folder: Path) -> None:
    """Finish the W&B run of a run folder as failed, if it is open: the worker process that trained it has died."""
    send({"run": str(folder), "finish": {"summary": None, "failed": True}})


class Tracker:
    """Open a W&B run for `run`, with the settings of the config node `wandb`: no call waits for W&B.

    The run's `folder` names it in messages, and the folder's name is the W&B run's id. `config` is the whole config.
    """

    def __init__(self, run: RunConfig, config: DictConfig, folder: Path) -> None:
        self._run = str(folder)
        self._on = config.wandb.mode != "disabled"
        if self._on:
            local = {"mode": config.wandb.mode, "dir": str(config.output_dir), "git_commit": git_commit()}
            self._send({"open": arguments(run, config, folder) | local})

    def log(self, row: Metrics) -> None:
        """Send one epoch; `epoch` is the step."""
        self._send({"row": _computed(row)})

    def finish(self, last: Metrics | None, failed: bool) -> None:
        """Close the W&B run, with the last metrics as its summary if the run is finished."""
        self._send({"finish": {"summary": None if last is None else _computed(last), "failed": failed}})

    def _send(self, message: Mapping[str, Any]) -> None:
        if self._on:
            send({"run": self._run, **message})


def _computed(row: Metrics) -> dict[str, Any]:
    """Return the numbers of an epoch, without those that were not computed."""
    return {name: value for name, value in asdict(row).items() if value is not None}


def arguments(run: RunConfig, config: DictConfig, folder: Path) -> dict[str, Any]:
    """Return the arguments of wandb.init that say what a run is."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return {
        "project": config.wandb.project,
        "entity": config.wandb.entity,
        "group": config.wandb.group,
        "job_type": run.pruner.name,
        "name": run.label(),
        "id": folder.name,
        "tags": [run.dataset["name"], run.model["name"], "unpruned" if run.unpruned else f"sparsity {run.sparsity:g}"],
        "config": {**plain, "hash": run.hash()},
    }
