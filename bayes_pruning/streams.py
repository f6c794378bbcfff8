"""Named random streams: everything random in a run comes from its seed through one of these.

A stream's position is part of its name (seed, purpose, epoch, ...), so there is no hidden state to carry: a resumed
run draws what the uninterrupted one would have drawn, runs that share a seed share their initial weights and batch
order whatever their pruner (common random numbers), and one stream's use never shifts another's.
"""

import hashlib

import torch


def generator(seed: int, *name: str | int) -> torch.Generator:
    """A CPU generator for the stream `name` of `seed`; the same arguments always give the same numbers."""
    digest = hashlib.sha256("/".join(map(str, (seed, *name))).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)


def data_order(seed: int, epoch: int, examples: int) -> torch.Tensor:
    """The order in which epoch `epoch` (from 1) of a run visits its training examples: int64 [examples]."""
    return torch.randperm(examples, generator=generator(seed, "data order", epoch))
