"""Measure the memory that processes take, as Linux tells it; for the benchmarks beside this file."""

import resource
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

PAUSE = 0.2  # seconds from one look to the next


def resident(process: int) -> float:
    """Return the memory of a process, in MiB."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


def descendants(process: int) -> list[int]:
    """Return the processes below one."""
    children = [int(child) for child in Path(f"/proc/{process}/task/{process}/children").read_text().split()]
    return [*children, *(each for child in children for each in descendants(child))]


def run_measured(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, float]:
    """Return the wall seconds of a command that succeeds, and MiB at most of all its processes together."""
    start, peak = time.perf_counter(), 0.0
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    while process.poll() is None:
        with suppress(OSError):  # one may end while it is looked at
            peak = max(peak, sum(map(resident, [process.pid, *descendants(process.pid)])))
        time.sleep(PAUSE)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, peak
