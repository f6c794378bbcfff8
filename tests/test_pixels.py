"""What the page says of how pixels are scaled: the runs of cnn_details.parquet and, for the FCN, of details.parquet."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from test_prose import OF_CNN, archived, listed, row, study, words

from bayes_pruning.results.paper import DATASETS, METHODS, SPARSITIES, paper_values, percent
from bayes_pruning.results.selection import choose, read_out
from bayes_pruning.studies import details

NAMED = dict(zip(METHODS, ("random", "Bayes random", "magnitude", "Bayes magnitude"), strict=True))
CELLS = {"unpruned": ("none", 0.0)} | {
    f"{NAMED[method]} at {percent(sparsity)}": (method, sparsity) for method in METHODS for sparsity in SPARSITIES
}  # of CIFAR-10's CNN; all ran with pixels from 0 to 1, seed 0
WITH_SEED_1 = [("none", 0.0), ("random", 0.75), ("random", 0.9), ("random", 0.99), ("bayes_random", 0.99)]
WITH_SEED_1 += [("magnitude", 0.99)]  # too
SCALES = ("standardized", "from 0 to 1")


@pytest.fixture(scope="module")
def page() -> str:
    return words((ROOT / "docs" / "reproduction.md").read_text())


@pytest.fixture(scope="module")
def pixels() -> pd.DataFrame:
    """The runs of the CNN with pixels from 0 to 1, by the printed formula."""
    return choose(archived("cnn_details").query("model == 'cnn_pixels_0_to_1'"), "paper")


@pytest.fixture(scope="module")
def default() -> pd.DataFrame:
    """Those with standardized pixels."""
    return choose(archived(*OF_CNN), "paper")


@pytest.fixture(scope="module")
def scales(pixels: pd.DataFrame, default: pd.DataFrame) -> pd.DataFrame:
    """Accuracy before pruning of the CNN in the epochs 20 to 25: [cell and seed, (scale of pixels, epoch)]."""
    centred = archived("cnn_details").query("model == 'cnn_pixels_centred'")
    parts = [default.assign(scale="standardized"), pixels.assign(scale="from 0 to 1"), centred.assign(scale="centred")]
    every = pd.concat(parts).query("epoch >= 20")
    cells = every.set_index(["dataset", "pruner", "target_sparsity", "seed", "scale", "epoch"])["test_accuracy"]
    return cells.unstack(["scale", "epoch"]).round(4)


@pytest.fixture(scope="module")
def off(scales: pd.DataFrame) -> pd.DataFrame:
    """Ours minus the paper's on CIFAR-10, in the cells and seeds that ran with both scales."""
    own = scales.loc["cifar10", list(SCALES)].dropna().sort_index()
    theirs = [paper_values()["cifar10", "cnn", pruner, sparsity] for pruner, sparsity, _ in own.index]
    return own.sub(theirs, axis=0)


def nats(rows: pd.DataFrame, default: pd.DataFrame, last: int = 25) -> pd.Series:
    """What the likelihood says of CIFAR-10's CNN with these runs in place of the default's, with the same seeds.

    At epoch `last` and the one before.
    """
    ours, base = (read_out(each.query("dataset == 'cifar10' and epoch >= @last - 1"), last) for each in (rows, default))
    [found] = details.compare(pd.concat([ours, base], ignore_index=True), base, "cnn").to_dict("records")
    return pd.Series(found)


def dead(runs: pd.DataFrame) -> "pd.Series[bool]":
    """Both random methods at 99%."""
    return runs["pruner"].str.endswith("random") & (runs["target_sparsity"] == 0.99)


def stroke(found: pd.Series) -> str:
    return f"{found['nearer_before']:.1f} / {found['nearer']:.1f}"


