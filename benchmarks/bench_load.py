"""Measure a grid of tiny runs: start-up, memory and open files, size on the disk, time to list and to read them.

python benchmarks/bench_load.py                      2,000 runs, without W&B
python benchmarks/bench_load.py --runs 400 --wandb offline

Exit status 1 if a budget is not kept.
The grid is 4 pruners x 5 sparsities x seeds of a network of 8 hidden units, one epoch each on the embedded digits.
Memory is resident memory of the training process, and of the processes below it: W&B's helper and its wandb-core.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil
from checkout import ROOT
from measuring import resident

from bayes_pruning.results import frame

PRUNERS, SPARSITIES = 4, 5
NETWORK = ("dataset=mnist_5k", "model.hidden=[8]", "batch_size=500", "epochs=1", "device=cpu")
ALONE = ("hydra.launcher.workers=1",)  # so that the process looked at trains, and those below it are W&B's
GRID = ("pruner=random,magnitude,bayes_random,bayes_magnitude", "sparsity=0.25,0.5,0.75,0.9,0.99")
PAUSE = 0.5  # seconds between two looks at the process
BUDGETS = {  # of 2,000 runs on two cores of a few years ago
    "seconds from the command to the first run's folder": 30,
    "milliseconds a run, start included": 250,
    "MiB of memory, at most": 1200,
    "MiB more at the last run than at a quarter of them": 20,
    "MiB of memory of W&B's processes, at most": 300,
    "MiB more of those": 20,
    "open files, at most": 64,
    "KiB on the disk a run": 250,
    "seconds to see that all are finished": 45,
    "seconds of scripts/status.py": 30,
    "seconds of results.load": 5,
}


@dataclass(frozen=True)
class Look:
    """Hold what the system says of the training process at one time."""

    seconds: float  # since its start
    runs: int  # folders so far
    mebibytes: float  # resident
    helpers: float  # resident memory of the processes below it, in MiB
    files: int  # open


def train(arguments: list[str], output: Path) -> tuple[list[Look], float]:
    """Run the sweep; return what was seen, and the seconds it took."""
    started = time.monotonic()
    command = [sys.executable, str(ROOT / "train.py"), "-m", *arguments, "progress=none"]
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    looks = []
    while process.poll() is None:
        with suppress(psutil.Error):  # it may end while it is looked at
            looks.append(look(process, output, time.monotonic() - started))
        time.sleep(PAUSE)
    if process.returncode:
        sys.exit("The sweep failed.")
    return looks, time.monotonic() - started


def look(process: psutil.Process, output: Path, seconds: float) -> Look:
    """Return what the system says of a process now."""
    below = sum(map(resident, process.children(recursive=True)))
    return Look(seconds, len(list(output.glob("mnist_5k-*"))), resident(process), below, process.num_fds())


def seconds_of(command: list[str]) -> float:
    """Return the wall time of a command that succeeds."""
    started = time.monotonic()
    subprocess.run([sys.executable, *command], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - started


def disk_use(folder: Path) -> int:
    """Return the bytes that the files below a folder take on the disk, whole blocks."""
    files = [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]
    return sum(path.lstat().st_blocks for path in files) * 512


def measure(runs: int, wandb: str, output: Path) -> dict[str, float]:
    """Train the grid in `output`, again, list it and read it; return the figures named in BUDGETS."""
    seeds = runs // (PRUNERS * SPARSITIES)
    grid = [*NETWORK, *ALONE, *GRID, f"seed=range(0,{seeds})", f"output_dir={output}", f"wandb.mode={wandb}"]
    looks, seconds = train(grid, output)
    training = [each for each in looks if each.runs]
    quarter, last = (next(each for each in training if each.runs >= runs * part) for part in (0.25, 1))
    for each in training[:: max(1, len(training) // 10)]:
        memory = f"{each.mebibytes:6.0f} MiB, helpers {each.helpers:4.0f} MiB"
        print(f"{each.seconds:6.0f} s {each.runs:6} runs {memory}", file=sys.stderr)
    again = seconds_of([str(ROOT / "train.py"), "-m", *grid, "progress=none"])
    status = seconds_of([str(ROOT / "scripts" / "status.py"), *grid])
    started = time.monotonic()
    rows = len(frame.load(output).frame)
    read = time.monotonic() - started
    assert rows == runs
    return {
        "seconds from the command to the first run's folder": training[0].seconds,
        "milliseconds a run, start included": seconds / runs * 1000,
        "MiB of memory, at most": max(each.mebibytes for each in looks if each.seconds <= last.seconds),
        "MiB more at the last run than at a quarter of them": last.mebibytes - quarter.mebibytes,
        "MiB of memory of W&B's processes, at most": max(each.helpers for each in looks),
        "MiB more of those": last.helpers - quarter.helpers if wandb != "disabled" else 0.0,
        "open files, at most": max(each.files for each in looks),
        "KiB on the disk a run": disk_use(output) / runs / 1024,
        "seconds to see that all are finished": again,
        "seconds of scripts/status.py": status,
        "seconds of results.load": read,
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=2000, help="a multiple of 20 (default: 2000)")
    parser.add_argument("--wandb", choices=("disabled", "offline"), default="disabled")
    args = parser.parse_args()
    if args.runs < 1 or args.runs % (PRUNERS * SPARSITIES):
        parser.error(f"--runs {args.runs} is not accepted: it takes a multiple of {PRUNERS * SPARSITIES}")
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(args.runs, args.wandb, Path(folder))
    print(f"| {args.runs} runs, W&B {args.wandb} | measured | budget |\n|---|---:|---:|")
    for what, value in figures.items():
        print(f"| {what} | {value:.1f} | {BUDGETS[what]:g} |")
    over = [what for what, value in figures.items() if value > BUDGETS[what]]
    if over:
        sys.exit(f"Over budget: {', '.join(over)}.")


if __name__ == "__main__":
    main()
