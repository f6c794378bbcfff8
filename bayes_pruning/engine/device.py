"""The device a program runs on, and what torch is told once before a stack trains on it.

On a CPU PyTorch's own threads are not used: they wait for each other by spinning, which takes several times as long as
one thread where another program wants the cores, and the products of small networks gain little by them. What can be
split is dealt to threads of Python's (`on_all_cores`), in parts that do not depend on how many there are, so that
neither do the numbers.
"""

import ctypes
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import TypeVar

import torch

from bayes_pruning.config.errors import ConfigError
from bayes_pruning.config.schema import FULL, TF32

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # parameters of glibc's mallopt(3)
LARGEST_REUSED_BLOCK = 32 * 2**20  # bytes; glibc accepts no higher M_MMAP_THRESHOLD


def pick(name: str) -> torch.device:
    """Return the device called `name`: auto (cuda if there is one), cpu, cuda or cuda:N.

    Raise ConfigError if there is no such device.
    """
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


def prepare(precision: str, deterministic: bool, device: torch.device, compiled: bool = False) -> None:
    """Set torch up for training and evaluation on `device`. On a CPU nothing is set: its runs repeat to the bit.

    Args:
        precision: "fp32", or "tf32" for a GPU whose matrix units read 10 bits of a float32's mantissa. All tensors are
            float32 in both, and log-likelihoods and log-priors are added up in float64.
        deterministic: whether the same command gives the same bits on the same GPU.
        device: where to train.
        compiled: whether steps are to be compiled (Stack.compile).

    Raise ConfigError for what the device does not have: a CPU has no matrix units of fewer bits, and its steps are one
    member's each, so nothing is compiled.
    """
    if device.type == "cpu":
        if precision != FULL:
            raise ConfigError("precision", precision, f"only {FULL} on a CPU; tf32 needs device=cuda")
        if compiled:
            raise ConfigError("compile", compiled, "only false on a CPU; true needs device=cuda")
        return
    if device.index is not None:
        torch.cuda.set_device(device)  # what names no device, such as a recording, is then on this one
    with warnings.catch_warnings():
        # Torch has two sets of names for this. Setting the older one sets the newer one too, but not the other way
        # round, and torch refuses to read an older one (its compiler does) that differs from the newer one.
        warnings.filterwarnings("ignore", message="Please use the new API settings")
        torch.backends.cuda.matmul.allow_tf32 = precision == TF32
        torch.backends.cudnn.allow_tf32 = precision == TF32
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.deterministic = deterministic
    if deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS reads it when it is first used
    torch.use_deterministic_algorithms(deterministic, warn_only=True)


_cores: int | None = None  # the number that `use_cores` was told


def use_cores(number: int) -> None:
    """Let this process use `number` cores from now on: a worker among others is told 1."""
    global _cores
    _cores = number


def cores() -> int:
    """Return how many cores this process uses: by default all that its affinity and its container's limits leave."""
    from joblib import cpu_count  # takes a moment to import, and results are read without it

    return cpu_count() if _cores is None else _cores


Item = TypeVar("Item")
Result = TypeVar("Result")


def on_all_cores(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Return `function` of each item, in their order, computed in as many threads as there are cores to use.

    PyTorch leaves Python's lock while it computes, so threads run side by side if each call takes long enough.
    """
    return map(function, items) if cores() == 1 else _threads(cores()).map(function, items)


@lru_cache(maxsize=1)
def _threads(number: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(number, "core", initializer=torch.set_num_threads, initargs=(1,))


def keep_freed_memory() -> None:
    """Let glibc keep freed blocks of up to 32 MiB instead of returning them to the operating system.

    Every step allocates gradients of about a megabyte a member. By default such blocks are mapped and unmapped each
    time, and the page faults cost as much as the arithmetic (docs/performance.md). Elsewhere this does nothing.
    """
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
        if mallopt is not None:
            mallopt(M_MMAP_THRESHOLD, LARGEST_REUSED_BLOCK)
            mallopt(M_TRIM_THRESHOLD, 2**30)
