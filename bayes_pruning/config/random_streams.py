"""Named random streams: everything random in a run comes from its seed through one of these.

A stream's position is part of its name (seed, purpose, epoch, ...), so there is no hidden state to carry: a resumed
run draws what the uninterrupted one would have drawn, runs that share a seed share their initial weights and batch
order whatever their pruner (common random numbers), and one stream's use never shifts another's.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch


def generator(seed: int, *name: str | int) -> torch.Generator:
    """Return a CPU generator for the stream `name` of `seed`; the same arguments always give the same numbers."""
    digest = hashlib.sha256("/".join(map(str, (seed, *name))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


@contextmanager
def torch_draws(device: torch.device, seed: int, *name: str | int) -> Iterator[None]:
    """Let what draws from PyTorch's own generators in this context, as dropout does, draw from the stream `name`."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(generator(seed, *name).initial_seed())
        yield


def data_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """Return the order in which epoch `epoch` (from 1) of a run visits its training examples: int64 [examples]."""
    return torch.randperm(examples, generator=generator(seed, "data order", epoch))


@lru_cache(maxsize=8)  # a stack's members of one seed ask for the same numbers one after the other, for each layer
def uniform(name: tuple[int, str, str, int], shape: torch.Size, device: torch.device) -> torch.Tensor:
    """Return numbers uniform on [0, 1), float64, of the stream `name`, whose first part is the seed: read only."""
    return torch.rand(shape, dtype=torch.float64, generator=generator(*name)).to(device)
