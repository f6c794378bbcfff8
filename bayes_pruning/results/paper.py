"""Name the paper's data sets, networks and methods, in the order in which they are shown; hold its Table 1."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

PAPER_CSV = Path(__file__).with_name("paper_table1.csv")
UNPRUNED = "none"  # the pruner of every unpruned run, whatever its name; no sparsity was asked of it
METHODS = ("random", "bayes_random", "magnitude", "bayes_magnitude")  # the paper's columns, in its order
DATASETS = ("mnist", "fashion_mnist", "cifar10")  # the paper's order; others follow by name
MODELS = ("fcn", "cnn")
SEEDS = range(5)  # the paper repeats each experiment five times; it names no seeds
SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)
LEARNING_SPARSITY = {"mnist": 0.75, "fashion_mnist": 0.9, "cifar10": 0.9}  # of the learning curves
FIRST_FIGURE = 4  # of three for each data set and network: learning curves, random and magnitude pruning
Key = tuple[str, str, str, float]  # (dataset, model, pruner, sparsity asked for)
NAMES = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "mnist_5k": "MNIST (5,000)",
    "fcn": "FCN",
    "cnn": "CNN",
}


@lru_cache(maxsize=1)
def paper_values() -> Mapping[Key, float]:
    """Return the accuracies of the paper's Table 1, that of the unpruned network at sparsity 0."""
    table = pd.read_csv(PAPER_CSV).replace({"method": {"unpruned": UNPRUNED}})
    values: Any = table.set_index(["dataset", "model", "method", "sparsity"])["accuracy"].to_dict()
    return values


def rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Return what names are sorted by: their position in `order`, and after it the alphabet."""
    return (order.index(name) if name in order else len(order), name)


def display_name(name: str) -> str:
    """Return a data set, model or pruner as people read it: 'bayes_random' -> 'Bayes Random'."""
    return NAMES.get(name, name.replace("_", " ").title())


def percent(fraction: float, decimals: int = 8) -> str:
    """Return a fraction from 0 to 1 as a percentage without idle zeros: 0.25 -> '25%', 0.725 -> '72.5%'.

    It has at most `decimals` digits after the point, and more where it would otherwise read as 0% or as 100% and is
    not: with one, 0.9996 is '99.96%' and 0.00024 is '0.02%'.
    """
    value = 100 * fraction
    while 0 < fraction < 1 and round(value, decimals) in (0.0, 100.0) and decimals < 12:
        decimals += 1
    return f"{round(value, decimals):.12g}%"
