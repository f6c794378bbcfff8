"""Kill at chosen and at random moments, and repeat the same command until it ends: nothing may differ then.

A cycle is one command, killed one to three times and then left to end; what it left is compared, file by file and bit
by bit, with what the same command left undisturbed.
"""

import json
import random
import shutil
import signal
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.data import datasets
from faults import attempts, moments
from faults.contents import contents

WORKERS = "workers"
RUN = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=500", "epochs=3", "sparsity=0.9")
QUIET = ("wandb.mode=disabled", "progress=none", "device=cpu")
SWEEP = ("-m", *RUN, "pruner=bayes_random", "seed=0,1,2,3", "protocol.regrow=false", *QUIET)
STACKS_OF_TWO = "hydra.launcher.max_members=2"
COMMANDS = {  # two stacks of two: one is finished while the other trains, or two workers train them at the same time
    "single": (*RUN, "pruner=bayes_magnitude", *QUIET),
    "stacks": (*SWEEP, STACKS_OF_TWO, "hydra.launcher.workers=1"),
    WORKERS: (*SWEEP, STACKS_OF_TWO, "hydra.launcher.workers=2"),
}
TIMED, REAL = "any time", "any time, train.py"
KINDS = (*moments.PHASES, TIMED)
WORKER_DIED = "its worker process was ended by"
SIGNALS = (signal.SIGKILL, signal.SIGTERM)
MOST_KILLS_A_CYCLE = 3


@dataclass
class Report:
    """Hold what a campaign did.

    Attributes:
        kills: delivered, by (where in the run, command, signal).
        cycles: commands that were killed and left to end.
        faults: what was not as promised, one sentence each.
    """

    kills: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    cycles: int = 0
    faults: list[str] = field(default_factory=list)

    @property
    def total(self) -> int:
        """Return the number of kills delivered."""
        return self.kills.total()

    def markdown(self) -> str:
        """Return a table of the kills, and the verdict."""
        columns = [(command, kind.name) for command in COMMANDS for kind in SIGNALS]
        lines = ["| killed in | " + " | ".join(f"{c}, {s}" for c, s in columns) + " | kills |"]
        lines.append("|---" * (len(columns) + 2) + "|")
        for where in (*KINDS, REAL):
            cells = [self.kills[where, *column] for column in columns]
            lines.append(f"| {where} | " + " | ".join(map(str, cells)) + f" | {sum(cells)} |")
        verdict = f"{len(self.faults)} faults" if self.faults else "no difference, no stray file"
        lines.append(f"\n{self.total} kills in {self.cycles} cycles: {verdict}.")
        return "\n".join([*lines, *(f"- {fault}" for fault in self.faults)])

    def plain(self) -> dict[str, Any]:
        """Return the same for JSON."""
        kills = [[*key, count] for key, count in sorted(self.kills.items())]
        return {"kills": self.total, "by": kills, "cycles": self.cycles, "faults": self.faults}


