"""Which weights are pruned: a selector scores the weights of one layer, and the lowest scores go.

These are lines 8 to 12 of Algorithm 2 of the paper, and lines 8 and 9 of Algorithm 3. A selector is a function of a
layer and of its own options that gives a score for each weight, shaped as the layer's. To add your own, write the
function and name it in a file of conf/pruner.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from bayes_pruning.config import random_streams
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.config.validation import CountOrNull, Fraction
from bayes_pruning.pruning.network import Network


@dataclass(frozen=True)
class Layer:
    """What a selector sees: one layer of one run, after an epoch."""

    name: str
    weight: Tensor  # any shape; a copy, which a selector may change
    seed: int
    epoch: int  # from 1
    network: Network | None = None  # whose layer it is, for what depends on the training images

    def uniform(self, purpose: str) -> Tensor:
        """Return numbers uniform on [0, 1), float64, shaped as the weight, from the run's stream `purpose`.

        They are the same for every run with this seed, whatever its sparsity, on every device.
        """
        name = (self.seed, purpose, self.name, self.epoch)
        return random_streams.uniform(name, self.weight.shape, self.weight.device).clone()

    def gradient(self, examples: int | None = None) -> Tensor:
        """Return the gradient of the mean training loss in nats, shaped as the weight (Network.gradient)."""
        assert self.network is not None
        return self.network.gradient(examples)[self.name].clone()

    def fisher(self, examples: int | None = None, draws: int | None = None) -> Tensor:
        """Return the diagonal of the Fisher information, float64, shaped as the weight (Network.fisher)."""
        assert self.network is not None
        return self.network.fisher(examples, draws)[self.name].clone()


@SELECTORS.register
def none(layer: Layer) -> Tensor:
    """Return zeros, which prefer no weight: for the unpruned baseline, whose gate never opens."""
    return torch.zeros_like(layer.weight)


@SELECTORS.register
def magnitude(layer: Layer) -> Tensor:
    """Return the absolute value: the smallest weights go first (Algorithm 3, lines 8 and 9, which print sort(w_i); the
    text says magnitude)."""
    return layer.weight.abs()


@SELECTORS.register
def random(layer: Layer) -> Tensor:
    """Return a uniform draw for every weight that is not zero yet; zeros count first (Algorithm 2, lines 8 to 12)."""
    return torch.where(layer.weight != 0, layer.uniform("random pruning"), -1.0)


@SELECTORS.register
def snip(layer: Layer, examples: CountOrNull = None) -> Tensor:
    """Return the saliency |w dL/dw| (SNIP; Lee, Ajanthan and Torr, 2019, equation 6, here of the trained network)."""
    return (layer.weight * layer.gradient(examples)).abs()


@SELECTORS.register
def evidence(
    layer: Layer, examples: CountOrNull = None, draws: CountOrNull = None, reliability: Fraction = 1.0
) -> Tensor:
    """Return the log-likelihood that a weight's removal costs to second order (docs/bayesian_schedule.md, eq. 2 and 3).

    Args:
        layer: with its network.
        examples: images for the Fisher information, as laplace.fisher_diagonal takes them.
        draws: random signs an image, for the same.
        reliability: of the information's logarithm. 1: w^2 F / 2, in nats; between 0 and 1: w^2 F^reliability / 2, in
            nats but for a factor that all weights share; 0: as `magnitude`.
    """
    return layer.weight.double().square() * layer.fisher(examples, draws) ** reliability / 2
