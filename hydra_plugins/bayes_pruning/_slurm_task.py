"""What one task of a sweep on Slurm does: train its stack, in the same folders and to the same bits as here.

submitit pickles a `StackTask` and calls it in the task's process, having set up its answer to Slurm's signals: before
a preemption and when the time is nearly up, it requeues the task and ends the process at once. Nothing has to be saved
then, because every epoch has left a checkpoint; the requeued task is called again and goes on from there.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig
from submitit.helpers import DelayedSubmission

if TYPE_CHECKING:
    from bayes_pruning.execute import Outcome


class StackTask:
    """Trains the jobs of one stack when called.

    Args:
        configs: of each job its own config and Hydra's node.
    """

    def __init__(self, configs: Sequence[tuple[DictConfig, DictConfig | None]]) -> None:
        self.configs = configs

    def __call__(self) -> "list[Outcome]":
        """Outcomes in the order of the jobs; a UserError fails them all with its sentence."""
        # A signal before submitit has loaded this object would kill the task: torch, slow to import, has to wait.
        from bayes_pruning import runs, sweep
        from bayes_pruning.errors import UserError
        from bayes_pruning.execute import FAILED, Clock, Outcome, job_of
        from bayes_pruning.reporting import Display

        jobs = [job_of(config, hydra) for config, hydra in self.configs]
        settings = jobs[0].values
        done = sum(runs.epochs_done(job.folder) for job in jobs)
        display = Display(settings["progress"], sum(job.run.epochs for job in jobs), done)
        display.title = "stack"
        try:
            return sweep.train_as_fits(jobs, display, Clock(settings["max_minutes"]))
        except UserError as error:
            return [Outcome(FAILED, job.folder, str(error).rstrip(".")) for job in jobs]
        finally:
            display.close()

    def checkpoint(self) -> Any:
        """What the requeued task shall call: submitit asks for this before it requeues."""
        return DelayedSubmission(self)
