"""Make the tables of docs/laplace_evidence.md: the paper's ratio, Laplace's, BIC's, and how good Laplace's is.

    python train.py dataset=mnist_5k pruner=none output_dir=RUNS
    python benchmarks/compare_evidence.py RUNS/mnist_5k-fcn-none-* --columns 16000

Takes folders of finished runs of fully connected networks, best unpruned ones, prunes them by magnitude and at random,
and prints Markdown. All ratios are pruned over unpruned, in nats.
"""

import argparse
import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import checkout  # noqa: F401  (so that the package is found)
import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from torch import Tensor

from bayes_pruning.config.errors import UserError
from bayes_pruning.config.random_streams import generator
from bayes_pruning.config.registry import SELECTORS
from bayes_pruning.config.schema import run_config
from bayes_pruning.data import datasets
from bayes_pruning.engine import device, layers
from bayes_pruning.models import networks
from bayes_pruning.pruning import laplace
from bayes_pruning.pruning.masks import keep_mask, pruned_count
from bayes_pruning.pruning.posterior import log_likelihood, log_prior
from bayes_pruning.pruning.selectors import Layer
from bayes_pruning.script import run

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)
RATIOS = ("pruned", "likelihood", "paper", "Occam", "a weight", "Laplace", "own curvature", "full, at most", "BIC")
NOISE = ("images", "draws", "CPU seconds", "Occam over exact", "its sd", "error of the diagonal")
ROWS = 1000  # images a pass


class Network:
    """Hold the final network of a finished run, and its training images."""

    def __init__(self, folder: Path) -> None:
        try:
            config: Any = OmegaConf.load(folder / ".hydra" / "config.yaml")
            self.run = run_config(config)
            self.parameters = load_file(folder / "weights.safetensors")
        except Exception as error:  # YAML, omegaconf, safetensors and the file system each raise their own
            reason = " ".join(str(error).split()).rstrip(".")
            raise UserError(f"{folder} is not the folder of a finished run ({reason}).") from error
        data = datasets.load(self.run.dataset, config.data_root, device.pick("cpu"))
        self.images, self.labels = data.train.images, data.train.labels
        self.model = networks.build(self.run.model, data.shape, datasets.CLASSES, self.run.seed)
        self.names, self.prior = networks.prunable(self.model), self.run.protocol.prior
        if not layers.is_stackable(self.model) or any(self.parameters[name].ndim != 2 for name in self.names):
            raise UserError(f"{folder} has no fully connected network: the full matrix is computed for these only.")

    def log_likelihood(self, parameters: Mapping[str, Tensor]) -> float:
        """Return the log-likelihood of all training images, in nats."""
        total = 0.0
        for images, labels in zip(self.images.split(ROWS), self.labels.split(ROWS), strict=True):
            with torch.no_grad():
                logits = torch.func.functional_call(self.model, dict(parameters), (images,))
            total += log_likelihood(logits.unsqueeze(0), labels).item()
        return total

    def fisher(self, parameters: Mapping[str, Tensor], **options: Any) -> dict[str, Tensor]:
        """Return the Fisher information's diagonal for the prunable weights."""
        return laplace.fisher_diagonal(self.model, parameters, self.images, self.names, **options)

    def occam(self, fisher: Mapping[str, Tensor], chosen: Mapping[str, Tensor] | None = None) -> float:
        """Return the sum of log(1 + std^2 F) / 2 over the chosen weights, by default all."""
        terms = {name: torch.log1p(self.prior.std**2 * fisher[name]) / 2 for name in self.names}
        return sum(float((term if chosen is None else term[chosen[name]]).sum()) for name, term in terms.items())


def ratios(network: Network, full_occam: float) -> Iterator[str]:
    """Return a row for each selector and sparsity."""
    weights = {name: network.parameters[name] for name in network.names}
    before, fisher = network.log_likelihood(network.parameters), network.fisher(network.parameters)
    for selector in ("magnitude", "random"):
        for sparsity in SPARSITIES:
            keep, gone = {}, {}
            for name, weight in weights.items():
                score = SELECTORS.find(selector)(Layer(name, weight, network.run.seed, network.run.epochs))
                keep[name] = keep_mask(score, pruned_count(weight.numel(), sparsity))
                gone[name] = ~keep[name] & (weight != 0)
            pruned = {name: weight * keep[name] for name, weight in weights.items()}
            parameters = network.parameters | pruned
            after, removed = network.log_likelihood(parameters), sum(int(mask.sum()) for mask in gone.values())
            priors = [log_prior(group.values(), network.prior).item() for group in (weights, pruned)]
            left = {name: keep[name] & (weight != 0) for name, weight in weights.items()}
            evidence = laplace.log_evidence_ratio(before, after, weights, keep, fisher, network.prior)
            occam = network.occam(fisher, gone)
            own_curvature = evidence + network.occam(fisher, left) - network.occam(network.fisher(parameters), left)
            bic = bic_ratio(before, after, removed, len(network.images))
            gain, paper = after - before, after - before + priors[1] - priors[0]
            most = evidence - occam + min(occam, full_occam)
            numbers = [f"{gain:,.0f}", f"{paper:,.0f}", f"{occam:,.0f}", f"{occam / max(removed, 1):.3f}"]
            yield row(
                f"{selector} {sparsity}", *numbers, *(f"{value:,.0f}" for value in (evidence, own_curvature, most, bic))
            )


