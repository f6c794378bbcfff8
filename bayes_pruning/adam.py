"""Adam (Kingma and Ba, 2015, algorithm 1) for a stack of networks, by torch's own kernels.

`torch.optim.Adam` calls the same function. Its class is not used because it imports torch's compiler, two seconds of a
program's start, only to keep it out of its way (torchvision imports it too, so this helps where that is not needed).
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor
from torch.optim.adam import adam

Parameters = dict[str, Tensor]  # by name, each [members, *shape]
MOMENTS = ("exp_avg", "exp_avg_sq")  # running means of the gradient and of its square
BETAS, EPS = (0.9, 0.999), 1e-8  # what the authors of Adam recommend
VECTOR = 16  # float32 numbers in the widest vector register of a CPU


class Adam:
    """The optimiser of all members, whose learning rate and number of steps they share.

    On a CPU fused where that treats a member alike whatever its place in the stack: the fused kernel rounds the last
    few numbers of a tensor otherwise than the rest, so a member's result would depend on its place unless its numbers
    fill whole vectors; the few small tensors that do not are not fused.

    Args:
        parameters: changed in place by `step`; each [members, *shape].
        learning_rate: of every member.

    Attributes:
        moments: by name of MOMENTS, then as `parameters`.
    """

    def __init__(self, parameters: Mapping[str, Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = parameters, learning_rate
        self.moments: dict[str, Parameters] = {
            moment: {name: torch.zeros_like(p, requires_grad=False) for name, p in parameters.items()}
            for moment in MOMENTS
        }
        self.on_cpu = all(p.device.type == "cpu" for p in parameters.values())
        whole = [not self.on_cpu or p[0].numel() % VECTOR == 0 for p in parameters.values()]
        self.fused = {fused: [i for i, fills in enumerate(whole) if fills is fused] for fused in (True, False)}
        self.steps = [torch.zeros((), device=p.device) for p in parameters.values()]

    @torch.no_grad()
    def step(self, gradients: Sequence[Tensor]) -> None:
        """One step of every member.

        Args:
            gradients: in the order of the parameters, shaped like them, and contiguous: the fused kernel walks memory.
        """
        tensors = [list(self.parameters.values()), *(list(self.moments[moment].values()) for moment in MOMENTS)]
        for fused, places in self.fused.items():
            if not places:
                continue
            parameters, means, squares = ([kind[i] for i in places] for kind in tensors)
            adam(
                parameters,
                [gradients[i] for i in places],
                means,
                squares,
                [],
                [self.steps[i] for i in places],
                fused=fused,
                foreach=False,
                capturable=not self.on_cpu,  # so that steps can be recorded
                amsgrad=False,
                beta1=BETAS[0],
                beta2=BETAS[1],
                lr=self.learning_rate,
                weight_decay=0.0,
                eps=EPS,
                maximize=False,
            )

    def set_steps(self, steps: int) -> None:
        """Go on as after `steps` steps."""
        for step in self.steps:
            step.fill_(steps)
