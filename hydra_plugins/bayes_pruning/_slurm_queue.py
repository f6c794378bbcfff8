"""Keep the tasks of sweeps on Slurm: which run folders each trains, what Slurm says of it, what it left."""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep

from submitit.core.utils import JobPaths, pickle_load

from bayes_pruning.config.errors import UserError
from bayes_pruning.runs import layout
from bayes_pruning.runs.files import write_atomically
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.train import Outcome, outcome_in_folder

# States that Slurm does not leave again, but for COMPLETED: then the result was written, and is waited for.
GONE = "GONE"  # not Slurm's word: it forgets an ended task after some minutes (MinJobAge)
ENDED = ("BOOT_FAIL", "CANCELLED", "DEADLINE", "FAILED", GONE, "NODE_FAIL", "OUT_OF_MEMORY", "PREEMPTED", "TIMEOUT")
Queue = Mapping[str, tuple[str, str]]  # the state of each task and, while it is pending, the reason
LONGEST_PAUSE = 30.0  # seconds between two questions to Slurm, reached when a sweep has taken five minutes


@dataclass(frozen=True)
class SlurmTask:
    """Hold a task of an array job: its Slurm id, its run folders (resolved, in the stack's order), submitit's files."""

    id: str
    folders: tuple[Path, ...]
    files: JobPaths

    def has_result(self) -> bool:
        """Return whether the task has come to its own end, with its stack's outcomes or with an error."""
        return self.files.result_pickle.exists()

    def state(self, queue: Queue) -> str:
        """Return its state in Slurm's queue."""
        return queue.get(self.id, (GONE, ""))[0]

    def outcomes(self, state: str) -> dict[Path, Outcome]:
        """Return what became of each run folder, if the task has ended in Slurm's `state`."""
        reason = f"Slurm's task {self.id} ended in state {state} (log: {self.files.stderr})"
        if self.has_result():
            kind, result = pickle_load(self.files.result_pickle)
            if kind == "success":
                return dict(zip(self.folders, result, strict=True))
            lines = result.rpartition("Traceback (most recent call last):\n")[2].rstrip().splitlines()
            error = next((line for line in lines if not line.startswith(" ")), lines[-1])
            reason = f"Slurm's task {self.id}: {error.rstrip('.')} (log: {self.files.stderr})"
        return {folder: outcome_in_folder(folder, reason) for folder in self.folders}


def ask_slurm() -> Queue | None:
    """Return Slurm's queue of this user's tasks, None if it does not answer.

    sacct would know ended tasks for longer, but needs an accounting database that not every cluster has.
    """
    command = ["squeue", "--noheader", "--array", "--states=all", "--all", f"--user={os.getuid()}", "--format=%i|%T|%r"]
    # A SQUEUE_PARTITION, for instance, that the user set for other calls would hide tasks, which then look ended.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SQUEUE_")}
    answer = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if answer.returncode:
        return None
    lines = (line.split("|", 2) for line in answer.stdout.splitlines())
    return {task: (state, reason if state == "PENDING" else "") for task, state, reason in lines}


def wait(tasks: Sequence[SlurmTask], display: Display) -> dict[SlurmTask, str]:
    """Wait until each task has left a result, or Slurm says that it ended without; return the states they ended in."""
    start, asked, doubtful, said = monotonic(), float("-inf"), set[SlurmTask](), ""
    ended: dict[SlurmTask, str] = {}
    while True:
        ended |= {task: "COMPLETED" for task in tasks if task not in ended and task.has_result()}
        still = [task for task in tasks if task not in ended]
        if not still:
            return ended
        now = monotonic()
        if now - asked >= min(LONGEST_PAUSE, (now - start) / 10):
            asked, queue = now, ask_slurm()
            if queue is not None:
                over = {task for task in still if task.state(queue) in ENDED}
                # Believed the second time: one that is requeued, or has a result on its way, looks ended for a moment.
                ended |= {task: task.state(queue) for task in over & doubtful}
                doubtful = over
            text = "squeue does not answer, and is asked again" if queue is None else _states(tasks, ended, queue)
            if text != said:
                display.say(f"Slurm's {text}")
            said = text
            if display.bar is not None:
                done = sum(layout.epochs_done(path) for task in tasks for path in task.folders)
                display.bar.update(done - display.bar.n)
        sleep(1)


def _states(tasks: Sequence[SlurmTask], ended: Container[SlurmTask], queue: Queue) -> str:
    """Return in which states the tasks are, as a text."""
    counts = Counter("ended" if task in ended else _words(queue.get(task.id, (GONE, ""))) for task in tasks)
    return "tasks: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))


def _words(state: tuple[str, str]) -> str:
    name, reason = state
    return f"{name.lower()} ({reason})" if reason and reason != "None" else name.lower()


def write_record(tasks: list[SlurmTask], folder: Path) -> None:
    """Write to `folder` which task trains which runs, for a later command that meets them at work."""
    record = {task.id: [str(path) for path in task.folders] for task in tasks}
    write_atomically(folder / f"{tasks[0].id.partition('_')[0]}.json", json.dumps(record, indent=2).encode())


def tasks_at_work(folder: Path) -> list[SlurmTask]:
    """Return the tasks that an earlier command noted and Slurm still has. Raise UserError if that can not be told."""
    noted = []
    for record in sorted(folder.glob("*.json")):
        try:
            tasks = {
                task: tuple(Path(path).resolve() for path in paths)
                for task, paths in json.loads(record.read_bytes()).items()
            }
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise UserError(
                f"{record} can not be read ({type(error).__name__}), so it is unknown which runs Slurm's job "
                f"{record.stem} trains: once squeue no longer lists that job, remove the file."
            ) from error
        noted += [SlurmTask(task, paths, JobPaths(folder / "%j", job_id=task)) for task, paths in tasks.items()]
    unfinished = [task for task in noted if not all(map(layout.is_finished, task.folders))]
    if not unfinished:
        return []
    queue = ask_slurm()
    if queue is None:
        raise UserError("Slurm's squeue does not answer, so it is unknown which runs are at work: try again later.")
    return [task for task in unfinished if not task.has_result() and task.state(queue) not in ENDED]
