"""Sweeps on a real Slurm, started here on loopback: array jobs, cancelled and preempted tasks, bad settings."""

import errno
import os
import pickle
import shutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slurm
import torch
from conftest import QUIET, ROOT, config_of
from faults.contents import contents
from faults.small_disk import SmallDisk
from needs import need
from omegaconf import OmegaConf
from omegaconf.errors import InterpolationResolutionError
from submitit.core.utils import FailedJobError, JobPaths, UncompletedJobError
from test_sweep import SWEEP, Recorder

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.paths import conf_dir
from bayes_pruning.data import datasets
from bayes_pruning.results import frame
from bayes_pruning.runs import layout
from bayes_pruning.runs.progress import Display
from bayes_pruning.runs.train import job_of
from hydra_plugins.bayes_pruning import _slurm_queue, _slurm_sweep
from hydra_plugins.bayes_pruning._slurm_settings import slurm_settings
from hydra_plugins.bayes_pruning._slurm_task import SlurmStackTask

DIGITS = ("dataset=mnist_5k", "dataset.loader=slurm.few_digits")
HELD = ("-m", *DIGITS, "epochs=3", "pruner=random", "pruner.gate=slurm.held", "seed=range(0,4)", *QUIET)
ON_SLURM = ("hydra.launcher.cluster=slurm", "hydra.launcher.max_members=2")
PENDING = "+hydra.launcher.slurm.options.hold=true"
Command = Callable[..., tuple[Any, str]]


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    need("slurm")
    with slurm.cluster(tmp_path_factory.mktemp("slurm")) as config:
        yield config