def test_the_table_of_cifar10(page: str, scales: pd.DataFrame, off: pd.DataFrame) -> None:
    assert set(off.index) == {(*cell, 0) for cell in CELLS.values()} | {(*cell, 1) for cell in WITH_SEED_1}
    for title, cell in CELLS.items():
        ran = [scales.loc[("cifar10", *cell, seed)] for seed in range(1 + (cell in WITH_SEED_1))]
        values = [f"{at[scale, 24]:.4f} / {at[scale, 25]:.4f}" for at in ran for scale in SCALES]
        theirs = f"{paper_values()['cifar10', 'cnn', *cell]:.4f}"
        assert row(title, theirs, *values, *[""] * (4 - len(values))) in page


def test_how_many_cells_of_cifar10_are_nearer(page: str, off: pd.DataFrame) -> None:
    """Predictions 45 and 46 too, as far as they speak of distances."""
    gain = off["standardized"].abs() - off["from 0 to 1"].abs()
    cases = gain.stack() > 0
    first, second = (cases.xs(seed, level="seed").unstack()[[24, 25]].sum() for seed in (0, 1))
    said = f"{first[24]} and {first[25]} of its 21 cells are nearer from 0 to 1 with seed 0 at epochs 24 and 25, and"
    assert f"{said} {second[24]} and {second[25]} of {len(WITH_SEED_1)} with seed 1" in page
    assert f"In the epochs 20 to 25 they are in {cases.sum()} of {len(cases)} cases" in page
    unlike = cases.groupby(level=["pruner", "target_sparsity"]).mean().idxmin()
    [title] = [title for title, cell in CELLS.items() if cell == unlike]
    left = cases[[key[:2] != unlike for key in cases.index]]
    assert f"without {title} in {left.sum()} of {len(left)}" in page
    at_25 = off["from 0 to 1", 25].xs(0, level="seed")
    bayes = [at_25["bayes_random", sparsity] for sparsity in (0.9, 0.99)]
    assert f"Bayes random at 90 and 99% is {listed(bayes)} above the paper's" in page
    others = at_25.drop([("bayes_random", 0.9), ("bayes_random", 0.99)])
    was = off["standardized", 25].xs(0, level="seed")[others.index]
    assert f"the others are off by {others.min():+.4f} to {others.max():+.4f}" in page
    assert f"with standardized pixels by {was.min():+.4f} to {was.max():+.4f}" in page
    readme = words((ROOT / "README.md").read_text())
    assert f"in {first[25]} of 21 cells at epoch 25 and {first[24]} at 24" in readme
    assert f"in {first[25]} of its 21 cells at epoch 25 and in {first[24]} at 24" in page


def test_the_unpruned_network_of_cifar10(page: str, scales: pd.DataFrame) -> None:
    unpruned = scales.loc["cifar10", "none", 0.0]
    assert unpruned["standardized", 25].count() == 5
    assert unpruned["from 0 to 1", 25].count() == 2
    for epoch in (24, 25):
        assert unpruned["from 0 to 1", epoch].max() < unpruned["standardized", epoch].min()
    assert "Both unpruned networks are then below each of the five seeds with standardized pixels" in page


def test_what_the_likelihood_says_of_cifar10(page: str, pixels: pd.DataFrame, default: pd.DataFrame) -> None:
    """Over all cells that ran with both scales, and without some of them; predictions 40 and 45."""
    whole = nats(pixels, default)
    published = study().compared_details["cnn"].query("detail == 'pixels 0 to 1' and dataset == 'cifar10'")
    assert whole["nearer"] == pytest.approx(published["nearer"].item())
    assert f"without any one cell they are {whole['least']:.1f} or more at 25" in page
    one = pixels[pixels["seed"] == 0]
    said = {
        "all, both seeds": pixels,
        "all, seed 0": one,
        "of these without both random methods at 99%": one[~dead(one)],
        "without all at 99%": one[one["target_sparsity"] != 0.99],
        "without Bayes random": one[one["pruner"] != "bayes_random"],
        "without random and Bayes random": one[~one["pruner"].str.endswith("random")],
    }
    for title, rows in said.items():
        assert row(title, stroke(nats(rows, default))) in page
    late = [nats(one, default, last)[["nearer_before", "nearer"]].min() for last in (21, 23, 25)]
    assert f"With seed 0 and all cells it is {min(late):.1f} or more in each of the epochs 20 to 25." in page


