"""The numbers in the pages' sentences are those of the published tables, which tests/test_published.py holds."""

import csv
import json
import re
from typing import Any

import pandas as pd
import pytest
from conftest import ROOT

from bayes_pruning.results import frame
from bayes_pruning.results.paper import paper_values
from bayes_pruning.results.selection import choose
from bayes_pruning.studies import exact_sparsity
from bayes_pruning.studies.exact_sparsity import CLAIMED
from bayes_pruning.studies.publication import ScheduleStudy

PUBLISHED = ROOT / "outputs" / "published"
MNIST, FASHION = "mnist fcn", "fashion_mnist fcn"
CLOSED_MOSTLY = ["candidate", "mean_candidate", "narrow_candidate", "beta_one"]
KEPT = ["kept", "kept_candidate", "kept_mean_candidate", "kept_narrow_candidate"]


def words(text: str) -> str:
    """With single blanks and without emphasis."""
    return re.sub(r"\s+", " ", text.replace("**", "").replace("`", ""))


@pytest.fixture(scope="module")
def ranked() -> pd.DataFrame:
    return pd.read_csv(PUBLISHED / "readings.csv")


def column(ranked: pd.DataFrame, name: str, column: str, place: str, epoch: int, when: str = "before") -> float:
    own = ranked[(ranked["name"] == name) & (ranked["place"] == place) & (ranked["epoch"] == epoch)]
    [value] = own.loc[own["accuracy"] == when, column]
    return float(value)


def gates() -> dict[tuple[str, str, str], list[str]]:
    """What gates did, by reading, place and method: the cells after these."""
    lines = [line.strip("| ").split(" | ") for line in (PUBLISHED / "readings.md").read_text().splitlines()]
    return {tuple(cells[:3]): cells[3:] for cells in lines if len(cells) == 11 and "FCN" in cells[1]}  # type: ignore[misc]


def contrast(reading: str, place: str, at: int) -> str:
    """Bayes random minus random at 24 (0) or 25 (1), or the paper's (2)."""
    return gates()[reading, place, "bayes_random"][5 + at].split()[0]


def table_1(**wanted: Any) -> float:
    """The mean accuracy in table1.csv of the one line that fits."""
    with (PUBLISHED / "table1.csv").open(newline="") as file:
        [row] = [row for row in csv.DictReader(file) if all(row[key] == str(value) for key, value in wanted.items())]
    return float(row["mean"])


def claim(name: str, where: str) -> float:
    [found] = [
        finding
        for finding in json.loads((PUBLISHED / "claims.json").read_text())["findings"]
        if finding["claim"] == name and finding["where"].startswith(where)
    ]
    return float(found["numbers"][0]["mean"])


def span(values: pd.Series) -> str:
    return f"{values.min():.0f} to {values.max():.0f}"


