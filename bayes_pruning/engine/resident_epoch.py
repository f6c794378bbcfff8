"""An epoch of training steps in which nothing waits for the host: data, order and counter are all on the device.

Every step is the same work on the same tensors; a counter says which batch it takes. So on a GPU it is recorded once
and replayed (graphs.py). On a CPU the same code gives the same bits as batches cut out one by one, which
`Trainer` does there, because that is as fast.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from bayes_pruning.data.datasets import Split
from bayes_pruning.engine.graphs import Replayed
from bayes_pruning.engine.stack import Stack


def group_size(streams: Sequence[int]) -> int:
    """Return the size of the largest groups of neighbours, all as large, each with one stream."""
    members = len(streams)
    sizes = (size for size in range(members, 0, -1) if members % size == 0)
    return next(size for size in sizes if all(streams[i] == streams[i - i % size] for i in range(members)))


class ResidentEpoch:
    """Passes of a stack over its training images.

    Args:
        stack: what trains.
        train: the images and labels, on the stack's device.
        batch_size: images a step; the last step of an epoch takes what is left.
        streams: for each member, which of the orders given to `run` it follows. Members of one order should follow each
            other and all orders have as many: then its images are read once for all of them.
    """

    def __init__(self, stack: Stack, train: Split, batch_size: int, streams: Sequence[int]) -> None:
        self.stack, self.train, self.batch_size = stack, train, batch_size
        device = stack.device
        share = group_size(streams)
        self.streams = torch.tensor(list(streams[::share]), device=device)  # of each group
        self.order = torch.arange(len(train), device=device).repeat(max(streams) + 1, 1)
        self.offsets = torch.arange(batch_size, device=device)
        self.done = torch.zeros((), dtype=torch.int64, device=device)  # images of this epoch, so far
        self.total = torch.zeros(stack.size, dtype=torch.float64, device=device)
        self.whole, self.rest = divmod(len(train), batch_size)
        self.step = Replayed(lambda: self._step(batch_size), device, stack.version)
        self.last_step = Replayed(lambda: self._step(self.rest), device, stack.version)

    def run(self, order: Tensor) -> Tensor:
        """Make one pass and return the mean of each member's batch losses, in nats: float64 [members].

        Args:
            order: int64 [orders, examples], the examples in the order of each pass.
        """
        self.order.copy_(order)
        self.done.zero_()
        self.total.zero_()
        for _ in range(self.whole):
            self.step()
        if self.rest:
            self.last_step()
        return self.total / (self.whole + bool(self.rest))

    def batch(self, rows: int) -> tuple[Tensor, Tensor]:
        """Return the next `rows` images [groups, rows, ...] and labels [groups, rows], as the stack takes them."""
        chosen = self.order.index_select(1, self.done + self.offsets[:rows]).index_select(0, self.streams)
        images = self.train.images.index_select(0, chosen.flatten()).unflatten(0, chosen.shape)
        return images, self.train.labels[chosen]

    def _step(self, rows: int) -> None:
        self.total += self.stack.step(*self.batch(rows))
        self.done += rows