class Campaign:
    """Run cycles in folders below `folder`.

    Args:
        folder: an empty folder; that of a cycle with a fault is kept.
        seed: decides what is killed when.
        real_every: each kill of this number hits a real `python train.py`; 0 for none.
    """

    def __init__(self, folder: Path, seed: int, real_every: int) -> None:
        self.folder, self.random, self.real_every = folder, random.Random(seed), real_every
        self.report = Report()
        self.wanted: dict[str, Any] = {}
        self.moments: dict[str, dict[str, int]] = {}
        self.seconds: dict[tuple[str, bool], float] = {}

    def prepare(self) -> None:
        """Run each command undisturbed; note what it leaves, the moments it passes, and how long it takes."""
        _load_all_that_children_need()
        for name, command in COMMANDS.items():
            output, counts = self.folder / f"undisturbed-{name}", self.folder / f"{name}.json"
            ended = attempts.forked([*command, f"output_dir={output}"], self._log, counts=counts)
            if ended.code:
                raise RuntimeError(f"the undisturbed command failed: {self._log.read_text()}")
            self.wanted[name], self.moments[name] = contents(output), json.loads(counts.read_text())
            self.seconds[name, False] = ended.seconds
        if self.wanted[WORKERS] != self.wanted["stacks"]:
            raise RuntimeError("two workers left something else than one process")
        if self.real_every:
            self._prepare_real()

    def _prepare_real(self) -> None:
        """Time the real command; what it leaves must be what the forked one left."""
        output = self.folder / "undisturbed-real"
        self.seconds["single", True] = attempts.real([*COMMANDS["single"], f"output_dir={output}"], self._log).seconds
        if contents(output) != self.wanted["single"]:
            raise RuntimeError("the same command in another process left something else")

    def run(self, kills: int, tell: Callable[[int], Any]) -> Report:
        """Run cycles until `kills` were delivered; call `tell` with each cycle's count."""
        while self.report.total < kills:
            before = self.report.total
            self._cycle(min(self.random.randint(1, MOST_KILLS_A_CYCLE), kills - before))
            tell(self.report.total - before)
        return self.report

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    def _cycle(self, kills: int) -> None:
        name = tuple(COMMANDS)[self.report.cycles % len(COMMANDS)]
        self.report.cycles += 1
        output = self.folder / f"cycle{self.report.cycles}"
        command = [*COMMANDS[name], f"output_dir={output}"]
        try:
            story = [self._kill(name, command) for _ in range(kills)]
            ended = attempts.forked(command, self._log)
        except (RuntimeError, TimeoutError) as error:
            self.report.faults.append(f"{output}: {error}")
            return
        told = f"{output}, {', then '.join(story)}"
        if ended.code:
            self.report.faults.append(f"{told}: exit status {ended.code}: {self._log.read_text()}")
        elif differing := _differences(self.wanted[name], contents(output)):
            self.report.faults.append(f"{told}: {', '.join(differing)}")
        else:
            shutil.rmtree(output)

    def _kill(self, name: str, command: Sequence[str]) -> str:
        """Start the command and kill it; return what was done. Raise RuntimeError if it ended in another way.

        With workers a chosen moment is one of each worker, which dies there, and the command says so at its end; at
        any time it is the command that dies.
        """
        number = self.report.total
        kind, by = KINDS[number % len(KINDS)], SIGNALS[number // len(KINDS) % len(SIGNALS)]
        if self.real_every and number % self.real_every == self.real_every - 1:
            kind = REAL
            ended = attempts.real(command, self._log, self._any_time("single", True, by))
        elif kind == TIMED:
            ended = attempts.forked(command, self._log, self._any_time(name, False, by))
        else:
            passed = self.moments["stacks"][kind] // 2 if name == WORKERS else self.moments[name][kind]
            ended = attempts.forked(command, self._log, moments.Kill(kind, self.random.randint(1, passed), by))
        if ended.code == -by or (name == WORKERS and ended.code == 1 and WORKER_DIED in self._log.read_text()):
            self.report.kills[kind, name, by.name] += 1
        elif ended.code:
            raise RuntimeError(f"exit status {ended.code} of an attempt: {self._log.read_text()}")
        return f"{by.name} ({kind}){'' if ended.code else ' which came too late'}"

    def _any_time(self, name: str, real: bool, by: int) -> attempts.Timed:
        return attempts.Timed(self.random.uniform(0, self.seconds[name, real]), by)


def _load_all_that_children_need() -> None:
    """Do what a child would do in its first seconds: find Hydra's plugins and read the data."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", overrides=[*RUN, *QUIET])
    GlobalHydra.instance().clear()
    datasets.load(config.dataset, config.data_root, torch.device("cpu"))


def _differences(wanted: dict[str, Any], left: dict[str, Any]) -> list[str]:
    """Return what is not as wanted, file by file."""
    return [
        f"{name} {'is missing' if name not in left else 'should not be there' if name not in wanted else 'differs'}"
        for name in sorted(wanted.keys() | left.keys())
        if wanted.get(name) != left.get(name)
    ]