def bic_ratio(log_likelihood_before: float, log_likelihood_after: float, removed: int, examples: int) -> float:
    """Return the log Bayes factor by Schwarz's criterion, in nats: log(examples) / 2 for each `removed` weight."""
    return log_likelihood_after - log_likelihood_before + removed / 2 * math.log(examples)


def full_occam(network: Network, columns: int) -> tuple[float, float]:
    """Return a lower and an upper bound of log det(I + std^2 G) / 2 with the Gauss-Newton matrix G of all weights.

    G is a sum of g g' over the images and the columns of the softmax's factor, and the determinant is that of the inner
    products of the g. Taken are the `columns` longest; the others add from 0 to std^2 / 2 times their squared lengths.
    """
    total, classes, variance = len(network.images), torch.eye(datasets.CLASSES), network.prior.std**2

    def signals(chosen: Tensor, signs: Tensor) -> dict[str, tuple[Tensor, Tensor]]:
        return laplace.linear_signals(network.model, network.parameters, network.images[chosen], signs)

    lengths = torch.zeros(datasets.CLASSES, total, dtype=torch.float64)
    for chosen in torch.arange(total).split(ROWS):
        for inputs, errors in signals(chosen, classes.unsqueeze(1).expand(-1, len(chosen), -1)).values():
            lengths[:, chosen] += errors.square().sum(-1) * inputs.square().sum(-1)
    longest = lengths.flatten().topk(min(columns, lengths.numel())).indices
    parts = [signals(part % total, classes[part // total].unsqueeze(0)) for part in longest.split(ROWS)]
    products = torch.zeros(len(longest), len(longest))
    for name in network.names:
        inputs, errors = (torch.cat([part[name][i].flatten(0, -2) for part in parts]) for i in (0, 1))
        products += (inputs @ inputs.t()).mul_(errors @ errors.t())
    matrix = products.double().mul_(variance)
    matrix.diagonal().add_(1)
    lower = torch.linalg.cholesky(matrix).diagonal().log().sum().item()
    rest = lengths.sum() - lengths.flatten()[longest].sum()
    return lower, lower + variance / 2 * rest.item()


def noise(network: Network, repeats: int) -> Iterator[str]:
    """Return a row for each way to estimate the diagonal."""
    exact, total = network.fisher(network.parameters), len(network.images)
    trace = sum(f.sum() for f in exact.values())
    for examples, draws in ((total, None), (total // 4, None), (total // 16, None), (total, 1), (total, 4)):
        start, shares, errors = time.process_time(), [], []
        for repeat in range(repeats):
            stream = generator(repeat, "noise of the Fisher diagonal")
            estimate = network.fisher(network.parameters, examples=examples, draws=draws, generator=stream)
            shares.append(network.occam(estimate) / network.occam(exact))
            errors.append(sum((estimate[name] - exact[name]).abs().sum() for name in exact) / trace)
        seconds = (time.process_time() - start) / repeats
        (std, mean), error = torch.std_mean(torch.tensor(shares)), sum(errors) / repeats
        yield row(str(examples), str(draws or "exact"), *(f"{x:.3f}" for x in (seconds, mean, std, error)))


def row(*cells: str) -> str:
    """Return a line of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables of each folder."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, help="folders of finished runs, best with pruner=none")
    parser.add_argument("--columns", type=int, default=4000, help="of the full matrix (default: 4000; 16000 take 6 GB)")
    parser.add_argument("--repeats", type=int, default=10, help="of the noisy estimates (default: 10)")
    args = parser.parse_args()
    for network in map(Network, args.folders):
        print(f"\n{network.run.label()}, {network.run.epochs} epochs, prior {network.prior}: log-likelihood", end=" ")
        print(f"{network.log_likelihood(network.parameters):.1f} nats over {len(network.images)} images. Occam term of")
        lower, upper = full_occam(network, args.columns)
        print(f"all weights: diagonal {network.occam(network.fisher(network.parameters)):,.0f} nats,", end=" ")
        print(f"full matrix {lower:,.0f} to {upper:,.0f} nats.\n")
        for header, rows in ((RATIOS, ratios(network, upper)), (NOISE, noise(network, args.repeats))):
            print(row(*header), row("---", *["---:"] * (len(header) - 1)), *rows, "", sep="\n")


if __name__ == "__main__":
    run(main)