def test_a_gate_that_never_closes_on_cifar10(page: str, pixels: pd.DataFrame, default: pd.DataFrame) -> None:
    """Prediction 48. If its gate never closes, a Bayes method is its classic twin, whose runs stand for it then."""
    of_logs = archived("cnn_details").query("model == 'cnn_pixels_0_to_1' and protocol.str.contains('of_logs')")
    cells = of_logs[["dataset", "pruner", "target_sparsity", "seed"]].itertuples(index=False, name=None)
    assert set(cells) == {("cifar10", "bayes_random", 0.99, 0)}
    assert of_logs["pruned"].tolist() == [1] * 25
    printed = pixels.query("dataset == 'cifar10' and seed == 0")
    twin = printed.query("pruner == 'random' and target_sparsity == 0.99")
    chance = [runs.loc[runs["test_accuracy"].round(4) == 0.1, "epoch"].tolist() for runs in (of_logs, twin)]
    assert chance == [list(range(16, 26)), list(range(17, 26))]
    assert (
        "is at chance from epoch 16 on. (Random pruning ran on another machine and so has other bits; there it" in page
    )
    assert of_logs["train_loss"].iloc[0] != twin["train_loss"].iloc[0]

    def ahead(*without: float, last: int = 25, by_formula: pd.DataFrame = printed) -> np.ndarray:
        """By how many nats the gate that never closes is, at epoch `last` and the one before."""
        classic = by_formula[~by_formula["pruner"].str.startswith("bayes")]
        twins = classic[classic["pruner"] != "none"].assign(pruner="bayes_" + classic["pruner"])
        never = pd.concat([classic, twins], ignore_index=True)
        each = [nats(rows[~rows["target_sparsity"].isin(without)], default, last) for rows in (never, by_formula)]
        found, base = ([at["nearer_before"], at["nearer"]] for at in each)
        return np.subtract(found, base)

    every, light, heavy, lightest = ahead(), ahead(0.99), ahead(0.9), ahead(0.9, 0.99)
    assert f"{every[0]:.1f} / {every[1]:.1f} nats more likely than by the printed formula" in page
    said = f"without the cells at 99% {light[0]:.1f} / {light[1]:.1f}, without those at 90%"
    assert f"{said} {heavy[0]:.1f} / {heavy[1]:.1f} and without both {lightest[0]:.1f} / {lightest[1]:.1f}" in page
    said = f"speaks for a gate that never closes too ({light[1]:.1f} nats without the cells at 99%, seed 0; at 24 it is"
    assert f"{said} {light[0]:.1f}), but such pixels do not fit the FCN." in page
    assert light[0] < 3 < light[1]
    even, odd = np.transpose([ahead(0.99, last=last) for last in (21, 23, 25)])
    said = f"Without the cells at 99% it is {even.min():.1f} to {even.max():.1f} in the epochs 20, 22 and 24, and"
    assert f"{said} {odd.min():.1f} to {odd.max():.1f} in 21, 23 and 25." in page
    standardized = default.query("dataset == 'cifar10' and seed == 0").assign(model=twin["model"].iloc[0])
    same = ahead(by_formula=standardized)
    assert f"With standardized pixels the same cells say {same[0]:.1f} / {same[1]:.1f}." in page
    assert every[1] >= 3
    assert every[0] >= -3
    assert f"The rest is so, by {every[1]:.1f} nats at 25, and by {every[0]:.1f} at 24. Bayes magnitude" in page


