"""What one task of a sweep on Slurm does: train its stack, in the same folders and to the same bits as here.

submitit pickles a `SlurmStackTask` and calls it in the task's process, having set up its answer to Slurm's signals:
before a preemption and when the time is nearly up, it requeues the task and ends the process at once. Nothing has to be
saved then, because every epoch has left a checkpoint; the requeued task is called again and goes on from there.
"""

from typing import TYPE_CHECKING, Any

from submitit.helpers import DelayedSubmission

from bayes_pruning.runs.stack_task import StackTask

if TYPE_CHECKING:
    from bayes_pruning.runs.train import Outcome


class SlurmStackTask(StackTask):
    """Trains the jobs of one stack when called."""

    def __call__(self) -> "list[Outcome]":
        """Outcomes in the order of the jobs."""
        # A signal before submitit has loaded this object would kill the task: torch, slow to import, has to wait.
        from bayes_pruning.runs import layout
        from bayes_pruning.runs.progress import Display
        from bayes_pruning.runs.train import Clock

        jobs = self.jobs()
        settings = jobs[0].values
        done = sum(layout.epochs_done(job.folder) for job in jobs)
        display = Display(settings["progress"], sum(job.run.epochs for job in jobs), done)
        display.title = "stack"
        try:
            return self.train(jobs, display, Clock(settings["max_minutes"]))
        finally:
            display.close()

    def checkpoint(self) -> Any:
        """What the requeued task shall call: submitit asks for this before it requeues."""
        return DelayedSubmission(self)
