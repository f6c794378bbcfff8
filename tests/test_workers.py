"""Workers: a sweep by several processes leaves what it leaves alone, and each of them may die."""

import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock, call

import pytest
import torch
from conftest import QUIET, composed, run_of
from faults import attempts
from faults.contents import contents
from faults.wandb_troubles import descendants
from test_sweep import Recorder

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.schema import RunConfig
from bayes_pruning.engine import capacity, device
from bayes_pruning.runs import layout, planning, progress, tracking, workers
from bayes_pruning.runs.train import Clock, job_of
from bayes_pruning.training.trainer import Trainer

RUN = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=100", *QUIET)
SWEEP = ("-m", *RUN, "epochs=3", "pruner=random", "protocol.regrow=true,false", "seed=0,1,2", "sparsity=0.9")
ONE, TWO, THREE = (f"hydra.launcher.workers={count}" for count in (1, 2, 3))
Command = Callable[..., tuple[Any, str]]


@pytest.fixture(autouse=True)
def _few_digits(few_digits: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred digits instead of 5,000; workers are forked and see what a test has replaced."""
    monkeypatch.setattr("bayes_pruning.data.datasets.load", lambda *_: few_digits)


def before_epoch(act: Callable[[Trainer], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Do something with each trainer before each of its epochs, in whichever process it is."""
    run_epoch = Trainer.run_epoch

    def hooked(self: Trainer) -> Any:
        act(self)
        return run_epoch(self)

    monkeypatch.setattr(Trainer, "run_epoch", hooked)


def test_any_number_of_workers_leaves_the_bits_of_runs_that_train_alone(command: Command, tmp_path: Path) -> None:
    for name, number in (("alone", ("hydra/launcher=basic",)), ("1", (ONE,)), ("2", (TWO,)), ("3", (THREE,))):
        assert not command(*SWEEP, *number, f"output_dir={tmp_path / name}")[0]
    alone = contents(tmp_path / "alone")
    assert len(list(tmp_path.glob("alone/*/summary.json"))) == 6
    for name in ("1", "2", "3"):
        left = contents(tmp_path / name)
        assert left.keys() == alone.keys()
        assert left == alone


def test_each_worker_is_a_process_with_one_thread_and_none_is_left(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def note(_: Trainer) -> None:
        name = f"{os.getpid()} {torch.get_num_threads()} {device.cores()} {os.environ['OMP_NUM_THREADS']}"
        (tmp_path / f"worker {name}").touch()

    before_epoch(note, monkeypatch)
    monkeypatch.setattr("bayes_pruning.data.datasets.forget", lambda: pytest.fail("each worker would load the data"))
    assert not command(*SWEEP, THREE, f"output_dir={tmp_path / 'a'}")[0]
    notes = [path.name.split()[1:] for path in tmp_path.glob("worker *")]
    assert [note[1:] for note in notes] == [["1", "1", "1"]] * 3
    assert str(os.getpid()) not in [note[0] for note in notes]
    assert not any(Path(f"/proc/{note[0]}").exists() for note in notes)


@pytest.mark.parametrize("number", [ONE, TWO])
def test_one_worker_or_one_stack_is_this_process(
    number: str, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    processes = []
    before_epoch(lambda _: processes.append(os.getpid()), monkeypatch)
    seeds = "seed=0,1" if number == ONE else "seed=0"
    assert not command("-m", *RUN, "epochs=1", seeds, number, f"output_dir={tmp_path}")[0]
    assert processes == [os.getpid()]


def test_a_signal_without_a_name_has_its_number() -> None:
    assert workers._how_it_ended(-signal.SIGTERM) == "its worker process was ended by SIGTERM"
    assert workers._how_it_ended(-40) == "its worker process was ended by signal 40"
    assert workers._how_it_ended(0) == "its worker process ended by itself with exit status 0"


@pytest.mark.parametrize(("mode", "told"), [("disabled", 0), ("offline", 1)])
def test_without_wandb_nothing_is_told_of_a_worker_that_died(
    mode: str, told: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[Any] = []
    monkeypatch.setattr(tracking, "_send_through", sent.append)
    worker: Any = workers._Worker(None, Clock(None))
    worker.process = SimpleNamespace(join=lambda: None, exitcode=-signal.SIGKILL)
    worker.pipe = pipe = Mock()
    worker.stack = [SimpleNamespace(folder=tmp_path, values={"wandb": {"mode": mode}})]
    [outcome] = worker._died()
    assert (outcome.status, outcome.folder, worker.stack) == ("failed", tmp_path, [])
    assert worker.process is None  # its next stack has a new one
    assert pipe.mock_calls == [call.close()]
    assert len(sent) == told


@pytest.mark.parametrize(
    ("stack", "messages", "killed"),
    [([], [], []), (["a job"], [("ended", [])], []), (["a job"], [], [call.kill()])],
    ids=["idle", "ends in time", "does not end"],
)
def test_a_sweep_that_is_broken_off_asks_its_workers_to_end_before_it_kills_them(
    stack: list[Any], messages: list[Any], killed: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "STOP_PATIENCE", 0.01)
    worker = workers._Worker(None, Clock(None))
    worker.pipe, theirs = Pipe()
    worker.process, worker.stack = Mock(), stack
    for message in messages:
        theirs.send(message)
    workers._stop([worker], progress.Display("none", 0))
    worker.close()
    assert worker.process.mock_calls == [call.terminate(), *killed, call.join()]
    assert theirs.recv() is None
    assert worker.pipe.closed


def test_what_a_worker_says_and_what_its_epochs_were_is_shown_here() -> None:
    worker, display = workers._Worker(None, Clock(None)), Mock()
    worker.pipe, theirs = Pipe()
    remote = workers._RemoteDisplay(theirs)
    remote.title = "stack 1/2"
    remote.say("a line")
    remote.epoch([run_of("seed=3")], [None])
    theirs.close()
    assert worker.take_message(display) == worker.take_message(display) == []
    assert display.mock_calls == [call.say("a line"), call.epoch([run_of("seed=3")], [None])]
    assert display.title == "stack 1/2"


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, None])
def test_a_worker_that_dies_fails_its_own_members_and_the_same_command_goes_on(
    how: signal.Signals | None, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Four stacks of one, two workers; the one that has seed 1 dies in its second epoch."""

    def die(trainer: Trainer) -> None:
        if trainer.epoch == 1 and trainer.runs[0].seed == 1:
            os.kill(os.getpid(), how) if how else os._exit(7)

    stacks = ("-m", *RUN, "epochs=3", "seed=0,1,2,3", "hydra.launcher.max_members=1", TWO)
    with monkeypatch.context() as patch:
        before_epoch(die, patch)
        code, printed = command(*stacks, f"output_dir={tmp_path / 'a'}")
    assert "1 of 4 jobs failed" in code
    reason = {
        signal.SIGKILL: ": its worker process was ended by SIGKILL, as the system does when memory runs out",
        signal.SIGTERM: ": its worker process was ended by SIGTERM",
        None: ": its worker process ended by itself with exit status 7",
    }[how]
    [line] = [line for line in code.splitlines() if "seed=1 " in line]
    assert line.endswith(reason)
    assert "3 finished, 1 failed" in printed
    [died] = tmp_path.glob("a/*seed1*")
    assert layout.epochs_done(died) == 1
    assert "1 finished, 3 skipped" in command(*stacks, f"output_dir={tmp_path / 'a'}")[1]
    assert not command(*stacks[:-1], ONE, f"output_dir={tmp_path / 'b'}")[0]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.parametrize("number", [ONE, TWO])
def test_an_error_fails_its_own_stack_and_the_others_finish(
    number: str,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """A defect, and a file that a user can mend; the first stack and the one in the middle of three."""

    def err(trainer: Trainer) -> None:
        if trainer.runs[0].seed == 0:
            raise ZeroDivisionError("division of a test")

    stacks = ("epochs=1", "hydra.launcher.max_members=1", number, f"output_dir={tmp_path}")
    assert not command("-m", *RUN, "seed=1", *stacks)[0]
    [folder] = tmp_path.glob("*seed1*")
    (folder / "summary.json").unlink()
    (folder / "checkpoint.pt").write_bytes(b"no checkpoint")
    before_epoch(err, monkeypatch)
    code, printed = command("-m", *RUN, "seed=0,1,2", *stacks)
    assert "2 of 3 jobs failed" in code
    assert "1 finished, 2 failed" in printed
    reasons = [next(line for line in code.splitlines() if f"seed={seed} " in line) for seed in (0, 1)]
    assert reasons[0].endswith(": ZeroDivisionError: division of a test")
    assert caplog.text.count("A stack of 1 runs failed.") == caplog.text.count("in err\n") == 1  # with its stack trace
    assert "checkpoint.pt is not a readable checkpoint" in reasons[1]


def test_data_that_is_not_there_ends_a_sweep_before_anything_is_written(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: Any) -> None:
        raise UserError("The data is not there.")

    monkeypatch.setattr("bayes_pruning.data.datasets.load", missing)
    for number in (ONE, TWO):
        code, _ = command(
            "-m", *RUN, "seed=0,1", "hydra.launcher.max_members=1", number, f"output_dir={tmp_path / 'out'}"
        )
        assert code == "The data is not there."
        assert not list(tmp_path.glob("out/*fcn*"))


@pytest.mark.slow
def test_ctrl_c_ends_the_workers_in_order_and_the_next_start_goes_on(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It comes when the first worker has told of an epoch; the others are in the middle of theirs."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    def slow_after_one(trainer: Trainer) -> None:
        (tmp_path / f"process {os.getpid()}").touch()
        if trainer.epoch:
            time.sleep(60)  # the signal ends it

    with monkeypatch.context() as patch:
        patch.setattr(progress.Display, "epoch", interrupt)
        before_epoch(slow_after_one, patch)
        assert command(*SWEEP, TWO, f"output_dir={tmp_path / 'a'}")[0] == 130
    workers = [path.name.split()[1] for path in tmp_path.glob("process *")]
    assert workers
    assert not any(Path(f"/proc/{worker}").exists() for worker in workers)
    assert not list(tmp_path.glob("a/*/summary.json"))
    assert not list(tmp_path.rglob("*.part"))
    for name, number in (("a", TWO), ("b", ONE)):
        assert not command(*SWEEP, number, f"output_dir={tmp_path / name}")[0]
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


@pytest.mark.slow
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR2, signal.SIGKILL])
def test_workers_end_with_the_command_whatever_ends_it(how: signal.Signals, tmp_path: Path) -> None:
    output, log = tmp_path / "outputs", tmp_path / "log"
    process = attempts.start(["-m", *RUN, "epochs=100000", "seed=0,1", TWO, f"output_dir={output}"], log)
    deadline = time.monotonic() + 60
    while len(list(output.glob("*/checkpoint.pt"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.02)
    children = descendants(process)
    os.kill(process, how)
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert code == (130 if how is signal.SIGINT else -how)
    assert len(children) == 2
    while any(Path(f"/proc/{child}").exists() for child in children) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(Path(f"/proc/{child}").exists() for child in children)


@pytest.mark.slow
def test_there_is_one_clock(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers, four stacks of one, and time for one epoch of the first two: 4 s each, and 2 s to begin."""

    def slow(_: Trainer) -> None:
        time.sleep(4)

    stacks = ("-m", *RUN, "epochs=2", "seed=0,1,2,3", "hydra.launcher.max_members=1", TWO, f"output_dir={tmp_path}")
    with monkeypatch.context() as patch:
        before_epoch(slow, patch)
        code, printed = command(*stacks, f"max_minutes={6 / 60}")
    assert not code
    assert "4 stopped" in printed
    assert sorted(layout.epochs_done(folder) for folder in tmp_path.iterdir()) == [1, 1]
    assert "4 finished" in command(*stacks)[1]


def test_progress_is_one_display(command: Command, tmp_path: Path) -> None:
    stacks = ("-m", *RUN, "epochs=2", "seed=0,1,2,3", TWO, "hydra.launcher.max_members=1", f"output_dir={tmp_path}")
    _, printed = command(*stacks, "progress=lines")
    assert "4 runs; 4 to train in 4 stacks by 2 workers" in printed
    lines = [line for line in printed.splitlines() if "train loss" in line]
    assert len(lines) == 4 * 2
    assert printed.count("4 finished") == 1


def test_one_process_talks_to_wandb(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper is this process's; every run has all its epochs, one that dies with its worker ends as failed."""
    sent: list[dict[str, Any]] = []

    def send(self: tracking._Helper, message: dict[str, Any]) -> None:
        sent.append(message)
        (tmp_path / f"sends {os.getpid()}").touch()

    def die(trainer: Trainer) -> None:
        if trainer.epoch == 1 and trainer.runs[0].seed == 1:
            os.kill(os.getpid(), signal.SIGKILL)

    before_epoch(die, monkeypatch)
    monkeypatch.setattr(tracking._Helper, "send", send)
    arguments = ("-m", *RUN, "epochs=2", "seed=0,1,2", "hydra.launcher.max_members=1", TWO, "wandb.mode=offline")
    command(*arguments, f"output_dir={tmp_path / 'a'}")
    assert [path.name for path in tmp_path.glob("sends *")] == [f"sends {os.getpid()}"]
    told: dict[str, list[Any]] = {}
    seeds = {message["run"]: message["open"]["config"]["seed"] for message in sent if "open" in message}
    assert sorted(seeds.values()) == [0, 1, 2]
    for message in sent:
        if "row" in message:
            told.setdefault(seeds[message["run"]], []).append(message["row"]["epoch"])
        elif "finish" in message:
            told[seeds[message["run"]]].append(message["finish"]["failed"])
    assert told == {0: [1, 2, False], 1: [1, True], 2: [1, 2, False]}


def test_callbacks_fire_in_this_process(command: Command, tmp_path: Path) -> None:
    Recorder.events = []
    callback = "+hydra.callbacks.recorder._target_=test_sweep.Recorder"
    assert not command("-m", *RUN, "epochs=1", "seed=0,1", TWO, f"output_dir={tmp_path}", callback)[0]
    assert sorted(Recorder.events) == [
        ("end", "bayes_magnitude 0 COMPLETED"),
        ("end", "bayes_magnitude 1 COMPLETED"),
        ("start", "bayes_magnitude 0"),
        ("start", "bayes_magnitude 1"),
    ]


def test_a_worker_takes_the_cores_that_its_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "_cores", None)  # as where nobody has said how many cores to use
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        taken = workers.seats(None, "cpu"), workers.seats(3, "cpu")
    finally:
        os.sched_setaffinity(0, before)
    assert taken == ([None], [None, None, None])


@pytest.mark.parametrize(
    ("visible", "asked", "device", "seen"),
    [
        (None, 2, "auto", ["0", "1"]),
        ("5,7", None, "cuda", ["5", "7"]),
        ("GPU-a1,GPU-b2", 1, "auto", ["GPU-a1"]),
        ("5,7", None, "cuda:1", ["cuda:1"]),
        ("5,7", 2, "cpu", [None, None]),
    ],
)
def test_gpus_are_dealt_one_to_a_worker(
    visible: str | None, asked: int | None, device: str, seen: list[str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert workers.seats(asked, device) == seen
    monkeypatch.setattr("bayes_pruning.runs.sweep.run_sweep", lambda *_, on_cores: on_cores)
    job: Any = SimpleNamespace(values={"device": device})
    assert workers.run_sweep([job], None, asked) is (device == "cpu")  # or else each has a GPU's memory to itself


@pytest.mark.parametrize(("device", "has"), [("auto", 2), ("cuda:1", 1)])
def test_more_workers_than_gpus_are_refused(device: str, has: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with pytest.raises(ConfigError, match=f"hydra.launcher.workers=3 is not accepted: .* device={device} has {has}"):
        workers.seats(3, device)


def environment(*_: Any) -> tuple[str, Any]:
    """In place of training a stack: what the worker's process sees, where its outcomes are expected."""
    names = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")
    return "ended", [*(os.environ[name] for name in names), torch.get_num_threads(), torch.cuda.is_initialized()]


def spawned_work(*args: Any) -> None:
    """A worker process that trains nothing. It imports the package anew, so that nothing is replaced in it yet."""
    workers._train = environment
    workers._work(*args)


@pytest.mark.slow
def test_each_worker_sees_its_own_gpu_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real worker processes, started as for two GPUs."""
    job: Any = SimpleNamespace(compose=lambda: (None, None))
    crew = [workers._Worker(seat, Clock(None)) for seat in ("5", "GPU-b2")]
    with monkeypatch.context() as patch:
        patch.setattr(workers, "_work", spawned_work)
        for worker in crew:
            worker.begin([job], "stack")
    try:
        assert all(worker.pipe.poll(120) for worker in crew)
        seen: list[Any] = [worker.take_message(progress.Display("none", 0)) for worker in crew]
    finally:
        for worker in crew:
            worker.close()
    assert seen == [["5", "1", 1, False], ["GPU-b2", "1", 1, False]]


@pytest.mark.parametrize("bad", ["0", "-1", "half", "1.5", "true"])
def test_a_number_of_workers_that_is_not_accepted_is_one_sentence(bad: str, command: Command, tmp_path: Path) -> None:
    code, _ = command("-m", *RUN, "seed=0,1", f"hydra.launcher.workers={bad}", f"output_dir={tmp_path / 'outputs'}")
    assert code.lower().startswith(f"hydra.launcher.workers={bad} is not accepted")
    assert "\n" not in code.strip()
    assert not (tmp_path / "outputs").exists()


def jobs_of(run: RunConfig, seeds: int, sparsities: int = 1) -> list[Any]:
    """A grid of jobs that have not begun, sparsity by sparsity."""
    grid = [replace(run, seed=seed, sparsity=(n + 1) / 10) for n in range(sparsities) for seed in range(seeds)]
    return [SimpleNamespace(run=each, values={"output_dir": "nowhere"}, folder=Path(each.label())) for each in grid]


def test_memory_is_shared_among_workers(monkeypatch: pytest.MonkeyPatch, few_digits: Any) -> None:
    monkeypatch.setattr(capacity, "free_memory", lambda _: 60 * 2**20)
    one = job_of(composed(*RUN, "model.hidden=[256]"))
    assert planning.members_that_fit(one) == 3 * planning.members_that_fit(one, sharing=3) > 3


@pytest.fixture(scope="module")
def grid() -> list[Any]:
    """Seven runs of each of five seeds."""
    return jobs_of(run_of(), seeds=5, sparsities=7)


def test_one_worker_has_as_few_stacks_as_fit(grid: list[Any]) -> None:
    sizes = [len(stack) for stack in planning.plan(grid, lambda _: 16)]
    assert sorted(sizes) == [11, 12, 12]


@pytest.mark.parametrize("number", [2, 3, 4, 35])
def test_stacks_are_cut_so_that_workers_end_together(number: int, grid: list[Any]) -> None:
    stacks = planning.plan(grid, lambda _: 16, number)
    assert sorted(job.folder for stack in stacks for job in stack) == sorted(job.folder for job in grid)
    loads = [0] * number
    for stack in stacks:  # each worker takes the next stack when it is free
        loads[loads.index(min(loads))] += len(stack)
    assert max(loads) - min(loads) <= 1
    assert max(map(len, stacks)) <= 16


def test_members_of_one_seed_share_a_stack_where_that_pays(grid: list[Any]) -> None:
    """Five workers and five seeds."""
    stacks = planning.plan(grid, lambda _: 16, 5, prefer_one_seed=True)
    assert [[job.run.seed for job in stack] for stack in stacks] == [[seed] * 7 for seed in range(5)]


def test_more_workers_than_runs_get_one_each(grid: list[Any]) -> None:
    assert [len(stack) for stack in planning.plan(grid[:3], lambda _: 16, 8)] == [1, 1, 1]


def cut_short(run: RunConfig, epochs: int, folder: Path, seeds: int = 2) -> list[Any]:
    """Jobs that have done so many epochs."""
    jobs = [job for job in jobs_of(run, seeds)]
    for job in jobs:
        job.folder = folder / f"{job.folder}-{epochs}"
        job.folder.mkdir()
        (job.folder / "metrics.csv").write_text("the columns\n" + "a row\n" * epochs)
    return jobs


def test_runs_that_were_cut_short_share_a_stack_with_their_like_and_come_first(tmp_path: Path) -> None:
    groups = [cut_short(run_of("epochs=10"), epochs, tmp_path) for epochs in (3, 0, 7)]
    stacks = planning.plan([job for group in groups for job in group], lambda _: 16)
    assert [[job.folder for job in stack] for stack in stacks] == [
        [job.folder for job in groups[number]] for number in (2, 0, 1)
    ]


def test_a_run_costs_the_epochs_that_it_has_left(tmp_path: Path) -> None:
    """Two workers: the two new runs are dealt to both, because the other run has one epoch left."""
    jobs = [
        job for epochs, seeds in ((9, 1), (0, 2)) for job in cut_short(run_of("epochs=10"), epochs, tmp_path, seeds)
    ]
    assert [len(stack) for stack in planning.plan(jobs, lambda _: 16, 2)] == [1, 1, 1]


def test_the_longest_stacks_come_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """A convolutional network takes about a hundred times as long; alone at the end it would keep one worker busy."""
    monkeypatch.setattr(planning, "price", lambda job: {"fcn": 1.0, "cnn": 100.0}[job.run.model["name"]])
    jobs = [job for model in ("fcn", "cnn") for job in jobs_of(run_of(f"model={model}"), seeds=4)]
    stacks = planning.plan(jobs, lambda _: 16, 2)
    names = [stack[0].run.model["name"] for stack in stacks]
    assert names[:2] == ["cnn", "cnn"]
    assert sum(len(stack) for stack in stacks[:2]) == 4
    assert set(names[2:]) == {"fcn"}
    most = {"fcn": 4, "cnn": 1}  # that fit into memory
    stacks = planning.plan(jobs, lambda job: most[job.run.model["name"]])
    sizes = sorted((stack[0].run.model["name"], len(stack)) for stack in stacks)
    assert sizes == [("cnn", 1)] * 4 + [("fcn", 4)]


def test_a_convolutional_network_costs_what_its_operations_do(few_digits: Any) -> None:
    """Forward: twice the multiplications of each layer, here of a linear one alone, for each training image."""
    assert planning.price(job_of(composed(*RUN))) == 500 * 2 * (784 * 8 + 8 * 10)
