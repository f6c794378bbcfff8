"""Give the benchmarks what they share: times, memory, and the two rates of a device that floors are given in."""

import os
import platform
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
import torch
from racing import clock
from torch import Tensor

from bayes_pruning.config.schema import FULL
from bayes_pruning.engine.device import prepare

CPU = torch.device("cpu")
SIDE = {"cpu": 2048, "cuda": 8192}  # of the matrices multiplied
NUMBERS = {"cpu": 50_000_000, "cuda": 1_000_000_000}  # copied
PAUSE = 0.2  # seconds from one look at a process to the next


def wait(device: torch.device) -> None:
    """Return once the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def median_seconds(action: Callable[[], object], repeats: int, device: torch.device = CPU) -> float:
    """Return the median time of `action` by racing.clock, after one call that is not counted."""
    action()
    times = []
    for _ in range(repeats):
        wait(device)
        start = clock()
        action()
        wait(device)
        times.append(clock() - start)
    return statistics.median(times)


def matrix_rate(device: torch.device = CPU, kind: str = FULL, side: int | None = None) -> float:
    """Return the best rate of a large random matrix product, in operations a second; on a CPU MKL's or oneDNN's."""
    side = side or SIDE[device.type]
    prepare(kind, False, device)
    a, b = (torch.randn(side, side, device=device) for _ in range(2))
    products: list[Callable[..., Tensor]] = [torch.matmul]
    if device.type == "cpu" and hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        products.append(lambda a, b: torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], ""))
    return max(2 * side**3 / median_seconds(lambda f=f: f(a, b), 5, device) for f in products)  # type: ignore[misc]


def bandwidth(device: torch.device = CPU, numbers: int | None = None) -> float:
    """Return the bytes a second of a large copy in memory, read and written."""
    source = torch.randn(numbers or NUMBERS[device.type], device=device)
    target = torch.empty_like(source)
    return 2 * source.numel() * 4 / median_seconds(lambda: target.copy_(source), 5, device)


def machine(device: torch.device = CPU) -> str:
    """Return the machine in words."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    [name, *_] = [line.split(": ")[1] for line in lines if line.startswith("model name")] or [platform.processor()]
    chip = f"{torch.cuda.get_device_name(device)}, " if device.type == "cuda" else ""
    return f"{chip}{os.cpu_count()} cores of {name}, torch {torch.__version__}, Python {platform.python_version()}"


def resident(process: psutil.Process) -> float:
    """Return the memory of a process, in MiB."""
    return process.memory_info().rss / 2**20


def run_measured(command: Sequence[str]) -> tuple[float, float]:
    """Return the wall seconds of a command that succeeds, and MiB at most of all its processes together."""
    start, peak = time.perf_counter(), 0.0
    process = psutil.Popen(command, stdout=subprocess.DEVNULL)
    while process.poll() is None:
        with suppress(psutil.Error):  # one may end while it is looked at
            peak = max(peak, sum(map(resident, [process, *process.children(recursive=True)])))
        time.sleep(PAUSE)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.perf_counter() - start, peak
