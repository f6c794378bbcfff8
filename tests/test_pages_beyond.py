"""What the pages beyond the reproduction say of their numbers: recomputed from the archives, other epochs included."""

import importlib
import json
import re
from functools import cache
from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from scipy import stats
from test_prose import PUBLISHED, words

from bayes_pruning.results.paper import paper_values

DATASETS, SPARSITIES, EPOCHS = ("mnist", "fashion_mnist", "cifar10"), (0.25, 0.5, 0.75, 0.9, 0.99), range(20, 26)
OTHERS = ("one_shot", "iterative", "gradual_global", "gradual_snip", "gradual_evidence", "bayes_schedule")
PAPER = paper_values()
COLUMNS = ("magnitude", "bayes_magnitude")  # of the paper


@cache
def page(name: str) -> str:
    return words((ROOT / "docs" / f"{name}.md").read_text())


@cache
def accuracies() -> "pd.Series[float]":
    """After pruning: by method, data set, sparsity (0 of the unpruned network), epoch and seed."""
    runs = pd.read_parquet(PUBLISHED / "schedules.parquet")
    runs["target_sparsity"] = runs["target_sparsity"].where(runs["pruner"] != "none", 0.0)
    return runs.set_index(["pruner", "dataset", "target_sparsity", "epoch", "seed"])[
        "pruned_test_accuracy"
    ].sort_index()


def of(method: str, dataset: str, sparsity: float, epoch: int = 25) -> "pd.Series[float]":
    """By seed."""
    return accuracies().loc[method, dataset, sparsity, epoch]


def interval(values: "pd.Series[float]") -> tuple[float, float, float]:
    """Mean and the ends of its 95% t interval."""
    assert len(values) >= 3
    half = stats.t.ppf(0.975, len(values) - 1) * values.std() / np.sqrt(len(values))
    return float(values.mean()), float(values.mean() - half), float(values.mean() + half)


def beyond(values: "pd.Series[float]") -> int:
    """The sign of an interval without zero, otherwise 0."""
    _, low, high = interval(values)
    return int(low > 0) - int(high < 0)


def minus(method: str, other: str, *sparsities: float) -> pd.DataFrame:
    """The differences in EPOCHS: data set, sparsity and epoch by seed."""
    first, second = (accuracies().loc[name].unstack("seed") for name in (method, other))
    return (first - second).loc[list(DATASETS), list(sparsities), list(EPOCHS)].sort_index()


def apart(values: pd.DataFrame) -> "pd.Series[bool]":
    """Whether the intervals of `minus` have no zero."""
    half = stats.t.ppf(0.975, len(values.columns) - 1) * values.std(axis=1) / np.sqrt(len(values.columns))
    return values.mean(axis=1).abs() > half


def over_unpruned(dataset: str, sparsity: float, epoch: int = 25) -> "pd.Series[float]":
    return of("bayes_schedule", dataset, sparsity, epoch) - of("none", dataset, 0.0, epoch)


def gains(dataset: str, sparsity: float) -> list[float]:
    """The paper's two columns over its unpruned network."""
    return [PAPER[dataset, "fcn", column, sparsity] - PAPER[dataset, "fcn", "none", 0.0] for column in COLUMNS]


def test_in_how_many_cells_the_schedule_has_the_papers_accuracies_in_other_epochs() -> None:
    absolute, relative = dict.fromkeys(EPOCHS, 0), dict.fromkeys(EPOCHS, 0)
    for epoch, dataset, sparsity in product(EPOCHS, DATASETS, SPARSITIES):
        mean = of("bayes_schedule", dataset, sparsity, epoch).mean()
        absolute[epoch] += all(mean >= PAPER[dataset, "fcn", column, sparsity] for column in COLUMNS)
        relative[epoch] += over_unpruned(dataset, sparsity, epoch).mean() >= max(gains(dataset, sparsity))
    assert f"in {absolute.pop(25)} of 15 cells" in page("bayesian_schedule")
    assert f"own unpruned network in {relative.pop(25)}." in page("bayesian_schedule")
    least, most = min(absolute.values()), max(absolute.values())
    said = f"it is {least} to {most} cells, and {min(relative.values())} to {max(relative.values())} relative to"
    assert f"In the epochs 20 to 24 {said} the unpruned networks." in page("bayesian_schedule")


def test_in_which_epochs_a_loss_at_99_can_be_told_from_the_papers() -> None:
    ahead, behind = (
        {
            name: [
                epoch
                for epoch in EPOCHS
                if interval(sign * (over_unpruned(name, 0.99, epoch) - max(gains(name, 0.99))))[1] > 0
            ]
            for name in DATASETS
        }
        for sign in (1, -1)
    )
    assert {name for name in DATASETS if 25 in ahead[name] + behind[name]} == {"cifar10"}
    words_of = {2: "two", 3: "three"}
    counts = [words_of[len([e for e in epochs if e < 25])] for epochs in (ahead["cifar10"], ahead["fashion_mnist"])]
    said = (
        f"is ahead of both columns, as in {counts[0]} of the epochs 20 to 24. Fashion-MNIST is ahead in {counts[1]} of"
    )
    assert (
        f"{said} these five epochs, and MNIST is behind Bayes Magnitude in {words_of[len(behind['mnist'])]}."
        in page("bayesian_schedule")
    )
    assert [ahead["mnist"], behind["cifar10"], behind["fashion_mnist"]] == [[], [], []]


