"""Time what the W&B mirror costs the process that trains, in each mode, for 1 and for 100 runs live at once.

python benchmarks/bench_wandb.py
python benchmarks/bench_wandb.py --runs 1 630 --epochs 25

Each line is a fresh process. With mode=online the server is one that accepts and never answers.
"""

import argparse
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import fields, replace
from pathlib import Path

import checkout  # noqa: F401  (so that the package is found)
from setting import compose_config

from bayes_pruning.config.schema import run_config
from bayes_pruning.runs import tracking
from bayes_pruning.training.trainer import Metrics

MODES = ("disabled", "offline", "online")
HEADER = (
    f"{'mode':8} {'runs':>4}  {'start':>9}  {'log, a run and epoch':>20}  {'finish':>9}  {'end':>7}  {'helper CPU':>10}"
)


def measure(mode: str, runs: int, epochs: int, pause: float) -> str:
    """Return one line of the table; `pause` seconds pass between two epochs, as if they were trained."""
    config = compose_config(f"wandb.mode={mode}", f"output_dir={Path.cwd()}")
    run = run_config(config)
    row = Metrics(**{field.name: 1 / 3 for field in fields(Metrics)})  # type: ignore[arg-type]
    start = time.perf_counter()
    trackers = [tracking.start(run, config, Path(f"bench{i}")) for i in range(runs)]
    started = time.perf_counter() - start
    logged = []
    for epoch in range(1, epochs + 1):
        time.sleep(pause)
        start = time.perf_counter()
        for tracker in trackers:
            tracker.log(replace(row, epoch=epoch))
        logged.append((time.perf_counter() - start) / runs)
    start = time.perf_counter()
    for tracker in trackers:
        tracker.finish(replace(row, epoch=epochs), failed=False)
    finished = time.perf_counter() - start
    start = time.perf_counter()
    tracking.close()
    ended = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    log_time = statistics.mean(logged) * 1e6
    return (
        f"{mode:8} {runs:4}  {started * 1e3:6.1f} ms  {log_time:17.1f} us  {finished * 1e3:6.1f} ms"
        f"  {ended:5.2f} s  {used.ru_utime + used.ru_stime:8.2f} s"
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, nargs="+", default=[1, 100])
    parser.add_argument("--epochs", type=int, default=25)
    parser.add_argument("--pause", type=float, default=0.2, help="seconds of training an epoch stands for")
    parser.add_argument("--mode", choices=MODES, help="only this mode, in this process and folder")
    args = parser.parse_args()
    if args.mode:
        print(measure(args.mode, args.runs[0], args.epochs, args.pause))
        return
    print(HEADER)
    for mode in MODES:
        for runs in args.runs:
            with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0), backlog=500) as server:
                variables = {
                    "WANDB_BASE_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
                    "WANDB_API_KEY": "0" * 40,
                    "PATH": "/usr/bin:/bin",
                    "HOME": folder,
                }
                command = [sys.executable, __file__, "--mode", mode, "--runs", str(runs)]
                command += ["--epochs", str(args.epochs), "--pause", str(args.pause)]
                subprocess.run(command, cwd=folder, env=variables, check=True)


if __name__ == "__main__":
    main()
