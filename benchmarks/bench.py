"""Time the engine on this machine's processor, beside others that do the same work in the same call.

    python benchmarks/bench.py --data-root DATA                           an epoch of the FCN on MNIST, by method
    python benchmarks/bench.py --data-root DATA --model cnn --images 3000
    python benchmarks/bench.py --data-root DATA --peer jax --against 9f8b233    beside a JAX program and an old revision
    python benchmarks/bench.py --data-root DATA --busy --only "all cores"    beside a busy process on each core
    python benchmarks/bench.py --data-root DATA --sweep [OVERRIDE ...]    whole commands, by default 20 runs of 2 epochs

An epoch of `none` trains and evaluates on the test images. `random` also prunes and evaluates once more. The Bayes
methods are timed in an epoch that prunes: besides, a log posterior over the training images before pruning and one
after. An epoch of theirs whose gate stays closed costs as much as one of `none`, unless it is logged all the same.

Everything is timed in turns (racing.py), and medians count. Processes that are given one core use one thread, and their
seconds are those of the processor.
--against makes a worktree of a git revision for the time of the call and runs it with this interpreter.
"""

import argparse
import importlib.util
import shlex
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from checkout import ROOT
from measuring import machine, run_measured
from racing import Racer, cores, neighbours, race

SCRIPTS = ROOT / "benchmarks"
METHODS = ("none", "random", "bayes_random", "bayes_magnitude")
Row = TypeVar("Row")
SWEEP = ("dataset=mnist", "model=fcn", "sparsity=0.5,0.9", "seed=range(0,10)", "epochs=2")