def test_what_is_gained_over_the_best_epoch_of_the_unpruned_network_on_cifar10() -> None:
    means = accuracies().loc["none", "cifar10", 0.0].groupby("epoch").mean()
    assert f"unpruned network is best after epoch {means.idxmax()}, with {means.max():.4f}." in page(
        "bayesian_schedule"
    )
    readme = words((ROOT / "README.md").read_text())
    assert f"On CIFAR-10 that one overfits ({means.max():.3f} at its best epoch)" in readme
    best = of("none", "cifar10", 0.0, int(means.idxmax()))
    high, low = (interval(of("bayes_schedule", "cifar10", sparsity) - best) for sparsity in (0.99, 0.9))
    said = "{:+.4f} [{:+.4f}, {:+.4f}] at 99% and {:+.4f} [{:+.4f}, {:+.4f}] at 90%.".format(*high, *low)
    assert f"bayes_schedule has {said}" in page("bayesian_schedule")


def test_what_the_methods_gain_at_90_on_cifar10() -> None:
    means = {method: of(method, "cifar10", 0.9).mean() - of("none", "cifar10", 0.0).mean() for method in OTHERS}
    said = f"it gains {means['bayes_schedule']:.4f}; the paper's columns gain 0.045 and 0.033"
    assert f"{said}, and no method of this page more than {max(means.values()):.4f}." in page("bayesian_schedule")
    assert gains("cifar10", 0.9) == pytest.approx([0.0445, 0.0329])


def test_on_which_seed_the_worth_of_the_scope_on_mnist_hangs() -> None:
    worth = {name: of("gradual_global", name, 0.99) - of("gradual", name, 0.99) for name in DATASETS}
    assert sum((values > 0).sum() for values in worth.values()) == 15
    assert [beyond(values) for values in worth.values()] == [0, 1, 1]
    signs = [beyond(of("gradual_global", "mnist", 0.99, at) - of("gradual", "mnist", 0.99, at)) for at in EPOCHS]
    assert signs == [1, 1, 1, 1, 0, 0]  # "at the epochs 24 and 25"
    layers = of("gradual", "mnist", 0.99)
    rest = layers.drop(2)
    said = f"has {layers[2]:.4f} with seed 2 and {rest.min():.4f} to {rest.max():.4f} with the others."
    mean, low, high = interval(worth["mnist"].drop(2))
    said = f"{said} Without that seed taking all layers together is worth {mean:.4f} [{low:+.4f}, {high:+.4f}]."
    assert said in page("bayesian_schedule")
    below = PAPER["mnist", "fcn", "bayes_magnitude", 0.99] - of("bayes_schedule", "mnist", 0.99).mean()
    assert f"for the same reason, and it is {below:.4f} below the paper's Bayes Magnitude." in page("bayesian_schedule")


def test_what_the_evidence_adds_in_other_epochs_and_without_some_seeds() -> None:
    def added(method: str, dataset: str, sparsity: float, epoch: int = 25) -> "pd.Series[float]":
        return of(method, dataset, sparsity, epoch) - of("gradual_global", dataset, sparsity, epoch)

    for case in product(OTHERS[-2:], DATASETS):
        assert all(beyond(added(*case, 0.99, epoch)) == 1 for epoch in EPOCHS)
        assert all(beyond(added(*case, 0.99, at).drop(seed)) == 1 for at in (24, 25) for seed in range(5))
        assert not any(beyond(added(*case, 0.9, epoch)) for epoch in EPOCHS)
    below = [beyond(added(*case)) for case in product(OTHERS[-2:], DATASETS, SPARSITIES[:3])]
    assert (len(below), sorted(filter(None, below))) == (18, [-1, 1])
    assert "two of 18 intervals exclude zero at epoch 25, one of each sign." in page("bayesian_schedule")
    text = ["{:.4f} [{:+.4f}, {:+.4f}]".format(*interval(added(m, "mnist", 0.99).loc[2:])) for m in OTHERS[-2:]]
    assert f"gradual_evidence adds {text[0]} there, and bayes_schedule {text[1]}." in page("bayesian_schedule")


def test_which_methods_can_be_told_apart_up_to_75() -> None:
    values = pd.concat({method: minus(method, "gradual", *SPARSITIES[:3]) for method in OTHERS})
    clear = apart(values).unstack()
    *counts, last = clear.sum()
    assert (len(clear), last, clear.sum(axis=1).max()) == (54, 4, 4)
    assert "of 54 differences to gradual magnitude pruning four have" in page("bayesian_schedule")
    said = (
        f"In the epochs 20 to 24 it is {min(counts)} to {max(counts)}, and no difference has such an interval in more"
    )
    assert f"{said} than four of the six epochs." in page("bayesian_schedule")
    largest = values[apart(values)].mean(axis=1).abs().drop("iterative").max()
    assert 0.011 < largest < 0.012
    assert "those that have are at most 0.012." in page("bayesian_schedule")


