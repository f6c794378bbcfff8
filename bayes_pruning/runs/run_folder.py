"""Write a run's folder in an order that lets a run that was cut short go on.

    .hydra/               config.yaml, overrides.yaml, hydra.yaml
    metrics.csv           one row an epoch; the open file is also the lock that keeps a second process out
    decisions.csv         one row an epoch, where the gate reads a Bayes factor: what it compared and decided
    train.log             one line an epoch, for people; the stack trace if a function of the user's failed
    checkpoint.pt         replaced atomically after each epoch; holds the rows of all epochs so far, so it alone decides
                          where a run goes on, and the files above are brought in line with it
    weights.safetensors   the final weights, as pruned
    summary.json          written last, atomically: its presence says the run is finished
    failure.json          only where a run failed: the epoch and the reason

A new file is first written under a name that ends in `.part`, then renamed. docs/reliability.md lists what is promised.
"""

import fcntl
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, astuple
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf
from safetensors.torch import save as safetensors_bytes

from bayes_pruning import __version__
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.schema import RunConfig, run_config
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.runs import checkpoint, layout, ledger
from bayes_pruning.runs.checkpoint import Checkpoint
from bayes_pruning.runs.files import LineFile, write_atomically
from bayes_pruning.runs.progress import describe
from bayes_pruning.training.metrics import COLUMNS, Metrics


