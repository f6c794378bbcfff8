"""One network after an epoch, as selectors and estimates of the Bayes factor see it: weights, gradient, curvature."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from bayes_pruning.config.random_streams import generator
from bayes_pruning.engine import layers
from bayes_pruning.pruning import laplace

GRADIENT_ROWS = 2000  # images at a time


@dataclass(frozen=True)
class Network:
    """One run's network, without member axes. What is derived from it is computed when first asked for, then kept."""

    model: nn.Module  # in evaluation mode; called with `parameters`, its own are not used
    parameters: Mapping[str, Tensor]
    prunable: tuple[str, ...]
    load: Callable[[], tuple[Tensor, Tensor]]  # the training images [n, ...] and their labels, int64 [n]
    seed: int
    epoch: int  # from 1
    _kept: dict[tuple[object, ...], dict[str, Tensor]] = field(default_factory=dict)

    def gradient(self, examples: int | None = None) -> Mapping[str, Tensor]:
        """Return the gradient of the mean training loss in nats, by prunable parameter.

        Args:
            examples: over at most so many images, drawn from the run's stream; None for all.
        """
        key = ("gradient", examples)
        if key not in self._kept:
            self._kept[key] = self._gradient(examples)
        return self._kept[key]

    def fisher(self, examples: int | None = None, draws: int | None = None) -> Mapping[str, Tensor]:
        """Return the diagonal of the Fisher information of the whole training set, by prunable parameter.

        The arguments are those of laplace.fisher_diagonal; what is drawn comes from the run's stream.
        """
        key = ("fisher", examples, draws)
        if key not in self._kept:
            stream = generator(self.seed, "Fisher information", self.epoch)
            images, _ = self.load()
            self._kept[key] = laplace.fisher_diagonal(
                self.model, self.parameters, images, self.prunable, examples, draws, stream
            )
        return self._kept[key]

    def _gradient(self, examples: int | None) -> dict[str, Tensor]:
        images, labels = self.load()
        if examples is not None and examples < len(images):
            stream = generator(self.seed, "gradient of the loss", self.epoch)
            chosen = torch.randperm(len(images), generator=stream)[:examples].to(images.device)
            images, labels = images[chosen], labels[chosen]
        leaves = {name: parameter.detach() for name, parameter in self.parameters.items()}  # and buffers
        leaves |= {name: leaves[name].clone().requires_grad_() for name in self.prunable}
        wanted = [leaves[name] for name in self.prunable]
        total = [torch.zeros_like(leaf) for leaf in wanted]
        for some, answers in zip(images.split(GRADIENT_ROWS), labels.split(GRADIENT_ROWS), strict=True):
            with torch.enable_grad():
                loss = F.cross_entropy(layers.logits(layers.stages(self.model), leaves, some), answers, reduction="sum")
            for sums, part in zip(total, torch.autograd.grad(loss, wanted, allow_unused=True), strict=True):
                if part is not None:  # the logits depend on that parameter
                    sums += part / len(images)
        return dict(zip(self.prunable, total, strict=True))
