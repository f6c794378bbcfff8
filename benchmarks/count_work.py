"""Count operations and bytes of Table 1, and the times that no machine of given rates can beat.

    python benchmarks/count_work.py                                              the rates of an H200 as documented
    python benchmarks/count_work.py --fp32 51 --tf32 400 --memory 4.3    measured ones: TFLOP/s, TB/s

Counted from the networks (workload.py), nothing is measured. A step is of 105 runs with a batch
of 64; an epoch trains, and evaluates both splits twice. A floor is the larger of operations over the rate of a
precision and bytes over the memory's, training and evaluation apart.

--as-done counts the bytes of the engine's own operations too (gpu_rules.py), each of which reads and writes them once.
Its seconds are those bytes over the memory's rate in Table 1: every epoch a pass over the training images and two
evaluations of the test images, and of the Bayes runs, two in five, two of the training images in every second epoch.
"""

import argparse

import checkout  # noqa: F401  (so that the package is found)
import workload
from gpu_rules import META, GpuRules, stack_of
from setting import compose_config, run_values
from workload import Cost

from bayes_pruning.config.schema import PRECISIONS, run_config
from bayes_pruning.data import datasets
from bayes_pruning.engine import capacity
from bayes_pruning.models import networks

SEEDS, EACH = 5, 21
MEMBERS = SEEDS * EACH


def stack(model: str, dataset: str) -> tuple[Cost, Cost, Cost, int]:
    """Return what a step, evaluating both splits and training an epoch cost for all members, and how many epochs."""
    config = compose_config(f"model={model}", f"dataset={dataset}")
    shape, train, test = workload.DATA[dataset]
    network = networks.build(config.model, shape, datasets.CLASSES, seed=0)
    rows = capacity.evaluation_rows(capacity.footprint(network, shape), META, MEMBERS)
    passes = workload.steps(train, rows) + workload.steps(test, rows)
    return (
        workload.training_step(network, shape, config.batch_size) * MEMBERS,
        workload.evaluation(network, shape, train + test, passes) * MEMBERS,
        workload.training(network, shape, train, config.batch_size) * MEMBERS,
        config.epochs,
    )


def as_done(model: str, dataset: str, speed: float) -> str:
    """Return a row of the last table."""
    config = compose_config(f"model={model}", f"dataset={dataset}")
    shape, train, test = workload.DATA[dataset]
    runs = [run for seed in range(SEEDS) for run in [run_config(run_values(config) | {"seed": seed})] * EACH]
    trainer = stack_of(runs, shape, train, test)
    assert trainer.resident is not None
    with GpuRules() as step:
        trainer.resident.step()
    with GpuRules() as scored:
        trainer.evaluator.sums({name: p.detach() for name, p in trainer.stack.parameters.items()}, trainer.data.test)
    passes = 2 + 2 / 5 * 2 / 2 * train / test  # over the test images, or as many others
    moved = workload.steps(train, config.batch_size) * step.moved + passes * scored.moved
    cells = [step.moved / 1e9, scored.moved / 1e9 * (train + test) / test, max(step.peak, scored.peak) / 1e9]
    return f"{' | '.join(f'{cell:.3g}' for cell in cells)} | {config.epochs * moved / speed:.0f}"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for kind, rate in zip(PRECISIONS, (67.0, 395.0), strict=True):
        parser.add_argument(f"--{kind}", type=float, default=rate, help="TFLOP/s (default: %(default)s)")
    parser.add_argument("--memory", type=float, default=4.3, help="TB/s, read and written (default: %(default)s)")
    parser.add_argument("--as-done", action="store_true", help="also what the engine's operations move")
    arguments = parser.parse_args()
    rates = {kind: getattr(arguments, kind) * 1e12 for kind in PRECISIONS}
    speed = arguments.memory * 1e12
    print("| stack | GFLOP a step | GB a step | TFLOP an evaluation | GB an evaluation | PFLOP in all | TB in all |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    floors, total = {}, Cost(0, 0)
    for model in ("fcn", "cnn"):
        for dataset in workload.DATA:
            step, scored, training, epochs = stack(model, dataset)
            whole = (training + scored * 2) * epochs
            total += whole
            cells = [step.operations / 1e9, step.bytes / 1e9, scored.operations / 1e12, scored.bytes / 1e9]
            cells += [whole.operations / 1e15, whole.bytes / 1e12]
            print(f"| {model}, {dataset} | {' | '.join(f'{cell:.3g}' for cell in cells)} |")
            floors[model, dataset] = [
                epochs * (max(training.seconds(rate, speed)) + 2 * max(scored.seconds(rate, speed)))
                for rate in rates.values()
            ]
    print(f"| all | | | | | {total.operations / 1e15:.3g} | {total.bytes / 1e12:.3g} |\n")
    print(f"| floor, seconds a stack | {' | '.join(PRECISIONS)} |\n|---|{'---:|' * len(PRECISIONS)}")
    for (model, dataset), seconds in floors.items():
        print(f"| {model}, {dataset} | {' | '.join(f'{each:.1f}' for each in seconds)} |")
    print(f"| all | {' | '.join(f'{sum(column):.0f}' for column in zip(*floors.values(), strict=True))} |")
    if not arguments.as_done:
        return
    print("\n| as it is done | GB a step | GB an evaluation | GB held | seconds a stack |\n|---|---:|---:|---:|---:|")
    for model, dataset in floors:
        print(f"| {model}, {dataset} | {as_done(model, dataset, speed)} |", flush=True)


if __name__ == "__main__":
    main()
