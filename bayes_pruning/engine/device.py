"""The device a program runs on, and what it needs to be told once.

On a CPU PyTorch's own threads are not used: they wait for each other by spinning, which takes several times as long as
one thread where another program wants the cores, and the products of small networks gain little by them. What can be
split is dealt to threads of Python's (`on_all_cores`), in parts that do not depend on how many there are, so that
neither do the numbers.
"""

import ctypes
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

from bayes_pruning.config.errors import ConfigError

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt(3)
LARGEST_REUSED_BLOCK = 32 * 2**20  # bytes; glibc accepts no higher M_MMAP_THRESHOLD


def pick(name: str) -> torch.device:
    """The device called `name`: auto (cuda if there is one), cpu, cuda or cuda:N. Raises ConfigError without it."""
    available = torch.cuda.device_count()
    if name == "auto":
        name = "cuda" if available else "cpu"
    try:
        device = torch.device(name)
    except (RuntimeError, TypeError):
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ConfigError("device", name, "auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= available:
        raise ConfigError("device", name, f"cuda only where there is one, and this machine has {available}; use cpu")
    if device.type == "cpu":
        keep_freed_memory()
        torch.set_num_threads(1)
    return device


_cores: int | None = None  # what `use_cores` said


def use_cores(number: int) -> None:
    """Have this process use `number` cores from now on: a worker among others is told 1."""
    global _cores
    _cores = number


def cores() -> int:
    """Cores for this process to use, unless it was told: what its affinity and its container's limits leave."""
    from joblib import cpu_count  # takes a moment to import, and results are read without it

    return cpu_count() if _cores is None else _cores


Item = TypeVar("Item")
Result = TypeVar("Result")


def on_all_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`function` of each item, in their order, in as many threads as there are cores to use.

    PyTorch leaves Python's lock while it computes, so threads run side by side if each call takes long enough.
    """
    return map(function, items) if cores() == 1 else _threads(cores()).map(function, items)


@lru_cache(maxsize=1)
def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, "core", initializer=torch.set_num_threads, initargs=(1,))


def keep_freed_memory() -> None:
    """Have glibc keep freed blocks of up to 32 MiB instead of returning them to the operating system.

    Every step allocates gradients of about a megabyte a member. By default such blocks are mapped and unmapped each
    time, and the page faults cost as much as the arithmetic (docs/performance.md). Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BLOCK)
            mallopt(M_TRIM_THRESHOLD, 2**30)
