"""What the pages say of their findings with the cells at 99%, a family of cells or a training detail left out."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from conftest import ROOT
from test_prose import (
    CIFAR,
    CLOSED_MOSTLY,
    EXCLUDED_DETAILS,
    MNIST,
    NARROW,
    OF_CNN,
    PUBLISHED,
    TELLS,
    archived,
    of_the_paper,
    row,
    study,
    words,
)

from bayes_pruning.config import presets
from bayes_pruning.results import statistics
from bayes_pruning.results.cells import CELL
from bayes_pruning.results.paper import DATASETS, METHODS, SPARSITIES, paper_values
from bayes_pruning.results.selection import choose, read_out
from bayes_pruning.studies import details, exact_sparsity
from bayes_pruning.studies.claims import measures, verdicts
from bayes_pruning.studies.claims.rules import CLAIMS, FAILS, HOLDS, UNDECIDED, Claim, Number, Verdict, above
from bayes_pruning.studies.likelihood import Cells, log_likelihood
from bayes_pruning.studies.ranking import rank
from bayes_pruning.studies.ranking_formats import EVERYWHERE

Told = dict[tuple[str, str, str], float]


@pytest.fixture(scope="module")
def page() -> str:
    return words((ROOT / "docs" / "reproduction.md").read_text())


@pytest.fixture(scope="module")
def runs() -> pd.DataFrame:
    """Those that are ranked, and the schedules."""
    return of_the_paper()


@pytest.fixture(scope="module")
def up_to_90(runs: pd.DataFrame) -> pd.DataFrame:
    """The FCN's ranked runs without those at 99%."""
    scheduled = runs["pruner"].isin(exact_sparsity.METHODS)
    return runs[~scheduled & (runs["model"] == "fcn") & (runs["target_sparsity"] != 0.99)]


