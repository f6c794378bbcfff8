"""Show where the time of Table 1's stacks goes, as multiples of what the device's arithmetic and memory need.

    python benchmarks/profile_stacks.py --data-root DATA --device cuda                     all six stacks of 105 runs
    python benchmarks/profile_stacks.py --data-root DATA --device cuda --stacks cnn/mnist --precision tf32 --trace DIR
    python benchmarks/profile_stacks.py --data-root DATA --members 4 --images 600          small, on a CPU

The rates of matrix products and of memory are measured first, in this process. Then, for each stack, one epoch after
two that are not counted (in which kernels are compiled and steps recorded): training, evaluation, and pruning, each
with the device's work waited for. A floor is the count of workload.py over a rate; "times" is the
measured time over the higher of the two. Memory is the most that the stack, its data included, held at once on a GPU.
--compile adds the same stacks with torch.compile.
"""

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout  # noqa: F401  (so that the package is found)
import torch
import workload
from measuring import bandwidth, machine, matrix_rate, wait
from omegaconf import OmegaConf
from setting import compose_config, part, run_values
from workload import Cost

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.config.schema import FULL, PRECISIONS, RunConfig, run_config
from bayes_pruning.data import datasets
from bayes_pruning.engine import device as devices
from bayes_pruning.models import networks
from bayes_pruning.training.trainer import Trainer

STACKS = [f"{model}/{dataset}" for model in ("fcn", "cnn") for dataset in workload.DATA]
WARM_EPOCHS, TRACED_STEPS = 2, 20


def grid(stack: str, kind: str, members: int | None) -> list[RunConfig]:
    """Return the distinct runs of Table 1 of one model and data set, or the first `members` of them."""
    model, dataset = stack.split("/")
    table: Any = OmegaConf.load(conf_dir() / "experiment" / "table1.yaml").hydra.sweeper.params
    distinct: dict[str, RunConfig] = {}
    for pruner in table.pruner.split(","):
        values = run_values(compose_config(f"dataset={dataset}", f"model={model}", f"pruner={pruner}"))
        for sparsity in map(float, table.sparsity.split(",")):
            for seed in range(5):
                run = run_config({**values, "sparsity": sparsity, "seed": seed, "precision": kind})
                distinct.setdefault(run.hash(), run)
    runs = list(distinct.values())[: members or None]
    return sorted(runs, key=lambda run: run.seed)


class Phases:
    """Time each phase of a trainer's epochs, the device's work included, and note what was evaluated."""

    def __init__(self, trainer: Trainer, device: torch.device) -> None:
        self.device = device
        self.seconds = {"training": 0.0, "evaluation": 0.0, "pruning": 0.0}
        self.passes: list[tuple[int, int]] = []  # networks, and images that each of them was evaluated on
        evaluator = trainer.evaluator
        trainer._train = self._timed("training", trainer._train)  # type: ignore[method-assign]
        evaluator.sums = self._timed("evaluation", self._counted(evaluator.sums))  # type: ignore[method-assign]
        trainer._prune = self._timed("pruning", trainer._prune)  # type: ignore[method-assign]

    def _counted(self, sums: Callable[..., Any]) -> Callable[..., Any]:
        def call(parameters: Any, split: Any) -> Any:
            self.passes.append((len(next(iter(parameters.values()))), len(split)))
            return sums(parameters, split)

        return call

    def _timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            before = sum(self.seconds.values())
            wait(self.device)
            start = time.perf_counter()
            result = function(*arguments)
            wait(self.device)
            inner = sum(self.seconds.values()) - before  # pruning evaluates, too
            self.seconds[name] += time.perf_counter() - start - inner
            return result

        return call


def some_steps(trainer: Trainer) -> None:
    """Do a few steps and an evaluation of the test images on a GPU (an epoch is a million events), else an epoch."""
    if trainer.resident is None:
        trainer.run_epoch()
        return
    trainer.resident.done.zero_()
    for _ in range(TRACED_STEPS):
        trainer.resident.step()
    trainer.evaluator.sums({name: p.detach() for name, p in trainer.stack.parameters.items()}, trainer.data.test)


def trace(trainer: Trainer, path: Path, device: torch.device) -> None:
    """Write the operations that `some_steps` spends most time in."""
    kinds = [torch.profiler.ProfilerActivity.CPU]
    kinds += [torch.profiler.ProfilerActivity.CUDA] if device.type == "cuda" else []
    with torch.profiler.profile(activities=kinds) as profile:
        some_steps(trainer)
        wait(device)
    order = f"self_{'cuda' if device.type == 'cuda' else 'cpu'}_time_total"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(profile.key_averages().table(sort_by=order, row_limit=40, max_name_column_width=90))


