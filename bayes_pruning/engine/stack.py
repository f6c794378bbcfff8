"""Many networks as one program: parameters with a leading member axis, one forward pass, one optimiser step.

Members of a stack share architecture, batch size, learning rate and epoch, and nothing else: each has its own weights
and, if it wants, its own batches. A single run is a stack of one. No operation mixes members, so one that diverges
harms no other.

On a GPU an operation is one call for all members. On a CPU each member's network fills a core by itself, so members
take turns (docs/performance.md), and a member's numbers are those that it has alone, to the bit. So do, on any device,
networks that are not a plain sequence of layers that layers.py knows: their modules are called one by one.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.engine import gpu_layers, layers, perceptron
from bayes_pruning.engine.optimizers import SGD, Adam, Parameters

ALIGNMENT = 16  # float32 numbers, 64 bytes: a product's last bits may depend on where its operands begin


def joined(members: Sequence[Tensor]) -> Tensor:
    """Return torch.stack of `members`, each contiguous, as the fused optimisers walk them.

    On a CPU each begins at a multiple of 64 bytes, as a tensor of its own does.
    """
    first = members[0]
    if first.device.type != "cpu":
        return torch.stack(list(members)).contiguous()
    if len(members) == 1:
        return first.clone(memory_format=torch.contiguous_format).unsqueeze(0)
    apart = -(-first.numel() // ALIGNMENT) * ALIGNMENT
    strides = first.new_empty(first.shape).stride()
    together = torch.zeros(len(members) * apart, dtype=first.dtype)
    together = together.as_strided((len(members), *first.shape), (apart, *strides))
    for copy, member in zip(together, members, strict=True):
        copy.copy_(member)
    return together


def selected(parameters: Parameters, indices: Sequence[int]) -> Parameters:
    """Return copies of some of the networks in `parameters`: each [len(indices), *shape]; empty for none."""
    if not indices:
        return {}
    return {name: joined([p.detach()[index] for index in indices]) for name, p in parameters.items()}


def _of_each(x: Tensor, members: int) -> Sequence[Tensor]:
    """Return what each member sees of x [groups, ...]: views, no copies."""
    return [x[member * len(x) // members] for member in range(members)]


class Stack:
    """Networks of one architecture, their optimiser, and masks for weights that may not grow back.

    Args:
        models: one module a member, all built alike; their parameters are copied. One without requires_grad keeps its
            values through all steps, but `replace` may set it.
        learning_rate: of the optimiser.
        device: where the parameters live.
        momentum: of SGD; None for Adam.
    """

    def __init__(
        self, models: Sequence[nn.Module], learning_rate: float, device: torch.device, momentum: float | None = None
    ) -> None:
        self.model = models[0]
        self.size = len(models)
        self.device = device
        self.stackable = layers.is_stackable(self.model)
        self.one_by_one = device.type == "cpu" or not self.stackable
        operations = layers.ONE_NETWORK if self.one_by_one else gpu_layers.MANY_NETWORKS
        self.stages = layers.stages(self.model, operations)
        self.parameters: Parameters = {
            name: joined([model.get_parameter(name).detach().to(device) for model in models])
            for name, _ in self.model.named_parameters()
        }
        self.trained = [name for name, parameter in self.model.named_parameters() if parameter.requires_grad]
        trained = {name: self.parameters[name].requires_grad_() for name in self.trained}
        # What training changes without a gradient, such as BatchNorm's running mean; a plain sequence has none.
        self.buffers: Parameters = {
            name: joined([model.get_buffer(name).detach().to(device) for model in models])
            for name, _ in self.model.named_buffers()
        }
        # Where members take turns, each one's own parameters, as leaves of their own that share the stack's memory.
        self.alone = [
            {name: p.detach()[i].requires_grad_(p.requires_grad) for name, p in self.parameters.items()}
            for i in range(self.size if self.one_by_one else 0)
        ]
        every = len(self.trained) == len(self.parameters)
        self.relus = perceptron.relus(self.model) if every else None  # None: autograd finds the gradient
        self.keep: Parameters = {}  # 1 where a weight may change, 0 where it must stay zero; empty: all may change
        self.optimizer: Adam | SGD = (
            Adam(trained, learning_rate, self.one_by_one)
            if momentum is None
            else SGD(trained, learning_rate, momentum, self.one_by_one)
        )

    def forward(self, x: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return the logits [members, batch, classes] of networks of the stack's kind.

        Args:
            x: [groups, batch, ...], where each group of members, all of one size and following each other, sees the
                same images. One group is all members, as many groups as members are images for each.
            parameters: each [members, ...], with the networks' buffers if they have any.
        """
        members = len(next(iter(parameters.values())))
        if self.one_by_one:
            each = [{name: p[i] for name, p in parameters.items()} for i in range(members)]
            inputs = zip(each, _of_each(x, members), strict=True)
            return torch.stack([layers.logits(self.stages, network, images) for network, images in inputs])
        return layers.logits(self.stages, parameters, x)

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """Take one optimiser step of every member on its batch.

        Args:
            x: float32 [groups, batch, ...], as `forward` takes it.
            labels: int64 [groups, batch].

        Returns:
            Mean cross-entropy of each member's batch before the step: float32 [members], in nats.
        """
        if self.one_by_one:
            batches = zip(_of_each(x, self.size), _of_each(labels, self.size), strict=True)
            return torch.stack([self.step_of(member, *batch) for member, batch in enumerate(batches)])
        losses = self.losses(x, labels, self.parameters)
        self._descend(losses.sum(), self.parameters, slice(None))
        return losses.detach()

    def losses(self, x: Tensor, labels: Tensor, parameters: Mapping[str, Tensor]) -> Tensor:
        """Return, on a GPU, the mean cross-entropy of each member's batch, float32 [members], in nats."""
        logits = self.forward(x, parameters)
        targets = labels.repeat_interleave(len(logits) // len(labels), 0)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape).mean(1)

    def compile(self) -> None:
        """Let torch.compile, on a GPU, fuse what is not a product in `losses` and its gradient.

        Shapes are fixed, so a smaller last batch is compiled once more. It takes a C compiler and some seconds.
        """
        self.losses = torch.compile(self.losses, fullgraph=True, dynamic=False)  # type: ignore[method-assign]

    def step_of(self, member: int, x: Tensor, labels: Tensor) -> Tensor:
        """Take a step of one member on x [batch, ...] and labels [batch]; return the loss before it."""
        parameters = self.alone[member]
        if self.relus is not None:
            loss, gradients = perceptron.loss_and_gradients(self.relus, list(parameters.values()), x, labels)
            self._step(gradients, member)
            return loss
        if self.stackable:
            logits = layers.logits(self.stages, parameters, x)
        else:
            logits = self._train_whole(parameters, member, x)
        loss = F.cross_entropy(logits, labels)
        self._descend(loss, parameters, member)
        return loss.detach()

    def _train_whole(self, parameters: Parameters, member: int, x: Tensor) -> Tensor:
        """Return the logits of a network in training mode, which changes its buffers."""
        whole: Any = self.stages[0].call
        whole.training = True
        try:
            return layers.logits(self.stages, parameters | {name: b[member] for name, b in self.buffers.items()}, x)
        finally:
            whole.training = False

    def _descend(self, loss: Tensor, parameters: Parameters, members: int | slice) -> None:
        """Take a step down the gradient of `loss` by some members' `parameters`, those that are trained."""
        trained = [parameters[name] for name in self.trained]
        found = zip(torch.autograd.grad(loss, trained, allow_unused=True), trained, strict=True)
        # None: the logits do not depend on that parameter.
        gradients = [torch.zeros_like(p) if gradient is None else gradient.contiguous() for gradient, p in found]
        self._step(gradients, members)

    def _step(self, gradients: Sequence[Tensor], members: int | slice) -> None:
        """Take a step with the gradients of `trained`; what is frozen at zero stays so."""
        if self.keep:
            for name, gradient in zip(self.trained, gradients, strict=True):
                if name in self.keep:
                    gradient.mul_(self.keep[name][members])
        self.optimizer.step(gradients, members if isinstance(members, int) else 0)

    def version(self) -> Hashable:
        """Return what changes when `step` starts to do more than before: when the first weights are frozen."""
        return tuple(self.keep)

    def members(self, indices: Sequence[int]) -> Parameters:
        """Return copies of the parameters and buffers of some members: each [len(indices), *shape]."""
        return selected(self.parameters | self.buffers, indices)

    def replace(self, member: int, weights: Mapping[str, Tensor]) -> None:
        """Set some parameters of one member."""
        for name, weight in weights.items():
            self.parameters[name].detach()[member] = weight

    def freeze_zeros(self, member: int, keep: Mapping[str, Tensor]) -> None:
        """Hold the weights where `keep` is False at zero from now on: no gradient, and no memory of one."""
        for name, mask in keep.items():
            if name not in self.keep:
                self.keep[name] = torch.ones_like(self.parameters[name])
            self.keep[name][member] *= mask  # what is held stays held, whatever `keep` says of it
            for moment in self.optimizer.moments.values() if name in self.trained else ():
                moment[name][member] *= mask

    def state(self, member: int) -> dict[str, dict[str, Tensor]]:
        """Return all that changes as one member trains, as views: parameters, buffers, moments and the mask.

        A mask that holds nothing at zero is left out: whether there is one depends on the member's company.
        """
        tensors = {"parameters": {name: p.detach()[member] for name, p in self.parameters.items()}}
        tensors["buffers"] = {name: buffer[member] for name, buffer in self.buffers.items()}
        for moment, of_each in self.optimizer.moments.items():
            tensors[moment] = {name: tensor[member] for name, tensor in of_each.items()}
        tensors["keep"] = {name: keep[member] for name, keep in self.keep.items() if not keep[member].all()}
        return tensors

    def load_state(self, member: int, state: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Continue a member from `state`, after `steps` optimiser steps (the same for all members)."""
        self.replace(member, state["parameters"])
        for name, buffer in self.buffers.items():
            buffer[member] = state["buffers"][name]
        for moment, of_each in self.optimizer.moments.items():
            for name, tensor in of_each.items():
                tensor[member] = state[moment][name]
        self.optimizer.set_steps(steps)
        if state["keep"]:
            self.freeze_zeros(member, {name: mask != 0 for name, mask in state["keep"].items()})
