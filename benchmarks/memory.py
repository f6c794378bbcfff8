"""Measure the memory that processes take, as psutil tells it; for the benchmarks beside this file."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import psutil

PAUSE = 0.2  # seconds from one look to the next


def resident(process: psutil.Process) -> float:
    """Return the memory of a process, in MiB."""
    return process.memory_info().rss / 2**20


def run_measured(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the wall seconds of a command that succeeds, and MiB at most of all its processes together."""
    start, peak = time.perf_counter(), 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    while process.poll() is None:
        with suppress(psutil.Error):  # one may end while it is looked at
            peak = max(peak, sum(map(resident, [process, *process.children(recursive=True)])))
        time.sleep(PAUSE)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, peak