def test_what_was_predicted_of_nine_cells_and_of_centred_pixels(page: str, scales: pd.DataFrame) -> None:
    """Predictions 40, 41, 43 and 44, epoch 25 where no other is named."""
    theirs = {
        (dataset, *cell): paper_values()[dataset, "cnn", *cell] for dataset in DATASETS for cell in CELLS.values()
    }
    new, old = (scales[scale, 25].xs(0, level="seed").dropna() for scale in ("from 0 to 1", "standardized"))
    moved = {dataset: abs(new[dataset, "none", 0.0] - old[dataset, "none", 0.0]) for dataset in DATASETS}
    assert all(moved[dataset] < most for dataset, most in zip(DATASETS, (0.003, 0.01, 0.02), strict=True))
    above = new["cifar10", "none", 0.0] - theirs["cifar10", "none", 0.0]
    assert 0 < above < 0.02
    assert f"it fails in one part: on CIFAR-10 the unpruned network is {above:.4f} above the paper's." in page
    bayes = new["fashion_mnist", "bayes_random", 0.99]
    assert bayes > 0.8
    three = ", ".join(f"{moved[dataset]:.4f}" for dataset in DATASETS)
    assert f"The rest is so: within {' and '.join(three.rsplit(', ', 1))}, and Bayes random has {bayes:.4f} |" in page
    for dataset, cell in product(DATASETS, (("magnitude", 0.99), ("random", 0.9))):
        where = (dataset, *cell)
        assert new[where] < old[where]
        assert dataset == "mnist" or abs(new[where] - theirs[where]) < abs(old[where] - theirs[where])
    compared = study().compared_details["cnn"].query("detail == 'pixels 0 to 1'").set_index("dataset")
    both = compared[["nearer_before", "nearer"]]
    assert both.loc["cifar10"].min() > 3
    assert both.loc[["mnist", "fashion_mnist"]].abs().max(axis=None) < 3
    said = [f"{early:.1f} / {late:.1f}" for early, late in both.loc[["mnist", "fashion_mnist"]].to_numpy()]
    assert f"For pixels from 0 to 1 it is {said[0]} on MNIST and {said[1]} nats on Fashion-MNIST, which" in page
    later = [("random", 0.5), ("random", 0.75), ("magnitude", 0.5), ("magnitude", 0.9)]
    off = max(abs(new["cifar10", *cell] - theirs["cifar10", *cell]) for cell in later)
    assert off < 0.04
    assert f"at 25 within 0.04 | so they are, within {off:.4f} |" in page
    one = scales.loc[("cifar10", "random", 0.75, 1)]
    gains = [
        abs(one["standardized", epoch] - theirs["cifar10", "random", 0.75])
        - abs(one["from 0 to 1", epoch] - theirs["cifar10", "random", 0.75])
        for epoch in (24, 25)
    ]
    assert min(gains) >= 0.02
    assert f"seed 1: nearer by 0.02 or more at both epochs | so it is, by {gains[0]:.4f} and {gains[1]:.4f} |" in page
    centred = scales["centred", 25].dropna().droplevel("seed")
    at_99 = [centred[dataset, "random", 0.99] for dataset in ("fashion_mnist", "cifar10")]
    assert at_99[0] > 0.7
    assert at_99[1] > 0.3
    above = centred["cifar10", "none", 0.0] - theirs["cifar10", "none", 0.0]
    assert above > 0.02
    said = (
        f"so it is for random pruning, {at_99[0]:.4f} and {at_99[1]:.4f}, and the unpruned network is {above:.4f} above"
    )
    assert said in page
    assert f"it has {at_99[0]:.4f} on Fashion-MNIST and {at_99[1]:.4f} on CIFAR-10. On MNIST it was not run." in page
    assert f"{centred['cifar10', 'none', 0.0]:.4f} on CIFAR-10, {above:.4f} more than the paper's." in page