def measure(
    stack: str, kind: str, compiled: bool, arguments: argparse.Namespace, device: torch.device, rates: Any, speed: float
) -> dict[str, Any]:
    """Return one stack's times and floors, in seconds an epoch."""
    runs = grid(stack, kind, arguments.members)
    devices.prepare(kind, False, device)
    data = part(datasets.load(runs[0].dataset, arguments.data_root, device), arguments.images)
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)  # else it would be that of the matrices whose rate was measured
    start = time.perf_counter()
    trainer = Trainer(runs, data, device)
    if compiled:
        trainer.stack.compile()
    wait(device)
    begun = time.perf_counter() - start
    for _ in range(WARM_EPOCHS):
        trainer.run_epoch()
    phases = Phases(trainer, device)
    start = time.perf_counter()
    trainer.run_epoch()
    wait(device)
    whole = time.perf_counter() - start
    model, rows = networks.build(runs[0].model, data.shape, datasets.CLASSES, 0), trainer.evaluator.rows
    evaluated = [
        workload.evaluation(model, data.shape, each, workload.steps(each, rows)) * networks
        for networks, each in phases.passes
    ]
    costs = {
        "training": workload.training(model, data.shape, len(data.train), runs[0].batch_size) * len(runs),
        "evaluation": sum(evaluated, Cost(0, 0)),
    }
    seconds = dict(phases.seconds)
    memory = torch.cuda.max_memory_allocated(device) if device.type == "cuda" else None
    if arguments.trace:
        trace(trainer, arguments.trace / f"{stack.replace('/', '_')}_{kind}{'_compiled' * compiled}.txt", device)
    return {
        "stack": stack,
        "precision": kind,
        "compiled": compiled,
        "members": len(runs),
        "images": len(data.train) + len(data.test),
        "begin": begun,
        "epoch": whole,
        **seconds,
        "floors": {name: cost.seconds(rates[kind], speed) for name, cost in costs.items()},
        "memory": memory,
    }


def show(row: dict[str, Any]) -> str:
    """Return one row of the table."""
    kind = f"{row['precision']}, compiled" if row["compiled"] else row["precision"]
    cells = [row["stack"], kind, str(row["members"]), f"{row['epoch']:.2f}"]
    for name in ("training", "evaluation"):
        arithmetic, memory = row["floors"][name]
        times = row[name] / max(arithmetic, memory)
        cells.append(f"{row[name]:.2f} = {times:.1f} x ({arithmetic:.2f}, {memory:.2f})")
    cells.append(f"{row['pruning']:.2f}")
    cells.append(f"{row['memory'] / 1e9:.1f}" if row["memory"] else "")
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Measure, print the table, keep all numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True, help="where torchvision's files are")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--stacks", nargs="+", default=STACKS, help=f"of {', '.join(STACKS)}; default: all")
    parser.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    parser.add_argument("--members", type=int, help="runs of a stack; default: all 105")
    parser.add_argument("--images", type=int, default=0, help="training images, 0: all")
    parser.add_argument("--compile", action="store_true", help="also each stack with torch.compile")
    parser.add_argument("--trace", type=Path, metavar="DIR", help="write there what each stack spends most time in")
    parser.add_argument("--out", type=Path, help="append all numbers to this file, a line of JSON a stack")
    parser.add_argument("--side", type=int, help="of the matrices whose product gives the rate")
    parser.add_argument("--copied", type=int, help="numbers whose copy gives the bandwidth")
    arguments = parser.parse_args()
    device = devices.pick(arguments.device)
    kinds = PRECISIONS if device.type == "cuda" else (FULL,)
    rates = {kind: matrix_rate(device, kind, arguments.side) for kind in kinds}
    speed = bandwidth(device, arguments.copied)
    listed = ", ".join(f"{kind} {rate / 1e12:.3g}" for kind, rate in rates.items())
    print(f"{machine(device)}\nmatrix rates, TFLOP/s: {listed}; memory {speed / 1e9:.4g} GB/s\n")
    print("Seconds an epoch of a whole stack; in brackets the floors of arithmetic and of memory.\n")
    titles = ["stack", "precision", "members", "epoch", "training", "evaluation", "pruning", "GB"]
    print(f"| {' | '.join(titles)} |\n|---|---|---:|---:|---|---|---:|---:|", flush=True)
    for stack in arguments.stacks:
        for kind, compiled in itertools.product(arguments.precision, (False, True) if arguments.compile else (False,)):
            row = measure(stack, kind, compiled, arguments, device, rates, speed)
            print(show(row), flush=True)
            if arguments.out:
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                with arguments.out.open("a") as file:
                    file.write(json.dumps(row | {"rates": rates, "bandwidth": speed}) + "\n")


if __name__ == "__main__":
    main()