def test_what_allowing_more_than_the_floor_changes_in_other_epochs() -> None:
    values = minus("bayes_schedule", "gradual_evidence", *SPARSITIES)
    clear = apart(values)
    assert (len(clear), clear.sum(), clear.loc["cifar10", 0.99].sum()) == (90, 5, 3)
    assert values.loc["cifar10", 0.99].mean(axis=1).min() > 0
    assert "in the epochs 20 to 25, five exclude zero, as many as chance" in page("bayesian_schedule")
    losses = pd.read_parquet(PUBLISHED / "schedules.parquet").query("target_sparsity == 0.99")
    losses = losses.set_index(["pruner", "dataset", "seed", "epoch"])["pruned_test_loss"].sort_index()
    same = (losses["bayes_schedule"] == losses["gradual_evidence"]).groupby(["dataset", "seed"]).all()
    assert (same.sum(), len(same)) == (7, 15)
    assert "in seven of the 15 pairs both runs are the same to the bit, and in the others" in page("bayesian_schedule")


def test_the_share_of_the_prior_in_the_last_epoch_and_what_the_narrow_prior_decides() -> None:
    runs = pd.read_parquet(PUBLISHED / "fcn.parquet")
    wide = runs[runs["protocol"] == "regrow, previous, sum/sum, beta 0.5, prior N(0, 1^2)"]
    last = wide[(wide["pruner"] == "magnitude") & (wide["target_sparsity"] <= 0.9) & (wide["epoch"] == 25)]
    moved = {name: (last[name] - last[f"{name}_before"]).abs() for name in ("log_likelihood", "log_prior")}
    cells = [last["dataset"], last["target_sparsity"]]
    share = (moved["log_likelihood"] / moved["log_prior"]).groupby(cells).median()
    assert len(share) == 8
    assert f"In epoch 25 alone it is 1/{share.min():.0f} to 1/{share.max():.0f}." in page("bayesian_schedule")
    narrow = runs[
        (runs["protocol"] == "regrow, previous, sum/sum, beta 0.5, prior N(0, 0.1^2)") & (runs["pruned"] == 1)
    ]
    against = narrow["log_bayes_factor"] < 0
    share = against.groupby([narrow["pruner"], narrow["target_sparsity"]]).mean()
    assert (share["bayes_random"].loc[0.5:] == 1).all()
    assert share["bayes_magnitude", 0.99] == 1
    light, magnitude = share["bayes_random", 0.25], against[narrow["pruner"] == "bayes_magnitude"].mean()
    said = f"all of those at 50% and more and against {light:.2f} of those at 25%. It is against {magnitude:.2f} of"
    assert said in page("laplace_evidence")


def test_how_often_the_evidence_of_the_page_says_yes() -> None:
    """By the columns of its four tables, of which the last has the narrow prior: (log-likelihood, paper, ..., BIC)."""
    text = (ROOT / "docs" / "laplace_evidence.md").read_text().replace(",", "")
    lines = re.findall(r"^\| (?:magnitude|random) 0\S+ \| (.*) \|$", text, re.MULTILINE)
    _, paper, _, _, laplace, own, most, _ = np.array([line.split(" | ") for line in lines], dtype=float).T
    assert len(lines) == 40
    wide = np.arange(40) < 30
    yes = wide & (laplace > 0)
    full = yes & (most < 0)
    assert f"says yes in {(wide & (paper > 0)).sum()} of the 30 rows." in page("laplace_evidence")
    assert f"It says yes in {yes.sum()} of the 30 rows under N(0, 1). In {full.sum()} of" in page("laplace_evidence")
    assert f"equation 4 is up to {laplace[full].max() // 1000:.0f},000 nats." in page("laplace_evidence")
    assert f"In the other {(yes & ~full).sum()} the bound leaves it open." in page("laplace_evidence")
    assert f"own curvature, {(yes & (own < 0)).sum()} of the {yes.sum()} change sign." in page("laplace_evidence")
    assert ((paper[30:] > 0).sum(), (laplace[30:] > 0).sum()) == (10, 2)


def test_pages_name_what_is_there() -> None:
    for name in ("compact", "gpu", "laplace_evidence", "own_loop", "performance", "reliability", "testing"):
        for path in re.findall(r"bayes_pruning\.[\w.]+\w(?=\()", page(name)):
            module, _, function = path.rpartition(".")
            assert callable(getattr(importlib.import_module(module), function)), path
    assert "bayes_pruning.studies.compact.load(" in page("compact")
    recorded = json.loads((ROOT / "tests" / "fixtures" / "oracle.json").read_text())["runs"]
    assert len(recorded) == 15
    assert "Fifteen runs of both networks" in page("testing")


def test_the_networks_worth_compacting_have_the_published_accuracies() -> None:
    for method, dataset in [*product(["bayes_schedule"], DATASETS), ("gradual_global", "mnist")]:
        assert f"| {dataset} {method} | {of(method, dataset, 0.99)[0]:.3f} |" in page("compact")
