"""How fast the engine is, beside the loop everybody writes and the machine's own limits, on the same work.

    python scripts/bench.py --data-root DATA                     FCN on MNIST: seconds a member and epoch
    python scripts/bench.py --data-root DATA --model cnn --members 1 4 --images 6000
    python scripts/bench.py --data-root DATA --sweep             20 runs of 2 epochs as whole commands

The work is a full Bayes-magnitude epoch: training, two evaluations, two posterior passes, pruning. Variants take
turns, so that a slow moment of the machine hits all of them; medians and ratios are what counts. The floor is the
operations over the best matrix rate measured here plus the optimiser's bytes over the memory bandwidth.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the checkout's package, installed or not

import torch
from everyday_loop import loaders, resident
from everyday_loop import train as everyday_train
from hydra import compose, initialize_config_dir
from measuring import bandwidth, machine, matrix_rate
from memory import run_measured

from bayes_pruning import datasets, device, models, workload
from bayes_pruning.config import run_config
from bayes_pruning.datasets import Dataset, Split
from bayes_pruning.paths import conf_dir
from bayes_pruning.training import Trainer

SCRIPTS = Path(__file__).resolve().parent


def compose_config(*overrides: str) -> Any:
    """A config as the command line composes it."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=["sparsity=0.9", "wandb.mode=disabled", *overrides])


def part(data: Dataset, images: int) -> Dataset:
    """The first `images` training images and a sixth as many for the test."""
    train, test = data.train, data.test
    return Dataset(
        Split(train.images[:images], train.labels[:images]),
        Split(test.images[: images // 6], test.labels[: images // 6]),
    )


def stack_epoch(config: Any, data: Dataset, members: int) -> float:
    """Seconds a member of one epoch of a stack of `members`, after one epoch that is not counted."""
    config = {**config, "pruner": {**config["pruner"], "gate": "always"}}  # so that both scores are done in every epoch
    trainer = Trainer([run_config(config)] * members, data, torch.device("cpu"))
    trainer.run_epoch()
    start = time.perf_counter()
    trainer.run_epoch()
    return (time.perf_counter() - start) / members


def resident_epoch(config: Any, data: Dataset) -> float:
    """Seconds of one epoch of a plain loop over data in memory, after one epoch that is not counted."""
    images = {True: data.train.images, False: data.test.images}
    labels = {True: data.train.labels, False: data.test.labels}
    return everyday_train(config, resident(images, labels, config.batch_size), data.shape)[-1]


def bench_epochs(arguments: argparse.Namespace) -> None:
    """Print the table of one model and data set."""
    more = [f"dataset={arguments.dataset}", f"model={arguments.model}", f"data_root={arguments.data_root}"]
    config = compose_config(*more, "epochs=2")
    whole = datasets.load(config.dataset, config.data_root, device.pick("cpu"))
    data = part(whole, arguments.images) if arguments.images else whole
    plain = run_values(config)
    model = models.build(config.model, data.shape, 10, 0)
    rate, speed = matrix_rate(), bandwidth()
    images = len(data.train), len(data.test)
    arithmetic = workload.epoch(model, data.shape, *images, config.batch_size, rows=1000).operations / rate
    memory = workload.optimiser_bytes(model, len(data.train), config.batch_size) / speed
    variants: dict[str, Callable[[], float]] = {"(b) plain loop, data in memory": lambda: resident_epoch(config, data)}
    for members in arguments.members:
        variants[f"(c) a stack of {members}"] = lambda members=members: stack_epoch(plain, data, members)
    times: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(arguments.repeats):
        for name, variant in variants.items():
            times[name].append(variant())
    results = {name: statistics.median(found) for name, found in times.items()}
    everyday = everyday_seconds(config, len(whole.train) + len(whole.test), len(data.train) + len(data.test))
    print(
        f"{machine()}; {arguments.model} on {len(data.train)} images of {arguments.dataset}, {arguments.repeats} turns"
    )
    print(f"matrix rate {rate / 1e9:.0f} GFLOP/s, memory {speed / 1e9:.1f} GB/s\n")
    print("| | seconds a member and epoch | faster than (a) | times the floor |\n|---|---:|---:|---:|")
    floor = arithmetic + memory
    for name, seconds in {**everyday, **results}.items():
        ratio = min(everyday.values()) / seconds
        print(f"| {name} | {seconds:.2f} | {ratio:.1f} | {seconds / floor:.1f} |")
    print(f"| floor: arithmetic {arithmetic:.2f} + optimiser's memory {memory:.2f} | {floor:.2f} | | 1.0 |")


def run_values(config: Any) -> dict[str, Any]:
    """A config as plain values."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=True)
    return dict(plain)


def everyday_seconds(config: Any, of: int, images: int) -> dict[str, float]:
    """(a) with 0 and 2 workers: one epoch each, scaled to the number of images that the others see."""
    found = {}
    for workers in (0, 2):
        config.epochs = 1
        shape = (3, 32, 32) if config.dataset.name == "cifar10" else (1, 28, 28)
        [seconds] = everyday_train(config, loaders(config, workers), shape)
        found[f"(a) DataLoader, {workers} workers"] = seconds * images / of
    return found


def bench_sweep(arguments: argparse.Namespace) -> None:
    """Time the same runs as whole commands: one after the other, two processes, and stacked."""
    with tempfile.TemporaryDirectory() as folder:
        common = [f"data_root={Path(arguments.data_root).resolve()}", f"dataset={arguments.dataset}", "epochs=2"]
        common += ["sparsity=0.5,0.9", f"seed=range(0,{arguments.runs // 2})", "wandb.mode=disabled", "progress=none"]
        common += [f"model={arguments.model}"]
        everyday = [sys.executable, str(SCRIPTS / "everyday_loop.py"), "-m", *common, f"output_dir={folder}/everyday"]
        stacked = [sys.executable, str(SCRIPTS.parent / "train.py"), "-m", *common, f"output_dir={folder}/stacked"]
        joblib = [*everyday, "hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]
        commands = {
            "stacked": (stacked, {}),
            "DataLoader loop, joblib with 2 processes": (joblib, {"OMP_NUM_THREADS": "1"}),
            "DataLoader loop, one after the other": ([*everyday, "hydra/launcher=basic"], {}),
        }
        print(f"{machine()}; {arguments.runs} runs of {arguments.model} on {arguments.dataset}, 2 epochs\n")
        print("| | wall seconds | seconds a run | times as long as stacked | peak memory, MiB |")
        print("|---|---:|---:|---:|---:|")
        first = None
        for name, (command, environment) in commands.items():
            wall, peak = run_measured(command, {**os.environ, **environment})
            first = first or wall
            print(
                f"| {name} | {wall:.0f} | {wall / arguments.runs:.2f} | {wall / first:.1f} | {peak:.0f} |", flush=True
            )


def main() -> None:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True, help="where torchvision's files are")
    parser.add_argument("--dataset", default="mnist", choices=["mnist", "fashion_mnist", "cifar10"])
    parser.add_argument("--model", default="fcn", choices=["fcn", "cnn"])
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 32], help="stack sizes")
    parser.add_argument("--images", type=int, default=0, help="training images for (b) and (c), 0: all")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--sweep", action="store_true", help="time whole commands instead")
    parser.add_argument("--runs", type=int, default=20, help="runs of the sweep, an even number")
    arguments = parser.parse_args()
    if arguments.sweep:
        bench_sweep(arguments)
    else:
        bench_epochs(arguments)


if __name__ == "__main__":
    main()
