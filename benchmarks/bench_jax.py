"""Run one process of bench.py --peer jax: the stack as one JAX program, `vmap` over members, `scan` over steps.

The same networks, initial weights, batches, Adam (optax) and evaluations as in bench_epoch.py, images in memory, one
compiled function an epoch. Members share their batches, as those of one seed do here. It needs JAX and optax
(pip install --editable '.[peer]'), takes the arguments of bench_epoch.py and is timed in the same way; compiling comes
before the first line that it prints, which says how long it took. It has the fully connected network only: XLA's
convolutions on a CPU take ten times as long inside of a loop such as `scan` as outside (docs/performance.md).
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import checkout  # noqa: F401  (so that the package is found)
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
from bench_epoch import parser
from jax import lax
from racing import serve
from setting import compose_config, part
from torch import nn

from bayes_pruning.config import random_streams
from bayes_pruning.data import datasets
from bayes_pruning.models import networks

MOST = 1000  # images that are evaluated at once


def forward(model: nn.Sequential, weights: dict[str, Any], x: Any) -> Any:
    """Return the logits [batch, classes] of one fully connected network."""
    for index, layer in enumerate(model):
        w, b = weights.get(f"{index}.weight"), weights.get(f"{index}.bias")
        if isinstance(layer, nn.Linear):
            x = x @ w.T + b
        else:
            x = jax.nn.relu(x) if isinstance(layer, nn.ReLU) else x.reshape(len(x), -1)
    return x


def program(config: Any, data: Any, members: int) -> tuple[Callable[..., Any], Any, Any]:
    """Return a function (weights, optimiser's state, order of images, key) -> the same after an epoch."""
    model: Any = networks.build(config.model, data.shape, datasets.CLASSES, config.seed)
    first = {name: np.stack([tensor.detach().numpy()] * members) for name, tensor in model.named_parameters()}
    weights = {name: jnp.asarray(stacked) for name, stacked in first.items()}
    optimiser = optax.adam(config.learning_rate)
    train, test = ((jnp.asarray(s.images.numpy()), jnp.asarray(s.labels.numpy())) for s in (data.train, data.test))
    gate, batch_size = config.pruner.gate, config.batch_size

    def losses(member: Any, x: Any, y: Any) -> Any:
        return optax.softmax_cross_entropy_with_integer_labels(forward(model, member, x), y)

    gradients = jax.vmap(jax.value_and_grad(lambda member, x, y: losses(member, x, y).mean()), (0, None, None))

    def step(carry: Any, batch: Any) -> Any:
        member, state = carry
        loss, gradient = gradients(member, train[0][batch], train[1][batch])
        updates, state = optimiser.update(gradient, state, member)
        return (optax.apply_updates(member, updates), state), loss

    def scores(member: Any, split: Any) -> Any:
        """Return log-likelihood (nats) and correct answers of each member."""

        def one(single: Any, x: Any, y: Any) -> Any:
            logits = forward(model, single, x)
            loss = optax.softmax_cross_entropy_with_integer_labels(logits, y)
            return jnp.stack([-loss.sum(), (logits.argmax(1) == y).sum()])

        most = max(size for size in range(1, MOST + 1) if len(split[1]) % size == 0)
        parts = tuple(array.reshape(-1, most, *array.shape[1:]) for array in split)
        return lax.map(lambda part: jax.vmap(one, (0, None, None))(member, *part), parts).sum(0)

    def evaluate(member: Any) -> Any:
        numbers = [scores(member, test)]
        if gate == "bayes_factor":
            prior = sum((-(w**2) / 2).reshape(members, -1).sum(1) for w in member.values() if w.ndim > 2)
            numbers += [scores(member, train), prior]
        return numbers

    def pruned(w: Any, key: Any) -> Any:
        size = (members, w[0].size)
        score = jnp.abs(w.reshape(size)) if config.pruner.selector == "magnitude" else jax.random.uniform(key, size)
        least = jnp.sort(score, axis=1)[:, round(size[1] * config.sparsity) - 1]
        return jnp.where(score <= least[:, None], 0.0, w.reshape(size)).reshape(w.shape)

    @partial(jax.jit, donate_argnums=(0, 1))
    def epoch(member: Any, state: Any, order: Any, key: Any) -> Any:
        whole = len(order) // batch_size * batch_size
        carry, loss = lax.scan(step, (member, state), order[:whole].reshape(-1, batch_size))
        (member, state), _ = step(carry, order[whole:]) if whole < len(order) else (carry, loss)
        evaluations = [evaluate(member)]
        if gate != "never":
            member = {name: pruned(w, key) if w.ndim > 2 else w for name, w in member.items()}
            evaluations.append(evaluate(member))
        return member, state, evaluations

    return epoch, weights, optimiser.init(weights)


def main() -> None:
    """Compile an epoch and wait."""
    arguments = parser().parse_args()
    names = [f"{name}={getattr(arguments, name)}" for name in ("data_root", "dataset", "model", "pruner")]
    config = compose_config(*names)
    data = part(datasets.load(config.dataset, config.data_root, torch.device("cpu")), arguments.images)
    epoch, weights, state = program(config, data, arguments.members)
    done, start = 0, time.perf_counter()

    def order() -> Any:
        return jnp.asarray(random_streams.data_order(config.seed, done + 1, len(data.train)).numpy())

    compiled = epoch.lower(weights, state, order(), jax.random.key(0)).compile()  # type: ignore[attr-defined]
    seconds = time.perf_counter() - start

    def timed() -> None:
        nonlocal weights, state, done
        weights, state, evaluations = compiled(weights, state, order(), jax.random.key(done))
        jax.block_until_ready(evaluations)
        done += 1

    serve(timed, compiled=seconds, version=jax.__version__)


if __name__ == "__main__":
    main()
