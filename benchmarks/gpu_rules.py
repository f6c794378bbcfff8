"""Find without a GPU what a stack would ask of one: its operations on the `meta` device, shapes without numbers."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bayes_pruning.config.schema import RunConfig
from bayes_pruning.data.datasets import Dataset, Split
from bayes_pruning.training.trainer import Trainer

META = torch.device("meta")
aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero, aten._unique2}
INDEXING = {aten.index, aten.index_put, aten.index_put_}
COPYING = {aten._to_copy, aten.copy_}
CHANGED_BY_ADAM = 3 / 4  # of what it reads, weight, gradient and two moments: it writes all but the gradient


class HostWait(AssertionError):
    """Report an operation for which the host waits for the device."""


class GpuRules(TorchDispatchMode):
    """Fail on what a GPU does badly, and count the memory that its operations hold and move.

    Args:
        largest: numbers that a tensor may have.

    Attributes:
        peak: bytes that were there at once: what was used of what was there before, and what was made.
        moved: bytes read and written, if each operation reads its operands once and writes its results once.
    """

    def __init__(self, largest: int = 2**31) -> None:
        super().__init__()
        self.largest, self.peak, self.moved = largest, 0, 0
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet, kwargs = function.overloadpacket, kwargs or {}
        read = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if packet in WAITING:
            raise HostWait(f"{function} waits for the device")
        if packet in INDEXING and any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]):
            raise HostWait(f"{function} with a mask waits for the device")
        # The fused optimiser has no form without numbers; it changes its arguments in place and makes nothing.
        result = None if packet is aten._fused_adam_ else function(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if packet in COPYING and len({t.device.type for t in [*read, *made]}) > 1:
            raise HostWait(f"{function} copies between devices")
        for tensor in [*read, *made]:
            if tensor.numel() >= self.largest:
                raise AssertionError(f"{function} has a tensor of {tuple(tensor.shape)}")
            storage = tensor.untyped_storage()
            self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        self.moved += self._moved(function, read, made)
        return result

    @staticmethod
    def _moved(function: Any, read: Sequence[Tensor], made: Sequence[Tensor]) -> int:
        packet = function.overloadpacket
        if function.is_view or packet in (aten._unsafe_view, aten.empty, aten.new_empty):
            return 0
        if packet is aten.index_select:  # what is not selected is not read
            return 2 * sum(map(_bytes, made))
        if packet is aten.max_pool2d_with_indices_backward:  # of the images it uses the shape only
            read = [read[0], read[2]]
        written = CHANGED_BY_ADAM * sum(map(_bytes, read)) if packet is aten._fused_adam_ else sum(map(_bytes, made))
        return int(sum(map(_bytes, read)) + written)


def _bytes(tensor: Tensor) -> int:
    """Return the bytes of a tensor in memory; windows that overlap are read from there once."""
    return min(tensor.nbytes, tensor.untyped_storage().nbytes())


def stack_of(runs: Sequence[RunConfig], shape: tuple[int, ...], train: int, test: int) -> Trainer:
    """Return a stack on `meta`, with so many images of that shape to train and to test."""

    def split(images: int) -> Split:
        labels = torch.empty(images, dtype=torch.int64, device=META)
        return Split(torch.empty(images, *shape, device=META), labels)

    return Trainer(runs, Dataset(split(train), split(test)), META)
