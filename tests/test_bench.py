"""The bench on few images: every mode runs, and those who are compared do the same work."""

import io
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import psutil
import pytest
import torch
from conftest import ROOT
from torch import nn

from bayes_pruning.config import random_streams
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Dataset, Split

METHODS = ("none", "random", "bayes_random", "bayes_magnitude")


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import bench

    return bench


@pytest.mark.parametrize("pruner", METHODS)
@pytest.mark.parametrize("kind", ["stack", "plain", "plain_fused", "floor"])
def test_a_process_of_the_bench_says_the_seconds_of_an_epoch_for_each_line(
    kind: str, pruner: str, bench: ModuleType, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import measuring

    monkeypatch.setitem(measuring.SIDE, "cpu", 16)
    monkeypatch.setitem(measuring.NUMBERS, "cpu", 100)
    monkeypatch.setattr(sys, "stdin", io.StringIO("\n\n"))
    small = ("--dataset", "mnist_5k", "--images", 120, "--members", 2)
    code, printed = script("bench_epoch.py", "--kind", kind, "--pruner", pruner, *small)
    facts, *seconds = map(json.loads, printed.splitlines())
    assert (code, facts, len(seconds)) == (0, {}, 2)
    assert min(seconds) > 0


@pytest.mark.parametrize(
    ("pruner", "gate", "evaluated"),
    [
        ("none", None, [20]),
        ("random", None, [20, 20]),
        ("bayes_random", None, [20, 120, 20, 120]),
        ("bayes_magnitude", 3.0, [20, 120, 20, 120]),
        ("bayes_magnitude", -3.0, [20]),
    ],
)
def test_the_plain_loop_evaluates_what_its_method_asks_for(
    pruner: str, gate: float | None, evaluated: list[int], bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Images of each pass: 20 of the test split, 120 of the training split; `gate` is the last log Bayes factor."""
    import plain_loop
    from setting import compose_config

    passes, trained = [], []

    def noted(model: nn.Module, split: Split) -> tuple[float, float]:
        passes.append(len(split))
        return evaluate(model, split)

    evaluate = plain_loop.evaluate
    monkeypatch.setattr(plain_loop, "evaluate", noted)
    splits = (Split(torch.randn(n, 1, 28, 28), torch.zeros(n, dtype=torch.int64)) for n in (120, 20))
    run = plain_loop.PlainLoop(compose_config(f"pruner={pruner}", "device=cpu"), Dataset(*splits))
    run.model.register_forward_hook(lambda _, __, logits: trained.append(len(logits) * logits.requires_grad))
    run.log_bayes_factor = gate
    run.epoch()
    assert ([rows for rows in trained if rows], passes) == ([64, 56], evaluated)
    zeros = [(weight == 0).float().mean().item() for weight in run.weights]
    assert zeros == pytest.approx([0.9 if len(evaluated) > 1 else 0.0] * 3, abs=1e-3)


def test_the_slowest_process_counts_and_each_has_its_cores_and_no_set_number_of_threads(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from racing import Racer, cores, race

    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    program = """if True:
        import json, os, pathlib, sys
        print(json.dumps([sorted(os.sched_getaffinity(0)), os.environ.get("OMP_NUM_THREADS")]), flush=True)
        try:
            pathlib.Path(sys.argv[1]).mkdir()
            seconds = 1
        except OSError:
            seconds = 3
        for turn, _ in enumerate(sys.stdin):
            print(seconds + turn**2, flush=True)"""
    one = cores()[:1]
    racer = Racer([sys.executable, "-S", "-c", program, str(tmp_path / "taken")], [one, one], 16)
    assert racer.networks == 32
    assert race({"two": racer}, turns=3) == {"two": (4.0, [one, None])}  # of 3, 4 and 7


def test_a_process_that_can_not_start_ends_the_race_with_its_command(bench: ModuleType) -> None:
    from racing import Racer, cores, race

    racer = Racer([sys.executable, "-S", "-c", "raise SystemExit(3)"], [cores()], 1)
    with pytest.raises(RuntimeError, match="SystemExit"):
        race({"broken": racer}, turns=1)


def test_busy_neighbours_are_gone_after_the_race(bench: ModuleType) -> None:
    from racing import neighbours

    with neighbours(2):
        busy = [each for each in psutil.Process().children() if each.cmdline()[-1:] == ["while True: pass"]]
    assert len(busy) == 2
    assert not any(process.is_running() for process in busy)


def test_the_table_of_epochs_has_a_row_for_each_way_and_a_column_for_each_method(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A second for all networks of a row together: a stack of 4 takes a quarter for each of them."""
    monkeypatch.setattr(bench, "race", lambda racers, turns: {name: (1.0, {"compiled": 2}) for name in racers})
    bench.main(["--data-root", "data", "--members", "4", "--methods", "none", "random"])
    lines = capsys.readouterr().out.splitlines()
    assert "| | on | none | random |" in lines
    assert "| (b) plain loop, data in memory | one core | 1 | 1 |" in lines
    assert "| a stack of 4 | one core | 0.25 | 0.25 |" in lines


def test_a_sweep_is_timed_with_workers_with_one_and_at_another_revision(
    bench: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other revision may know no workers, so its command does not name them."""
    commands: list[list[str]] = []

    def measured(command: list[str]) -> tuple[float, float]:
        commands.append(command)
        return 10.0 * len(commands), 100.0

    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    for step in (["init", "--quiet"], ["commit", "--quiet", "--allow-empty", "--message", "first"]):
        if shutil.which("git") is None:
            pytest.skip("needs git")
        subprocess.run([*git, *step], check=True)
    monkeypatch.setattr(bench, "ROOT", tmp_path)
    monkeypatch.setattr(bench, "run_measured", measured)
    bench.main(["--data-root", "data", "--turns", "1", "--against", "HEAD", "--sweep", "epochs=1", "seed=0,1"])
    assert ["hydra.launcher.workers=1" in command for command in commands] == [False, True, False]
    assert {"epochs=1", "seed=0,1", "wandb.mode=disabled"} < set(commands[0])
    programs = [Path(command[1]) for command in commands]
    assert programs[0] == programs[1] == tmp_path / "train.py"
    assert programs[2].name == "train.py"
    assert not programs[2].parent.exists()
    assert "| HEAD | 30.0 | 3.00 | 100 |" in capsys.readouterr().out


def test_the_load_is_a_whole_grid_that_trains_in_the_process_looked_at(
    bench: ModuleType, script: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import bench_load

    for runs in (0, 30):
        assert script("bench_load.py", "--runs", runs)[0] == 2
    monkeypatch.setattr(bench_load, "train", lambda arguments, _: sys.exit(" ".join(arguments)))
    with pytest.raises(SystemExit, match=r" hydra\.launcher\.workers=1 .* seed=range\(0,2\) "):
        bench_load.measure(40, "disabled", tmp_path)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--turns", "0"), "--turns and --members take"),
        (("--dataset", "mnist_5k", "--sweep"), "--sweep takes data set and network as overrides"),
    ],
)
def test_what_can_not_be_timed_is_refused(
    arguments: tuple[str, ...], sentence: str, bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        bench.main(["--data-root", "data", *arguments])
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize("more", [(), ("--sweep",)])
def test_a_row_that_is_not_there_is_refused(more: tuple[str, ...], bench: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"^--only bogus is in no row's name: they are .+; .+\.$"):
        bench.main(["--data-root", "data", "--only", "bogus", *more])


def test_the_help_of_a_bench_measures_nothing(script: Any) -> None:
    code, printed = script("bench_products.py", "--help")
    assert code == 0
    assert "python benchmarks/bench_products.py" in printed


def test_a_part_of_the_images_has_a_sixth_as_many_for_the_test(bench: ModuleType) -> None:
    from setting import part

    whole = Dataset(*(Split(torch.arange(30).view(30, 1), torch.arange(30)) for _ in range(2)))
    for split, images in zip(vars(part(whole, 12)).values(), (12, 2), strict=True):
        assert split.images.flatten().tolist() == split.labels.tolist() == list(range(images))
    assert part(whole, 0) is whole


def test_products_are_given_in_operations_a_second(
    bench: ModuleType, script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """64 images by 784 x 256 weights are 25.7 million multiplications and additions, here in a millisecond."""
    monkeypatch.setattr("measuring.median_seconds", lambda *_: 1e-3)
    code, printed = script("bench_products.py")
    assert code == 0
    assert f"| 784 x 256 | 64 |{' 25.7 |' * 4}" in printed


def test_rates_are_of_multiplications_and_additions_and_of_bytes_read_and_written(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import measuring

    monkeypatch.setattr(measuring, "median_seconds", lambda *_: 0.5)
    assert measuring.matrix_rate(side=4) == 2 * 64 / 0.5
    assert measuring.bandwidth(numbers=100) == 2 * 400 / 0.5


def test_the_first_call_of_what_is_timed_does_not_count(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    import measuring

    now, took = [0.0], iter([100.0, 3.0, 1.0, 2.0])
    monkeypatch.setattr(measuring, "clock", lambda: now[0])
    assert measuring.median_seconds(lambda: now.append(now.pop() + next(took)), 3) == 2


def test_the_floor_of_an_epoch_is_its_arithmetic_and_what_adam_moves(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At an operation and a byte a second: two steps and, of a method that prunes and asks, both splits twice."""
    import bench_epoch
    from setting import compose_config

    monkeypatch.setattr("measuring.matrix_rate", lambda: 1.0)
    monkeypatch.setattr("measuring.bandwidth", lambda: 1.0)
    data = Dataset(*(Split(torch.zeros(n, 1, 28, 28), torch.zeros(n, dtype=torch.int64)) for n in (120, 20)))
    found = bench_epoch.floor(compose_config("pruner=bayes_random", "model.hidden=[4]"), data)()
    first, last = 2 * 784 * 4, 2 * 4 * 10
    assert found == 120 * (2 * first + 3 * last) + 2 * 140 * (first + last) + 2 * 28 * (785 * 4 + 5 * 10)


@pytest.mark.parametrize("kind", ["stack", "plain"])
def test_each_timed_epoch_of_a_bayes_method_prunes(
    kind: str, bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though no Bayes factor is as large as this beta, so that the gate of the next epoch would be closed."""
    import bench_epoch
    import plain_loop
    from setting import compose_config

    from bayes_pruning.training.trainer import Trainer

    pruned: list[float] = []
    keep, prune = Trainer._keep, plain_loop.prune
    monkeypatch.setattr(Trainer, "_keep", lambda *given: pruned.append(0) or keep(*given))
    monkeypatch.setattr(plain_loop, "prune", lambda *given: pruned.append(0) or prune(*given))
    data = Dataset(*(Split(torch.randn(n, 1, 28, 28), torch.arange(n) % 10) for n in (60, 20)))
    config = compose_config("dataset=mnist_5k", "pruner=bayes_random", "model.hidden=[4]", "protocol.beta=1e37")
    epoch = bench_epoch.stack(config, data, 1) if kind == "stack" else bench_epoch.plain(config, data, None)
    pruned.clear()  # that of the epoch that is not timed
    for _ in range(3):
        epoch()
    assert len(pruned) == 3


def test_the_plain_loop_prunes_the_smallest_weights(bench: ModuleType) -> None:
    import plain_loop

    weight = torch.tensor([[1.0, -4.0], [3.0, -2.0]])
    plain_loop.prune([weight], 0.5, "magnitude")
    assert weight.tolist() == [[0, -4], [3, 0]]


def test_the_memory_of_a_command_is_that_of_all_its_processes(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    import measuring

    def process(mebibytes: int, *below: Any) -> Any:
        left = iter([None, 0])
        memory = SimpleNamespace(rss=mebibytes * 2**20)
        own = {"memory_info": lambda: memory, "children": lambda recursive: below, "poll": lambda: next(left)}
        return SimpleNamespace(returncode=0, **own)

    monkeypatch.setattr(measuring, "PAUSE", 0)
    monkeypatch.setattr(measuring.psutil, "Popen", lambda *_, **__: process(5, process(2), process(1)))
    assert measuring.run_measured(["train"])[1] == 8


def test_the_size_on_the_disk_is_that_of_whole_blocks(bench: ModuleType, tmp_path: Path) -> None:
    import bench_load

    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "weights").write_bytes(bytes(range(256)) * 4096)
    (tmp_path / "last").symlink_to(tmp_path / "run" / "weights")
    assert 2**20 <= bench_load.disk_use(tmp_path) <= 1.1 * 2**20


def test_what_a_phase_does_within_another_counts_once(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each look at the clock is a second after the last one; pruning evaluates between its two."""
    import profile_stacks

    clock = itertools.count()
    monkeypatch.setattr(profile_stacks.time, "perf_counter", lambda: next(clock))
    evaluator = SimpleNamespace(sums=lambda parameters, split: None)
    network: Any = SimpleNamespace(
        evaluator=evaluator, _train=list, _prune=lambda: evaluator.sums({"w": [1, 2]}, range(30))
    )
    phases = profile_stacks.Phases(network, torch.device("cpu"))
    network._train()
    network._prune()
    assert phases.seconds == {"training": 1, "evaluation": 1, "pruning": 2}
    assert phases.passes == [(2, 30)]


def test_a_peer_of_the_cnn_ends_in_one_sentence(bench: ModuleType) -> None:
    with pytest.raises(SystemExit, match=r"^--peer jax has model=fcn only, .*\.$"):
        bench.main(["--data-root", "data", "--peer", "jax", "--model", "cnn"])


def test_a_missing_peer_ends_in_one_sentence(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"^--peer jax needs JAX and optax, .* '\.\[peer\]' brings them\.$"):
        bench.main(["--data-root", "data", "--peer", "jax"])


def test_the_jax_program_does_the_work_of_the_engine(bench: ModuleType) -> None:
    jax = pytest.importorskip("jax", reason="needs the optional extra `peer`")
    pytest.importorskip("optax", reason="needs the optional extra `peer`")
    import bench_jax
    from setting import compose_config, part, run_values

    from bayes_pruning.config.schema import run_config
    from bayes_pruning.training.trainer import Trainer

    config = compose_config("dataset=mnist_5k")
    data = part(datasets.load(config.dataset, "data", torch.device("cpu")), 240)
    epoch, weights, state = bench_jax.program(config, data, 2)
    order = jax.numpy.asarray(random_streams.data_order(config.seed, 1, 240).numpy())
    _, _, (before, after) = epoch(weights, state, order, jax.random.key(0))
    trainer = Trainer([run_config(run_values(config))] * 2, data, torch.device("cpu"))
    for row in trainer.run_epoch():
        assert row is not None
        assert before[0][:, 1] / 40 == pytest.approx(row.test_accuracy)
        assert -after[0][:, 0] / 40 == pytest.approx(row.pruned_test_loss, rel=1e-4)
        assert before[1][:, 0] == pytest.approx(row.log_likelihood_before, rel=1e-4)
        change = after[1][:, 0] + after[2] - before[1][:, 0] - before[2]
        assert change == pytest.approx(row.log_bayes_factor, rel=1e-3)
