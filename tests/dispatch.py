"""What a training step would ask of a GPU, found without one: its operations on the `meta` device, one by one."""

from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.is_nonzero, aten._unique2}
INDEXING = {aten.index, aten.index_put, aten.index_put_}
COPYING = {aten._to_copy, aten.copy_}


class HostWait(AssertionError):
    """An operation for which the host waits for the device."""


class GpuRules(TorchDispatchMode):
    """Fails on what a GPU does badly, and counts the memory that its operations hold.

    Args:
        largest: numbers that a tensor may have.

    Attributes:
        peak: bytes that were alive at once: what was there before and is used, and what was made.
        operations: how many there were.
    """

    def __init__(self, largest: int = 2**31) -> None:
        super().__init__()
        self.largest, self.peak, self.operations = largest, 0, 0
        self.alive: dict[int, tuple[StorageWeakRef, int]] = {}

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        packet, kwargs = function.overloadpacket, kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if packet in WAITING:
            raise HostWait(f"{function} waits for the device")
        if packet in INDEXING and any(t is not None and t.dtype in (torch.bool, torch.uint8) for t in args[1]):
            raise HostWait(f"{function} with a mask waits for the device")
        # The fused optimiser has no form without numbers; it changes its arguments in place and makes nothing.
        result = None if packet is aten._fused_adam_ else function(*args, **kwargs)
        made = [leaf for leaf in tree_leaves(result) if isinstance(leaf, Tensor)]
        if packet in COPYING and len({t.device.type for t in [*tensors, *made]}) > 1:
            raise HostWait(f"{function} copies between devices")
        for tensor in [*tensors, *made]:
            if tensor.numel() >= self.largest:
                raise AssertionError(f"{function} has a tensor of {tuple(tensor.shape)}")
            storage = tensor.untyped_storage()
            self.alive[storage._cdata] = (StorageWeakRef(storage), storage.nbytes())
        self.alive = {key: (ref, size) for key, (ref, size) in self.alive.items() if not ref.expired()}
        self.peak = max(self.peak, sum(size for _, size in self.alive.values()))
        self.operations += 1
        return result