def sentences(ranked: pd.DataFrame) -> list[str]:
    """What docs/reproduction.md says in its first part, with the numbers of the tables."""

    def at(name: str, what: str, place: str, epoch: int) -> float:
        return column(ranked, name, what, place, epoch)

    mnist = ranked[ranked["place"] == MNIST]
    after = mnist[(mnist["accuracy"] == "after") & ~mnist["name"].isin(KEPT)]
    closed, kept = (
        mnist[mnist["name"].isin(names) & (mnist["accuracy"] == "before")] for names in (CLOSED_MOSTLY, KEPT)
    )
    last = kept[kept["epoch"] == 25]
    regrown = mnist[(mnist["accuracy"] == "before") & ~mnist["name"].isin(KEPT)]
    seldom = [gates()[name, "MNIST FCN", "bayes_random"][1] for name in CLOSED_MOSTLY]
    numbers = ["no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    patterns = [numbers[regrown.loc[regrown["epoch"] == epoch, "pattern"].nunique()] for epoch in (25, 24)]
    paper = [at("paper", "behind", place, epoch) for epoch in (25, 24) for place in (MNIST, FASHION)]
    chi = {
        (place, epoch, n): f"{at('inverse', f'chi_square_{n}', place, epoch):.0f}"
        for place in (MNIST, FASHION)
        for epoch in (24, 25)
        for n in (1, 5)
    }
    return [
        f"at least {after['behind'].min():.0f} nats less likely on MNIST, with all 99% cells left out still "
        f"{after['least'].min():.0f}",
        f"beta_one: in {min(seldom)} to {max(seldom)} of the epochs) are {span(closed['behind'])} nats behind on MNIST",
        f"Bayes magnitude prunes in {gates()['inverse', 'MNIST FCN', 'bayes_magnitude'][1]} of the epochs) on MNIST",
        f"without them it is {span(closed['least'])}",
        f"is {paper[0]:.1f} nats behind a gate",
        f"on MNIST and {paper[1]:.1f} on Fashion-MNIST. Read at 24, it is {paper[2]:.1f} and {paper[3]:.1f} behind",
        f"are {span(last['behind'])} nats behind on MNIST at epoch 25, and {span(last['least'])} without the four",
        f"make {patterns[0]} patterns at epoch 25 and {patterns[1]} at 24, not {numbers[regrown['name'].nunique()]}",
        f"is {chi[MNIST, 25, 5]} at epoch 25 and {chi[MNIST, 24, 5]} at 24 if the paper's cells are means of five, "
        f"{chi[MNIST, 25, 1]} and {chi[MNIST, 24, 1]} if they are single runs; on Fashion-MNIST it is "
        f"{chi[FASHION, 25, 5]} and {chi[FASHION, 24, 5]}, or {chi[FASHION, 25, 1]} and {chi[FASHION, 24, 1]}",
        f"Bayes random minus random: {contrast('paper', 'MNIST FCN', 2)} in the paper on MNIST; ours "
        f"{contrast('paper', 'MNIST FCN', 0)} at 24, {contrast('paper', 'MNIST FCN', 1)} at 25",
        f"Fashion-MNIST: {contrast('paper', 'Fashion-MNIST FCN', 2)}; {contrast('paper', 'Fashion-MNIST FCN', 0)}, "
        f"{contrast('paper', 'Fashion-MNIST FCN', 1)} and 0",
        f"lower by {-round(claim('random_fits_better', 'Figure 4'), -2):,.0f} nats on MNIST",
    ]


def lost(dataset: str, method: str) -> str:
    """What pruning to 90% costs the network that has the zeros."""
    place = {"accuracy": "after", "dataset": dataset, "model": "fcn"}
    return f"{table_1(**place, method='none') - table_1(**place, method=method, sparsity=0.9):.4f}"


def better(method: str) -> list[str]:
    """The least and the most by which a method is better than the paper's before pruning, on Fashion-MNIST."""
    wanted = ["before", "fashion_mnist", method]
    with (PUBLISHED / "table1.csv").open(newline="") as file:
        rows = [
            row for row in csv.DictReader(file) if [row[key] for key in ("accuracy", "dataset", "method")] == wanted
        ]
    values = [float(row["difference"]) for row in rows if row["difference"]]
    return [f"{min(values):.4f}", f"{max(values):.4f}"]


def test_the_page_says_what_pruning_costs() -> None:
    page = words((ROOT / "docs" / "reproduction.md").read_text())
    classic = f"{lost('mnist', 'magnitude')} (MNIST) and {lost('fashion_mnist', 'magnitude')} (Fashion-MNIST)"
    assert f"at 90% then costs {classic}" in page
    assert f"Bayes magnitude {lost('mnist', 'bayes_magnitude')} and {lost('fashion_mnist', 'bayes_magnitude')}" in page
    low, high = better("magnitude")
    assert f"is better than the paper's by {better('none')[0]} and magnitude pruning by {low} to {high}" in page


def test_what_the_prior_has_of_a_magnitude_pruning() -> None:
    """Median over epochs and runs of the change of the log-likelihood over that of the log prior, by sparsity."""
    runs = choose(frame.load(PUBLISHED / "fcn.parquet").frame, "paper")
    runs = runs[(runs["pruner"] == "magnitude") & (runs["target_sparsity"] <= 0.9)]
    changes = {name: (runs[name] - runs[f"{name}_before"]).abs() for name in ("log_likelihood", "log_prior")}
    ratio = changes["log_likelihood"] / changes["log_prior"]
    shares = ratio.groupby([runs["dataset"], runs["target_sparsity"]]).median()
    page = words((ROOT / "docs" / "bayesian_schedule.md").read_text())
    assert f"it is 1/{shares.min():.0f} to 1/{shares.max():.0f} of the change of the log-likelihood" in page


def test_accuracies_by_the_epochs_since_the_last_pruning() -> None:
    """Bayes random by epoch, and matched controls by their draw, both at 99% on MNIST."""
    runs = choose(frame.load(PUBLISHED / "fcn.parquet").frame, "paper")
    runs = runs[(runs["dataset"] == "mnist") & (runs["target_sparsity"] == 0.99)]
    page = words((ROOT / "docs" / "reproduction.md").read_text())
    late = runs[(runs["pruner"] == "bayes_random") & (runs["epoch"] >= 22)].groupby("epoch")["test_accuracy"].mean()
    assert f"epochs 22 to 25: {', '.join(f'{value:.4f}' for value in late)}." in page
    found: dict[int, list[float]] = {}
    for _, rows in runs[runs["pruner"] == "matched_random"].groupby("seed"):
        since = 25 - int(rows.loc[(rows["pruned"] == 1) & (rows["epoch"] < 25), "epoch"].max())
        found.setdefault(since, []).append(float(rows.loc[rows["epoch"] == 25, "test_accuracy"].iloc[0]))
    one, two, three = ([f"{min(found[n]):.3f}", f"{max(found[n]):.3f}"] for n in (1, 2, 3))
    said = f"{' to '.join(one)} after one, {' to '.join(two)} after two, {three[0]} after three"
    assert f"at 99% {said}" in page


def test_schedules_relative_to_each_sides_unpruned_network() -> None:
    found = exact_sparsity.targets(ScheduleStudy([PUBLISHED / "schedules.parquet"]).runs)
    absolute = sum(min(target.over_paper.values()) >= 0 for target in found)
    relative = sum(min(target.relative.values()) >= 0 for target in found)
    page = words((ROOT / "docs" / "bayesian_schedule.md").read_text())
    assert f"at least the paper's accuracies in {absolute} of {len(found)} cells" in page
    assert f"relative to each side's own unpruned network in {relative}" in page
    cells = {target.row[0]: target for target in found if target.row[2] == 0.99}
    paper = paper_values()

    def gains(dataset: str) -> str:
        """Over the unpruned network, ours and in brackets the paper's columns (one if they are the same)."""
        columns = [paper[dataset, "fcn", name, 0.99] - paper[dataset, "fcn", "none", 0.0] for name in CLAIMED]
        own = columns[0] + cells[dataset].relative[CLAIMED[0]]
        theirs = " and ".join(dict.fromkeys(f"{value:+.4f}" for value in columns))
        return f"{own:+.4f} ({{}}{theirs})"

    readme = words((ROOT / "README.md").read_text())
    assert f"has {cells['mnist'].mean:.4f} on MNIST" in readme
    assert f"{cells['fashion_mnist'].mean:.3f} on Fashion-MNIST" in readme
    assert f"{cells['cifar10'].mean:.3f} on CIFAR-10" in readme
    three = [gains(dataset) for dataset in ("mnist", "fashion_mnist", "cifar10")]
    theirs = "the paper's: "
    said = f"{three[0].format(theirs)}, {three[1].format('')} and {three[2].format('')}"
    assert f"Over its own unpruned network that is {said}" in readme
    said = f"{three[0].format('the paper: ')}, {three[1].format('')} and {three[2].format('')}"
    assert f"Over the unpruned network that is {said}" in page


def test_the_first_part_of_the_page_says_what_the_tables_say(ranked: pd.DataFrame) -> None:
    page = words((ROOT / "docs" / "reproduction.md").read_text())
    [cells] = set(ranked.loc[ranked["place"] == "all", "cells"])
    assert f"Measured: {cells} of the 126 cells" in page
    assert f"Measured are {cells} of the 126 cells" in words((ROOT / "README.md").read_text())
    for sentence in sentences(ranked):
        assert words(sentence) in page


@pytest.mark.parametrize("epoch", [24, 25])
@pytest.mark.parametrize("place", [MNIST, FASHION, "all"])
def test_what_can_not_be_told_apart_is_marked_so(ranked: pd.DataFrame, place: str, epoch: int) -> None:
    """The printed formula is among the readings that are not told apart at epoch 24, and is not at 25."""
    assert bool(column(ranked, "paper", "alike", place, epoch)) is (epoch == 24)
    same = column(ranked, "paper", "pattern", place, epoch) == column(ranked, "inverse", "pattern", place, epoch)
    assert same is (epoch == 24)
    assert all(contrast("of_logs", where, which).strip("+") == "0.0000" for where in ("MNIST FCN",) for which in (0, 1))


def test_what_is_said_of_the_details_of_training_is_in_their_table() -> None:
    lines = [line.strip("| ").split(" | ") for line in (PUBLISHED / "details.md").read_text().splitlines()]
    rows = {cells[0]: cells for cells in lines if len(cells) == 10}
    page = words((ROOT / "docs" / "reproduction.md").read_text())
    nearer = {name: float(cells[-1]) for name, cells in rows.items() if name not in ("Detail", "---")}
    assert len(nearer) == 12
    assert sorted(nearer, key=lambda name: nearer[name])[-2:] == ["weights x10", "128 64"]
    assert f"widths of 128-64 by {nearer['128 64']:.1f} nats, ten times larger" in page
    assert f"larger initial weights by {nearer['weights x10']:.1f}" in page
    assert {name: cells[1] for name, cells in rows.items() if cells[1] == "2"}.keys() == {"128 64", "weights x10"}
    assert f"the unpruned network is still {float(rows['128 64'][2]):.4f} better than the paper's" in page
    assert f"random pruning at 99% is {float(rows['weights x10'][5]):.4f} better" in page
    said = f"before the cross-entropy ({-nearer['softmax']:.1f} nats behind), "
    said += f"widths of 1024-1024 ({-nearer['1024 1024']:.1f})"
    assert f"{said} and the same with kept masks ({-nearer['1024 1024 kept']:.1f}) are excluded" in page
    assert {name for name in nearer if nearer[name] < -3} == {"softmax", "1024 1024", "1024 1024 kept"}
