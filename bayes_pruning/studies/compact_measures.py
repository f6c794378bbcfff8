"""Measure what sparsity buys: finished runs' networks beside the same without their dead units (docs/compact.md)."""

import os
import statistics
import time
import timeit
import warnings
from collections.abc import Mapping, Sequence
from copy import deepcopy
from functools import partial
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from safetensors.torch import load_file
from safetensors.torch import save as safetensors_bytes
from torch import Tensor, nn

from bayes_pruning.config.errors import UserError, user_error
from bayes_pruning.config.schema import run_config
from bayes_pruning.data import datasets
from bayes_pruning.engine import device
from bayes_pruning.models import networks
from bayes_pruning.results.run_records import is_run_folder
from bayes_pruning.results.tables import markdown
from bayes_pruning.runs import layout
from bayes_pruning.studies.compact import compact, multiply_adds, save, sparse_bytes

BATCHES = (1, 1000)
LEAST_SECONDS = 0.005  # of one variant in one round
SIZES = "run | parameters | compacted | dense, KB | CSR | compacted | multiply-adds | non-zero | compacted"
TIMES = "run | " + " | ".join(f"dense, batch {n} | masked | CSR | compacted" for n in BATCHES)
NO_FASTER = "A mask alone makes nothing faster: a zero is multiplied like any other number (columns 'masked': about 1)."


def read_run(folder: Path, data_root: str | None) -> tuple[nn.Module, nn.Module, nn.Sequential, Tensor]:
    """Return a run's network before training, as pruned and compacted; its data set's test images, normalised.

    `data_root` replaces that of the run's config. Raise UserError, naming `folder`, if it is no finished run, is
    damaged, or its network can not be compacted.
    """
    if not is_run_folder(folder):
        raise UserError(f"{folder} is not a run's folder: name one that train.py made, under its output_dir.")
    if not layout.is_finished(folder):
        raise UserError(f"{folder} is not finished: train it to its end with the command that began it.")
    with user_error(f"{folder} is not a run as train.py leaves it"):
        config: Any = OmegaConf.load(folder / ".hydra" / "config.yaml")
        run, root = run_config(config), data_root or str(config.data_root)
        weights = load_file(folder / "weights.safetensors")
    data = datasets.load(run.dataset, root, device.pick("cpu"))
    dense = networks.build(run.model, data.shape, datasets.CLASSES, run.seed)
    pruned = deepcopy(dense)
    try:
        pruned.load_state_dict(weights)
        return dense, pruned, compact(pruned), data.test.images
    except RuntimeError as error:
        raise UserError(f"{folder / 'weights.safetensors'} does not fit the network of the run's config.") from error
    except UserError as error:
        raise UserError(f"{folder}: {error}") from error


class SparseLinear(nn.Module):
    """Multiply by a weight that is a torch sparse CSR matrix, as a linear layer."""

    def __init__(self, layer: nn.Linear) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight.detach().to_sparse_csr(), layer.bias.detach().unsqueeze(1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the outputs: [batch, inputs] -> [batch, outputs]."""
        return torch.addmm(self.bias, self.weight, x.t()).t()


def sparse_twin(model: Any) -> nn.Module:
    """Return `model` with CSR weights in its linear layers; convolutions stay dense, since torch has no sparse ones."""
    return nn.Sequential(*(SparseLinear(layer) if isinstance(layer, nn.Linear) else layer for layer in deepcopy(model)))


def timed(variants: Mapping[str, nn.Module], images: Tensor, rounds: int) -> list[str]:
    """Return the first variant's median microseconds for `images`, then how many times as fast each other one is.

    One thread, and the CPU time of that thread, in which other programs on the machine do not count. In a round the
    variants take turns; a ratio is the median over rounds of the ratio within one.
    """
    timers = [timeit.Timer(partial(model, images), timer=time.thread_time) for model in variants.values()]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            [timer.timeit(1) for timer in timers]  # the first call of a size sets things up
            numbers = [max(1, int(LEAST_SECONDS / timer.timeit(1))) for timer in timers]
            turns = [[t.timeit(n) / n for t, n in zip(timers, numbers, strict=True)] for _ in range(rounds)]
    finally:
        torch.set_num_threads(threads)
    first, *others = zip(*turns, strict=True)
    ratios = [statistics.median(a / b for a, b in zip(first, other, strict=True)) for other in others]
    return [f"{1e6 * statistics.median(first):,.0f}", *(f"{ratio:.2f}" for ratio in ratios)]


def sizes(pruned: nn.Module, small: nn.Module, shape: tuple[int, ...]) -> list[str]:
    """Return a row of sizes: parameters, kilobytes of the three files, multiply-adds for an image of `shape`."""
    parameters = [f"{sum(p.numel() for p in model.parameters()):,}" for model in (pruned, small)]
    dense, compacted = (safetensors_bytes(model.state_dict()) for model in (pruned, small))
    kilobytes = [f"{len(data) / 1000:,.1f}" for data in (dense, sparse_bytes(pruned.state_dict()), compacted)]
    operations = [f"{n:,}" for n in (*multiply_adds(pruned, shape), multiply_adds(small, shape)[0])]
    return [*parameters, *kilobytes, *operations]


def equality(pruned: nn.Module, small: nn.Module, images: Tensor) -> str:
    """Return what became of the weights' shapes, and how far the outputs for `images` differ."""
    shapes = [", ".join("x".join(map(str, p.shape)) for p in m.parameters() if p.ndim > 1) for m in (pruned, small)]
    with torch.inference_mode():
        before, after = (torch.cat([m(part) for part in images.split(1000)]) for m in (pruned, small))
    apart, changed = (before - after).abs().max(), int((before.argmax(1) != after.argmax(1)).sum())
    return (
        f"weights {shapes[0]} became {shapes[1]}; on {len(images):,} test images logits of up to "
        f"{before.abs().max():.3g} differ by at most {apart:.1g}, {changed} predictions change"
    )


def measure(runs: Sequence[Path], out: Path | None, data_root: str | None, rounds: int) -> None:
    """Read and compact each run, then measure and print; with `out` write each compacted network to a folder of it.

    Raise UserError, before anything is written, for a folder that is no finished run or can not be compacted.
    """
    warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")
    names = [folder.resolve().name for folder in runs]
    if twice := [name for name in names if names.count(name) > 1]:
        same = " and ".join(str(run) for run in runs if run.resolve().name == twice[0])
        raise UserError(f"{same} have one name, as copies of a run do: give one of them.")
    networks_of = {name: read_run(folder, data_root) for name, folder in zip(names, runs, strict=True)}
    size_rows, time_rows = [], []
    for name, (dense, pruned, small, images) in networks_of.items():
        if out:
            save(small, out / name)
        print(f"{name}: {equality(pruned, small, images)}", flush=True)
        size_rows.append([name, *sizes(pruned, small, tuple(images.shape[1:]))])
        variants = {"dense": dense, "masked": pruned, "CSR": sparse_twin(pruned), "compacted": small}
        time_rows.append([name, *(cell for n in BATCHES for cell in timed(variants, images[:n], rounds))])
    print(f"\n{markdown(SIZES.split(' | '), size_rows)}")
    print(f"Microseconds of the dense network, and how many times as fast the others are ({rounds} rounds, 1 of")
    print(f"{os.cpu_count()} cores, torch {torch.__version__}):")
    print(f"\n{markdown(TIMES.split(' | '), time_rows)}\n{NO_FASTER}")
