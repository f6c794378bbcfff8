"""Time an epoch of a single run, on a quiet machine and beside programs that keep every core busy.

python benchmarks/bench_busy.py --data-root DATA
python benchmarks/bench_busy.py --dataset mnist_5k --beside OTHER_CHECKOUT

Each run is `python train.py` in a process of its own: as it comes, and held to one thread. The neighbours are processes
that count, one for each core. A number is the median of the epochs of all turns, as `metrics.csv` has them.
"""

import argparse
import csv
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from checkout import ROOT
from measuring import machine

ONE_THREAD = """
import runpy, sys
try:
    from bayes_pruning.engine import device
except ImportError:  # an older checkout
    from bayes_pruning import device
if hasattr(device, "use_cores"):
    device.use_cores(1)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@contextmanager
def neighbours(number: int) -> Iterator[None]:
    """Keep `number` processes busy meanwhile."""
    processes = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(number)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def seconds_an_epoch(checkout: Path, one_thread: bool, arguments: Sequence[str]) -> list[float]:
    """Train one run with the train.py of `checkout`; return the seconds of each of its epochs."""
    start = ["-c", ONE_THREAD] if one_thread else []
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    environment.pop("OMP_NUM_THREADS", None)
    if one_thread:
        environment["OMP_NUM_THREADS"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, *start, str(checkout / "train.py"), *arguments, f"output_dir={folder}"]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
        [path] = Path(folder).glob("*/metrics.csv")
        with path.open() as rows:
            return [float(row["seconds"]) for row in csv.DictReader(rows)]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", default="mnist", help="a name in conf/dataset (default: mnist)")
    parser.add_argument("--data-root", default="data", help="where its files are (default: data)")
    parser.add_argument("--epochs", type=int, default=2, help="of each run (default: 2)")
    parser.add_argument("--turns", type=int, default=1, help="how often all is measured (default: 1)")
    parser.add_argument("--beside", type=Path, help="another checkout of this repository, measured in the same call")
    args = parser.parse_args()
    run = [f"dataset={args.dataset}", f"data_root={args.data_root}", f"epochs={args.epochs}", "device=cpu"]
    run += ["wandb.mode=disabled", "progress=none"]
    checkouts = {"this checkout": ROOT} | ({f"{args.beside.name}": args.beside.resolve()} if args.beside else {})
    seconds: dict[tuple[str, bool], dict[str, list[float]]] = {}
    cores = len(os.sched_getaffinity(0))
    for _ in range(args.turns):
        for state, number in (("quiet", 0), ("busy", cores)):
            for name, checkout in checkouts.items():
                for one_thread in (False, True):
                    with neighbours(number):
                        times = seconds_an_epoch(checkout, one_thread, run)
                    seconds.setdefault((name, one_thread), {}).setdefault(state, []).extend(times)
    print(f"{machine()}; one run of fcn on {args.dataset}, {args.epochs} epochs, {args.turns} turns, median seconds:\n")
    print(f"| | quiet machine | beside {cores} busy processes |\n|---|---:|---:|")
    for (name, one_thread), states in seconds.items():
        cells = " | ".join(f"{statistics.median(states[state]):.2f}" for state in ("quiet", "busy"))
        print(f"| {name}, {'one thread' if one_thread else 'as it comes'} | {cells} |")


if __name__ == "__main__":
    main()
