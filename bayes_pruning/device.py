"""The device a program runs on, and what it needs to be told once."""

import ctypes
import sys

import torch

from bayes_pruning.errors import ConfigError

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
    return device


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
