"""The two optimisers that the paper names, Adam and SGD, for a stack of networks, by torch's own kernels.

`torch.optim.Adam(fused=True)` and `torch.optim.SGD(foreach=True)` call the same kernels. Their classes are not used
because they import torch's compiler, two seconds of a program's start, only to keep it out of its way (torchvision
imports it too, so this helps where that is not needed).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Parameters = dict[str, Tensor]  # by name, each [members, *shape]
MOMENTS = ("exp_avg", "exp_avg_sq")  # running means of the gradient and of its square
BUFFER = "momentum_buffer"  # of SGD: the sum of the gradients, each times the momentum once for each step since
BETAS, EPS = (0.9, 0.999), 1e-8  # what the authors of Adam recommend


def _groups(tensors: Sequence[Mapping[str, Tensor]], one_by_one: bool) -> list[list[list[Tensor]]]:
    """Return the tensors that one step changes: for each member, if each takes its steps alone, a list of each kind."""
    members = range(len(next(iter(tensors[0].values())))) if one_by_one else [slice(None)]
    return [[[tensor.detach()[i] for tensor in kind.values()] for kind in tensors] for i in members]


class Adam:
    """Adam (Kingma and Ba, 2015, algorithm 1) of all members, who share their learning rate.

    Args:
        parameters: changed in place; each [members, *shape].
        learning_rate: of every member.
        one_by_one: whether each member takes its steps alone, so that its numbers do not depend on its index.

    Attributes:
        moments: by name of MOMENTS, then as `parameters`.
    """

    def __init__(self, parameters: Mapping[str, Tensor], learning_rate: float, one_by_one: bool) -> None:
        self.learning_rate = learning_rate
        self.moments: dict[str, Parameters] = {
            moment: {name: torch.zeros_like(p) for name, p in parameters.items()} for moment in MOMENTS
        }
        # A group has lists of parameters, of means and of squares.
        self.groups = _groups([parameters, *(self.moments[moment] for moment in MOMENTS)], one_by_one)
        # The kernel wants a count of steps of each parameter; those of a group are one tensor, raised by one operation.
        device = next(iter(parameters.values())).device
        self.steps = [torch.zeros(len(parameters), device=device) for _ in self.groups]
        self.each_step = [list(steps.unbind()) for steps in self.steps]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], group: int) -> None:
        """Take a step of one member if they are taken one by one, else of all members.

        Args:
            gradients: in the order of the parameters, shaped like the group's, and contiguous, as the fused kernel
                reads them.
            group: the member, 0 for all.
        """
        parameters, means, squares = self.groups[group]
        self.steps[group].add_(1)
        torch._fused_adam_(
            parameters,
            list(gradients),
            means,
            squares,
            [],
            self.each_step[group],
            lr=self.learning_rate,
            beta1=BETAS[0],
            beta2=BETAS[1],
            weight_decay=0.0,
            eps=EPS,
            amsgrad=False,
            maximize=False,
        )

    def set_steps(self, steps: int) -> None:
        """Go on as after `steps` steps of every member."""
        for counts in self.steps:
            counts.fill_(steps)


class SGD:
    """Stochastic gradient descent of all members, with momentum (Polyak, 1964) if it is above 0.

    Args:
        parameters: changed in place; each [members, *shape].
        learning_rate: of every member.
        momentum: by what the buffer is multiplied in each step, from 0 to below 1.
        one_by_one: whether each member takes its steps alone, so that its numbers do not depend on its index.

    Attributes:
        moments: the buffer, by name as `parameters`; empty without momentum.
    """

    def __init__(
        self, parameters: Mapping[str, Tensor], learning_rate: float, momentum: float, one_by_one: bool
    ) -> None:
        self.learning_rate, self.momentum = learning_rate, momentum
        self.moments: dict[str, Parameters] = (
            {BUFFER: {name: torch.zeros_like(p) for name, p in parameters.items()}} if momentum else {}
        )
        self.groups = _groups([parameters, *self.moments.values()], one_by_one)

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor], group: int) -> None:
        """Take a step of one member if they are taken one by one, else of all members, as `Adam.step` does."""
        parameters, *buffers = self.groups[group]
        steps = list(gradients)
        for buffer in buffers:
            torch._foreach_mul_(buffer, self.momentum)
            torch._foreach_add_(buffer, steps)
            steps = buffer
        torch._foreach_add_(parameters, steps, alpha=-self.learning_rate)

    def set_steps(self, steps: int) -> None:
        """Do nothing: no step of SGD depends on how many there were."""