@pytest.fixture(scope="module")
def ranked_up_to_90(up_to_90: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """Their ranking by epoch."""
    return {epoch: rank(read_out(up_to_90, epoch)) for epoch in (24, 25)}


def behind(ranked: pd.DataFrame, what: str = "behind") -> Told:
    """By how many nats a reading is behind before pruning: by place and name."""
    ranked = ranked[ranked["accuracy"] == "before"]
    names = ranked["protocol"].map(presets.name_of)
    return {(place, name): float(nats) for place, name, nats in zip(ranked["block"], names, ranked[what], strict=True)}  # type: ignore[misc]


def test_what_the_last_epoch_says_of_bayes_random_without_the_cells_at_99(
    page: str, ranked_up_to_90: dict[int, pd.DataFrame]
) -> None:
    last, offsets, contrasts = (
        behind(ranked_up_to_90[25], what) for what in ("behind", "behind_with_offsets", "behind_in_contrasts")
    )
    whole, before = last[EVERYWHERE, "paper"], behind(ranked_up_to_90[24])
    assert f"(22.7 nats over the 63 cells, {whole:.1f} without those at 99%)" in page
    for told in (last, before):
        assert all(min(told[place, name] for name in ("of_logs", "inverse")) == 0 for place in (EVERYWHERE, MNIST))
    with_offsets = f"{whole:.1f}, with offsets {offsets[EVERYWHERE, 'paper']:.1f}"
    assert row("all 63, without those at 99%", f"{before[EVERYWHERE, 'paper']:.1f}", with_offsets) in page
    ahead = [
        min(told[MNIST, name] for name in ("of_logs", "inverse")) - told[MNIST, "paper"]
        for told in (offsets, contrasts)
    ]
    ahead_by = f"with offsets and in the contrasts ahead, by {ahead[0]:.1f} and {ahead[1]:.1f}"
    nats = f"{before[MNIST, 'paper']:.1f}", f"{last[MNIST, 'paper']:.1f}; {ahead_by}"
    assert row("MNIST, without those at 99%", *nats) in page


def test_where_the_printed_ratio_fits(page: str) -> None:
    ranked = pd.read_csv(PUBLISHED / "readings.csv")
    for place in (MNIST, CIFAR):
        for name, epoch in (("paper", 24), ("first_closed", 25)):
            told = (ranked["place"] == place) & (ranked["name"] == name) & (ranked["epoch"] == epoch)
            assert ranked.loc[told & (ranked["accuracy"] == "before"), "alike"].all()
    assert "as printed it fits at 24, and at 25 too if the gate starts closed (MNIST, CIFAR-10)" in page
    assert "| Claim | Where | first_closed | of_logs | inverse | paper |" in page
    assert (
        "| The sparsity remains fluctuating. | Figure 4: MNIST FCN, bayes_random | holds | fails | fails | holds |"
        in page
    )
    assert "fluctuating, as it does by the printed formula alone, whichever way its gate starts, and" in page


def test_gates_that_seldom_open_without_the_cells_at_99(page: str, ranked_up_to_90: dict[int, pd.DataFrame]) -> None:
    most = max(
        told[MNIST, name]
        for epoch in (24, 25)
        for told in [behind(ranked_up_to_90[epoch], "behind_with_offsets")]
        for name in CLOSED_MOSTLY
    )
    assert f"without them it is 3 to 8, and with offsets {most:.1f} or less." in page


def test_kept_masks_where_no_run_counts_twice(
    page: str, up_to_90: pd.DataFrame, ranked_up_to_90: dict[int, pd.DataFrame]
) -> None:
    classic = up_to_90[up_to_90["pruner"].isin(["none", "random", "magnitude"])]
    last, before = (behind(rank(read_out(classic, epoch))) for epoch in (25, 24))
    told = [
        " / ".join(f"{each[place, 'kept']:.1f}" for each in (before, last))
        for place in (EVERYWHERE, MNIST, "fashion_mnist fcn", CIFAR)
    ]
    assert row("of these, the unpruned and classic methods", *told) in page

    assert max(told[CIFAR, "kept"] for told in (last, before)) < 3
    of_all = behind(ranked_up_to_90[25])[EVERYWHERE, "kept"]
    assert 0.4 < last[EVERYWHERE, "kept"] / of_all < 0.6
    assert "half of the 25 counts one run twice" in page


def test_what_random_pruning_costs_in_each_late_epoch(page: str, runs: pd.DataFrame) -> None:
    costs, means = {}, {}
    for name in ("paper", "kept"):
        rows = choose(runs[runs["model"] == "fcn"], name)
        rows = rows[(rows["pruner"] == "random") & rows["epoch"].between(20, 25)]
        means[name] = mean = rows.groupby(["dataset", "target_sparsity", "epoch"])["test_accuracy"].mean()
        costs[name] = pd.concat(mean[where, 0.25] - mean[where, 0.9] for where in ("cifar10", "fashion_mnist"))
        assert len(costs[name]) == 12
    assert costs["paper"].min() > 0.026
    most = f"{costs['kept'].max():.4f} or less with kept masks on these two. On MNIST this does not tell:"
    assert f"In each of the epochs 20 to 25 it costs 0.026 or more with regrowth and {most}" in page
    theirs = paper_values()
    cost = theirs["mnist", "fcn", "random", 0.25] - theirs["mnist", "fcn", "random", 0.9]
    most = {name: (mean["mnist", 0.25] - mean["mnist", 0.9]).max() for name, mean in means.items()}
    assert cost < most["kept"]
    assert (
        f"{cost:.4f} in the paper, {most['paper']:.4f} or less with regrowth and {most['kept']:.4f} or less with"
        in page
    )


def test_how_many_zeros_are_left_before_pruning(page: str, runs: pd.DataFrame) -> None:
    """In each pruned cell of Table 1 at epoch 25: zeros as a fraction of those asked for, on average over seeds."""
    rows = choose(runs, "paper")
    rows = rows[(rows["epoch"] == 25) & rows["pruner"].isin(METHODS)]
    zeros = rows.groupby(CELL)["sparsity_before"].mean()
    most_left = zeros / zeros.index.get_level_values("target_sparsity") > 0.5
    of_cnn = most_left.index.get_level_values("model") == "cnn"
    assert most_left[of_cnn].agg(["size", "sum"]).tolist() == [60, 54]
    assert "in 54 of its 60 pruned cells more than half of the zeros asked for are left before the next" in page
    left = most_left[~of_cnn & most_left].index
    assert {(dataset, pruner, sparsity) for dataset, _, pruner, sparsity in left} == set(
        product(("mnist", "fashion_mnist"), ("random", "bayes_random"), (0.99,))
    )
    assert (~of_cnn).sum() == 60
    assert (
        "in 56 of its 60 pruned cells; at 99% both random methods still have 60 to 65% zeros then on MNIST and" in page
    )
    assert 0.6 < zeros[left].min() < zeros[left].max() < 0.655
    at_99 = zeros.xs(0.99, level="target_sparsity").groupby("model").agg(["min", "max"])
    said = {model: f"{least:.0%} to {most:.0%}".replace("% to", " to") for model, (least, most) in at_99.T.items()}
    assert f"of networks with {said['fcn']} zeros in the FCN and {said['cnn']} in the CNN. For a network" in page


def test_the_magnitude_columns_do_not_exclude_networks_that_are_sparse_otherwise(page: str, runs: pd.DataFrame) -> None:
    """Of the accuracies after pruning by a global schedule, and with our runs' variances."""
    ours = choose(runs[runs["model"] == "fcn"], "paper")
    ours = ours[ours["pruner"].isin(["magnitude", "bayes_magnitude"])]
    schedule = runs[(runs["pruner"] == "gradual_global") & (runs["model"] == "fcn")]
    paper, ahead = paper_values(), []
    for epoch in (25, 24):
        cells = ours[ours["epoch"] == epoch].groupby(CELL)["test_accuracy"].agg(["mean", "var"])
        assert len(cells) == 30
        exact = (
            schedule[schedule["epoch"] == epoch].groupby(["dataset", "target_sparsity"])["pruned_test_accuracy"].mean()
        )
        table = np.array([paper[cell] for cell in cells.index])
        means = np.stack([cells["mean"], [exact[dataset, sparsity] for dataset, _, _, sparsity in cells.index]])
        variance = np.stack([cells["var"]] * 2)
        before, other = log_likelihood(Cells(table - means, variance, variance / 5))
        ahead.append(other - before)
    assert (
        f"measured after pruning, are {ahead[0]:.1f} nats ahead of our accuracies before pruning at epoch 25 and "
        f"{-ahead[1]:.1f} behind at 24." in page
    )
    assert max(map(abs, ahead)) < 3


def test_every_bayes_factor_of_bayes_random_under_inverse_opens_the_gate(page: str, runs: pd.DataFrame) -> None:
    rows = choose(runs, "inverse").query("pruner == 'bayes_random'")
    assert rows["hash"].nunique() > 60
    assert (rows["log_bayes_factor"] < np.log(0.5)).all()  # of pruned over unpruned
    assert "each of its Bayes factors opens the gate, so both rules prune in every epoch" in page


def test_what_the_details_say_without_some_cells(page: str, runs: pd.DataFrame) -> None:
    trained, default = archived("details"), choose(runs, "paper")

    def nats(left_out: "pd.Series[bool]") -> pd.DataFrame:
        """Nearer than the default by: [details, (epoch, data set)]."""
        compared = details.compare(trained[~left_out], default)
        both = compared.rename(columns={"nearer_before": 24, "nearer": 25})
        return both.pivot(index="detail", columns="dataset", values=[24, 25])

    whole, light = nats(trained["target_sparsity"] < 0), nats(trained["target_sparsity"] == 0.99)
    gains = [whole.loc["global", (24, name)] for name in ("cifar10", "fashion_mnist", "mnist")]
    assert f"the global scope is at epoch 24, by {gains[0]:.1f}, {gains[1]:.1f} and {gains[2]:.1f};" in page
    assert (whole.loc["global", 24] > 0).all()
    assert set(light.index[(light > 0).all(axis=1)]) == {"128 64"}
    assert "Without the cells at 99% a smaller network (hidden widths of 128-64 in place of 256-128) is nearer," in page

    sums = [light[epoch].sum(axis=1) for epoch in (24, 25)]
    said = f"{sums[0]['128 64']:.1f} nats over the three at 24 and {sums[1]['128 64']:.1f} at 25"
    assert f"Without them 128-64 alone is nearer on all three data sets at both epochs, by {said}" in page
    assert "is nearer, but it is the only one of nineteen, so that chance may explain it." in page
    readme = words((ROOT / "README.md").read_text())
    assert (
        f"without the cells at 99% a smaller network (128-64) is at both, at 25 by {sums[1]['128 64']:.1f}." in readme
    )
    still = {name for name in EXCLUDED_DETAILS & set(light.index) if max(sums[0][name], sums[1][name]) < -3}
    assert still == {"softmax", *NARROW, "weights x10", "sgd", "sgd momentum", "512 256 pixels 0 to 1"}
    assert len(EXCLUDED_DETAILS) == 13
    assert "of the thirteen excluded details only a softmax, kept masks in narrow layers, ten times larger" in page
    pruned = nats(trained["pruner"] == "none")[25].sum(axis=1)
    assert f"without which it is {-pruned['weights x10']:.1f} behind at 25." in page


FEWER = ("fewer images", "fewer images same steps", "fewer steps")  # details of training, the second and third controls


def nearer_than_the_default(trained: pd.DataFrame, epoch: int) -> pd.DataFrame:
    """By how many nats the paper's values are more likely than under the default: [details of FEWER, data sets]."""
    runs = trained[trained["model"].isin(["fcn", *("fcn_" + name.replace(" ", "_") for name in FEWER)])]
    compared = details.compare(read_out(runs, epoch), choose(read_out(study().runs, epoch), "paper"))
    return compared.pivot(index="detail", columns="dataset", values="nearer")[list(DATASETS)]


def test_what_two_seeds_of_fewer_training_images_gave(page: str) -> None:
    """Prediction 52."""
    trained = archived("details").query("seed < 2")
    mnist, *others = nearer_than_the_default(trained, 24).loc["fewer images"]
    totals = [nearer_than_the_default(trained, epoch).loc["fewer images"].sum() for epoch in (24, 25)]
    assert mnist < 0 < min(others)
    assert nearer_than_the_default(trained, 25).loc["fewer images"].min() > 0
    last = trained[trained["epoch"] == 25].groupby(["model", "pruner", "target_sparsity", "dataset"])
    means = last["test_accuracy"].mean()
    below = (means["fcn", "none"] - means["fcn_fewer_images", "none"]).droplevel(0)
    at_99 = means.xs(("random", 0.99), level=("pruner", "target_sparsity")).unstack()["fashion_mnist"]
    off = at_99 - paper_values()["fashion_mnist", "fcn", "random", 0.99]
    assert (
        f"on MNIST it is {-mnist:.1f} nats further away at 24, and random at 99% on Fashion-MNIST is "
        f"{off['fcn_fewer_images']:.4f} above the paper's, by default {off['fcn']:.4f}. The rest of the FCN is so: "
        f"nearer by {totals[0]:.1f} and {totals[1]:.1f} nats together, and unpruned by {below['mnist']:.4f}, "
        f"{below['fashion_mnist']:.4f} and {below['cifar10']:.4f} below." in page
    )


@pytest.mark.slow
def test_whether_images_or_steps_bring_the_fcn_nearer(page: str) -> None:
    """Prediction 53, at each epoch, for each seed and without any one cell."""
    trained = archived("details")
    at = {epoch: nearer_than_the_default(trained, epoch) for epoch in range(20, 26)}
    total = pd.DataFrame({epoch: nats.sum(axis=1) for epoch, nats in at.items()})
    fewer, same_steps, steps = (total.loc[name] for name in FEWER)
    assert [epoch for epoch in total if (total[epoch] < 0).any()] == [22]
    assert (total[22] < 0).all()
    assert (at[25].loc[list(FEWER[:2])] > 0).all(axis=None)
    assert {(name, where) for name in FEWER for where in DATASETS if at[24].loc[name, where] < 0} == {
        *((name, "mnist") for name in FEWER),
        ("fewer steps", "fashion_mnist"),
    }
    mnist, fashion, cifar = at[25].loc["fewer images"]
    assert f"fewer training images are at 25, by {cifar:.1f}, {fashion:.1f} and {mnist:.1f})." in page
    cells = [("none", 0.0), *details.CELLS["fcn"]]
    whole = list(zip(trained["pruner"], trained["target_sparsity"], strict=True))
    left_out = [trained[[cell != one for cell in whole]] for one in cells]
    least = {
        epoch: pd.concat([nearer_than_the_default(rows, epoch).sum(axis=1) for rows in left_out], axis=1).min(axis=1)
        for epoch in (24, 25)
    }
    alone = {
        epoch: [nearer_than_the_default(trained.query("seed == @seed"), epoch).sum(axis=1) for seed in range(3)]
        for epoch in (24, 25)
    }
    last, before = ([nats["fewer images"] for nats in alone[epoch]] for epoch in (25, 24))
    further = -at[24]["mnist"]
    for said in (
        f"more likely than with all, by {fewer[25]:.1f} nats at epoch 25 ({last[0]:.1f}, {last[1]:.1f} and "
        f"{last[2]:.1f} with each seed alone, {least[25]['fewer images']:.1f} or more without any one of the six "
        f"cells) and by {fewer[24]:.1f} at 24 ({before[0]:.1f}, {before[1]:.1f} and {before[2]:.1f}; "
        f"{least[24]['fewer images']:.1f} or more).",
        f"they are {same_steps[25]:.1f} and {same_steps[24]:.1f} nats more likely, "
        f"{least[25][FEWER[1]]:.1f} and {least[24][FEWER[1]]:.1f} or more without any one cell.",
        f"as few steps as with fewer images, they are {steps[25]:.1f} and {steps[24]:.1f} more likely.",
        f"on MNIST fewer images are further away at 24 ({further[FEWER[0]]:.1f} nats, with as many steps "
        f"{further[FEWER[1]]:.1f}), and as if 22 were the last epoch all three are further away over the three data "
        f"sets ({-fewer[22]:.1f}, {-same_steps[22]:.1f} and {-steps[22]:.1f}).",
        "Four fifths of the training images, as if the rest were held out, are at 25 "
        f"({fewer[25]:.1f} nats, three seeds), but not at 24; with as many steps an epoch as all images have they are "
        f"nearer by {same_steps[25]:.1f} and {same_steps[24]:.1f} over the three (two seeds).",
    ):
        assert said in page
    readme = words((ROOT / "README.md").read_text())
    assert f"images are at 25, by {fewer[25]:.1f} nats over the three (three seeds)" in readme
    unpruned = trained.query("epoch == 25 and pruner == 'none'")
    default, few_steps, many_steps = (
        unpruned.query("seed < 2 and model == @model").groupby("dataset")["test_accuracy"].mean()
        for model in ("fcn", "fcn_fewer_steps", "fcn_fewer_images_same_steps")
    )
    apart = (few_steps - default).abs()
    at_99 = trained.query("seed < 2 and epoch >= 24 and pruner == 'random' and target_sparsity == 0.99")
    at_99 = at_99.groupby(["model", "dataset"])["test_accuracy"].mean()
    over = (at_99["fcn_fewer_steps"] - at_99["fcn"])[list(DATASETS)]
    assert over["cifar10"] < 0 < over["mnist"]
    both = nearer_than_the_default(trained.query("seed < 2"), 25).sum(axis=1)
    assert (
        f"random at 99% with fewer steps is {over['mnist']:.4f} above the default's on MNIST. The rest is so: "
        f"{both[FEWER[1]]:.1f} nats, and {both[FEWER[2]]:.1f} where fewer images have {both[FEWER[0]]:.1f}; unpruned "
        f"within {apart['mnist']:.4f}, {apart['fashion_mnist']:.4f} and {apart['cifar10']:.4f}, and "
        f"{default['cifar10'] - many_steps['cifar10']:.4f} below; with three seeds {fewer[25]:.1f} and {fewer[24]:.1f} "
        "|" in page
    )
    paper = pd.Series({name: paper_values()[name, "fcn", "none", 0.0] for name in DATASETS})
    three_seeds = unpruned.query("model == 'fcn_fewer_images'").groupby("dataset")["test_accuracy"].mean()
    above = three_seeds - paper, many_steps - paper
    assert (
        f"The unpruned network is still better than the paper's, by {above[0]['fashion_mnist']:.4f} on Fashion-MNIST "
        f"and {above[0]['cifar10']:.4f} on CIFAR-10 with fewer images, by {above[1]['fashion_mnist']:.4f} and "
        f"{above[1]['cifar10']:.4f} with as many steps." in page
    )


def test_what_fewer_training_images_give_with_the_cnn(page: str) -> None:
    """Prediction 52: CIFAR-10, seed 0, at epochs 24 and 25."""
    cells = [("none", 0.0), ("random", 0.9), ("magnitude", 0.99)]
    fewer = archived("cnn_details").query("model == 'cnn_fewer_images'")
    usual = study().runs.query("model == 'cnn' and dataset == 'cifar10' and protocol == @fewer.protocol.iloc[0]")
    keys, lines, over = ["pruner", "target_sparsity", "seed", "epoch"], [], []
    ours, default = (rows.set_index(keys)["test_accuracy"] for rows in (fewer, usual))
    assert set(ours.index.droplevel("epoch")) == {(*cell, 0) for cell in cells}
    nearer = []
    for title, cell in zip(("unpruned", "random at 90%", "magnitude at 99%"), cells, strict=True):
        paper = paper_values()["cifar10", "cnn", *cell]
        mine, other = ([rows[(*cell, 0, epoch)] for epoch in (24, 25)] for rows in (ours, default))
        nearer += [(cell[0], epoch) for epoch, a, b in zip((24, 25), mine, other, strict=True) if a - paper < b - paper]
        over += [a - paper for a in mine]
        lines.append(f"{title} {mine[0]:.4f} and {mine[1]:.4f} where all images give {other[0]:.4f} and {other[1]:.4f}")
    assert nearer == [("none", 24), *product(("random", "magnitude"), (24, 25))]
    assert f"{'; '.join(lines)}. Five of the six are nearer to the paper" in page
    row_of = study().compared_details["cnn"].query("detail == 'fewer images'")
    assert row_of[["nearer_before", "nearer"]].abs().to_numpy().max() < 1
    assert min(over) > 0.02
    assert f"the others are nearer, and all are {min(over):.4f} or more above |" in page


def test_sgd_is_excluded_by_random_pruning(page: str) -> None:
    """Predictions 37 and 38: the FCN at epoch 25, before pruning."""
    runs, theirs = archived("details"), paper_values()
    sgd = runs[runs["model"].str.startswith("fcn_sgd")]
    assert sgd["hash"].nunique() == 36
    assert set(sgd["seed"]) == {0}
    at = sgd[sgd["epoch"] == 25].set_index(["model", "pruner", "target_sparsity", "dataset"])["test_accuracy"]
    places = ("mnist", "fashion_mnist", "cifar10")

    def three(numbers: Callable[[str], float]) -> str:
        return " | ".join(f"{numbers(where):.4f}" for where in places)

    def ours(model: str, pruner: str, sparsity: float) -> str:
        return three(lambda where: at[model, pruner, sparsity, where])

    def paper(pruner: str, sparsity: float) -> str:
        return three(lambda where: theirs[where, "fcn", pruner, sparsity])

    at_99 = ours("fcn_sgd", "random", 0.99)
    assert at_99 == ours("fcn_sgd_momentum", "random", 0.99) == "0.1135 | 0.1000 | 0.1000"
    adam_texts: list[tuple[str, str]] = [
        ("random at 99%: the paper", paper("random", 0.99)),
        ("SGD, with and without momentum: chance", at_99),
        ("random at 50%: the paper", paper("random", 0.5)),
        ("SGD, momentum 0.9", ours("fcn_sgd_momentum", "random", 0.5)),
        ("unpruned: the paper", paper("none", 0.0)),
        ("SGD, momentum 0.9", ours("fcn_sgd_momentum", "none", 0.0)),
    ]
    assert " ".join(row(title, values) for title, values in adam_texts) in page
    adam = choose(runs[runs["model"] == "fcn"], "paper")
    adam = adam[(adam["epoch"] == 25) & (adam["pruner"] == "none")].groupby("dataset")["test_accuracy"].mean()
    off = {
        where: [
            abs(value - theirs[where, "fcn", "none", 0.0])
            for value in (at["fcn_sgd_momentum", "none", 0.0, where], adam[where])
        ]
        for where in places
    }
    assert off["fashion_mnist"][0] < off["fashion_mnist"][1]
    assert off["cifar10"][0] > off["cifar10"][1]
    low = theirs["cifar10", "fcn", "none", 0.0] - at["fcn_sgd", "none", 0.0, "cifar10"]
    losses = sgd[(sgd["model"] == "fcn_sgd_momentum") & (sgd["pruner"] == "none")].set_index(["dataset", "epoch"])
    lowest = {where: losses.loc[where, "test_loss"].idxmin() for where in places}
    assert f"both on CIFAR-10: {low:.4f} too low, and the lowest loss is at epoch {lowest['cifar10']}. The rest" in page
    short = min(
        theirs[where, "fcn", "random", 0.99] - at[model, "random", 0.99, where]
        for model, where in product(("fcn_sgd", "fcn_sgd_momentum"), places)
    )
    assert (
        f"within {off['mnist'][0]:.4f} and {off['fashion_mnist'][0]:.4f}, {off['cifar10'][0]:.4f} too high, the lowest "
        f"loss at epochs {lowest['mnist']} and {lowest['fashion_mnist']}, and {short:.4f} or more too low on all"
        in page
    )
    lines = [line.strip("| ").split(" | ") for line in (PUBLISHED / "details_fcn.md").read_text().splitlines()]
    rows = [cells for cells in lines if cells[0].startswith("sgd") and len(cells) > 5]
    assert len(rows) == 6
    behind = -max(float(number) for cells in rows for number in cells[-2].split(" / "))
    without = -max(float(cells[-1].split(" to ")[1]) for cells in rows)
    said = f"SGD is {behind:.1f} nats or more behind Adam on each data set and at epoch 24 too, with any one cell left"
    assert f"{said} out still {without:.1f} or more (epoch 25)." in page


def test_the_cnn_with_sgd_and_random_pruning_at_99_is_at_chance(page: str) -> None:
    """Prediction 38."""
    sgd, theirs = archived("cnn_details").query("model == 'cnn_sgd_momentum'"), paper_values()
    assert set(sgd["seed"]) == {0}
    at = sgd.set_index(["pruner", "dataset", "epoch"])["test_accuracy"].unstack()
    assert at.loc["random"].index.tolist() == ["cifar10", "fashion_mnist", "mnist"]
    assert (at[1] > 0.4).all()
    for dataset, chance in (("mnist", 0.1135), ("cifar10", 0.1), ("fashion_mnist", 0.1)):
        assert (at.loc["random", dataset].loc[2:] == chance).all()
    assert [theirs[dataset, "cnn", "random", 0.99] for dataset in ("mnist", "cifar10")] == [0.1135, 0.1]
    assert theirs["fashion_mnist", "cnn", "random", 0.99] > 0.5
    assert "SGD gives chance from epoch 2 on, on Fashion-MNIST too, and the FCN excludes it" in page
    assert (
        "is at chance on all three data sets; unpruned within 0.01 on MNIST and 0.02 on Fashion-MNIST | so it is"
        in page
    )
    unpruned = at.loc["none"][25]
    paper = pd.Series({dataset: theirs[dataset, "cnn", "none", 0.0] for dataset in unpruned.index})
    assert unpruned.index.tolist() == ["fashion_mnist", "mnist"]
    assert ((unpruned - paper).abs() < pd.Series({"fashion_mnist": 0.02, "mnist": 0.01})).all()
    ours, its = ([f"{values[dataset]:.4f}" for dataset in ("mnist", "fashion_mnist")] for values in (unpruned, paper))
    said = f"unpruned network has {ours[0]} on MNIST and {ours[1]} on Fashion-MNIST (the paper {its[0]} and {its[1]}) |"
    assert said in page


def test_what_the_narrow_prior_does_over_training(runs: pd.DataFrame) -> None:
    rows = choose(runs, "narrow_prior").query("pruner == 'bayes_random' and pruned == 1")
    assert set(rows["dataset"]) == {"mnist"}
    assert rows["seed"].nunique() == 2
    against = (rows["log_bayes_factor"] < 0).mean()
    evidence = words((ROOT / "docs" / "laplace_evidence.md").read_text())
    assert f"it is against {against:.2f} of Bayes random's prunings (narrow_prior, two seeds)." in evidence


def test_what_the_cnns_cells_say_an_epoch_earlier(page: str) -> None:
    """Where the accuracies before and after pruning are 0.1 apart, and which of the two is nearer to the paper's."""
    rows, paper = choose(archived(*OF_CNN), "paper"), paper_values()
    cells = rows[rows["epoch"] == 24].groupby(CELL)[["test_accuracy", "pruned_test_accuracy"]].mean()
    fits_nothing = {
        ("mnist", "cnn", "random", 0.99), ("mnist", "cnn", "bayes_random", 0.99),
        ("cifar10", "cnn", "random", 0.99), ("cifar10", "cnn", "bayes_random", 0.99),
        ("fashion_mnist", "cnn", "bayes_random", 0.99),
    }  # fmt: skip
    same = dict.fromkeys(("mnist", "fashion_mnist", "cifar10"), 0)
    for cell, (before, after) in zip(cells.index, cells.to_numpy(), strict=True):
        if cell not in fits_nothing and abs(before - after) > 0.1:
            assert abs(before - paper[cell]) < abs(after - paper[cell])
            same[cell[0]] += 1
    counts = [{3: "three", 5: "five", 6: "six"}[count] for count in same.values()]
    told = map(str, same.values())
    assert row("of these, cells that tell at 24, when Bayes random does not prune", *told) in page
    assert "that tells, the mean over seeds is nearer to the paper before pruning, at both epochs." in page
    assert "In one cell the seeds disagree, in two more few of them decide. On CIFAR-10 magnitude pruning" in page

    readme = words((ROOT / "README.md").read_text())
    assert f"(at 24 in {counts[0]}, {counts[1]} and {counts[2]}; in one its seeds disagree)" in readme


def test_which_of_the_cnns_cells_that_tell_hangs_on_the_seed(page: str) -> None:
    """At epochs 24 and 25: where a seed is nearer to the paper's after pruning, their mean before it.

    And where most seeds have less than 0.1 between the two, their means more.
    """
    rows, paper = choose(archived(*OF_CNN), "paper"), paper_values()
    for epoch in (24, 25):
        hangs, close, most = set(), {}, {}
        for cell, of_cell in rows[rows["epoch"] == epoch].groupby(CELL):
            off = (of_cell[["test_accuracy", "pruned_test_accuracy"]] - paper[cell]).abs()
            means = of_cell[["test_accuracy", "pruned_test_accuracy"]].mean()
            before, after = (means - paper[cell]).abs()
            if before < after and means.diff().abs().iloc[-1] > 0.1:
                hangs |= {cell} if (off["test_accuracy"] > off["pruned_test_accuracy"]).any() else set()
                apart = of_cell["test_accuracy"].sub(of_cell["pruned_test_accuracy"]).abs()
                few = apart[apart < 0.1].tolist()
                close |= {cell: few} if 0 < len(few) <= len(apart) / 2 else {}
                most |= {cell: apart.tolist()} if len(few) > len(apart) / 2 else {}
        assert hangs == {("cifar10", "cnn", "magnitude", 0.9)}
        assert set(most) == ({("mnist", "cnn", "bayes_random", 0.5), *hangs} if epoch == 25 else set())
    assert set(close) == {("fashion_mnist", "cnn", "bayes_random", 0.5)}
    [[fashion]] = close.values()
    first, second, third = most["mnist", "cnn", "bayes_random", 0.5]
    assert "In all the others each seed is nearer before at both epochs." in page
    assert f"on MNIST it is {first:.4f} with seed 0, and {second:.4f} and {third:.4f} with seeds 1 and 2" in page
    assert f"on Fashion-MNIST one seed of the cell has {fashion:.4f}." in page
    own = rows.query("dataset == 'cifar10' and pruner == 'magnitude' and target_sparsity == 0.9").sort_values("seed")
    value = paper["cifar10", "cnn", "magnitude", 0.9]
    for epoch in (24, 25):
        before, after = own.loc[own["epoch"] == epoch, ["test_accuracy", "pruned_test_accuracy"]].to_numpy().T
        assert (abs(after - value) < abs(before - value)).tolist() == [True, False, True]
    listed = ["{:.4f}, {:.4f} and {:.4f}".format(*accuracies) for accuracies in (before, after)]
    assert f"(the paper {value:.4f}) has at 25 {listed[0]} before pruning and {listed[1]} after it" in page
    assert "with seeds 0, 1 and 2. Seed 1 is nearer before, the two others after it; so they are at epoch 24." in page
    assert abs(before.mean() - value) < abs(after.mean() - value)
    assert "Only their mean is nearer before; without this cell eleven of CIFAR-10 say so, at 24 five." in page
    assert len(TELLS["cifar10"]) - 1 == 11


def test_what_third_seeds_of_the_cnn_decided_at_other_epochs(page: str) -> None:
    """Intervals by hand: of differences paired by seed, as if the epoch were the last."""
    rows = study().judged.query("model == 'cnn'")
    keys = ["dataset", "pruner", "target_sparsity", "seed", "epoch"]
    accuracy, losses = (rows.set_index(keys)[column] for column in ("test_accuracy", "test_loss"))
    similar = {  # as in the published claims
        name: 1.96 * 2**0.5 * accuracy[name, "none", 0.0].xs(25, level="epoch").std()
        for name in ("mnist", "fashion_mnist", "cifar10")
    }
    as_good = [("mnist", "magnitude"), *product(("fashion_mnist", "cifar10"), ("magnitude", "random"))]

    def interval(differences: pd.Series) -> tuple[float, float]:
        """Of the seeds that both have: three, five or ten."""
        differences = differences.dropna()
        student = {3: 4.302653, 5: 2.776445, 10: 2.262157}[len(differences)]
        half = student * differences.std() / len(differences) ** 0.5
        return differences.mean() - half, differences.mean() + half

    def gain(dataset: str, pruner: str, sparsities: Sequence[float], epoch: int) -> pd.Series:
        each = [accuracy[dataset, f"bayes_{pruner}", s] - accuracy[dataset, pruner, s] for s in sparsities]
        return (sum(each) / len(each)).xs(epoch, level="epoch")

    def trend(dataset: str, sparsities: Sequence[float], epoch: int) -> pd.Series:
        each = [accuracy[dataset, "bayes_random", s].xs(epoch, level="epoch") for s in sparsities]
        return pd.concat(each, axis=1).dropna().apply(lambda row: np.polyfit(range(len(row)), row, 1)[0], axis=1)

    def overfitting(pruner: str, sparsity: float, epoch: int) -> pd.Series:
        curve = losses["cifar10", pruner, sparsity].unstack("seed").loc[:epoch]
        return curve.iloc[-1] / curve.min() - 1

    all_five = (0.25, 0.5, 0.75, 0.9, 0.99)
    for left_out in all_five:
        rest = [s for s in all_five if s != left_out]
        for dataset, pruner in as_good:
            assert interval(gain(dataset, pruner, rest, 25))[0] > -similar[dataset]
        assert all(interval(trend(dataset, rest, 25))[1] < 0 for dataset in ("fashion_mnist", "cifar10"))
    falls, gains, improves = {}, {}, {}
    for epoch in range(20, 26):
        gains |= {(*twin, epoch): interval(gain(*twin, all_five, epoch)) for twin in as_good}
        assert all(interval(trend(dataset, all_five, epoch))[1] < 0 for dataset in ("fashion_mnist", "cifar10"))
        heavy, light = (accuracy["mnist", "bayes_random", s].xs(epoch, level="epoch") for s in (0.99, 0.9))
        falls[epoch] = interval(heavy - light)
        heavy, light = (losses["cifar10", "bayes_magnitude", s].xs(epoch, level="epoch") for s in (0.99, 0.9))
        improves[epoch] = interval(heavy - light)
        for sparsity in (0.25, 0.5, 0.75, 0.9):
            less = overfitting("bayes_random", sparsity, epoch) - overfitting("none", 0.0, epoch)
            assert interval(less)[1] < 0
    assert max(high for _, high in falls.values()) < 0
    assert row("MNIST CNN: random pruning loses accuracy beyond 90%", "holds", "all") in page
    undecided = {key: found for key, found in gains.items() if found[0] <= -similar[key[0]]}
    at_20, at_22 = ("cifar10", "random", 20), ("cifar10", "random", 22)
    assert set(undecided) == {("mnist", "magnitude", 23), at_20, at_22}
    early = undecided["mnist", "magnitude", 23]
    at_both = " and 22, ".join(f"[{low:.4f}, {high:.4f}]" for low, high in (undecided[at_20], undecided[at_22]))
    both = "Fashion-MNIST and CIFAR-10 CNN: "
    similar_to = {name: f"(similar is {similar[name]:.4f})" for name in ("mnist", "cifar10")}
    for line in (
        row(
            "MNIST CNN: Bayes magnitude is as good as magnitude",
            "holds",
            f"all but 23, [{early[0]:.4f}, {early[1]:.4f}] {similar_to['mnist']}",
        ),
        row(f"{both}accuracy falls with random pruning", "holds", "all"),
        row(
            f"{both}both Bayes methods are as good as their twins",
            "holds",
            f"all, but for Bayes random on CIFAR-10 at 20, {at_both} {similar_to['cifar10']}",
        ),
        row("CIFAR-10 CNN: Bayes random reduces overfitting", "holds", "all"),
    ):
        assert line in page
    assert "At 25 the first three lines hold with any one sparsity left out too." in page
    assert [epoch for epoch, (_, high) in improves.items() if high >= 0] == [20]
    low, high = improves[20]
    lower = "CIFAR-10 CNN: Bayes magnitude has a lower test loss at 99 than at 90%"
    assert row(lower, "holds", f"all but 20, [{low:.4f}, {high:.4f}]") in page
    claims = (PUBLISHED / "claims.md").read_text()
    assert all(f"(above -{margin:.4g}: holds)" in claims for margin in similar.values())


def verdicts_of(rows: pd.DataFrame, claims: Mapping[str, Claim] = CLAIMS) -> dict[tuple[str, str], Verdict]:
    return {(each.claim, each.where): each.verdict for each in verdicts.check(rows, claims)}


def verdicts_on_the_fcn(rows: pd.DataFrame) -> dict[tuple[str, str], Verdict]:
    return {check: verdict for check, verdict in verdicts_of(rows).items() if "CNN" not in check[1]}


def chosen_first(rows: pd.DataFrame) -> pd.Series:
    """The cells of the FCN that got the seeds 5 to 9 first, since checks were undecided that need them."""
    at_90, elsewhere = rows["target_sparsity"] == 0.9, rows["dataset"] != "cifar10"
    chosen = rows["pruner"].eq("bayes_random") & at_90 & (rows["dataset"] != "mnist")
    return chosen | (rows["pruner"] == "none") | (rows["pruner"].eq("bayes_magnitude") & (at_90 | elsewhere))


def five_more(page: str, first: int) -> tuple[pd.DataFrame, pd.Series, dict[str, set[tuple[int, ...]]]]:
    """The FCN's runs up to five further seeds, which of them are new, and which new seeds the cells of a data set have.

    The page's commands for these seeds name the same cells with the same seeds.
    """
    rows = study().judged.query("model == 'fcn' and seed < @first + 5")
    new = rows["seed"] >= first
    named = re.findall(r"-m '?seed=([^ ']+)'? dataset=(\S+) pruner=(\S+) sparsity=(\S+)", page)
    whole = {f"range({first},{first + 5})": list(range(first, first + 5))}
    jobs = {
        (name, "fcn", pruner, float(sparsity) if pruner != "none" else 0.0, seed)
        for given, *values in named
        for name, pruner, sparsity in product(*(value.split(",") for value in values))
        for seed in whole.get(given) or [int(each) for each in given.split(",") if each.isdigit()]
        if first <= seed < first + 5
    }
    assert jobs == set(rows[new].groupby([*CELL, "seed"]).groups)
    seeds = rows[new].groupby(CELL)["seed"].unique().map(lambda each: tuple(sorted(each)))
    return rows, new, seeds.groupby("dataset").agg(set).to_dict()


def within_of_the_others(rows: pd.DataFrame, new: pd.Series) -> str:
    """How far the mean accuracy of new seeds is from that of the others at most, in the cells that have both."""
    last = rows[rows["epoch"] == 25].assign(new=new)
    means = last.groupby([*CELL, "new"])["test_accuracy"].mean().unstack().dropna()
    apart = (means[True] - means[False]).abs().groupby("dataset").max()
    return f"within {apart['mnist']:.4f}, {apart['fashion_mnist']:.4f} and {apart['cifar10']:.4f}"


@pytest.mark.slow
def test_what_seeds_5_to_9_of_the_fcn_decide(page: str) -> None:
    """Predictions 33 and 36: the verdicts with five seeds, with ten, and with the five new ones alone."""
    sparse = ("sparse_without_losing_accuracy", "Table 1: Fashion-MNIST FCN, bayes_magnitude")
    falls = ("bayes_factor_falls", "Figure 16: CIFAR-10 FCN, bayes_magnitude")
    rises = ("magnitude_improves_with_sparsity", "Figure 6: MNIST FCN, test_accuracy")
    factor = ("bayes_factor_rises", "Figure 4: MNIST FCN, bayes_random")
    of_fcn, new, cells = five_more(page, 5)
    assert cells == {name: {(5, 6, 7, 8, 9)} for name in DATASETS}
    old, ten, alone = (verdicts_on_the_fcn(rows) for rows in (of_fcn[~new], of_fcn, of_fcn[new]))
    assert {check for check in old if old[check].outcome != ten[check].outcome} == {sparse, falls, rises, factor}
    for check in (sparse, falls, rises):
        assert (old[check].outcome, ten[check].outcome) == (UNDECIDED, FAILS)
    assert [alone[check].outcome for check in (sparse, falls, rises)] == [FAILS, FAILS, UNDECIDED]
    for epoch in range(20, 26):
        last = verdicts_on_the_fcn(read_out(of_fcn, epoch))
        assert {last[check].outcome for check in (sparse, falls)} == {FAILS}
        assert (last[sparse].numbers[0].outcome == FAILS) == (epoch in (20, 22, 24))
        assert last[rises].outcome == (UNDECIDED if epoch in (21, 23) else FAILS)
    for check, verdict in old.items():
        assert {verdict.outcome, alone[check].outcome} != {HOLDS, FAILS}
    first = chosen_first(of_fcn)
    assert len(of_fcn[first & new].groupby(CELL)) == 16
    of_first = verdicts_on_the_fcn(of_fcn[~new | first])
    assert {check for check in of_first if of_first[check].outcome != ten[check].outcome} == {factor}
    assert (old[factor].outcome, of_first[factor].outcome, ten[factor].outcome) == (HOLDS, HOLDS, UNDECIDED)
    [slope] = ten[factor].numbers
    assert f"nats an epoch; undecided with ten, {slope.mean:.1f} [{slope.low:.1f}, {slope.high:.1f}], and" in page
    for line in (
        row(
            "CIFAR-10 FCN: the Bayes factor of Bayes magnitude falls (Figure 16)", "fails", "all, and with the new five"
        ),
        row("Fashion-MNIST FCN: Bayes magnitude loses no accuracy (Table 1)", "fails", "all, and with the new five"),
        "seeds alone; at 20, 22 and 24 because a network that was not pruned is not as sparse as asked |",
        row(
            "MNIST FCN: magnitude pruning improves the accuracy with sparsity (Figure 6)", "fails", "all but 21 and 23,"
        ),
        row(
            "MNIST FCN: the Bayes factor of Bayes random rises (Figure 4)",
            "holds with 25 seeds,",
        ),
    ):
        assert line.removesuffix(" |") in page
    assert "undecided with the new five seeds alone |" in page
    assert (
        "nor by ten seeds of the FCN or its five new ones. The FCN's ten do so at no epoch from 20 to 24 either" in page
    )
    within = f"{within_of_the_others(of_fcn, new)} |"
    assert f"one check becomes undecided and none of the six is decided, {within}" in page
    six = (
        ("random_best_at_25", "Figure 5: MNIST FCN, test_accuracy"),
        ("random_worse_only_at_99", "Figure 5: MNIST FCN"),
        ("bayes_beats_unpruned", "Table 1: MNIST FCN"),
        ("random_best_at_25", "Figure 11: Fashion-MNIST FCN, test_loss"),
        ("random_best_at_25", "Figure 17: CIFAR-10 FCN, test_accuracy"),
        ("magnitude_loss_improves_to_99", "Figure 18: CIFAR-10 FCN"),
    )
    assert {ten[check].outcome for check in six} == {UNDECIDED}

    def told(claim: str, where: str, number: int = 0) -> str:
        found = ten[claim, where]
        assert found.outcome == UNDECIDED
        assert found.numbers[number].n == 10
        mean, low, high = (getattr(found.numbers[number], name) for name in ("mean", "low", "high"))
        return f"{mean:.4f} [{low:.4f}, {high:.4f}]"

    overfits = told("magnitude_overfits_until_99", "Figure 6: MNIST FCN", 4)
    assert f"no longer overfits at 99%, {overfits} where 0.05 is the limit; on Fashion-MNIST" in page
    oscillates = told("random_loss_oscillates", "Figure 10: Fashion-MNIST FCN, test_loss")
    reduces = told("pruning_reduces_overfitting", "Figure 12: Fashion-MNIST FCN, bayes_magnitude")
    assert f"that the test loss oscillates, {oscillates}, and that pruning reduces" in page
    assert f"overfitting, at 25% {reduces}; and that overfitting comes later on CIFAR-10" in page
    later = [told("cifar_overfits_later", "Figure 16: CIFAR-10 FCN", number) for number in (0, 1)]
    assert f"by {later[0]} epochs than on MNIST and by {later[1]} than on Fashion-MNIST." in page
    dips = ("random_dips_then_improves", "Figure 16: CIFAR-10 FCN")
    assert old[dips].outcome == ten[dips].outcome == FAILS
    assert "three are decided, as named (by the present rule the dip on CIFAR-10 fails with five too)." in page


@pytest.mark.slow
def test_what_seeds_5_to_9_of_the_fcn_decide_as_if_an_earlier_epoch_were_the_last(page: str) -> None:
    """By the cells chosen first, by those and all of MNIST and Fashion-MNIST, and by all."""
    rows = study().judged.query("model == 'fcn' and seed < 10")
    old, first, elsewhere = rows["seed"] < 5, chosen_first(rows), rows["dataset"] != "cifar10"
    alone = ("random_worse_only_at_99", "Figure 5: MNIST FCN")
    best = ("random_best_at_25", "Figure 11: Fashion-MNIST FCN, test_loss")
    wanted: dict[int, dict[tuple[str, str], str]] = {
        20: {best: HOLDS},
        21: {},
        22: {},
        23: {alone: FAILS},
        24: {alone: FAILS, best: HOLDS},
    }
    for epoch, changed in wanted.items():
        five, some, more, ten = (
            {check: verdict.outcome for check, verdict in verdicts_on_the_fcn(read_out(rows[which], epoch)).items()}
            for which in (old, old | first, old | first | elsewhere, old | True)
        )
        assert {check: ten[check] for check in ten if some[check] != ten[check]} == changed
        assert all(some[check] == UNDECIDED for check in changed)
        assert more == ten
        assert all({five[check], ten[check]} != {HOLDS, FAILS} for check in ten)
    assert (
        "there they decide two more: that random pruning is worse at 99% alone on MNIST fails at 23 and 24, and that "
        "25% is its best sparsity by the test loss on Fashion-MNIST (Figure 11) holds at 20 and 24." in page
    )


@pytest.mark.slow
def test_what_seeds_10_to_14_of_the_fcn_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 50, also by intervals that allow for three looks, by the new seeds alone, and with each left out."""
    turns = ("test_loss_turns_about_epoch_5", "Figure 4: MNIST FCN")
    stops = ("magnitude_overfits_until_99", "Figure 6: MNIST FCN")
    reduces = ("pruning_reduces_overfitting", "Figure 12: Fashion-MNIST FCN, bayes_magnitude")
    later = ("cifar_overfits_later", "Figure 16: CIFAR-10 FCN")
    rises = ("bayes_factor_rises", "Figure 4: MNIST FCN, bayes_random")
    of_fcn, new, cells = five_more(page, 10)
    assert cells == {name: {(10, 11, 12, 13, 14)} for name in DATASETS}
    assert "each cell of the FCN has fifteen seeds for the claims, and five for everything else; on MNIST" in page

    ten, fifteen, alone = (verdicts_on_the_fcn(rows) for rows in (of_fcn[~new], of_fcn, of_fcn[new]))
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CONFIDENCE", 1 - 0.05 / 3)
        strict = verdicts_on_the_fcn(of_fcn)
    outcomes = {
        check: [verdicts[check].outcome for verdicts in (ten, fifteen, strict, alone)]
        for check in ten
        if ten[check].outcome != fifteen[check].outcome
    }
    assert outcomes == {
        turns: [UNDECIDED, HOLDS, UNDECIDED, UNDECIDED],
        stops: [UNDECIDED, HOLDS, UNDECIDED, UNDECIDED],
        reduces: [UNDECIDED, HOLDS, UNDECIDED, UNDECIDED],
        later: [UNDECIDED, FAILS, FAILS, UNDECIDED],
    }
    assert all({ten[check].outcome, alone[check].outcome} != {HOLDS, FAILS} for check in ten)
    early = {epoch: verdicts_on_the_fcn(read_out(of_fcn, epoch)) for epoch in range(20, 25)}
    undecided = {check: [e for e in early if early[e][check].outcome == UNDECIDED] for check in outcomes}
    assert undecided == {turns: [], stops: [20], reduces: [20, 21, 22, 23, 24], later: []}
    assert all({early[e][check].outcome, fifteen[check].outcome} != {HOLDS, FAILS} for e in early for check in ten)
    decided = {claim: CLAIMS[claim] for claim, _ in outcomes}
    left_out = [verdicts_of(of_fcn[of_fcn["seed"] != seed], decided) for seed in range(15)]
    hangs = {check: sum(each[check].outcome != fifteen[check].outcome for each in left_out) for check in outcomes}
    assert hangs == {turns: 2, stops: 4, reduces: 7, later: 0}

    def told(check: tuple[str, str], number: int, digits: int = 4) -> str:
        found = fifteen[check].numbers[number]
        assert found.n == 15
        return f"{found.mean:.{digits}f} [{found.low:.{digits}f}, {found.high:.{digits}f}]"

    for line in (
        row("MNIST FCN: the test loss turns in about 5 epochs (Figure 4)", f"holds, {told(turns, 0, 1)}", "all"),
        row(
            "MNIST FCN: magnitude pruning overfits until 99% (Figure 6)",
            f"holds, {told(stops, 4)}, limit 0.05",
            "all but 20",
        ),
        row(
            "Fashion-MNIST FCN: Bayes magnitude reduces overfitting (Figure 12)",
            f"holds, at 25% {told(reduces, 0)}",
            "25 alone, undecided at the others",
        ),
        row(
            "CIFAR-10 FCN: overfitting comes later than on Fashion-MNIST (Figure 16)",
            f"fails, {told(later, 1, 1)} epochs",
            "all",
        ),
    ):
        assert line in page
    assert (
        "Of these four only the last stays decided by intervals of 98.3%, which allow for three looks, and with any "
        "one of the fifteen seeds left out; the others become undecided without any of two, four and seven of them. "
        "The five new seeds alone decide none of the four, and none comes out the other way." in page
    )
    assert fifteen[rises].outcome == UNDECIDED
    assert fifteen["random_loss_oscillates", "Figure 10: Fashion-MNIST FCN, test_loss"].outcome == UNDECIDED
    assert "Fifteen seeds decide all of these but the oscillations." in page
    within = within_of_the_others(of_fcn, new)
    said = f"four are decided, three of them named; that the Bayes factor rises is not, {told(rises, 0, 1)}. The rest"
    assert f"{said} is so, {within} |" in page


def of_five_cells(rows: pd.DataFrame) -> pd.Series:
    """The cells of the FCN that get the seeds 15 to 59 on MNIST and 15 to 49 on CIFAR-10."""
    at_90 = rows["pruner"].isin(["bayes_random", "bayes_magnitude"]) & (rows["target_sparsity"] == 0.9)
    on_cifar10 = (rows["pruner"] == "bayes_magnitude") & (rows["dataset"] == "cifar10")
    return ((rows["pruner"] == "none") | at_90 | on_cifar10) & (rows["model"] == "fcn") & (rows["seed"] >= 15)


def of_best_sparsity(rows: pd.DataFrame) -> pd.Series:
    """The cells of the FCN that have the seeds 25 to 79 on MNIST (on CIFAR-10 they are to get 15 to 49)."""
    low = (rows["pruner"] == "bayes_random") & rows["target_sparsity"].isin([0.25, 0.5])
    return low & (rows["model"] == "fcn") & (rows["seed"] >= rows["dataset"].map({"mnist": 25, "cifar10": 15}))


@pytest.mark.slow
def test_what_further_seeds_of_five_cells_of_the_fcn_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 57, also by intervals that allow for six looks, by the new seeds alone, and with each left out."""
    worse = ("random_worse_only_at_99", "Figure 5: MNIST FCN")
    spares = ("sparse_without_losing_accuracy", "Table 1: MNIST FCN, bayes_magnitude")
    improves = ("magnitude_loss_improves_to_99", "Figure 18: CIFAR-10 FCN")
    judged, claims = study().judged, {claim: CLAIMS[claim] for claim, _ in (worse, spares, improves)}
    judged = judged[~of_best_sparsity(judged)]
    new = of_five_cells(judged)
    seeds = judged[new].groupby(["dataset", "pruner", "target_sparsity"])["seed"].unique().map(sorted)
    count = {name: 15 + len(seeds[name].iloc[0]) for name in ("mnist", "cifar10")}
    assert seeds.to_dict() == {
        **{("cifar10", "bayes_magnitude", s): [*range(15, count["cifar10"])] for s in (0.9, 0.99)},
        **{("mnist", f"bayes_{name}", 0.9): [*range(15, count["mnist"])] for name in ("random", "magnitude")},
        ("mnist", "none", 0.0): [*range(15, count["mnist"])],
    }
    every, before = verdicts_of(judged), verdicts_of(judged[~new])
    changed = {check: found.outcome for check, found in every.items() if found.outcome != before[check].outcome}
    assert changed == {worse: FAILS, spares: FAILS, improves: HOLDS}
    assert {before[check].outcome for check in changed} == {UNDECIDED}
    of_fcn, of_new = judged[judged["model"] == "fcn"], judged[new]
    early = {epoch: verdicts_of(read_out(of_fcn, epoch), claims) for epoch in range(20, 25)}
    left_out = [verdicts_of(of_fcn[of_fcn["seed"] != seed], claims) for seed in range(count["mnist"])]
    alone = verdicts_of(of_new, claims)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CONFIDENCE", 1 - 0.05 / 6)
        strict = verdicts_of(of_fcn, claims)
    for check in (worse, spares):
        assert {found[check].outcome for found in (*left_out, strict)} == {FAILS}
    assert {epoch for epoch in early if early[epoch][worse].outcome != FAILS} == {21}
    assert early[21][worse].outcome == UNDECIDED
    assert {found[spares].outcome for found in early.values()} == {FAILS}
    not_as_sparse = [epoch for epoch in early if early[epoch][spares].numbers[0].outcome == FAILS]
    assert not_as_sparse == [20, 22, 24]
    assert (alone[worse].outcome, alone[spares].outcome) == (UNDECIDED, FAILS)
    assert [early[epoch][improves].outcome for epoch in early] == [FAILS, FAILS, FAILS, UNDECIDED, FAILS]
    assert {found[improves].outcome for found in (*left_out, strict, alone)} == {HOLDS}
    at = of_fcn[of_fcn["dataset"] == "mnist"].set_index(["pruner", "target_sparsity", "epoch", "seed"])
    unpruned = at.loc["none", 0.0]["test_accuracy"].unstack("seed")
    peak = unpruned.mean(axis=1).idxmax()
    over_best = [
        statistics.paired_difference(at.loc[pruner, 0.9].loc[25, metric], unpruned.loc[peak])
        for pruner, metric in (("bayes_random", "test_accuracy"), ("bayes_magnitude", "pruned_test_accuracy"))
    ]
    last_of_unpruned = unpruned.loc[25]
    free = len(last_of_unpruned) - 1
    widest = last_of_unpruned.std() * np.sqrt(free / scipy.stats.chi2.ppf(0.025, free)) * measures.PAIR_OF_SEEDS
    with monkeypatch.context() as patch:
        patch.setattr(measures, "tolerance", lambda runs, where: widest)
        hanging = verdicts_of(of_fcn, claims)
    assert (hanging[worse].outcome, hanging[spares].outcome) == (UNDECIDED, FAILS)
    with monkeypatch.context() as patch:
        patch.setattr(measures, "tolerance", by_student)
        assert {verdicts_of(of_fcn, claims)[check].outcome for check in (worse, spares)} == {FAILS}
    of_cifar = of_fcn[of_fcn["dataset"] == "cifar10"]
    first = [verdicts_of(of_cifar[of_cifar["seed"] < seeds], claims)[improves].outcome for seeds in range(15, 51)]
    assert first == [UNDECIDED] * 15 + [HOLDS] * 21

    def told(check: tuple[str, str], number: int, name: str) -> str:
        found = every[check].numbers[number]
        assert found.n == count[name]
        return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"

    at_90, pruned, lower = told(worse, 3, "mnist"), told(spares, 1, "mnist"), told(improves, 0, "cifar10")
    found = early[21][worse].numbers[3]
    told_at_21 = f"[{found.low:.4f}, {found.high:.4f}], limit {float(found.wanted.split()[1]):.4f}"
    limit = f"limit {float(every[worse].numbers[3].wanted.split()[1]):.4f} ({count['mnist']} seeds)"
    last = judged[(judged["epoch"] == 25) & (judged["model"] == "fcn")].assign(new=new)

    def apart(metric: str, dataset: str) -> pd.Series:
        means = last[last["dataset"] == dataset].groupby(["pruner", "target_sparsity", "new"])[metric].mean()
        return means.unstack().dropna().diff(axis=1)[True].abs()

    after = apart("pruned_test_accuracy", "mnist")["bayes_magnitude", 0.9]
    within = f"{apart('test_accuracy', 'mnist').max():.4f} on MNIST and {apart('test_accuracy', 'cifar10').max():.4f}"
    for said in (
        f"Bayes magnitude at 90% have {count['mnist']}; on CIFAR-10 Bayes magnitude at 90 and 99% has "
        f"{count['cifar10']}. ",
        row(
            "MNIST FCN: random pruning becomes worse at 99% alone (Figure 5)",
            f"fails, since at 90% it has {at_90}, {limit}",
            f"all but 21, {told_at_21}",
        ),
        row(
            "MNIST FCN: Bayes magnitude at 90% loses no accuracy (Table 1)",
            f"fails, {pruned}, {limit}",
            "all, at 20, 22 and 24 because a network that was not pruned is not as sparse as asked",
        ),
        row(
            "CIFAR-10 FCN: Bayes magnitude has a lower test loss at 99 than at 90% (Figure 18)",
            f"holds, {lower} ({count['cifar10']} seeds)",
            "25 alone: at 20, 21, 22 and 24 it fails, at 23 it is undecided",
        ),
        f"were judged with five, ten, fifteen, 45, 46 and {count['mnist']} seeds. Both fail by intervals of 99.2% too, "
        "which allow for six looks, without any one of the seeds, and against the best epoch of the unpruned network, "
        f"{peak}, {over_best[0]} and {over_best[1]}; by the new seeds alone the second fails and the first is "
        "undecided. But the first hangs on what counts as similar: at the upper end of the 95% interval of the "
        f"unpruned network's deviation the limit would be -{widest:.4f}, where the first would be undecided and the "
        "second would fail; and as if 21 were the last epoch the first is undecided. That "
        "Bayes magnitude has a lower test loss at 99 than at 90% on CIFAR-10 (Figure 18) holds with "
        f"{count['cifar10']} seeds by such an interval too, without any one of them, and by the new seeds alone; with "
        "up to 29 it was undecided. But it hangs on the epoch: as if 20, 21, 22 or 24 were the last it fails.",
        f"so it is: the two on MNIST fail, {at_90} and {pruned}, the third holds, {lower}, and nothing else "
        f"changes; the new means are within {within} on "
        f"CIFAR-10, after pruning within {after:.4f} |",
    ):
        assert said in page


@pytest.mark.slow
def test_what_seeds_15_to_24_of_the_fcn_on_mnist_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 54 of the FCN, also by intervals that allow for four looks, and with each seed left out."""
    rises = ("bayes_factor_rises", "Figure 4: MNIST FCN, bayes_random")
    best = ("random_best_at_25", "Figure 5: MNIST FCN, test_accuracy")
    judged = study().judged
    judged = judged[~of_five_cells(judged) & ~of_best_sparsity(judged)]
    rows = judged[(judged["model"] == "fcn") & (judged["dataset"] == "mnist")]
    new = rows["seed"] >= 15
    assert rows[new].groupby(["pruner", "target_sparsity"])["seed"].unique().map(sorted).to_dict() == {
        **{("bayes_random", sparsity): list(range(15, 25)) for sparsity in SPARSITIES[:3]},
        **{("random", sparsity): list(range(15, 25)) for sparsity in SPARSITIES},
    }
    assert "on MNIST random pruning and Bayes random at 75% have 25, Bayes random at 25 and 50% 80, " in page
    of_fcn = judged[judged["model"] == "fcn"]
    every, before = verdicts_on_the_fcn(of_fcn), verdicts_on_the_fcn(of_fcn[of_fcn["seed"] < 15])
    changed = {check: found.outcome for check, found in every.items() if found.outcome != before[check].outcome}
    assert changed == {rises: HOLDS}
    assert before[rises].outcome == before[best].outcome == UNDECIDED
    claims = {claim: CLAIMS[claim] for claim, _ in (rises, best)}

    def told(found: Verdict, digits: int, seeds: int = 25) -> str:
        number = found.numbers[0]
        assert number.n == seeds
        return f"{number.mean:.{digits}f} [{number.low:.{digits}f}, {number.high:.{digits}f}]"

    early = {epoch: verdicts_of(read_out(rows, epoch), claims) for epoch in range(20, 25)}
    left_out = [verdicts_of(rows[rows["seed"] != seed], claims) for seed in range(25)]
    alone = verdicts_of(rows[new], claims)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CONFIDENCE", 1 - 0.05 / 4)
        strict = verdicts_of(rows, claims)
    assert {check: [epoch for epoch in early if early[epoch][check].outcome == HOLDS] for check in (rises, best)} == {
        rises: [21, 22, 23, 24],
        best: [21, 22, 24],
    }
    assert {found[rises].outcome for found in (*left_out, strict, alone)} == {HOLDS}
    assert {found[best].outcome for found in left_out} == {UNDECIDED}
    told_best = told(every[best], 4)
    for line in (
        f"holds with 25 seeds, {told(every[rises], 1)} nats an epoch; undecided with ten,",
        f", and fifteen, {told(before[rises], 1, 15)}; with five it held | all but 20 |",
        "it does by an interval of 98.75% too, which allows for four looks, without any one of the 25 seeds, and by "
        f"the ten new seeds alone, {told(alone[rises], 1, 10)}. That 25% is the best sparsity of Bayes random there "
        f"(Figure 5) was undecided with 25 seeds, by {told_best} over 50%; as if 21, 22 or 24 were the last "
        "epoch it held.",
        "of the FCN one is decided, that the Bayes factor rises (holds), and the other is not, "
        f"{told_best}, and nothing else changes;",
    ):
        assert line in page
    last = rows[(rows["epoch"] == 25) & (rows["pruner"] == "random")].assign(new=new)
    means = last.groupby(["target_sparsity", "new"])["test_accuracy"].mean().unstack()
    within = (means[True] - means[False])[[0.25, 0.5]].abs().max()
    assert f"random pruning is within {within:.4f} |" in page


@pytest.mark.slow
def test_what_80_seeds_of_bayes_random_say_of_its_best_sparsity(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 58 on MNIST, also by intervals that allow for five looks, by the new seeds alone, each left out."""
    best = ("random_best_at_25", "Figure 5: MNIST FCN, test_accuracy")
    judged, claims = study().judged, {best[0]: CLAIMS[best[0]]}
    new = of_best_sparsity(judged)
    assert judged[new].groupby(["dataset", "target_sparsity"])["seed"].unique().map(sorted).to_dict() == {
        ("mnist", sparsity): [*range(25, 80)] for sparsity in (0.25, 0.5)
    }
    every, before = verdicts_of(judged), verdicts_of(judged[~new])
    changed = {check: found.outcome for check, found in every.items() if found.outcome != before[check].outcome}
    assert (changed, before[best].outcome) == ({best: HOLDS}, UNDECIDED)
    rows = judged[(judged["model"] == "fcn") & (judged["dataset"] == "mnist")]
    early = {epoch: verdicts_of(read_out(rows, epoch), claims)[best] for epoch in range(20, 25)}
    left_out = [verdicts_of(rows[rows["seed"] != seed], claims)[best] for seed in range(80)]
    growing = [
        verdicts_of(rows[rows["seed"] < seeds], claims)[best].outcome for seeds in (5, 10, 15, *range(25, 81, 5))
    ]
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CONFIDENCE", 1 - 0.05 / 5)
        strict = verdicts_of(rows, claims)[best]
    assert {found.outcome for found in (strict, *left_out)} == {HOLDS}
    assert {epoch: found.outcome for epoch, found in early.items() if found.outcome != HOLDS} == {23: UNDECIDED}
    assert growing == [UNDECIDED] * 9 + [HOLDS] * 6
    last = rows[(rows["epoch"] == 25) & (rows["pruner"] == "bayes_random")]
    accuracies = last.pivot(index="seed", columns="target_sparsity", values="test_accuracy")[[0.25, 0.5]]
    better = accuracies[0.25] - accuracies[0.5]
    [alone] = above("of the new seeds alone", better[better.index >= 25], 0, 4).numbers
    assert alone.outcome == HOLDS
    older, newer = accuracies[accuracies.index < 25], accuracies[accuracies.index >= 25]
    wider = (newer.std() / older.std() - 1).abs().max()
    similar = every["magnitude_25_like_baseline", "Figure 6: MNIST FCN"].numbers[0].wanted.split()[-1]

    def told(found: Number) -> str:
        return f"{found.mean:.4f} [{found.low:.4f}, {found.high:.4f}]"

    at_23 = early[23].numbers[0]
    for said in (
        row(
            "MNIST FCN: 25% is the best sparsity of random pruning (Figure 5)",
            f"holds, over 50% by {told(every[best].numbers[0])} (80 seeds)",
            f"all but 23, [{at_23.low:.4f}, {at_23.high:.4f}]",
        ),
        "With five, ten and fifteen it was undecided too; with 80 it holds by an interval of 99% too, which allows for "
        f"five looks, without any one of the seeds, and over 50% by the 55 new ones alone, {told(alone)}; in the order "
        "of the seeds, five at a time, it holds from 55 on. 25% is "
        f"better than 50% in {(better > 0).sum()} of the 80 seeds and worse in {(better < 0).sum()}, and by a quarter "
        f"of the {float(similar):.4f} that counts as similar.",
        f"MNIST: it holds, {told(every[best].numbers[0])}, and nothing else changes; the new means are within "
        f"{(newer.mean() - older.mean()).abs().max():.4f}, the deviations within {wider:.0%}. CIFAR-10 was not run |",
    ):
        assert said in page
    assert round(every[best].numbers[0].mean / float(similar), 2) in (0.24, 0.25)


def test_how_many_checks_more_seeds_would_decide(page: str) -> None:
    """As if means and deviations stayed as they are."""

    def outcome(found: dict[str, Any], seeds: int) -> str:
        parts = 10 if found["claim"] == "bayes_beats_unpruned" else len(found["numbers"])  # of Bonferroni
        outcomes = set()
        for number in found["numbers"]:
            narrower = np.sqrt(number["n"] / seeds) * np.divide(
                *scipy.stats.t.ppf(1 - 0.025 / parts, [seeds - 1, number["n"] - 1])
            )
            half = (number["high"] - number["low"]) / 2 * narrower
            limits = [float(value) for value in re.findall(r"-?\d\S*", number["wanted"])]
            low, high = {"above": (limits[0], np.inf), "below": (-np.inf, limits[0]), "from": (limits[0], limits[-1])}[
                number["wanted"].split()[0]
            ]
            inside = low < number["mean"] - half and number["mean"] + half < high
            outside = number["mean"] + half <= low or number["mean"] - half >= high
            outcomes.add(HOLDS if inside else FAILS if outside else UNDECIDED)
        return FAILS if FAILS in outcomes else UNDECIDED if UNDECIDED in outcomes else HOLDS

    findings = json.loads((PUBLISHED / "claims.json").read_text())["findings"]
    undecided = [found for found in findings if found["outcome"] == UNDECIDED]
    assert all(outcome(found, found["numbers"][0]["n"]) == UNDECIDED for found in undecided)
    decided = [len(findings) - sum(outcome(found, seeds) == UNDECIDED for found in undecided) for seeds in (10, 20, 40)]
    assert f"{decided[0]} of the {len(findings)} checks would be decided with ten seeds in every cell" in page
    assert f"in every cell, {decided[1]} with twenty and {decided[2]} with forty" in page


FIRST_WITH_FIVE = {
    *((dataset, "none", 0.0) for dataset in DATASETS),
    ("mnist", "bayes_magnitude", 0.9),
    *(("fashion_mnist", "bayes_random", sparsity) for sparsity in (0.25, 0.5, 0.9)),
    ("cifar10", "bayes_random", 0.5),
}  # the cells of the CNN that got the seeds 3 and 4 first


similar = measures.tolerance


def by_student(runs: Any, where: Any) -> float:
    """What counts as similar, with Student's quantile for as many seeds as the unpruned cell has."""
    seeds = measures.last(runs, where.cell("none"), "test_accuracy").count()
    return similar(runs, where) * float(scipy.stats.t.ppf(0.975, seeds - 1)) / 1.96


def later_seeds(rows: pd.DataFrame) -> pd.Series:
    """The seeds 3 and 4 of all other cells of the CNN."""
    cells = zip(rows["dataset"], rows["pruner"], rows["target_sparsity"], strict=True)
    other = pd.Series([cell not in FIRST_WITH_FIVE for cell in cells], rows.index)
    return other & (rows["model"] == "cnn") & (rows["seed"] >= 3)


@pytest.mark.slow
def test_what_seeds_3_and_4_of_the_other_cells_of_the_cnn_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 39, as far as its runs are in: the verdicts without them, with them, and with another margin."""
    unharmed = ("magnitude_unharmed_at_99", "Figure 9: MNIST CNN")
    dips = ("random_dips_then_improves", "Figure 19: CIFAR-10 CNN")
    every, now = study().judged, {(each.claim, each.where): each.verdict for each in study().findings}
    judged = every[(every["seed"] < 5) | (every["model"] == "fcn")]
    new = later_seeds(judged)
    without, with_them = verdicts_of(judged[~new]), verdicts_of(judged)
    changed = {check: found.outcome for check, found in with_them.items() if found.outcome != without[check].outcome}
    assert changed == {unharmed: FAILS, dips: HOLDS}
    assert {without[check].outcome for check in changed} == {UNDECIDED}
    assert judged[new].groupby(CELL)["seed"].unique().map(sorted).tolist() == [[3, 4]] * (len(judged[new]) // 50)
    last = judged[(judged["model"] == "cnn") & (judged["epoch"] == 25)].assign(new=new)
    means = last[last["target_sparsity"] < 0.99].groupby([*CELL, "new"])["test_accuracy"].mean().unstack().dropna()
    apart = (means[True] - means[False]).abs()
    sparse = last[last["new"] & (last["target_sparsity"] == 0.99) & last["pruner"].isin(["random", "bayes_random"])]
    assert sparse["test_accuracy"].min() > 0.9
    assert len(sparse) == 4
    [over] = with_them[unharmed].numbers
    assert over.n == 5
    runs, within = len(judged[new]) // 25, apart.groupby("dataset").max()
    assert set(within.index) == {"mnist", "cifar10"}
    said = (
        f"so far, {runs} of 110 runs, {runs - 2} on MNIST and two on CIFAR-10: both are decided as said, the first by"
    )
    said += f" {over.mean:.4f} [{over.low:.4f}, {over.high:.4f}], and nothing else changes; within"
    assert f"{said} {within['mnist']:.4f} and {within['cifar10']:.4f}; none at chance |" in page
    of_cifar = every[(every["dataset"] == "cifar10") & (every["model"] == "cnn")]
    claim = {dips[0]: CLAIMS[dips[0]]}
    late = {epoch: verdicts_of(read_out(of_cifar, epoch), claim)[dips].outcome for epoch in range(20, 26)}
    assert late == dict.fromkeys((20, 21), UNDECIDED) | dict.fromkeys((22, 23, 24, 25), HOLDS)
    seeds = sorted(of_cifar["seed"].unique())
    left_out = [verdicts_of(of_cifar[of_cifar["seed"] != seed], claim)[dips].outcome for seed in seeds]
    assert left_out == [HOLDS, UNDECIDED, *[HOLDS] * (len(seeds) - 2)]
    dip = verdicts_of(of_cifar, claim)[dips].numbers[0]
    limit = measures.PAIR_OF_SEEDS * of_cifar.query("pruner == 'none' and epoch == 25")["test_accuracy"].std()
    assert dip.wanted == f"above {limit:.4g}"
    told = f"holds, by a dip of {dip.mean:.4f} [{dip.low:.4f}, {dip.high:.4f}], limit {limit:.4f}"
    where = "22 to 25; undecided at 20 and 21, and without one of the five seeds"
    assert row("CIFAR-10 CNN: with random pruning the accuracy dips and then improves (Figure 19)", told, where) in page
    of_mnist = judged[(judged["dataset"] == "mnist") & (judged["model"] == "cnn")]
    claim = {unharmed[0]: CLAIMS[unharmed[0]]}
    early = {epoch: verdicts_of(read_out(of_mnist, epoch), claim)[unharmed] for epoch in range(20, 25)}
    one_left_out = [verdicts_of(of_mnist[of_mnist["seed"] != seed], claim)[unharmed] for seed in range(5)]
    assert {verdict.outcome for verdict in early.values()} == {FAILS}
    assert [verdict.outcome for verdict in one_left_out] == [FAILS, *[UNDECIDED] * 4]
    told = f"fails, [{over.low:.4f}, {over.high:.4f}], limit -{over.wanted.split()[-1]}"[:-2]
    assert row("MNIST CNN: magnitude pruning at 99% does not affect the accuracy (Figure 9)", told, "all") in page
    monkeypatch.setattr(measures, "tolerance", by_student)
    wider = verdicts_of(every)
    assert {check for check in wider if wider[check].outcome != now[check].outcome} == {unharmed}
    assert (
        "one verdict changes, that of Figure 9 on MNIST, which is then undecided; with three seeds of the CNN three "
        "did." in page
    )


@pytest.mark.slow
def test_what_seeds_3_and_4_of_the_cnn_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Predictions 34 and 35: the verdicts with three seeds and with five, at other epochs, with another margin."""
    later = ("cnn_overfits_later", "Figure 7: MNIST CNN")
    best = ("random_best_at_25", "Figure 14: Fashion-MNIST CNN, test_accuracy")
    spares = ("sparse_without_losing_accuracy", "Table 1: MNIST CNN, bayes_magnitude")
    judged = study().judged[~later_seeds(study().judged)].query("model == 'fcn' or seed < 5")
    new = (judged["model"] == "cnn") & (judged["seed"] >= 3)
    three, five = verdicts_of(judged[~new]), verdicts_of(judged)
    changed = {check: verdict.outcome for check, verdict in five.items() if verdict.outcome != three[check].outcome}
    assert changed == {later: HOLDS, best: FAILS, spares: HOLDS}
    assert {three[check].outcome for check in changed} == {UNDECIDED}
    assert five["cnn_overfits_later", "Figure 13: Fashion-MNIST CNN"].outcome == UNDECIDED
    beats = five["bayes_beats_unpruned", "Table 1: CIFAR-10 CNN"]
    [gain] = beats.numbers
    assert (beats.outcome, gain.name, gain.n) == (
        UNDECIDED,
        "accuracy of bayes_random at 50% minus the baseline's",
        5,
    )
    last = judged[new & (judged["dataset"] == "cifar10") & (judged["epoch"] == 25)].set_index(["pruner", "seed"])
    first = judged[(judged["model"] == "cnn") & ~new & (judged["dataset"] == "cifar10") & (judged["epoch"] == 25)]
    means = first.set_index("pruner").query("pruner == 'none' or pruner == 'bayes_random' and target_sparsity == 0.5")
    off = last["test_accuracy"] - means.groupby("pruner")["test_accuracy"].mean().reindex(last.index, level="pruner")
    assert len(off) == 4
    within = off.abs().max()
    assert (
        f"so it is, {gain.mean:.4f} [{gain.low:.4f}, {gain.high:.4f}], just undecided, and within {within:.4f} |"
        in page
    )
    assert row("MNIST: the CNN overfits later than the FCN (Figure 7)", "holds", "all") in page
    accuracy = five[spares].numbers[1]
    limit = float(accuracy.wanted.split()[1])
    assert (
        row(
            "MNIST CNN: Bayes magnitude at 90% loses no accuracy (Table 1)",
            f"holds, by {accuracy.low - limit:.5f}: [{accuracy.low:.4f}, {accuracy.high:.4f}], limit {limit:.4f}",
            "23 and 25; undecided at the others, at 20, 22 and 24 because a network that was not pruned is not as "
            "sparse as asked",
        )
        in page
    )
    of_these = (judged["dataset"] != "cifar10") & ((judged["model"] == "cnn") | (judged["pruner"] == "none"))
    of_changed = {claim: CLAIMS[claim] for claim, _ in changed}
    early = {epoch: verdicts_of(read_out(judged[of_these], epoch), of_changed) for epoch in range(20, 25)}
    assert {each[later].outcome for each in early.values()} == {HOLDS}
    assert [epoch for epoch, each in early.items() if each[spares].outcome == HOLDS] == [23]
    assert [epoch for epoch, each in early.items() if each[spares].numbers[0].outcome != HOLDS] == [20, 22, 24]
    assert early[21][spares].outcome == UNDECIDED
    assert [early[epoch][best].outcome for epoch in range(20, 25)] == [HOLDS, *[UNDECIDED] * 4]
    hangs = "25 alone: at 20 it holds, from 21 to 24 it is undecided"
    assert row("Fashion-MNIST CNN: 25% is the best sparsity (Figure 14)", "fails, since 50% is better", hangs) in page
    without = [
        verdicts_of(judged[of_these & ~((judged["model"] == "cnn") & (judged["seed"] == s))], of_changed)
        for s in range(5)
    ]
    decided = [sum(each[check].outcome == verdict for each in without) for check, verdict in changed.items()]
    assert dict(zip(changed, decided, strict=True)) == {later: 2, best: 1, spares: 0}
    assert {each[check].outcome for each in without for check in (later, spares)} == {HOLDS, UNDECIDED}
    assert {each[best].outcome for each in without} == {FAILS, UNDECIDED}
    assert "With any one seed of the CNN left out Figure 7 stays decided in two of the five cases, Figures 9" in page
    assert "Figures 9 and 14 in one and Table 1 in none, and none of them turns round." in page
    monkeypatch.setattr(measures, "tolerance", by_student)
    wider = verdicts_of(judged[~new])
    assert sum(wider[check].outcome != verdict.outcome for check, verdict in three.items()) == 3
    assert "which is then undecided; with three seeds of the CNN three did." in page


@pytest.mark.slow
def test_what_five_more_unpruned_seeds_of_the_cnn_on_fashion_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 51: only what counts as similar changes, as if another epoch were the last and with seeds left out."""
    dips = ("random_dips_then_improves", "Figure 13: Fashion-MNIST CNN")
    later = ("cnn_overfits_later", "Figure 13: Fashion-MNIST CNN")
    judged = study().judged
    judged = judged[(judged["dataset"] != "cifar10") | (judged["seed"] < 5) | (judged["model"] == "fcn")]
    new = (judged["model"] == "cnn") & (judged["seed"] >= 5)
    assert judged[new].groupby(CELL)["seed"].unique().map(sorted).to_dict() == {
        ("fashion_mnist", "cnn", "none", 0.0): [5, 6, 7, 8, 9]
    }
    assert "The CNN's unpruned cell on Fashion-MNIST has ten for the claims" in page
    without, with_them = verdicts_of(judged[~new]), verdicts_of(judged)
    changed = {check: found.outcome for check, found in with_them.items() if found.outcome != without[check].outcome}
    assert changed == {dips: HOLDS}
    assert (without[later].outcome, with_them[later].outcome) == (UNDECIDED, UNDECIDED)
    [behind] = with_them[later].numbers
    assert behind.n == 10
    assert f"undecided with ten seeds too, by {behind.mean:.1f} [{behind.low:.1f}, {behind.high:.1f}] epochs" in page
    of_these = judged[(judged["model"] == "cnn") & (judged["dataset"] == "fashion_mnist")]
    claim = {dips[0]: CLAIMS[dips[0]]}
    early = {epoch: verdicts_of(read_out(of_these, epoch), claim)[dips].outcome for epoch in range(20, 25)}
    assert early == dict.fromkeys(range(20, 24), UNDECIDED) | {24: HOLDS}
    left_out = [verdicts_of(of_these[of_these["seed"] != seed], claim)[dips].outcome for seed in range(10)]
    assert left_out == [*[UNDECIDED] * 3, HOLDS, UNDECIDED, *[HOLDS] * 5]
    dip = with_them[dips].numbers[0]
    told = (
        f"holds, by a dip of {dip.mean:.4f} [{dip.low:.4f}, {dip.high:.4f}], limit {float(dip.wanted.split()[1]):.4f}"
    )
    where = "24 and 25; undecided at the others, and without any of four of the five seeds"
    assert row("Fashion-MNIST CNN: the same (Figure 13)", told, where) in page
    monkeypatch.setattr(measures, "tolerance", by_student)
    assert verdicts_of(of_these, claim)[dips].outcome == HOLDS


@pytest.mark.slow
def test_what_further_seeds_of_two_cells_of_cifar10s_cnn_decide(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prediction 54 of the CNN, also by intervals that allow for four looks, and with each seed left out."""
    beats = ("bayes_beats_unpruned", "Table 1: CIFAR-10 CNN")
    cells = [("bayes_random", 0.5), ("none", 0.0)]
    judged = study().judged
    rows = judged[(judged["model"] == "cnn") & (judged["dataset"] == "cifar10")]
    new = (judged["model"] == "cnn") & (judged["dataset"] == "cifar10") & (judged["seed"] >= 5)
    seeds = judged[new].groupby(["pruner", "target_sparsity"])["seed"].unique().map(sorted)
    assert list(seeds.index) == cells
    assert seeds.iloc[0] == seeds.iloc[1]
    every, before = verdicts_of(judged), verdicts_of(judged[~new])
    changed = {check: found.outcome for check, found in every.items() if found.outcome != before[check].outcome}
    assert changed == {beats: HOLDS}
    [gain] = every[beats].numbers
    count = 5 + len(seeds.iloc[0])
    assert count == 10
    assert (gain.name, gain.n) == ("accuracy of bayes_random at 50% minus the baseline's", count)
    claim = {beats[0]: CLAIMS[beats[0]]}
    early = {epoch: verdicts_of(read_out(rows, epoch), claim)[beats] for epoch in range(20, 25)}
    left_out = {seed: verdicts_of(rows[rows["seed"] != seed], claim)[beats] for seed in rows["seed"].unique()}
    assert len(left_out) == count
    assert [epoch for epoch, found in early.items() if found.outcome == HOLDS] == [21, 22, 23, 24]
    assert [seed for seed, found in left_out.items() if found.outcome != HOLDS] == [1]
    [other] = left_out[1].numbers
    assert (other.name, other.n) == ("accuracy of bayes_random at 75% minus the baseline's", 2)
    with monkeypatch.context() as patch:
        patch.setattr(statistics, "CONFIDENCE", 1 - 0.05 / 4)
        assert verdicts_of(rows, claim)[beats].outcome == HOLDS
    at = rows.set_index(["pruner", "target_sparsity", "epoch", "seed"])["test_accuracy"]
    pruned, unpruned = (at.loc[cell].unstack("seed").dropna(axis=1) for cell in cells)
    of_both = pd.concat({cells[0]: pruned.loc[25], cells[1]: unpruned.loc[25]}, axis=1)
    assert (of_both[cells[0]] > of_both[cells[1]]).sum() == count
    best, peak = pruned.mean(axis=1).idxmax(), unpruned.mean(axis=1).idxmax()
    against_best = [statistics.paired_difference(pruned.loc[epoch], unpruned.loc[peak]) for epoch in (25, best)]
    late, early_both = (f"{each.mean:.4f} [{each.low:.4f}, {each.high:.4f}]" for each in against_best)
    off = (of_both - of_both[of_both.index < 5].mean())[of_both.index >= 5].abs()
    told = f"{gain.mean:.4f} [{gain.low:.4f}, {gain.high:.4f}]"
    for said in (
        row(
            "CIFAR-10 CNN: Bayes pruning is better than the unpruned network, at 50% (Table 1)",
            f"holds with ten seeds, {told}; with five it was undecided",
            "all but 20",
        ),
        f"CNN: it holds, by {told}, each run within {off.max(axis=None):.4f};",
        "on CIFAR-10 its unpruned cell and Bayes random at 50% have ten too.",
        "It holds by an interval of 98.75% too, which allows for four looks, without any one seed but one (without "
        "it the best cell is Bayes random at 75%, of which two seeds are left), and in each of the ten seeds.",
        f"But it hangs on the baseline: the unpruned network overfits. Over its own best epoch, {peak} by the mean of "
        f"the ten seeds, Bayes random at epoch 25 is {late}, and at its best epoch, {best}, {early_both}: undecided "
        "both times.",
    ):
        assert said in page


def test_what_the_three_rules_that_were_changed_say_now(page: str) -> None:
    judged = study().judged
    found = {(each.claim, each.where): each.verdict for each in study().findings}
    fashion, cifar = (
        ("random_dips_then_improves", f"Figure {where} CNN") for where in ("13: Fashion-MNIST", "19: CIFAR-10")
    )
    of_these = judged[(judged["model"] == "cnn") & (judged["dataset"] == "fashion_mnist")]
    dipping = {fashion[0]: CLAIMS[fashion[0]]}
    five = verdicts_of(of_these[of_these["seed"] < 5], dipping)[fashion]
    dip, rise = five.numbers
    assert (dip.outcome, rise.outcome) == (UNDECIDED, HOLDS)
    said = f"on Fashion-MNIST with five seeds, where it held: the dip is {dip.mean:.4f} [{dip.low:.4f}, {dip.high:.4f}]"
    assert (
        f"{said} with {float(dip.wanted.split()[1]):.4f} as the limit; with five more unpruned ones it holds." in page
    )
    three = judged[(judged["model"] == "cnn") & (judged["dataset"] == "cifar10") & (judged["seed"] < 3)]
    assert verdicts_of(three, dipping)[cifar].outcome == UNDECIDED
    assert (found[fashion].outcome, found[cifar].outcome) == (HOLDS, HOLDS)
    assert "On CIFAR-10 it is undecided with three seeds and holds with five." in page
    for where in ("Figure 6: MNIST FCN", "Figure 12: Fashion-MNIST FCN"):
        by_metric = [
            found["magnitude_improves_with_sparsity", f"{where}, test_{name}"].outcome for name in ("accuracy", "loss")
        ]
        assert by_metric == [FAILS, HOLDS]
    assert "was judged by the loss alone, where it holds; by the accuracy, which the sentence names, it fails." in page
    for where in ("18: CIFAR-10 FCN", "20: CIFAR-10 CNN"):
        numbers = found["pruning_reduces_overfitting", f"Figure {where}, bayes_random"].numbers
        assert [number.outcome for number in numbers] == [HOLDS] * 5
    assert "the paper says so of Figures 5 and 14 only, and no verdict changes with 99% too." in page
    assert found["overfitting_falls_with_sparsity", "Figure 12: Fashion-MNIST FCN"].outcome == HOLDS
    assert "that overfitting falls as the number of parameters does (Figure 12); it holds." in page
