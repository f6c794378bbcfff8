"""Run a sweep on Slurm: each stack is one task of an array job, submitted with submitit (docs/clusters.md).

The launcher's process plans, submits and waits; it may end before the tasks do, and the same command waits for them
again. Names of these modules begin with _ because Hydra imports all others at its start, and torch takes seconds.
"""

import fcntl
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from shlex import quote

import submitit
import torch
from omegaconf import DictConfig, OmegaConf
from submitit.core.utils import FailedJobError

from bayes_pruning.config.errors import UserError
from bayes_pruning.runs import layout, sweep
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.train import Clock, Job, Outcome, check_data, skipped
from hydra_plugins.bayes_pruning._slurm_queue import SlurmTask, tasks_at_work, wait, write_record
from hydra_plugins.bayes_pruning._slurm_settings import SlurmSettings
from hydra_plugins.bayes_pruning._slurm_task import SlurmStackTask

FILES = ".submitit"  # in output_dir: logs, pickles and records of tasks
COMMANDS = ("sbatch", "srun", "squeue", "scontrol")


def run_sweep(jobs: Sequence[Job], max_members: int | None, settings: SlurmSettings) -> dict[Path, Outcome]:
    """Train every run among `jobs` that is not finished, on Slurm; return what became of each, by folder.

    Without `max_members` the memory of this machine says how many runs share a stack. Raise UserError, before anything
    is submitted, where Slurm, its device or the data can not be had.
    """
    missing = [command for command in COMMANDS if shutil.which(command) is None]
    if missing:
        raise UserError(
            f"hydra.launcher.cluster=slurm needs Slurm's commands: {', '.join(missing)} can not be found here."
        )
    device = str(jobs[0].values["device"])
    if max_members is None and device.startswith("cuda") and not torch.cuda.is_available():
        raise UserError(
            f"device={device}: the memory of this machine says how many runs share a stack, and it has no such device; "
            f"say it with hydra.launcher.max_members."
        )
    return sweep.run_sweep(jobs, max_members, partial(_train_stacks, settings))


def _train_stacks(
    settings: SlurmSettings, stacks: Sequence[list[Job]], display: Display, _: Clock
) -> dict[Path, Outcome]:
    """Train the planned stacks (a sweep.TrainStacks); each task has its own clock."""
    by_folder: dict[Path, list[list[Job]]] = {}
    for stack in stacks:  # whose jobs share an output_dir
        by_folder.setdefault(Path(stack[0].values["output_dir"]).absolute() / FILES, []).append(stack)
    tasks = [task for folder, some in by_folder.items() for task in _tasks_of(some, folder, settings, display)]
    try:
        ended = wait(tasks, display)
    except KeyboardInterrupt:
        display.close()
        goes_on = f"Slurm's {_names(tasks)} goes on: the same command waits again, scancel ends it"
        print(f"Waiting was stopped, {goes_on}.", file=sys.stderr)
        sys.exit(130)
    outcomes = {path: outcome for task, state in ended.items() for path, outcome in task.outcomes(state).items()}
    jobs = [job for stack in stacks for job in stack]
    return {job.folder: outcomes.get(job.folder.resolve()) or skipped(job.folder) for job in jobs}


def _tasks_of(stacks: Sequence[list[Job]], folder: Path, settings: SlurmSettings, display: Display) -> list[SlurmTask]:
    """Return the tasks that train the stacks of one output_dir: those at work, and those submitted for the rest."""
    jobs = {job.folder.resolve(): job for stack in stacks for job in stack}
    with _alone_in(folder):
        tasks = [task for task in tasks_at_work(folder) if not jobs.keys().isdisjoint(task.folders)]
        taken = {path for task in tasks for path in task.folders}
        taken |= {path for path in jobs if layout.is_finished(path)}  # since the stacks were planned
        rest = [[job for job in stack if job.folder.resolve() not in taken] for stack in stacks]
        new = submit([stack for stack in rest if stack], folder, settings) if any(rest) else []
    if tasks:
        display.say(f"waiting for Slurm's {_names(tasks)}, submitted before")
    if new:
        display.say(f"submitted Slurm's {_names(new)}; if this command ends, the same command waits for it again")
    return tasks + new


def _names(tasks: Sequence[SlurmTask]) -> str:
    arrays = Counter(task.id.partition("_")[0] for task in tasks)
    return ", ".join(f"job {array} ({count} task{'s' * (count > 1)})" for array, count in arrays.items())


def submit(stacks: Sequence[list[Job]], folder: Path, settings: SlurmSettings) -> list[SlurmTask]:
    """Submit stacks as tasks of one array job. Raise UserError if data or network can not be had, or Slurm refuses."""
    for stack in stacks:  # here, because compute nodes often have no network to download from
        check_data(stack[0], torch.device("cpu"))
    executor = submitit.AutoExecutor(folder / "%j", cluster="slurm", slurm_max_num_timeout=settings.max_timeouts)
    imports = f"export PYTHONPATH={quote(':'.join(filter(None, sys.path)))}"  # tasks find the modules found here
    executor.update_parameters(name="bayes_pruning", slurm_setup=[imports], **settings.for_submitit())
    try:
        array = executor.submit_array(
            [SlurmStackTask([_planned(job) for job in stack], Path.cwd()) for stack in stacks]
        )
    except FailedJobError as error:
        raise UserError(f"Slurm did not take the sweep: {str(error).strip().splitlines()[-1].rstrip('.')}.") from error
    tasks = [
        SlurmTask(task.job_id, tuple(job.folder.resolve() for job in stack), task.paths)
        for task, stack in zip(array, stacks, strict=True)
    ]
    try:
        write_record(tasks, folder)
    except OSError:
        subprocess.run(["scancel", tasks[0].id.partition("_")[0]], check=False)  # the same command would not know them
        raise
    return tasks


def _planned(job: Job) -> tuple[DictConfig, DictConfig | None]:
    """Return the job's config with the values that were planned with, and Hydra's node; a task knows no `${now:%Y}`."""
    return OmegaConf.create(dict(job.values)), job.compose()[1]


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Make `folder` and keep other commands from submitting there; remove what was made if nothing was submitted.

    Raise UserError if it can not be written.
    """
    missing, lock = [path for path in (folder, *folder.parents) if not path.exists()], folder / "lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with lock.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            before = set(folder.iterdir())
            try:
                yield
            except (OSError, UserError):
                for path in set(folder.iterdir()) - (set() if before == {lock} else before):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
                raise
    except (OSError, UserError) as error:
        for path in missing:
            with suppress(OSError):  # it was not made after all, or another process has put something there
                path.rmdir()
        if isinstance(error, UserError):
            raise
        raise UserError(
            f"output_dir={folder.parent} can not be written ({error.strerror}: {error.filename}): give another folder."
        ) from error
