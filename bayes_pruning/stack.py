"""Many networks as one program: parameters with a leading member axis, one forward pass, one optimiser step.

Members of a stack share architecture, batch size, learning rate and epoch, and nothing else: each has its own weights
and, if it wants, its own batches. A single run is a stack of one. No operation mixes members, so one that diverges
harms no other.
"""

from collections.abc import Hashable, Mapping, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning import gpu_layers, layers
from bayes_pruning.adam import MOMENTS, Adam, Parameters
from bayes_pruning.config import BF16, FULL
from bayes_pruning.convolutions import Block
from bayes_pruning.errors import ConfigError, UserError


class Stack:
    """Networks of one architecture, their Adam optimiser, and masks for weights that may not grow back.

    Args:
        models: one module a member, all built alike; their parameters are copied.
        learning_rate: of Adam.
        device: where the parameters live.
        precision: of the products, see precision.py.
    """

    def __init__(
        self, models: Sequence[nn.Module], learning_rate: float, device: torch.device, precision: str = FULL
    ) -> None:
        self.model = models[0]
        if next(self.model.buffers(), None) is not None:
            raise UserError("A model with buffers (such as BatchNorm's running mean) can not be stacked.")
        self.size = len(models)
        self.device = device
        # On a CPU convolutions keep all cores busy by themselves: stacking their large outputs would only copy them.
        self.one_by_one = device.type == "cpu" and any(isinstance(m, nn.Conv2d) for m in self.model.modules())
        self.stages = self._stages(precision)
        self.parameters: Parameters = {
            name: torch.stack([model.get_parameter(name).detach() for model in models]).to(device).requires_grad_()
            for name, _ in self.model.named_parameters()
        }
        self.keep: Parameters = {}  # 1 where a weight may change, 0 where it must stay zero; empty: all may change
        self.optimizer = Adam(self.parameters, learning_rate)

    def _stages(self, precision: str) -> list[layers.Stage] | None:
        """What the forward pass is made of, None for a model that is no sequence of known layers."""
        if layers.is_stackable(self.model):
            on_cpu = self.device.type == "cpu"
            return layers.stages(self.model) if on_cpu else gpu_layers.stages(self.model, precision)
        if precision == BF16:
            raise ConfigError(
                "precision", precision, "fp32 or tf32 for a model with layers of kinds that can not be stacked"
            )
        return None

    def forward(self, x: Tensor, parameters: Mapping[str, Tensor] | None = None) -> Tensor:
        """Logits [members, batch, classes] of x [members | 1, batch, ...], by default with the stack's parameters."""
        parameters = self.parameters if parameters is None else parameters
        members = len(next(iter(parameters.values())))
        if self.one_by_one and members > 1:
            inputs = x.expand(members, *x.shape[1:]).split(1)
            each = zip(*(parameter.split(1) for parameter in parameters.values()), strict=True)
            alone = [dict(zip(parameters, member, strict=True)) for member in each]
            return torch.cat([self.forward(a, member) for a, member in zip(inputs, alone, strict=True)])
        if self.stages is None:
            return self._vmap(x, dict(parameters))
        for stage in self.stages:
            x = stage.call(x, *(parameters[name] for name in stage.names))
        return x

    def choose_convolutions(self, x: Tensor) -> list[str]:
        """Time each way to convolve inputs like x [members | 1, batch, ...] and keep to the fastest, on a GPU.

        For training if gradients are enabled, else for evaluation.

        Returns:
            What was found, a line a convolution.
        """
        found, first = [], True
        for stage in self.stages or ():
            own = [self.parameters[name] for name in stage.names]
            if isinstance(stage.call, Block):
                times = stage.call.choose((x, *own), images_need_gradient=not first)
                listed = ", ".join(f"{name} {1e6 * seconds:.0f}" for name, seconds in times.items())
                found.append(f"{stage.names[0]} {tuple(x.shape)}, microseconds: {listed}")
            x, first = stage.call(x, *own).detach(), False
        return found

    def _vmap(self, x: Tensor, parameters: Parameters) -> Tensor:
        def call(member: Parameters, inputs: Tensor) -> Tensor:
            return torch.func.functional_call(self.model, member, (inputs,))

        shared = len(x) == 1
        return torch.func.vmap(call, in_dims=(0, None if shared else 0))(parameters, x[0] if shared else x)

    def step(self, x: Tensor, labels: Tensor) -> Tensor:
        """One optimiser step of every member on its batch.

        Args:
            x: float32 [members | 1, batch, ...].
            labels: int64 [members | 1, batch].

        Returns:
            Mean cross-entropy of each member's batch before the step: float32 [members], in nats.
        """
        logits = self.forward(x)
        targets = labels.expand(self.size, -1)
        losses = F.cross_entropy(logits.flatten(0, 1), targets.reshape(-1), reduction="none")
        losses = losses.view(self.size, -1).mean(dim=1)
        tensors = list(self.parameters.values())
        gradients = [gradient.contiguous() for gradient in torch.autograd.grad(losses.sum(), tensors)]
        for name, gradient in zip(self.parameters, gradients, strict=True):
            if name in self.keep:
                gradient.mul_(self.keep[name])
        self.optimizer.step(gradients)
        return losses.detach()

    def version(self) -> Hashable:
        """Changes when `step` starts to do more than before: when the first weights are frozen."""
        return tuple(self.keep)

    def members(self, indices: Sequence[int]) -> Parameters:
        """Copies of the parameters of some members: each [len(indices), *shape]."""
        if len(indices) == 1:  # without sending an index to the device
            [i] = indices
            return {name: parameter.detach()[i : i + 1].clone() for name, parameter in self.parameters.items()}
        index = torch.tensor(list(indices), dtype=torch.int64, device=self.device)
        return {name: parameter.detach()[index] for name, parameter in self.parameters.items()}

    def replace(self, member: int, weights: Mapping[str, Tensor]) -> None:
        """Set some parameters of one member."""
        for name, weight in weights.items():
            self.parameters[name].detach()[member] = weight

    def freeze_zeros(self, member: int, keep: Mapping[str, Tensor]) -> None:
        """Hold the weights where `keep` is False at zero from now on: no gradient, and no memory of one in Adam."""
        for name, mask in keep.items():
            if name not in self.keep:
                self.keep[name] = torch.ones_like(self.parameters[name], requires_grad=False)
            self.keep[name][member] = mask.to(self.keep[name].dtype)
            for moment in MOMENTS:
                self.optimizer.moments[moment][name][member] *= mask

    def state(self, member: int) -> dict[str, dict[str, Tensor]]:
        """All that changes as one member trains, as views: parameters, Adam's moments and the mask.

        A mask that holds nothing at zero is left out: whether there is one depends on the member's company.
        """
        tensors = {"parameters": {name: p.detach()[member] for name, p in self.parameters.items()}}
        for moment in MOMENTS:
            tensors[moment] = {n: tensor[member] for n, tensor in self.optimizer.moments[moment].items()}
        tensors["keep"] = {name: keep[member] for name, keep in self.keep.items() if not keep[member].all()}
        return tensors

    def load_state(self, member: int, state: Mapping[str, Mapping[str, Tensor]], steps: int) -> None:
        """Continue a member from `state`, after `steps` optimiser steps (the same for all members)."""
        self.replace(member, state["parameters"])
        for moment in MOMENTS:
            for name, tensor in self.optimizer.moments[moment].items():
                tensor[member] = state[moment][name]
        self.optimizer.set_steps(steps)
        if state["keep"]:
            self.freeze_zeros(member, {name: mask != 0 for name, mask in state["keep"].items()})