@pytest.fixture
def cluster(config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a login node."""
    monkeypatch.setenv("SLURM_CONF", str(config))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file that the loader of this name reads: 500 + 200 of the embedded digits."""
    digits = datasets.mnist_5k(Path())
    path = tmp_path_factory.mktemp("digits") / "few_digits.pt"
    sizes = {"train": 500, "test": 200}
    fields = ("train_images", "train_labels", "test_images", "test_labels")
    torch.save({name: getattr(digits, name)[: sizes[name.split("_")[0]]].clone() for name in fields}, path)
    return path


class Sweep:
    """A sweep of two stacks on Slurm, held in its second epoch until the gate is there, and the same trained here."""

    def __init__(self, command: Command, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        self.command = partial(command, *HELD, f"data_root={folder}")
        self.gate = folder / "go"
        monkeypatch.setenv("HELD_UNTIL", str(self.gate))
        self.before = set(slurm.tasks())

    def here(self) -> dict[str, Any]:
        self.command(f"output_dir={self.folder / 'here'}")
        return contents(self.folder / "here")

    def on_slurm(self) -> tuple[Any, str]:
        return self.command(*ON_SLURM, f"output_dir={self.folder / 'there'}")

    def there(self) -> dict[str, Any]:
        left = contents(self.folder / "there")
        return {name: content for name, content in left.items() if not name.startswith(".submitit/")}

    def tasks(self) -> dict[str, dict[str, str]]:
        return {task: fields for task, fields in slurm.tasks().items() if task not in self.before}

    def holding(self) -> int:
        """Processes that were held so far."""
        return len(list(self.folder.glob("held *")))

    def disturb(self, action: Callable[[], None], held: int) -> None:
        """Have the launcher, while it waits, do something once so many processes were held."""
        waiting = [True]

        def sleep(_: float) -> None:
            if waiting and self.holding() == held:
                waiting.clear()
                action()
            slurm.time.sleep(0.2)

        self.monkeypatch.setattr(_slurm_queue, "sleep", sleep)


@pytest.fixture
def sweep(cluster: None, few_digits: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Sweep:
    shutil.copy(few_digits, tmp_path)
    return Sweep(command, tmp_path, monkeypatch)


@pytest.mark.slow
def test_a_cancelled_task_of_an_array_job_is_resumed_by_the_same_command(sweep: Sweep) -> None:
    def cancel_one() -> None:
        first, second = sorted(sweep.tasks())
        assert (first.partition("_")[0], second.partition("_")[2]) == (second.partition("_")[0], "1")  # one array
        subprocess.run(["scancel", second], check=True)
        slurm.wait_for(lambda: sweep.tasks()[second]["JobState"] == "CANCELLED")
        sweep.gate.touch()

    sweep.disturb(cancel_one, held=2)
    code, printed = sweep.on_slurm()
    assert "2 finished, 2 failed" in printed
    assert code.startswith("2 of 4 jobs failed:")
    assert code.count("ended in state CANCELLED") == 2
    incomplete = frame.load(sweep.folder / "there").incomplete
    assert [reason for _, reason in incomplete] == ["not finished: 1 epoch so far"] * 2
    code, printed = sweep.on_slurm()
    assert not code
    assert "2 finished, 2 skipped" in printed
    assert sweep.there() == sweep.here()


@pytest.mark.slow
def test_preempted_and_requeued_tasks_go_on_and_are_waited_for_again(sweep: Sweep) -> None:
    """One task gets the signal that submitit takes for a preemption, the other is requeued by hand."""

    def requeue_both() -> None:
        first, second = sorted(sweep.tasks())
        subprocess.run(["scancel", "--signal=USR2", first], check=True)
        subprocess.run(["scontrol", "requeue", second], check=True)
        raise KeyboardInterrupt

    sweep.disturb(requeue_both, held=2)
    assert sweep.on_slurm()[0] == 130
    sweep.disturb(sweep.gate.touch, held=4)  # Slurm starts a task again once its first process is dead
    code, printed = sweep.on_slurm()
    assert not code
    assert "4 finished" in printed
    assert len(sweep.tasks()) == 2  # nothing was submitted a second time
    assert sweep.there() == sweep.here()


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize(("first", "second"), [("a", "link"), ("a,b", "b")])
def test_tasks_at_work_are_known_by_any_command_for_their_runs(
    first: str, second: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    (tmp_path / "link").symlink_to(tmp_path / "a")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_slurm_queue, "sleep", interrupt)
    before, submitted = set(slurm.tasks()), []
    for output in (first, second):
        assert command(*SWEEP, *ON_SLURM, PENDING, "seed=0,1", f"output_dir={output}")[0] == 130
        submitted.append(slurm.tasks().keys() - before)
    assert submitted[0] == submitted[1]
    subprocess.run(["scancel", *submitted[1]], check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_of_two_commands_at_once_one_submits_and_both_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sbatch = tmp_path / "sbatch"
    sbatch.write_text(f"#!/bin/sh\nsleep 5\nexec {shutil.which('sbatch')} $@\n")
    sbatch.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    before, logs = set(slurm.tasks()), [tmp_path / "log0", tmp_path / "log1"]
    sweep = [*SWEEP, "progress=lines", *ON_SLURM, PENDING, "seed=0,1", f"output_dir={tmp_path / 'outputs'}"]
    processes = [
        subprocess.Popen([sys.executable, ROOT / "train.py", *sweep], stdout=log.open("w"), stderr=subprocess.DEVNULL)
        for log in logs
    ]
    slurm.wait_for(lambda: all("JobHeldUser" in log.read_text() for log in logs))
    for process in processes:
        process.send_signal(signal.SIGINT)
    assert [process.wait() for process in processes] == [130, 130]
    assert sorted(log.read_text().splitlines()[1].split()[0] for log in logs) == ["submitted", "waiting"]
    [task] = slurm.tasks().keys() - before
    subprocess.run(["scancel", task], check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_task_that_can_not_train_fails_its_jobs_with_its_sentence(command: Command, tmp_path: Path) -> None:
    Recorder.events = []
    before = set(slurm.tasks())
    callback = "+hydra.callbacks.recorder._target_=test_sweep.Recorder"
    asked = [f"hydra.launcher.slurm.{setting}" for setting in ("timeout_min=30", "cpus_per_task=2", "mem_gb=1")]
    asked += ["+hydra.launcher.slurm.options.comment=hello"]
    arguments = ("pruner=random", "seed=0,1", "device=cuda:99", f"output_dir={tmp_path}", callback)
    code, _ = command(*SWEEP, *ON_SLURM, *asked, *arguments)
    assert "2 of 2 jobs failed" in code
    assert code.count("device=cuda:99 is not accepted") == 2
    assert sorted(Recorder.events) == [
        ("end", "random 0 FAILED"),
        ("end", "random 1 FAILED"),
        ("start", "random 0"),
        ("start", "random 1"),
    ]
    [task] = [fields for name, fields in slurm.tasks().items() if name not in before]
    got = [task[name] for name in ("TimeLimit", "NumCPUs", "MinMemoryNode", "Comment", "Requeue")]
    assert got == ["00:30:00", "2", "1G", "hello", "1"]


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_task_writes_where_the_command_looks(
    few_digits: Path, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output_dir is relative, has an interpolation that only Hydra knows, and the task starts in another folder."""
    shutil.copy(few_digits, tmp_path)
    monkeypatch.chdir(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    where = (f"+hydra.launcher.slurm.options.chdir={elsewhere}", 'output_dir="runs/${now:%Y}"', "data_root=.")
    code, printed = command("-m", *DIGITS, "epochs=1", "pruner=random", *QUIET, *ON_SLURM, *where)
    assert not code
    assert "1 finished" in printed
    [output] = (tmp_path / "runs").iterdir()
    assert output.name.isdecimal()
    assert len(frame.load(output).frame) == 1
    assert not list(elsewhere.iterdir())


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_what_slurm_refuses_is_one_sentence_with_nothing_written(command: Command, tmp_path: Path) -> None:
    output = tmp_path / "outputs"
    code, _ = command(*SWEEP, *ON_SLURM, "hydra.launcher.slurm.partition=nowhere", "seed=0,1", f"output_dir={output}")
    assert "Slurm did not take the sweep" in code
    assert "nvalid partition" in code
    assert "\n" not in code.strip()
    assert not output.exists()
    output.mkdir()
    command(*SWEEP, *ON_SLURM, "hydra.launcher.slurm.partition=nowhere", "seed=0,1", f"output_dir={output}")
    assert not list(output.iterdir())  # the user's own folder stays


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_disk_that_can_not_be_written_is_one_sentence_with_nothing_written(command: Command) -> None:
    need("disk")
    with SmallDisk(kilobytes=40) as disk:
        output = disk.path / "runs"
        sweep = (*SWEEP, *ON_SLURM, "seed=0,1", "hydra.launcher.max_members=1", f"output_dir={output}")
        disk.fill()
        assert command(*sweep)[0].startswith(f"output_dir={output} can not be written (No space left on device: ")
        assert not output.exists()
        disk.remount("ro")
        assert command(*sweep)[0].startswith(f"output_dir={output} can not be written (Read-only file system: ")


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_tasks_that_can_not_be_noted_are_cancelled(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "record")

    before = set(slurm.tasks())
    monkeypatch.setattr(_slurm_sweep, "write_record", full)
    code, _ = command(*SWEEP, *ON_SLURM, "seed=0,1", f"output_dir={tmp_path / 'outputs'}")
    assert "No space left on device: record" in code
    assert {fields["JobState"] for task, fields in slurm.tasks().items() if task not in before} == {"CANCELLED"}


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_a_users_own_settings_of_squeue_hide_no_task(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sbatch = ["sbatch", "--parsable", "--hold", f"--output={tmp_path / 'log'}", "--wrap=true"]
    task = subprocess.run(sbatch, capture_output=True, text=True, check=True).stdout.strip()
    for name, value in (("PARTITION", "nowhere"), ("STATES", "RUNNING"), ("NAMES", "other"), ("FORMAT", "%u")):
        monkeypatch.setenv(f"SQUEUE_{name}", value)
    assert (_slurm_queue.ask_slurm() or {}).get(task) == ("PENDING", "JobHeldUser")
    subprocess.run(["scancel", task], check=True)


@pytest.mark.slow
@pytest.mark.usefixtures("cluster")
def test_hydras_submitit_launcher_trains_one_run_a_task(command: Command, tmp_path: Path) -> None:
    arguments = ("hydra/launcher=submitit_slurm", "pruner=random", "sparsity=0.73,0.31", f"output_dir={tmp_path}")
    code, _ = command(*SWEEP, *arguments)
    assert not code
    results = frame.load(tmp_path)
    assert sorted(results.frame["target_sparsity"].unique()) == [0.31, 0.73]
    assert not results.incomplete


BAD = [
    ({"timeout_min": 4}, "a whole number of at least 5"),
    ({"timeout_min": None}, "a whole number of at least 5"),
    ({"max_timeouts": -1}, "a whole number of at least 0"),
    ({"cpus_per_task": 0}, "a whole number of at least 1, or null"),
    ({"gpus_per_node": "half"}, "a whole number of at least 0, or null"),
    ({"mem_gb": True}, "a whole number of at least 1, or null"),
    ({"array_parallelism": 0.5}, "a whole number of at least 1"),
    ({"partition": 7}, "a name, or null"),
    ({"options": "exclusive"}, "options of sbatch"),
    ({"nodes": 2}, "no such field"),
]


@pytest.mark.parametrize(("change", "accepted"), BAD)
def test_a_setting_that_is_not_accepted_is_named(change: dict[str, Any], accepted: str) -> None:
    defaults = OmegaConf.load(conf_dir() / "hydra" / "launcher" / "stacked.yaml").slurm
    assert slurm_settings(defaults).partition is None
    [(name, value)] = change.items()
    with pytest.raises(UserError, match=f"hydra.launcher.slurm.{name}={value} .* {accepted}"):
        slurm_settings({**defaults, **change})


def test_the_defaults_leave_to_the_cluster_what_it_knows_and_bear_a_hundred_timeouts() -> None:
    launcher = OmegaConf.to_container(OmegaConf.load(conf_dir() / "hydra" / "launcher" / "stacked.yaml"))
    assert isinstance(launcher, dict)
    assert [launcher[name] for name in ("max_members", "workers", "cluster")] == [None] * 3
    assert launcher["slurm"] == {
        **dict.fromkeys(("partition", "cpus_per_task", "gpus_per_node", "mem_gb")),
        **{"timeout_min": 60, "max_timeouts": 100, "array_parallelism": 256, "options": {}},
    }


def test_what_a_task_asks_for_reaches_submitit_by_its_names() -> None:
    """srun is told the cores too, and an option of the user's own comes before ours."""
    settings = {"partition": "gpu", "timeout_min": 30, "cpus_per_task": 2, "gpus_per_node": 1, "mem_gb": 8}
    settings |= {"max_timeouts": 3, "array_parallelism": 4, "options": {"account": "mine", "requeue": False}}
    assert slurm_settings(settings).for_submitit() == {
        **{"slurm_partition": "gpu", "timeout_min": 30, "cpus_per_task": 2, "gpus_per_node": 1, "mem_gb": 8},
        **{"slurm_array_parallelism": 4, "slurm_srun_args": ["--cpus-per-task=2"]},
        "slurm_additional_parameters": {"account": "mine", "requeue": False},
    }


@pytest.mark.parametrize("setting", ["cluster=lsf", "slurm.timeout_min=1", "slurm=7"])
def test_a_bad_setting_is_one_sentence_with_nothing_written(setting: str, command: Command, tmp_path: Path) -> None:
    output = tmp_path / "outputs"
    code, _ = command(*SWEEP, *ON_SLURM, f"hydra.launcher.{setting}", f"output_dir={output}")
    assert f"hydra.launcher.{setting} is not accepted" in code
    assert "\n" not in code.strip()
    assert not output.exists()


def test_without_slurms_commands_the_sweep_says_so(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    code, _ = command(*SWEEP, *ON_SLURM, f"output_dir={tmp_path / 'outputs'}")
    assert "needs Slurm's commands: sbatch, srun, squeue, scontrol can not be found here" in code
    assert not (tmp_path / "outputs").exists()


def test_without_submitit_the_sweep_says_what_to_install(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    monkeypatch.delitem(sys.modules, "hydra_plugins.bayes_pruning._slurm_sweep", raising=False)
    # Not by its name: where Hydra loaded the plugins first, hydra_plugins has no attribute of that name.
    monkeypatch.delattr(sys.modules["hydra_plugins.bayes_pruning"], "_slurm_sweep", raising=False)
    code, _ = command(*SWEEP, *ON_SLURM, f"output_dir={tmp_path / 'outputs'}")
    assert "pip install submitit" in code
    assert not (tmp_path / "outputs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has what the test wants to be missing")
def test_without_a_gpu_here_the_size_of_its_stacks_has_to_be_said(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_slurm_sweep, "COMMANDS", ())
    code, _ = command(*SWEEP, ON_SLURM[0], "device=cuda", f"output_dir={tmp_path / 'outputs'}")
    assert "device=cuda" in code
    assert "say it with hydra.launcher.max_members" in code
    assert not (tmp_path / "outputs").exists()


def task_of(folder: Path, tmp_path: Path) -> tuple[_slurm_queue.SlurmTask, Path, Path]:
    """A task that trained a finished run and one that has not begun."""
    [finished, *_] = [path for path in folder.iterdir() if layout.is_finished(path)]
    unfinished = tmp_path / "unfinished"
    return _slurm_queue.SlurmTask("7_0", (finished, unfinished), JobPaths(tmp_path, "7_0")), finished, unfinished


def test_squeue_that_does_not_answer_is_said_once_and_asked_less_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    task = _slurm_queue.SlurmTask("7_0", (), JobPaths(tmp_path, "7_0"))
    clock, asked = [0.0], []

    def sleep(seconds: float) -> None:
        clock[0] += seconds
        if clock[0] == 600:
            task.files.result_pickle.touch()

    monkeypatch.setattr(_slurm_queue, "ask_slurm", lambda: asked.append(clock[0]))
    monkeypatch.setattr(_slurm_queue, "monotonic", lambda: clock[0])
    monkeypatch.setattr(_slurm_queue, "sleep", sleep)
    assert _slurm_queue.wait([task], Display("lines", total=0)) == {task: "COMPLETED"}
    assert 20 < len(asked) < 60
    assert asked[-1] - asked[-2] == _slurm_queue.LONGEST_PAUSE
    assert capsys.readouterr().out == "Slurm's squeue does not answer, and is asked again\n"


def test_a_task_has_ended_once_slurm_has_said_so_twice_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that is requeued looks ended for a moment."""
    task, clock = _slurm_queue.SlurmTask("7_0", (), JobPaths(tmp_path, "7_0")), iter(range(0, 10_000, 100))
    said = iter(["PREEMPTED", "PENDING", "OUT_OF_MEMORY", "OUT_OF_MEMORY"])
    monkeypatch.setattr(_slurm_queue, "ask_slurm", lambda: {"7_0": (next(said), "")})
    monkeypatch.setattr(_slurm_queue, "monotonic", lambda: next(clock))
    monkeypatch.setattr(_slurm_queue, "sleep", lambda _: None)
    assert _slurm_queue.wait([task], Display("none", total=0)) == {task: "OUT_OF_MEMORY"}
    assert not list(said)


def test_squeue_is_asked_for_all_tasks_whatever_the_user_has_set(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = SimpleNamespace(returncode=0, stdout="7_0|RUNNING|None\n7_1|PENDING|Resources\n8|PENDING|a | b\n")
    asked: list[Any] = []
    monkeypatch.setattr(_slurm_queue.subprocess, "run", lambda command, **how: asked.append((command, how)) or answer)
    monkeypatch.setenv("SQUEUE_PARTITION", "nowhere")
    queue = {"7_0": ("RUNNING", ""), "7_1": ("PENDING", "Resources"), "8": ("PENDING", "a | b")}
    assert _slurm_queue.ask_slurm() == queue
    [(command, how)] = asked
    assert {"--noheader", "--array", "--states=all", f"--user={os.getuid()}"} <= {*command}
    assert "SQUEUE_PARTITION" not in how["env"]
    assert how["env"]["PATH"] == os.environ["PATH"]
    answer.returncode = 1
    assert _slurm_queue.ask_slurm() is None


def test_tasks_are_counted_by_what_slurm_says_of_them(tmp_path: Path) -> None:
    names = ["7_0", "7_1", "7_2", "7_3", "7_4", "8_0"]
    tasks = [_slurm_queue.SlurmTask(name, (), JobPaths(tmp_path, name)) for name in names]
    waits = ("PENDING", "Resources")
    queue = {"7_0": ("RUNNING", ""), "7_1": waits, "7_2": waits, "7_3": ("PENDING", "None")}
    said = "tasks: 1 ended, 1 gone, 1 pending, 2 pending (Resources), 1 running"
    assert _slurm_queue._states(tasks, {tasks[4]}, queue) == said
    assert _slurm_sweep._names(tasks) == "job 7 (5 tasks), job 8 (1 task)"


def test_tasks_at_work_are_those_that_may_still_finish_a_run(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not one whose runs are all finished, one that has left its result, or one that Slurm has forgotten."""
    at_work, finished, unfinished = task_of(folder, tmp_path)
    others = {"7_1": (finished,), "7_2": (unfinished,), "7_3": (unfinished,)}
    tasks = [_slurm_queue.SlurmTask(name, runs, JobPaths(tmp_path / "%j", name)) for name, runs in others.items()]
    tasks[1].files.result_pickle.parent.mkdir()
    tasks[1].files.result_pickle.touch()
    _slurm_queue.write_record([at_work, *tasks], tmp_path)
    assert [path.name for path in tmp_path.glob("*.json")] == ["7.json"]
    queue = {name: ("RUNNING", "") for name in ("7_0", "7_1", "7_2")}
    monkeypatch.setattr(_slurm_queue, "ask_slurm", lambda: queue)
    assert [(task.id, task.folders) for task in _slurm_queue.tasks_at_work(tmp_path)] == [
        ("7_0", (finished, unfinished))
    ]
    monkeypatch.setattr(_slurm_queue, "ask_slurm", lambda: None)
    with pytest.raises(UserError, match="squeue does not answer, so it is unknown which runs are at work"):
        _slurm_queue.tasks_at_work(tmp_path)


def test_a_task_trains_in_the_commands_folder_by_a_clock_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings = ("epochs=4", "output_dir=runs", "max_minutes=1", *QUIET)
    configs = [config_of(*settings, f"seed={seed}") for seed in (0, 1)]
    begun = tmp_path / job_of(configs[0]).folder
    begun.mkdir(parents=True)
    (begun / "metrics.csv").write_text("the columns\n1\n")
    given: list[Any] = []
    monkeypatch.setattr("bayes_pruning.runs.sweep.train_or_fail", lambda *each: given.append(each) or [])
    monkeypatch.setattr("bayes_pruning.runs.train.time.monotonic", lambda: 100.0)
    assert SlurmStackTask([(config, None) for config in configs], tmp_path)() == []
    [(jobs, display, clock)] = given
    assert Path.cwd() == tmp_path
    assert [job.run.seed for job in jobs] == [0, 1]
    assert (display.total, display.done, clock.deadline) == (8, 1, 160.0)


def test_a_task_that_is_requeued_is_called_again() -> None:
    task = SlurmStackTask([], Path())
    assert task.checkpoint().function is task


class Sbatch:
    """In place of submitit's executor: it notes what is submitted, as jobs 7, 8, ..., or refuses it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.seeds, self.checked, self.ran = list[list[list[int]]](), list[int](), list[Any]()
        self.asked: dict[str, Any] = {}
        self.refusal = ""
        patched = {"COMMANDS": (), "check_data": lambda job, _: self.checked.append(job.run.seed)}
        for name, value in patched.items():
            monkeypatch.setattr(_slurm_sweep, name, value)
        monkeypatch.setattr(_slurm_sweep.submitit, "AutoExecutor", self.executor)
        monkeypatch.setattr(_slurm_sweep.subprocess, "run", lambda command, **_: self.ran.append(command))

    def executor(self, folder: Path, **asked: Any) -> "Sbatch":
        self.folder = folder
        self.asked |= asked
        return self

    def update_parameters(self, **asked: Any) -> None:
        self.asked |= asked

    def submit_array(self, tasks: list[SlurmStackTask]) -> list[Any]:
        if self.refusal:
            raise FailedJobError(self.refusal)
        ids = [f"{7 + len(self.seeds)}_{number}" for number in range(len(tasks))]
        self.seeds.append([[config.seed for config, _ in task.configs] for task in tasks])
        return [SimpleNamespace(job_id=name, paths=JobPaths(self.folder, name)) for name in ids]


def on_slurm(output: Path, max_members: int = 1) -> dict[Path, Any]:
    """Train three seeds on Slurm."""
    defaults = OmegaConf.load(conf_dir() / "hydra" / "launcher" / "stacked.yaml").slurm
    jobs = [job_of(config_of("epochs=4", *QUIET, f"seed={seed}", f"output_dir={output}")) for seed in range(3)]
    return _slurm_sweep.run_sweep(jobs, max_members, slurm_settings({**defaults, "max_timeouts": 3}))


def test_a_command_that_comes_again_submits_what_slurm_has_no_task_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first was stopped while it waited; Slurm has forgotten the task of seed 2 since."""
    sbatch, output = Sbatch(monkeypatch), tmp_path / "runs"

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(_slurm_sweep, "wait", interrupt)
    with pytest.raises(SystemExit) as stopped:
        on_slurm(output)
    assert stopped.value.code == 130
    assert sbatch.checked == [0, 1, 2]  # here, where there is a network
    assert sbatch.folder == output / ".submitit" / "%j"
    assert (sbatch.asked["cluster"], sbatch.asked["slurm_max_num_timeout"]) == ("slurm", 3)
    monkeypatch.setattr(_slurm_queue, "ask_slurm", lambda: {"7_0": ("RUNNING", ""), "7_1": ("PENDING", "")})
    monkeypatch.setattr(_slurm_sweep, "wait", lambda tasks, _: dict.fromkeys(tasks, "TIMEOUT"))
    outcomes = on_slurm(output, max_members=3)
    assert sbatch.seeds == [[[0], [1], [2]], [[2]]]
    reasons = [outcome.reason.partition(" (log")[0] for outcome in outcomes.values()]
    assert sorted(reasons) == [f"Slurm's task {name} ended in state TIMEOUT" for name in ("7_0", "7_1", "8_0")]


def test_what_sbatch_refuses_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sbatch = Sbatch(monkeypatch)
    sbatch.refusal = "sbatch failed:\nsbatch: error: invalid partition specified: nowhere."
    with pytest.raises(UserError, match=r"^Slurm did not take the sweep: sbatch: error: .* specified: nowhere\.$"):
        on_slurm(tmp_path / "runs")
    assert not list(tmp_path.iterdir())


def test_tasks_whose_record_can_not_be_written_are_cancelled_here_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "record")

    sbatch = Sbatch(monkeypatch)
    monkeypatch.setattr(_slurm_sweep, "write_record", full)
    with pytest.raises(UserError, match=r"can not be written \(No space left on device: record\)"):
        on_slurm(tmp_path / "runs")
    assert sbatch.ran == [["scancel", "7"]]


@pytest.mark.parametrize("text", ['{"99_0": ["/ru', "[]", '{"99_0": 7}'])
def test_a_damaged_record_of_tasks_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "99.json").write_text(text)
    with pytest.raises(UserError, match=r"99\.json can not be read \(.*Slurm's job 99 trains: .* remove the file"):
        _slurm_queue.tasks_at_work(tmp_path)


@pytest.mark.parametrize("state", ["CANCELLED", "OUT_OF_MEMORY", _slurm_queue.GONE])
def test_a_task_without_a_result_fails_its_unfinished_runs_with_its_state(
    state: str, folder: Path, tmp_path: Path
) -> None:
    task, finished, unfinished = task_of(folder, tmp_path)
    outcomes = task.outcomes(state)
    assert outcomes[finished].status == "finished"
    assert outcomes[unfinished].status == "failed"
    assert state in outcomes[unfinished].reason


@pytest.mark.parametrize(
    "error",
    [
        UncompletedJobError("Job not requeued because: timed-out too many times."),
        ZeroDivisionError("division by zero"),
        InterpolationResolutionError("Unsupported interpolation type now\n    full_key: output_dir\nobject_type=dict"),
    ],
)
def test_a_task_that_ended_in_an_error_says_which(error: Exception, folder: Path, tmp_path: Path) -> None:
    task, _, unfinished = task_of(folder, tmp_path)
    try:
        try:
            raise ValueError("an error that it was raised from")
        except ValueError as first:
            raise error from first
    except Exception:
        task.files.result_pickle.write_bytes(pickle.dumps(("error", traceback.format_exc())))
    outcome = task.outcomes("COMPLETED")[unfinished]
    assert outcome.status == "failed"
    assert f"{type(error).__name__}: {str(error).splitlines()[0].rstrip('.')} (log: " in outcome.reason


def test_a_config_error_reaches_the_launcher_from_its_workers() -> None:
    """Launchers of one run a job send the error of a failed job by pickle."""
    error = ConfigError("device", "cuda", "cpu")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
