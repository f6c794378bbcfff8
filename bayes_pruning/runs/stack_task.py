"""A stack that is sent elsewhere, to a worker process or a cluster: its configs, and how it trains there.

This module imports nothing of ours at its start: on a cluster signals have to be answered before torch is imported.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from omegaconf import DictConfig

if TYPE_CHECKING:
    from bayes_pruning.runs.progress import Display
    from bayes_pruning.runs.train import Clock, Job, Outcome


class StackTask:
    """The jobs of one stack as something that can be pickled.

    Args:
        stack: the jobs, each of which starts here: its config is composed.
    """

    def __init__(self, stack: "Sequence[Job]") -> None:
        self.configs: list[tuple[DictConfig, DictConfig | None]] = [job.compose() for job in stack]

    def jobs(self) -> "list[Job]":
        """The jobs anew."""
        from bayes_pruning.runs.train import job_of

        return [job_of(config, hydra) for config, hydra in self.configs]

    @staticmethod
    def train(jobs: "list[Job]", display: "Display", clock: "Clock") -> "list[Outcome]":
        """Outcomes in the order of the jobs; a UserError fails them all with its sentence."""
        from bayes_pruning.config.errors import UserError
        from bayes_pruning.runs import sweep
        from bayes_pruning.runs.train import FAILED, Outcome

        try:
            return sweep.train_in_time(jobs, display, clock)
        except UserError as error:
            return [Outcome(FAILED, job.folder, str(error).rstrip(".")) for job in jobs]
