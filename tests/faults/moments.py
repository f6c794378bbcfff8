"""Kill a training process at chosen moments: hooks around what it computes and what it writes.

A phase passes many moments: one before every optimiser step and evaluation, and for every file that is written one
before its bytes, one in the middle of them, one after them, one before and one after it takes its name. `install`
counts them, and kills the own process at a chosen one.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bayes_pruning.engine.stack import Stack
from bayes_pruning.runs import files
from bayes_pruning.training.evaluation import Evaluator

PHASE_OF_FILE = {
    "config.yaml": "start",
    "hydra.yaml": "start",
    "overrides.yaml": "start",
    "checkpoint.pt": "checkpoint",
    "metrics.csv": "rows",
    "decisions.csv": "rows",
    "train.log": "rows",
    "weights.safetensors": "weights",
    "summary.json": "summary",
}
PHASES = ("training", "evaluation", *dict.fromkeys(PHASE_OF_FILE.values()))


@dataclass(frozen=True)
class Kill:
    """End the own process at the `moment`-th moment (from 1) of a phase."""

    phase: str
    moment: int
    signal: int


def install(kill: Kill | None) -> Counter[str]:
    """Put the hooks into this process; return the moments that each phase has passed, as they are counted."""
    passed: Counter[str] = Counter()

    def pass_moment(phase: str | None) -> None:
        if phase is None:
            return
        passed[phase] += 1
        if kill is not None and (kill.phase, kill.moment) == (phase, passed[phase]):
            os.kill(os.getpid(), kill.signal)

    _hook_method(Stack, "_step", lambda: pass_moment("training"))
    _hook_method(Evaluator, "sums", lambda: pass_moment("evaluation"))
    write_all, replace, truncate = files._write_all, os.replace, os.ftruncate

    def torn_write(file: Any, data: bytes) -> None:
        phase = _phase_of(file.name)
        pass_moment(phase)
        write_all(file, data[: len(data) // 2])
        pass_moment(phase)
        write_all(file, data[len(data) // 2 :])
        pass_moment(phase)

    def torn_replace(part: Path, path: Path) -> None:
        pass_moment(_phase_of(path))
        replace(part, path)
        pass_moment(_phase_of(path))

    def torn_truncate(descriptor: int, size: int) -> None:
        truncate(descriptor, size)
        pass_moment("rows")

    files._write_all = torn_write
    os.replace, os.ftruncate = torn_replace, torn_truncate  # type: ignore[assignment]
    return passed


def _hook_method(owner: type, name: str, before: Callable[[], None]) -> None:
    original = getattr(owner, name)

    def hooked(*args: Any) -> Any:
        before()
        return original(*args)

    setattr(owner, name, hooked)


def _phase_of(path: str | Path) -> str | None:
    return PHASE_OF_FILE.get(Path(path).name.removesuffix(".part"))
