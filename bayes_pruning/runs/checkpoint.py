"""Save and load checkpoint.pt: all that a run needs to go on, and the rows of its epochs; it is checked first."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import torch

from bayes_pruning.config.errors import UserError
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.runs.files import write_atomically
from bayes_pruning.training.metrics import Metrics

FORMAT = 2


@dataclass(frozen=True)
class Checkpoint:
    """Hold the state of a run after its last epoch, None for a new run, and the rows of the epochs it has."""

    state: dict[str, Any] | None
    metrics: list[Metrics]
    decisions: list[Decision]


def save(
    path: Path, run_hash: str, metrics: Sequence[Metrics], ledger: Sequence[Decision], state: Mapping[str, Any]
) -> None:
    """Replace the checkpoint. Raise OSError, and leave the old one, if the new one can not be written."""
    contents = {
        "format": FORMAT,
        "hash": run_hash,
        "metrics": [list(astuple(row)) for row in metrics],
        "decisions": [list(astuple(row)) for row in ledger],
        **{key: _own_memory(value) for key, value in state.items()},
    }
    buffer = io.BytesIO()
    torch.save(contents, buffer)
    write_atomically(path, buffer.getvalue())


def load(path: Path, run_hash: str) -> Checkpoint:
    """Return what `save` wrote, that of a new run if there is no checkpoint.

    Raise UserError, with the remedy, for one that is damaged, of another version or of another run.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return Checkpoint(None, [], [])
    except OSError as error:
        raise UserError(f"{path} can not be read ({error.strerror}).") from error
    try:
        # torch.load compares no checksum: without this a flipped bit would be just another weight.
        damaged = zipfile.ZipFile(io.BytesIO(data)).testzip()
        state = {} if damaged else torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
        if damaged:
            reason = f"is not a readable checkpoint (its part {damaged} does not match its checksum)"
        elif state["format"] != FORMAT:
            reason = f"has format {state['format']}, this version reads {FORMAT}"
        elif state["hash"] != run_hash:
            reason = f"belongs to another run (hash {state['hash']}, this one's {run_hash})"
        else:
            decisions = [Decision(*row) for row in state["decisions"]]
            return Checkpoint(state, [Metrics(*row) for row in state["metrics"]], decisions)
    except Exception as error:  # zip, pickle and torch each raise their own
        reason = f"is not a readable checkpoint ({type(error).__name__})"
    raise UserError(f"{path} {reason}: remove {path} to start the run anew.")


def _own_memory(value: Any) -> Any:
    """Return copies of tensors, on the CPU: torch.save would store the whole stack behind a view of one member."""
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {key: _own_memory(item) for key, item in value.items()}
    return value
