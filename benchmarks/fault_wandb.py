"""Measure what W&B's troubles cost a run: results, seconds until it is finished and until its process has ended.

python benchmarks/fault_wandb.py
python benchmarks/fault_wandb.py --repeats 3 --epochs 40

Each line is a run of `python train.py` on the embedded digits, of several the smallest times; the first is without W&B,
and every run must leave what that one left. Exit status 1 if one does not.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from checkout import ROOT

sys.path.insert(0, str(ROOT / "tests"))

from faults.contents import contents
from faults.wandb_troubles import TROUBLES

TRAIN = ROOT / "train.py"


def measure(trouble: str, output: Path, epochs: int) -> tuple[float, float, float]:
    """Return seconds of training, until the run is finished, and until the process has ended."""
    with TROUBLES[trouble]() as (overrides, environment, act):
        command = [sys.executable, str(TRAIN), "dataset=mnist_5k", f"epochs={epochs}", "progress=none", *overrides]
        started = time.time()
        process = subprocess.Popen(
            [*command, f"output_dir={output}"], env={**os.environ, **environment}, stdout=subprocess.DEVNULL
        )
        hit = act(process.pid)
        process.wait()
        ended = time.time() - started
    if hit is not None:
        with suppress(ProcessLookupError):
            os.kill(hit, signal.SIGKILL)  # one that was stopped would stay for ever
    [summary], [metrics] = output.glob("*/summary.json"), output.glob("*/metrics.csv")
    trained = sum(float(line.rpartition(",")[2]) for line in metrics.read_text().splitlines()[1:])
    return trained, summary.stat().st_mtime - started, ended


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=TROUBLES, default=list(TROUBLES))
    args = parser.parse_args()
    print("| W&B | training, s | finished after, s | process ended after, s | results |\n|---|---:|---:|---:|---|")
    wanted, differ = None, False
    for trouble in args.only:
        times = []
        for _ in range(args.repeats):
            with tempfile.TemporaryDirectory() as folder:
                times.append(measure(trouble, Path(folder), args.epochs))
                results = contents(Path(folder))
            wanted = results if wanted is None else wanted
            differ |= results != wanted
        cells = [f"{min(column):.1f}" for column in zip(*times, strict=True)]
        print(f"| {trouble} | {' | '.join(cells)} | {'the same' if results == wanted else 'DIFFER'} |", flush=True)
    sys.exit(differ)


if __name__ == "__main__":
    main()
