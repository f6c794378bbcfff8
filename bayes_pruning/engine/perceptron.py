"""Backpropagation (Rumelhart, Hinton and Williams, 1986) of linear layers and ReLUs on a CPU, written out.

A step of the fully connected network is two dozen short operations. Autograd records each of them and plays it back,
which this network's step does without: docs/performance.md has what that brings. `Stack.step_of` calls it for networks
that `relus` knows; it leaves all others, such as convolutions, to autograd and layers.py. A layer of another kind needs
its gradient here and its place in `relus`; tests/test_perceptron.py compares both with autograd's.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bayes_pruning.engine.layers import is_stackable, product


def relus(model: nn.Module) -> list[bool] | None:
    """Return of each linear layer whether ReLU follows it; None unless `model` has only these behind nn.Flatten."""
    if not is_stackable(model) or not isinstance(model[0], nn.Flatten):
        return None
    found: list[bool] = []
    for layer in list(model)[1:]:
        if isinstance(layer, nn.Linear):
            found.append(False)
        elif isinstance(layer, nn.ReLU) and found:
            found[-1] = True
        else:
            return None
    return found


@torch.no_grad()
def loss_and_gradients(
    relus: Sequence[bool], parameters: Sequence[Tensor], images: Tensor, labels: Tensor
) -> tuple[Tensor, list[Tensor]]:
    """Return the mean cross-entropy of a batch in nats, and its gradient by each parameter.

    Args:
        relus: of each layer whether ReLU follows it.
        parameters: weight [outputs, inputs] and bias [outputs] of each layer, float32.
        images: [batch, ...].
        labels: int64 [batch].
    """
    weights, biases = parameters[::2], parameters[1::2]
    activations = [images.flatten(1)]  # what each layer reads, and the logits
    for weight, bias, relu in zip(weights, biases, relus, strict=True):
        out = product(activations[-1], weight, bias)
        activations.append(out.relu_() if relu else out)
    log_probabilities = F.log_softmax(activations[-1], 1)
    loss = F.nll_loss(log_probabilities, labels)
    gradient = log_probabilities.exp_()  # by the logits: the probabilities, less one for the label, over the batch
    gradient.scatter_add_(1, labels.unsqueeze(1), gradient.new_full((len(labels), 1), -1))
    gradient /= len(labels)
    gradients: list[Tensor] = []
    for layer in reversed(range(len(relus))):
        if relus[layer]:
            gradient = torch.ops.aten.threshold_backward(gradient, activations[layer + 1], 0)
        gradients[:0] = [product(gradient.t(), activations[layer].t()), gradient.sum(0)]
        if layer > 0:
            gradient = product(gradient, weights[layer].t())
    return loss, gradients