@contextmanager
def checkout(revision: str | None) -> Iterator[Path | None]:
    """Give a worktree of a git revision of this repository in the context. Raise CalledProcessError if git fails."""
    if revision is None:
        yield None
        return
    git = ["git", "-C", str(ROOT), "worktree"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "checkout"
        subprocess.run([*git, "add", "--quiet", "--detach", str(root), revision], check=True)
        try:
            yield root
        finally:
            subprocess.run([*git, "remove", "--force", str(root)], check=True)


def racers(arguments: argparse.Namespace, method: str, old: Path | None) -> dict[str, Racer]:
    """Return what is timed for one method, by its row's name."""
    every = cores()
    one, whole, each = [every[:1]], [every], [[core] for core in every]
    shared = ["--data-root", str(Path(arguments.data_root).resolve()), "--dataset", arguments.dataset]
    shared += ["--model", arguments.model, "--pruner", method, "--images", str(arguments.images)]
    rows: dict[str, Racer] = {}

    def add(name: str, script: str, on: list[list[int]], members: int, *more: str) -> None:
        command = [sys.executable, str(SCRIPTS / script), *shared, "--members", str(members), *more]
        where = "one core" if on is one else "all cores" if on is whole else f"{len(on)} processes, a core each"
        rows[f"{name} | {where}"] = Racer(command, on, members)

    versions = {"": []} | ({f"{arguments.against}: ": ["--root", str(old)]} if old else {})
    for on in (one, whole):
        add("(b) plain loop, data in memory", "bench_epoch.py", on, 1, "--kind", "plain")
        add("(b) the same, fused Adam", "bench_epoch.py", on, 1, "--kind", "plain_fused")
        for version, root in versions.items():
            add(f"{version}a single run", "bench_epoch.py", on, 1, *root)
    for on in (one, each):
        for version, root in versions.items():
            add(f"{version}a stack of {arguments.members}", "bench_epoch.py", on, arguments.members, *root)
    if arguments.peer:
        for on in (one, whole, each):
            add(f"JAX, {arguments.members} networks", "bench_jax.py", on, arguments.members)
    add("floor", "bench_epoch.py", one, 1, "--kind", "floor")
    return chosen(rows, arguments.only)


def chosen(rows: dict[str, Row], only: Sequence[str]) -> dict[str, Row]:
    """Return the rows whose names contain one of the texts; end the program if none does."""
    found = {name: row for name, row in rows.items() if any(text in name for text in only)}
    return found or sys.exit(f"--only {' '.join(only)} is in no row's name: they are {'; '.join(rows)}.")


def bench_epochs(arguments: argparse.Namespace, old: Path | None) -> None:
    """Print seconds a network and epoch, a row for each way to train and a column for each method."""
    columns: dict[str, dict[str, float]] = {}
    compiled: list[float] = []
    for method in arguments.methods:
        running = racers(arguments, method, old)
        with neighbours(len(cores()) if arguments.busy else 0):
            raced = race(running, arguments.turns)
        for name, (seconds, facts) in raced.items():
            columns.setdefault(name, {})[method] = seconds / running[name].networks
            compiled += [float(str(facts["compiled"]))] if "compiled" in facts else []
    images = f"{arguments.images or 'all'} images"
    busy = f", beside {len(cores())} busy processes" if arguments.busy else ""
    print(f"{machine()}; {arguments.model} on {images} of {arguments.dataset}, {arguments.turns} turns{busy}")
    if compiled:
        print(f"JAX compiled for {statistics.median(compiled):.1f} seconds, which do not count")
    print("\nSeconds a network and epoch:\n")
    print(f"| | on | {' | '.join(arguments.methods)} |\n|---|---|{'---:|' * len(arguments.methods)}")
    for name, seconds in columns.items():
        print(f"| {name} | {' | '.join(f'{seconds[method]:.3g}' for method in arguments.methods)} |")


def sweeps(arguments: argparse.Namespace, old: Path | None, folder: str) -> dict[str, list[str]]:
    """Return the commands of a sweep, by name."""
    overrides = [*(arguments.sweep or SWEEP), "wandb.mode=disabled", "progress=none"]
    overrides += [f"data_root={Path(arguments.data_root).resolve()}"]

    def command(name: str, program: Path, *more: str) -> list[str]:
        return [sys.executable, str(program), "-m", *overrides, *more, f"output_dir={folder}/{name}"]

    train = ROOT / "train.py"
    commands = {
        "a worker on each core": command("workers", train),
        "one worker": command("one", train, "hydra.launcher.workers=1"),
    }
    if old:  # which may have no workers: as its users start it
        commands[arguments.against] = command("old", old / "train.py")
    return chosen(commands, arguments.only)


def bench_sweep(arguments: argparse.Namespace, old: Path | None) -> None:
    """Time the same runs as whole commands, from start to end."""
    times: dict[str, list[float]] = {}
    peaks: dict[str, float] = {}
    for _ in range(arguments.turns):
        with tempfile.TemporaryDirectory() as folder:
            for name, command in sweeps(arguments, old, folder).items():
                wall, peaks[name] = run_measured(command)
                times.setdefault(name, []).append(wall)
    print(f"{machine()}; {arguments.turns} turns of\n`train.py -m {shlex.join(arguments.sweep or SWEEP)}`\n")
    print("| | wall seconds | times as long as the first | peak memory, MiB |\n|---|---:|---:|---:|")
    walls = {name: statistics.median(seconds) for name, seconds in times.items()}
    for name, wall in walls.items():
        print(f"| {name} | {wall:.1f} | {wall / next(iter(walls.values())):.2f} | {peaks[name]:.0f} |")


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the arguments."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", required=True, help="where torchvision's files are")
    parser.add_argument("--dataset", default="mnist", choices=["mnist", "fashion_mnist", "cifar10", "mnist_5k"])
    parser.add_argument("--model", default="fcn", choices=["fcn", "cnn"])
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS, metavar="METHOD", help=f"{METHODS}")
    parser.add_argument("--members", type=int, default=16, help="networks in a stack (default: %(default)s)")
    parser.add_argument("--images", type=int, default=0, help="training images, 0: all")
    parser.add_argument("--turns", type=int, default=3, help="how often each is timed (default: %(default)s)")
    parser.add_argument(
        "--only", nargs="+", default=[""], metavar="TEXT", help="only rows whose names contain one of these"
    )
    parser.add_argument("--peer", choices=["jax"], help="also the same stack as a JAX program")
    parser.add_argument("--against", metavar="REVISION", help="also this git revision")
    parser.add_argument("--busy", action="store_true", help="beside a process on each core that counts meanwhile")
    parser.add_argument("--sweep", nargs="*", metavar="OVERRIDE", help="time whole commands instead")
    parsed = parser.parse_args(arguments)
    if min(parsed.turns, parsed.members) < 1:
        parser.error("--turns and --members take a whole number of at least 1")
    if parsed.sweep is not None and (parsed.dataset, parsed.model) != ("mnist", "fcn"):
        parser.error("--sweep takes data set and network as overrides: --sweep dataset=mnist_5k model=cnn ...")
    if parsed.peer and parsed.model != "fcn":
        sys.exit("--peer jax has model=fcn only, for the reason that benchmarks/bench_jax.py gives.")
    if parsed.peer and not all(map(importlib.util.find_spec, ("jax", "optax"))):
        sys.exit(
            "--peer jax needs JAX and optax, which are not installed: pip install --editable '.[peer]' brings them."
        )
    with checkout(parsed.against) as old:
        if parsed.sweep is None:
            bench_epochs(parsed, old)
        else:
            bench_sweep(parsed, old)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("terminated"))  # so that worktree and processes go, too
    main()
