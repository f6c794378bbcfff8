"""Time a sweep from the command to its first training step, for instance of the paper's 630 runs.

    python benchmarks/bench_start.py experiment=table1 data_root=DATA

Starts `train.py -m` with these overrides in a process of its own, which ends at its first training step.
"""

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROGRAM = """
import os, runpy, signal, sys
from bayes_pruning.engine import stack
stack.Stack._descend = lambda *_: os.killpg(0, signal.SIGKILL)  # this process and its workers
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def main() -> None:
    """Time it three times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_known_args()  # for --help: all others are train.py's
    train = Path(__file__).resolve().parents[1] / "train.py"
    for _ in range(3):
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            command = [sys.executable, "-c", PROGRAM, str(train), "-m", *sys.argv[1:], f"output_dir={folder}"]
            start = time.perf_counter()
            # In a session of its own, so that no other process is in its group.
            done = subprocess.run(
                command, cwd=train.parent, capture_output=True, text=True, check=False, start_new_session=True
            )
            if done.returncode != -signal.SIGKILL:
                sys.exit(done.stderr)
            print(f"{time.perf_counter() - start:.1f} seconds to the first training step", flush=True)


if __name__ == "__main__":
    main()