def test_what_was_predicted_of_the_whole_row(
    page: str, off: pd.DataFrame, pixels: pd.DataFrame, default: pd.DataFrame
) -> None:
    """Predictions 45 and 46."""
    gain = off["standardized"].abs() - off["from 0 to 1"].abs()
    missing = [("random", 0.25), ("magnitude", 0.25), ("magnitude", 0.75)]
    missing += [("bayes_random", sparsity) for sparsity in (0.25, 0.5, 0.75, 0.9)]
    missing += [("bayes_magnitude", sparsity) for sparsity in SPARSITIES]
    nearer = [int((gain.loc[[(*cell, 0) for cell in missing], epoch] > 0).sum()) for epoch in (24, 25)]
    at_25 = off["from 0 to 1", 25].xs(0, level="seed")
    light = at_25[[cell for cell in missing if cell[1] <= 0.75 or cell == ("bayes_magnitude", 0.9)]]
    above = [at_25["bayes_random", 0.9], at_25["bayes_magnitude", 0.99]]
    one = pixels[pixels["seed"] == 0]
    found = [nats(rows, default)[["nearer_before", "nearer"]].min() for rows in (one, one[~dead(one)])]
    assert nearer[0] >= 10
    assert nearer[1] >= 11
    assert light.abs().max() < 0.04
    assert above[0] >= 0.05
    assert above[1] < 0.03
    assert min(found) >= 3
    assert f"it fails in one part: Bayes magnitude at 99% is {above[1]:.4f} above. The rest is so:" in page
    said = f"{nearer[0]} and {nearer[1]} of the twelve are nearer at 24 and 25, within {light.abs().max():.4f}, and"
    assert f"{said} Bayes random at 90% is {above[0]:.4f} above; the likelihood" in page
    assert f"is {found[0]:.1f} and {found[1]:.1f} nats or more nearer" in page
    second = [("none", 0.0), ("random", 0.9), ("magnitude", 0.99)]
    cases = gain.loc[[(*cell, 1) for cell in second], [24, 25]] > 0
    assert cases.all(axis=None)
    alive = off.loc[("random", 0.99, 1), ("from 0 to 1", 25)] + paper_values()["cifar10", "cnn", "random", 0.99]
    assert alive >= 0.2
    bayes = off.loc[("bayes_random", 0.99, 1), ("from 0 to 1", 25)] + paper_values()["cifar10", "cnn", "random", 0.99]
    assert bayes > 0.3
    said = f"has {alive:.4f}. So far nearer in all {cases.size} cases, and Bayes random has {bayes:.4f}."
    assert f"it fails in one part: random pruning at 99% {said}" in page


def test_what_was_predicted_of_the_width_of_the_cnns_first_layer(page: str, default: pd.DataFrame) -> None:
    """Prediction 47, as far as its runs are in."""
    cell = "dataset == 'cifar10' and pruner == 'random' and target_sparsity == 0.9 and seed == 0 and epoch >= 24"
    narrow = archived("cnn_details").query("model == 'cnn_64'")
    assert set(narrow["run"]) == set(narrow.query(cell)["run"])
    ours, usual = (rows.query(cell).sort_values("epoch")["test_accuracy"].to_numpy() for rows in (narrow, default))
    theirs = paper_values()["cifar10", "cnn", "random", 0.9]
    assert (abs(ours - theirs) < abs(usual - theirs)).all()
    above = ours[1] - theirs
    assert above >= 0.05
    said = f"nearer, {ours[0]:.4f} and {ours[1]:.4f} where 128 has {usual[0]:.4f} and {usual[1]:.4f}, and"
    assert f"{said} {above:.4f} above the paper's |" in page


def test_pixels_from_0_to_1_in_wider_layers_of_the_fcn(page: str) -> None:
    """Prediction 42, as far as its runs are in: widths of 512-256, seed 0."""
    rows = study().compared_details["fcn"].query("detail == '512 256 pixels 0 to 1'").set_index("dataset")
    assert set(rows["seeds"]) == {1}
    at_99 = [rows.loc[dataset, "Random 99%"] for dataset in DATASETS]
    assert f"with widths of 512-256 it is {at_99[0]:+.4f}, {at_99[1]:+.4f} and {at_99[2]:+.4f} off." in page
    low = [-rows.loc["cifar10", f"Magnitude {percent}"] for percent in ("90%", "99%")]
    assert f"magnitude pruning at 90 and 99% is then too low as well, by {low[0]:.4f} and {low[1]:.4f}, and" in page
    further = -rows[["nearer_before", "nearer"]].sum()
    assert f"the two together are {further.min():.1f} nats or more further away than the default." in page
    said = f"{-at_99[2]:.4f} below the paper's on CIFAR-10, within {at_99[0]:.4f} and {at_99[1]:.4f} on the others, and"
    assert f"{said} {further['nearer_before']:.1f} and {further['nearer']:.1f} nats further away" in page