class RunFolder:
    """Open one run's folder in the one process that may write to it. Use as a context manager.

    The composed `config` is saved as .hydra/config.yaml; `hydra`, Hydra's own node, as hydra.yaml, and the overrides in
    it as overrides.yaml. Raise UserError if the folder can not be written, is in use, or holds another run.
    """

    def __init__(self, run: RunConfig, output_dir: str | Path, config: DictConfig, hydra: DictConfig | None) -> None:
        self.run = run
        self.output_dir = output_dir
        self.path = layout.folder_of(run, output_dir)
        self.checkpoint = self.path / "checkpoint.pt"
        git_commit()  # now, and not when the run ends: the checkout may have moved on by then
        with self._writable():
            self.path.mkdir(parents=True, exist_ok=True)
            self._metrics = self._lock()
        try:
            with self._writable():
                self._metrics.check_in_place()
                for part in self.path.rglob("*.part"):
                    part.unlink()
                self._write_hydra_files(config, hydra)
                (self.path / "failure.json").unlink(missing_ok=True)
        except BaseException:
            self._metrics.close()
            raise

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, *_: object) -> None:
        self._metrics.close()

    @contextmanager
    def _writable(self) -> Iterator[None]:
        """Turn the OSError of a folder that can not be written, before training, into a UserError."""
        try:
            yield
        except OSError as error:
            raise UserError(
                f"output_dir={self.output_dir} can not be written ({error.strerror}: {error.filename or self.path}): "
                f"make it writable, or give another folder."
            ) from error

    def _lock(self) -> LineFile:
        file = LineFile(self.path / "metrics.csv")
        for _ in range(2):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return file
            except BlockingIOError:
                time.sleep(0.1)  # layout.in_use holds it for a moment to find out
        file.close()
        raise UserError(f"{self.path} is being written by another process: wait for it, or stop it.")

    def _write_hydra_files(self, config: DictConfig, hydra: DictConfig | None) -> None:
        stored = self.path / ".hydra" / "config.yaml"
        if stored.exists():
            self._check_stored(stored)
            return
        stored.parent.mkdir(exist_ok=True)
        if hydra is not None:
            write_atomically(stored.with_name("hydra.yaml"), OmegaConf.to_yaml(hydra).encode())
            task = hydra.hydra.overrides.task
            write_atomically(stored.with_name("overrides.yaml"), OmegaConf.to_yaml(task).encode())
        write_atomically(stored, OmegaConf.to_yaml(config).encode())

    def _check_stored(self, stored: Path) -> None:
        try:
            stored_hash = run_config(OmegaConf.load(stored)).hash()  # type: ignore[arg-type]
        except Exception as error:  # whatever a damaged file may raise, the answer is the same
            stored_hash = f"unreadable ({type(error).__name__})"
        if stored_hash != self.run.hash():
            raise UserError(
                f"{stored} does not match its folder (its hash is {stored_hash}, the folder's {self.run.hash()}): "
                f"restore the file, or remove the folder to start the run anew."
            )

    def resume(self) -> Checkpoint:
        """Return the checkpoint to go on from, an empty one for a new run; the other files are brought in line with it.

        Raise UserError for a checkpoint that can not be used, or a folder that can not be written.
        """
        last = checkpoint.load(self.checkpoint, self.run.hash())
        with self._writable():
            for name, header, rows in self._texts(last.metrics, last.decisions):
                with self._open(name) as file:
                    file.bring_in_line(header + rows)
        return last

    def save_epoch(
        self, metrics: Sequence[Metrics], decisions: Sequence[Decision], state: Mapping[str, Any] | None
    ) -> None:
        """Keep an epoch: the checkpoint first, which counts, then its row of each file. Raise OSError.

        Without a state the checkpoint stays as it is: a run that is cut short goes on from there, and drops the rows
        that are newer.
        """
        if state is not None:
            self.save_checkpoint(metrics, decisions, state)
        self._metrics.check_in_place()
        decided = [row for row in decisions[-1:] if row.epoch == metrics[-1].epoch]  # an epoch may decide nothing
        for name, _, rows in self._texts(metrics[-1:], decided):
            with self._open(name) as file:
                file.append(rows)

    def save_checkpoint(
        self, metrics: Sequence[Metrics], decisions: Sequence[Decision], state: Mapping[str, Any]
    ) -> None:
        """Replace the checkpoint. Raise OSError."""
        self._metrics.check_in_place()
        checkpoint.save(self.checkpoint, self.run.hash(), metrics, decisions, state)

    def _texts(self, metrics: Sequence[Metrics], decisions: Sequence[Decision]) -> Iterator[tuple[str, str, str]]:
        """Return the name, header and rows of each file that has a row an epoch."""
        yield "metrics.csv", f"{','.join(COLUMNS)}\n", _csv_lines(metrics)
        if self.run.gate_reads_bayes_factor:
            yield ledger.FILE, f"{','.join(ledger.COLUMNS)}\n", _csv_lines(decisions)
        yield "train.log", "", "".join(f"{describe(row, self.run.epochs)}\n" for row in metrics)

    def _open(self, name: str) -> AbstractContextManager[LineFile]:
        return nullcontext(self._metrics) if name == "metrics.csv" else LineFile(self.path / name)

    def finish(self, metrics: Sequence[Metrics], state: Mapping[str, Any], device: torch.device, prunable: int) -> None:
        """Write the final weights, then the summary that says the run is finished. Raise OSError."""
        self._metrics.check_in_place()
        tensors = state["parameters"] | state["buffers"]
        weights = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
        write_atomically(self.path / "weights.safetensors", safetensors_bytes(weights))
        for name, _, _ in self._texts([], []):  # from here on they count, and not the checkpoint
            with self._open(name) as file:
                os.fsync(file.fileno())
        summary = {
            **layout.summary_of(self.run),
            "metrics": asdict(metrics[-1]),
            "parameters": sum(tensor.numel() for tensor in state["parameters"].values()),
            "prunable_weights": prunable,
            "wall_seconds": sum(row.seconds for row in metrics),
            "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "bayes_pruning": __version__},
            "git_commit": git_commit(),
        }
        write_atomically(self.path / "summary.json", json.dumps(summary, indent=2).encode())

    def fail(self, reason: str, epoch: int, trace: str = "") -> None:
        """Say why the run can not go on; the next start of the same run tries again from its checkpoint.

        A stack trace goes to train.log.
        """
        self._metrics.check_in_place()
        write_atomically(self.path / "failure.json", json.dumps({"epoch": epoch, "reason": reason}, indent=2).encode())
        if trace:
            with self._open("train.log") as file:
                file.append(trace)


def _csv_lines(rows: Sequence[Metrics] | Sequence[Decision]) -> str:
    """Return numbers as text that reads back exactly: Python's shortest representation of a float; nothing for None."""
    cells = (["" if value is None else repr(value) for value in astuple(row)] for row in rows)
    return "".join(f"{','.join(row)}\n" for row in cells)


@lru_cache(maxsize=1)
def git_commit() -> str | None:
    """Return the commit of the checkout that this package runs from, None outside one.

    A repository that does not hold this file is another project's, in a folder of which the package is installed.
    """
    file = Path(__file__)
    command = ["git", "-C", str(file.parent), "rev-parse", "HEAD", f"HEAD:./{file.name}"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[0]
    except (OSError, subprocess.CalledProcessError):
        return None
