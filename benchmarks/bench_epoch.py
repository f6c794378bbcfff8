"""Run one process of bench.py: an epoch of a stack, of a plain loop, or the least that the machine needs for one.

    python benchmarks/bench_epoch.py --kind stack --data-root DATA --model fcn --pruner bayes_magnitude --members 16

It waits until a line comes in, does an epoch and prints the seconds (racing.py). The gate of a Bayes method is as in a
first epoch each time, open, so that every epoch does what costs most. --root takes the package of another checkout.
"""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

KINDS = ("stack", "plain", "plain_fused", "floor")
WARM = 1280  # images of an epoch that is not timed
OLDER = {  # module of today: its name when all modules lay in one folder
    "config.schema": "config",
    "config.paths": "paths",
    "data.datasets": "datasets",
    "engine.device": "device",
    "models.networks": "models",
    "training.trainer": "training",
}


def parser() -> argparse.ArgumentParser:
    """Return the parser of what such a process is told."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--root", default=str(Path(__file__).resolve().parents[1]), help="checkout of the package")
    options.add_argument("--kind", choices=KINDS, default="stack")
    options.add_argument("--data-root", default="data")
    options.add_argument("--dataset", default="mnist")
    options.add_argument("--model", default="fcn")
    options.add_argument("--pruner", default="bayes_magnitude")
    options.add_argument("--members", type=int, default=1)
    options.add_argument("--images", type=int, default=0, help="training images, 0: all")
    return options


def stack(config: Any, data: Any, members: int) -> Callable[[], object]:
    """Return an epoch of a stack of networks that share their seed."""
    import torch
    from setting import part, run_values

    from bayes_pruning.config.schema import run_config
    from bayes_pruning.training.trainer import Trainer

    runs = [run_config(run_values(config))] * members
    Trainer(runs, part(data, WARM), torch.device("cpu")).run_epoch()
    trainer = Trainer(runs, data, torch.device("cpu"))

    def epoch() -> None:
        trainer.known = [None] * members
        rows = trainer.run_epoch()
        assert None not in rows, trainer.failures

    return epoch


def plain(config: Any, data: Any, fused: bool | None) -> Callable[[], object]:
    """Return an epoch of the plain loop over images in memory."""
    from plain_loop import PlainLoop
    from setting import part

    PlainLoop(config, part(data, WARM), fused).epoch()
    run = PlainLoop(config, data, fused)

    def epoch() -> None:
        run.log_bayes_factor = None
        run.epoch()

    return epoch


def floor(config: Any, data: Any) -> Callable[[], float]:
    """Return the least seconds: operations over the best matrix rate, and the optimiser's bytes over the bandwidth."""
    import workload
    from measuring import bandwidth, matrix_rate

    from bayes_pruning.models import networks

    model = networks.build(config.model, data.shape, 10, 0)
    train, test = len(data.train), len(data.test)
    prunes, asks = config.pruner.gate != "never", config.pruner.gate == "bayes_factor"
    images = (test + train * asks) * (1 + prunes)
    cost = workload.training(model, data.shape, train, config.batch_size)
    cost += workload.evaluation(model, data.shape, images, workload.steps(images, 1000))
    moved = workload.optimiser_bytes(model, train, config.batch_size)
    return lambda: cost.operations / matrix_rate() + moved / bandwidth()


def take_names(root: Path) -> None:
    """Make `bayes_pruning.config.schema` and the like importable from the checkout `root`, whatever its layout."""
    if (root / "bayes_pruning" / "config").is_dir():
        return
    for today, then in OLDER.items():
        package, _, name = today.partition(".")
        module = importlib.import_module(f"bayes_pruning.{then}")
        parent = sys.modules.setdefault(f"bayes_pruning.{package}", ModuleType(package))
        setattr(parent, name, module)
        sys.modules[f"bayes_pruning.{today}"] = module


def main() -> None:
    """Prepare an epoch and wait."""
    arguments = parser().parse_args()
    sys.path.insert(0, arguments.root)
    import torch
    from racing import say, serve

    take_names(Path(arguments.root))
    from setting import compose_config, part

    from bayes_pruning.data import datasets
    from bayes_pruning.engine import device

    names = [f"{name}={getattr(arguments, name)}" for name in ("data_root", "dataset", "model", "pruner")]
    config = compose_config(*names, "device=cpu", "epochs=1000")
    cpu = device.pick("cpu") if arguments.kind == "stack" else torch.device("cpu")
    device.keep_freed_memory()  # it helps a plain loop as well
    data = part(datasets.load(config.dataset, config.data_root, cpu), arguments.images)
    if arguments.kind == "floor":
        say(floor(config, data))
    elif arguments.kind == "stack":
        serve(stack(config, data, arguments.members))
    else:
        serve(plain(config, data, True if arguments.kind == "plain_fused" else None))


if __name__ == "__main__":
    main()
