"""Train the stack of one task of a sweep on Slurm, in the same folders and to the same bits as here.

submitit pickles a `SlurmStackTask` and calls it in the task's process, having set up its answer to Slurm's signals:
before a preemption and when the time is nearly up, it requeues the task and ends the process at once. Nothing has to be
saved then, because every epoch has left a checkpoint; the requeued task is called again and goes on from there.
"""

import os
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from submitit.helpers import Checkpointable


class SlurmStackTask(Checkpointable):
    """Train the jobs of one stack when called; Checkpointable says that a requeued task is called again.

    Args:
        configs: each job's composed config, resolved, and Hydra's own node.
        cwd: the folder that relative paths in them start at.
    """

    def __init__(self, configs: Sequence[tuple[DictConfig, DictConfig | None]], cwd: Path) -> None:
        self.configs, self.cwd = configs, cwd

    def __call__(self) -> list[Any]:
        """Return the outcomes (runs.train.Outcome) in the order of the jobs."""
        # A signal before submitit has loaded this object would kill the task: torch, slow to import, has to wait.
        from bayes_pruning.runs import layout, sweep
        from bayes_pruning.runs.progress import Display
        from bayes_pruning.runs.train import Clock, job_of

        os.chdir(self.cwd)  # sbatch's option `chdir` may have set another one
        jobs = [job_of(config, hydra) for config, hydra in self.configs]
        settings = jobs[0].values
        done = sum(layout.epochs_done(job.folder) for job in jobs)
        with closing(Display(settings["progress"], sum(job.run.epochs for job in jobs), done)) as display:
            display.title = "stack"
            return sweep.train_or_fail(jobs, display, Clock(settings["max_minutes"]))
