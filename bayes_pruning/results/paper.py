"""Table 1 of the paper: its values, and the order in which it shows data sets, networks and methods."""

import csv
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from bayes_pruning.results.run_records import UNPRUNED

PAPER_CSV = Path(__file__).with_name("paper_table1.csv")
METHODS = ("random", "bayes_random", "magnitude", "bayes_magnitude")  # the paper's columns, in its order
DATASETS = ("mnist", "fashion_mnist", "cifar10")  # the paper's order; others follow by name
MODELS = ("fcn", "cnn")
Key = tuple[str, str, str, float]  # (dataset, model, pruner, sparsity asked for)


@lru_cache(maxsize=1)
def paper_values() -> Mapping[Key, float]:
    """Return the accuracies of the paper's Table 1, that of the unpruned network at sparsity 0."""
    with PAPER_CSV.open(newline="") as file:
        return {
            (
                row["dataset"],
                row["model"],
                UNPRUNED if row["method"] == "unpruned" else row["method"],
                float(row["sparsity"]),
            ): float(row["accuracy"])
            for row in csv.DictReader(file)
        }


def rank(name: str, order: Sequence[str]) -> tuple[int, str]:
    """Return what names are sorted by: their place in `order`, and after it the alphabet."""
    return (order.index(name) if name in order else len(order), name)
