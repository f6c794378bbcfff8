"""The ranking of readings: numbers by hand, what is left out, patterns, what gates did, what is printed."""

import dataclasses
import io
import re
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import PROTOCOL, assert_one_sentence_each, call_script, frame, runs

from bayes_pruning.config import presets
from bayes_pruning.config.errors import UserError
from bayes_pruning.figures.style import STYLES
from bayes_pruning.results import selection
from bayes_pruning.results.cells import CELL
from bayes_pruning.results.statistics import Difference
from bayes_pruning.studies import ranking, ranking_formats
from bayes_pruning.studies.ranking import EVERYWHERE

MEAN = "regrow, previous, mean/mean, beta 0.5, prior N(0, 1^2)"
KEPT = "stay zero, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
PAPER = {"none": 0.9782, "random": 0.9578, "bayes_random": 0.9706}  # MNIST, FCN, at 75%
script = pytest.fixture(call_script)


def cell(pruner: str, offset: float, spread: float = 0.002, protocol: str = PROTOCOL, **more: Any) -> pd.DataFrame:
    """Runs whose accuracy before pruning is the paper's plus `offset`, seeds `spread` apart; 0.1 after pruning."""
    name = f"mnist fcn {pruner}" + ("" if pruner == "none" else " 0.75")

    def accuracy(_: int, seed: int) -> float:
        return PAPER[pruner] + offset + spread * (seed - 0.5)

    return runs(name, protocol=protocol, **({"test_accuracy": accuracy, "pruned_test_accuracy": 0.1} | more))


@pytest.fixture
def two_readings() -> pd.DataFrame:
    """Everything under the paper's reading, and Bayes random under another, further away."""
    return frame(
        cell("none", 0.0),
        cell("random", 0.003),
        cell("bayes_random", -0.004),
        cell("bayes_random", 0.03, protocol=MEAN),
    )


def line(ranked: pd.DataFrame, protocol: str, when: str, block: str = "mnist fcn") -> Any:
    of_reading = (ranked["protocol"] == protocol) & (ranked["accuracy"] == when) & (ranked["block"] == block)
    [row] = ranked[of_reading].itertuples()
    return row


def test_numbers_by_hand(two_readings: pd.DataFrame) -> None:
    """All seeds are 0.002 apart, so that the variance of a run is 2e-6 in every cell, also that which is borrowed."""
    found = ranking.rank(two_readings)
    best, other, after = (
        line(found, p, when) for p, when in ((PROTOCOL, "before"), (MEAN, "before"), (PROTOCOL, "after"))
    )
    assert best.Index == 0
    assert (best.cells, best.seeds, best.behind, best.alike) == (3, 2, 0.0, True)
    assert best.rms == pytest.approx(((0.0**2 + 0.003**2 + 0.004**2) / 3) ** 0.5)
    assert other.rms == pytest.approx(((0.0**2 + 0.003**2 + 0.03**2) / 3) ** 0.5)
    assert other.behind > 0
    assert after.rms == pytest.approx(np.sqrt(np.mean([(0.1 - value) ** 2 for value in PAPER.values()])))
    median = 0.454936423  # of chi-square with one degree of freedom, by which a variance's median is smaller
    variance = (2e-6 + 4 * 2e-6 / median) / 5
    for repeats, chi_square in ((1, best.chi_square_1), (5, best.chi_square_5)):
        assert chi_square == pytest.approx((9e-6 + 16e-6) / (variance * (1 / repeats + 1 / 2)))


def test_a_reading_further_off_is_the_better_one_where_its_seeds_explain_that() -> None:
    both = frame(cell("bayes_random", 0.02), cell("bayes_random", 0.021, spread=0.06, protocol=MEAN))
    found = ranking.rank(both).query("accuracy == 'before'")
    assert list(found["protocol"]) == [MEAN, PROTOCOL]
    assert list(found["rms"]) == pytest.approx([0.021, 0.02])


def test_claims_are_judged_under_readings_of_which_a_bayes_cell_has_three_seeds() -> None:
    cells = {name: cell(name, 0.0, seeds=4, spread=0.0) for name in ("bayes_random", "random")}
    again = cells["bayes_random"].assign(target_sparsity=0.9, hash=lambda rows: rows["hash"] + "9")
    assert list(ranking.claim_outcomes(frame(cells["bayes_random"], again.query("seed == 0")))) == [PROTOCOL]
    two_each = cells["bayes_random"].query("seed > 1"), again.query("seed < 2")
    assert list(ranking.claim_outcomes(frame(cells["random"], *two_each))) == []


def test_contrasts_are_free_of_an_offset_that_both_methods_have(two_readings: pd.DataFrame) -> None:
    shifted = frame(two_readings, cell("random", 0.03, protocol=MEAN))  # classic runs of that very protocol are taken
    found = ranking.rank(shifted)
    assert line(found, MEAN, "before").behind > 0
    assert line(found, MEAN, "before").behind_in_contrasts == 0.0
    assert line(found, PROTOCOL, "before").behind_in_contrasts > 1  # 0.007 off


def test_a_cell_that_decides_is_found_by_leaving_it_out() -> None:
    """The second reading is worse in one cell alone and better in another, so without the first it is the best."""
    both = frame(
        cell("none", 0.0),
        cell("random", 0.001),
        cell("bayes_random", 0.0),
        cell("random", 0.0, protocol=MEAN),
        cell("bayes_random", 0.05, protocol=MEAN),
    )
    row = line(ranking.rank(both), MEAN, "before")
    assert row.behind > 1
    assert (row.least, row.without) == (0.0, "all at 0.75")  # as without Bayes random alone: the first name counts
    assert row.most >= row.behind
    cells = pd.DataFrame(
        [("mnist", "fcn", "none", 0.0), ("mnist", "fcn", "random", 0.75), ("mnist", "fcn", "random", 0.9)],
        columns=CELL,
    )
    assert {name: mask.tolist() for name, mask in ranking._left_out(cells)} == {
        "nothing": [False, False, False],
        "mnist fcn none 0": [True, False, False],
        "mnist fcn random 0.75": [False, True, False],
        "mnist fcn random 0.9": [False, False, True],
        "all at 0": [True, False, False],
        "all at 0.75": [False, True, False],
        "all at 0.9": [False, False, True],
    }


def test_readings_with_the_same_accuracies_have_one_pattern(two_readings: pd.DataFrame) -> None:
    """A deviation of a mean's difference is 0.002: 0.0002 is nothing, 0.0046 in the one cell that differs is much."""
    others = {PROTOCOL.replace("beta 0.5", beta): gap for beta, gap in (("beta 0.4", 0.0002), ("beta 0.3", 0.0046))}
    near = frame(two_readings, *(cell("bayes_random", -0.004 - gap, protocol=name) for name, gap in others.items()))
    found = ranking.rank(near).query("accuracy == 'before'")
    assert dict(zip(found["protocol"], found["pattern"], strict=True)) == {
        PROTOCOL: 1,
        PROTOCOL.replace("beta 0.5", "beta 0.4"): 1,
        PROTOCOL.replace("beta 0.5", "beta 0.3"): 2,
        MEAN: 3,
    }


def test_accuracies_before_and_after_pruning_are_never_one_pattern() -> None:
    alike = cell("bayes_random", 0.0).assign(pruned_test_accuracy=lambda rows: rows["test_accuracy"])
    assert list(ranking.rank(alike)["pattern"]) == [1, 2]


def test_a_reading_that_lacks_a_cell_is_left_out_there(two_readings: pd.DataFrame) -> None:
    more = frame(two_readings, runs("mnist fcn bayes_random 0.9", protocol=MEAN, test_accuracy=0.5))
    found = ranking.rank(more)
    assert set(found.loc[found["block"] == "mnist fcn", "protocol"]) == {MEAN}
    assert line(found, MEAN, "before").cells == 4


def test_cells_that_several_readings_have_are_compared_where_the_fullest_stands_alone(
    two_readings: pd.DataFrame,
) -> None:
    """It is the largest set that two have: a third shares the classic cells only. All blocks together take it too."""
    third = PROTOCOL.replace("beta 0.5", "beta 0.4")
    more = frame(
        two_readings,
        runs("mnist fcn bayes_random 0.9", test_accuracy=0.5),
        runs("mnist fcn bayes_magnitude 0.9", protocol=third, test_accuracy=0.5),
    )
    part = "mnist fcn" + ranking.SHARED
    found = ranking.rank(more)
    assert list(found["block"].unique()) == ["mnist fcn", part]
    assert set(found.loc[found["block"] == part, "protocol"]) == {PROTOCOL, MEAN}
    alone = ranking.rank(two_readings).assign(block=part)
    pd.testing.assert_frame_equal(found[found["block"] == part].reset_index(drop=True), alone, check_categorical=False)

    fashion = "fashion_mnist fcn bayes_random 0.75"
    fashion_too = [runs(fashion, protocol=protocol, test_accuracy=0.8) for protocol in (PROTOCOL, MEAN)]
    found = ranking.rank(frame(more, *fashion_too))
    assert line(found, MEAN, "before", EVERYWHERE).cells == line(found, MEAN, "before", part).cells + 1 == 4
    assert ranking_formats.block_name(part) == "MNIST FCN, the cells that several readings have"
    assert ranking_formats._fullest([EVERYWHERE, part, "mnist fcn"]) == "mnist fcn"


def test_two_runs_of_a_cell_that_share_a_seed_are_refused(two_readings: pd.DataFrame) -> None:
    again = cell("bayes_random", 0.01).assign(run="another", hash="another-seed" + two_readings["seed"].map(str)[:16])
    with pytest.raises(UserError, match=r"another.* are both mnist fcn bayes_random 75%, seed 0"):
        ranking.rank(frame(two_readings, again))


def test_blocks_are_compared_alone_and_together(two_readings: pd.DataFrame) -> None:
    """Together over the cells that the fullest reading has in the blocks where more than one protocol was run."""
    third = PROTOCOL.replace("beta 0.5", "beta 0.4")
    name = "fashion_mnist fcn bayes_random 0.75"
    fashion = frame(*(runs(name, protocol=protocol, test_accuracy=0.8) for protocol in (PROTOCOL, third)))
    alone = [runs(f"cifar10 cnn {name} 0.75", test_accuracy=0.5) for name in ("random", "bayes_random")]
    classic = runs("cifar10 fcn random 0.75", test_accuracy=0.5)  # tells no readings apart: its block is left out
    found = ranking.rank(frame(two_readings, fashion, *alone, classic))
    assert list(found["block"].unique()) == [EVERYWHERE, "cifar10 cnn", "fashion_mnist fcn", "mnist fcn"]
    assert line(found, PROTOCOL, "before", EVERYWHERE).cells == 4
    assert set(found.loc[found["block"] == EVERYWHERE, "protocol"]) == {PROTOCOL}
    assert line(found, PROTOCOL, "before", "cifar10 cnn").cells == 2


def test_blocks_with_one_protocol_each_are_compared_together() -> None:
    names = ("mnist fcn bayes_random 0.75", "fashion_mnist fcn bayes_random 0.75")
    found = ranking.rank(frame(*(runs(name, test_accuracy=0.8) for name in names)))
    assert line(found, PROTOCOL, "before", EVERYWHERE).cells == 2


def test_classic_runs_stand_in_every_reading_with_their_regrow() -> None:
    classic = frame(cell("none", 0.0), cell("random", 0.0))
    kept = cell("bayes_random", 0.0, protocol=KEPT)
    assert line(ranking.rank(frame(classic, kept)), KEPT, "before").cells == 2  # random was trained with regrowth
    assert line(ranking.rank(frame(classic, cell("bayes_random", 0.0))), PROTOCOL, "before").cells == 3
    assert set(ranking.rank(classic)["protocol"]) == {PROTOCOL}


def test_the_right_reading_is_found_where_it_is_known(two_readings: pd.DataFrame) -> None:
    found = ranking.simulate(two_readings, "mnist fcn")
    simulated = set(found[["protocol", "runs", "excess", "offset"]].itertuples(index=False, name=None))
    assert simulated == {(protocol, *scenario) for protocol in (PROTOCOL, MEAN) for scenario in ranking.SCENARIOS}
    plain = found[(found["runs"] == 5) & (found["excess"] == 0)]
    assert len(plain) == 2
    assert (plain[["best", "alike"]] == 1).all(axis=None)  # 0.034 apart, with deviations of 0.002


def test_gates(two_readings: pd.DataFrame) -> None:
    mixed = frame(
        cell("none", 0.0, spread=0.0),
        cell("random", 0.0, spread=0.0),
        cell("bayes_random", 0.01, pruned=lambda epoch, seed: (epoch + seed) % 2),
        cell("bayes_random", 0.0, protocol=MEAN, pruned=lambda epoch, seed: int(seed == 0)).assign(
            test_accuracy=lambda rows: rows["seed"].map({0: PAPER["random"], 1: PAPER["none"]})
        ),
    )
    uses = ranking.gate_uses(mixed, [7, 8]).set_index("protocol")
    alternating, other = uses.loc[PROTOCOL], uses.loc[MEAN]
    assert len(alternating.over_twin) == 2
    assert (alternating.runs, alternating.opened, alternating.alternating) == (2, 0.5, 2)
    assert (alternating.as_twin, alternating.as_unpruned) == (0, 0)
    assert (other.opened, other.alternating, other.as_twin, other.as_unpruned) == (0.5, 0, 1, 1)
    for over_twin in alternating.over_twin:
        assert over_twin is not None
        assert over_twin.mean == pytest.approx(PAPER["bayes_random"] + 0.01 - PAPER["random"])
        assert over_twin.n == 2
        assert np.isnan(over_twin.low)  # no interval of two
    assert alternating.paper == pytest.approx(PAPER["bayes_random"] - PAPER["random"])
    assert np.isnan(ranking._paper_over_twin("mnist fcn", "random", [0.75, 0.8]))  # the paper has no 80%


def test_gates_are_held_against_the_twin_of_their_own_sparsity() -> None:
    accuracies = {0.75: 0.8, 0.9: 0.7, 0.99: 0.1}  # of which 99% was run of the classic method alone
    classic = [runs(f"mnist fcn random {s}", test_accuracy=a) for s, a in accuracies.items()]
    same = [part.assign(pruner="bayes_random", hash=part["hash"] + "b") for part in classic[:2]]
    [uses] = ranking.gate_uses(frame(*classic, *same), [8]).itertuples()
    assert (uses.runs, uses.as_twin) == (4, 4)
    assert [difference.mean for difference in uses.over_twin] == [0]


def test_runs_are_read_at_the_epoch_asked_for() -> None:
    zigzag = cell("bayes_random", 0.0, test_accuracy=lambda epoch, seed: 0.9 + 0.01 * (epoch % 2) + 0.001 * seed)
    fashion = runs("fashion_mnist fcn bayes_random 0.75", test_accuracy=0.8)
    found = ranking_formats.ranking_of(
        frame(cell("none", 0.0), zigzag, zigzag.assign(protocol=MEAN, hash=zigzag["hash"] + "m"), fashion)
    )
    assert found.epochs == [7, 8]
    assert (found.blocks, found.fullest) == (["mnist fcn", "fashion_mnist fcn"], "mnist fcn")  # two readings, one
    means = [line(found.ranked[found.ranked["epoch"] == at], PROTOCOL, "before").rms for at in (7, 8)]
    residuals = [(PAPER["bayes_random"] - 0.9105, 0.0), (PAPER["bayes_random"] - 0.9005, 0.0)]
    assert means == pytest.approx([np.sqrt(np.mean(np.square(pair))) for pair in residuals])
    late = cell("bayes_random", 0.0, seeds=3, pruned=lambda epoch, _: int(epoch > 3))
    found = ranking_formats.ranking_of(frame(cell("none", 0.0, seeds=3), late), 3)
    assert (found.epochs, found.gates["opened"].item()) == ([3], 0)
    assert set(found.claims.loc["test_loss_turns_about_epoch_5", PROTOCOL]) == {"undecided"}  # of three epochs


def test_runs_of_one_epoch_are_read_at_it(two_readings: pd.DataFrame, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("gate_uses", "simulate", "claim_outcomes"):
        monkeypatch.setattr(ranking_formats, name, lambda *_: pd.DataFrame())
    found = ranking_formats.ranking_of(two_readings[two_readings["epoch"] == 1].assign(epochs=1))
    assert found.epochs == list(found.last["epoch"].unique()) == [1]


def test_formats_tell_the_same(two_readings: pd.DataFrame) -> None:
    found = ranking_formats.ranking_of(two_readings)
    text = ranking_formats.markdown(found)
    rows = pd.read_csv(io.StringIO(ranking_formats.csv_text(found)))
    assert len(rows) == 2 * len(found.last) == 8
    assert not re.search(r"\d[\d.]{12}", ranking_formats.csv_text(found))  # digits that processors do not agree on
    overview = ranking_formats.overview_table(found, "mean")
    lines = [line.strip("| ").split(" | ")[:2] for line in overview.splitlines() if line[0:1] == "|"]
    assert lines[2:] == [["paper", "before"], ["mean", "before"], ["mean", "after"]]  # after pruning that of one alone
    assert list(rows["name"][:2]) == ["paper", "mean"]
    for value in rows["rms"]:
        assert f"{value:.4f} / {value:.4f}" in text  # the same at both epochs
    drawn = ranking_formats.figure(found, STYLES["paper"])
    looks = {
        (each.get_color(), each.get_markerfacecolor()): each.get_label() for each in drawn.legends[0].legend_handles
    }
    points = {
        looks[item.get_color(), item.get_markerfacecolor()]: list(item.get_xdata())
        for item in drawn.axes[0].get_lines()
        if item.get_marker() != "None"
    }
    assert drawn.axes[0].get_xscale() == "log"
    assert "Over 3 of the 126 cells of Table 1 (MNIST FCN), at least 2 seeds a cell." in drawn.get_supxlabel()
    order = [label.get_text() for label in drawn.axes[0].get_yticklabels()]
    assert set(order) == {"paper", "mean"}
    assert points == {
        f"{when} pruning, epoch {at}": [
            line(found.last, {"paper": PROTOCOL, "mean": MEAN}[name], when).rms for name in order
        ]
        for when in ("before", "after")
        for at in (7, 8)
    }


def test_every_column_of_a_table_has_the_number_that_its_head_names(two_readings: pd.DataFrame) -> None:
    numbers = {"rms": [0.01, 0.02], "chi_square_1": 11, "chi_square_5": 51, "excess": 0.001, "behind": 3, "pattern": 6}
    numbers |= {"behind_with_offsets": 4, "behind_in_contrasts": 5, "least": 1, "most": 9}
    of_other = {"without": "a", "without_most": "b", "cells": 3, "seeds": 2, "protocol": PROTOCOL, "accuracy": "before"}
    lines = pd.DataFrame({"epoch": [7, 8], "block": "mnist fcn", "alike": [True, False], **numbers, **of_other})
    over_twin = [Difference(5, 0.02, 0.01, 0.03), None]
    gates = {"protocol": PROTOCOL, "block": "mnist fcn", "pruner": "bayes_random", "runs": 25, "opened": 0.52}
    gates |= {"alternating": 3, "as_twin": 4, "as_unpruned": 5, "over_twin": over_twin, "paper": -0.001}
    outcomes = {PROTOCOL: ["holds", "fails", "holds"], MEAN: ["holds", "holds", "undecided"]}
    claims = [("cnn_is_larger", "x"), ("sparsity_settles", "y"), ("bayes_factor_falls", "z")]
    found = ranking_formats.ranking_of(two_readings)
    rates = {"best": 0.1, "alike": 0.2, "best_with_offsets": 0.3, "alike_with_offsets": 0.4}
    found = dataclasses.replace(
        found,
        blocks=["mnist fcn"],
        ranked=lines,
        gates=pd.DataFrame([gates]),
        simulated=found.simulated.assign(**rates),
        claims=pd.DataFrame(outcomes, pd.MultiIndex.from_tuples(claims, names=["Claim", "Where"])),
    )
    text = ranking_formats.markdown(found)
    for line in (
        "| Reading | Accuracy | Cells | Seeds | Distance | Chi-square | Excess | Behind | With offsets | Contrasts | "
        "Least | Pattern |",
        "| paper | before | 3 | 2 | 0.0100 / 0.0200 | 51 (11) / 51 (11) | 0.0010 / 0.0010 | 3.0* / 3.0 | 4.0 / 4.0 | "
        "5.0 / 5.0 | 1.0 without a / 1.0 without a | 6 / 6 |",
        "| Reading | Where | Method | Runs | Opened | Every other epoch | As twin | As unpruned | "
        "Bayes minus classic at 7 | Bayes minus classic at 8 | The paper's |",
        "| paper | MNIST FCN | bayes_random | 25 | 0.52 | 3 | 4 | 5 | +0.0200 [+0.0100, +0.0300] | missing | -0.0010 |",
        "| Right | Runs in a cell | Excess | Offset | Best | Alike | Best, with offsets | Alike, with offsets |",
        "| paper | 1 | 0.005 | 0.0 | 0.10 | 0.20 | 0.30 | 0.40 |",
        "| Reading | holds | fails | undecided |",
        "| paper | 2 | 1 | 0 |",
        "| Claim | Where | paper | mean |",
        "| sparsity_settles | y | fails | holds |",
        "| bayes_factor_falls | z | holds | undecided |",
    ):
        assert line in text.splitlines()
    assert "| cnn_is_larger | x | holds | holds |" not in text
    contrary = ranking_formats.contrary_claims_table(found).splitlines()[2:]
    assert contrary == ["| The sparsity of the network becomes stabilized. | y | fails | holds |"]
    cifar, cnn = (lines.assign(block=block, behind=[1.0, 2.0]) for block in ("cifar10 fcn", "mnist cnn"))
    three = dataclasses.replace(
        found,
        blocks=["mnist cnn", f"mnist cnn{ranking.SHARED}", "cifar10 fcn", "mnist fcn"],
        fullest="mnist fcn",
        ranked=pd.concat([cnn, cifar, lines]),
    )
    head, _, row = ranking_formats.overview_table(three, "paper").splitlines()[:3]
    assert head == "| Reading | Accuracy | MNIST FCN | CIFAR-10 FCN | MNIST CNN |"
    assert row == "| paper | before | 3.0* / 3.0 | 1.0* / 2.0 | 1.0* / 2.0 |"


def test_every_preset_has_a_name_and_a_reading_of_its_own() -> None:
    assert presets.name_of(PROTOCOL) == "paper"
    assert presets.name_of(KEPT) == "kept"
    assert presets.name_of("what no preset says") == "what no preset says"
    assert len(presets.names()) == len(list((presets.conf_dir() / "protocol").glob("*.yaml")))


def test_a_reading_is_chosen_by_its_preset(two_readings: pd.DataFrame) -> None:
    assert set(selection.choose(two_readings, "mean")["protocol"]) == {PROTOCOL, MEAN}  # with its twin and baseline
    assert set(selection.choose(two_readings, "paper")["protocol"]) == {PROTOCOL}


def test_bad_sources_end_in_a_sentence(script: Any, tmp_path: Any) -> None:
    assert_one_sentence_each(script, "rank_readings.py", tmp_path)


def test_a_cell_with_one_seed_borrows_its_variance(two_readings: pd.DataFrame) -> None:
    """From the other methods if its own has no second seed; from the test images if no cell has one."""
    random = two_readings[(two_readings["pruner"] != "random") | (two_readings["seed"] == 0)]
    alone = two_readings[two_readings["seed"] == 0]
    median = 0.454936423
    seeds, images = 2e-6 / median, 0.9608 * 0.0392 / 10_000  # 0.9578 + 0.003 for the random cell with seed 0
    for some, expected in ((random, seeds), (alone, images)):
        row = line(ranking.rank(some), PROTOCOL, "before")
        assert row.seeds == 1
        compared = ranking._compared(ranking._accuracies(some))
        cells = compared.cells["pruner"] == "random"
        of_paper = (compared.readings == [PROTOCOL, "before"]).all(axis=1)
        assert compared.variances[of_paper][:, cells].item() == pytest.approx(expected, rel=0.05)
        assert np.isfinite([row.behind, row.behind_in_contrasts, row.excess]).all()


def test_seeds_that_agree_to_the_last_image_are_known_to_one_image(two_readings: pd.DataFrame) -> None:
    alike = two_readings.assign(test_accuracy=0.97)
    assert ranking._compared(ranking._accuracies(alike)).variances == pytest.approx(1e-4**2)


def test_the_mean_of_one_pair_has_the_variance_of_a_pair_and_of_two_half_of_it(two_readings: pd.DataFrame) -> None:
    for seeds, share in ((1, 1.0), (2, 0.5)):
        compared = ranking._compared(ranking._accuracies(two_readings[two_readings["seed"] < seeds]))
        pairs = ranking._contrasts(compared)
        cells = compared.cells.reset_index(drop=True)
        bayes, classic = (cells.index[cells["pruner"] == name] for name in ("bayes_random", "random"))
        accuracy = compared.accuracy[:, bayes] - compared.accuracy[:, classic]
        of_a_pair = ranking._variances(accuracy, cells.iloc[bayes], pairs.paper_variance)
        assert pairs.our_variance == pytest.approx(share * of_a_pair)


def test_a_cell_whose_network_dies_in_one_seed_does_not_lend_its_variance(two_readings: pd.DataFrame) -> None:
    """The lower variance of two counts: of a method's two cells with two seeds, and of all such cells."""
    dies = runs("mnist fcn random 0.99", protocol=PROTOCOL, test_accuracy=lambda _, seed: 0.9 - 0.7 * seed)
    alone = runs("mnist fcn random 0.9", protocol=PROTOCOL, test_accuracy=0.95)
    alone = alone[alone["seed"] == 0]
    random = two_readings[two_readings["pruner"] == "random"]
    unpruned = two_readings[(two_readings["pruner"] == "none") & (two_readings["seed"] == 0)]
    found = ranking._compared(ranking._accuracies(pd.concat([unpruned, random, dies, alone])))
    before = (found.readings["accuracy"] == "before").to_numpy()
    of_cell = dict(zip(found.cells["target_sparsity"], found.variances[before][0], strict=True))
    median = 0.454936423
    assert of_cell[0.0] == of_cell[0.9] == pytest.approx(2e-6 / median)
    assert of_cell[0.99] == pytest.approx((0.7**2 / 2 + 4 * 2e-6 / median) / 5)


def test_a_pattern_is_simulated_by_its_best_reading() -> None:
    """Of two that give the same accuracies one is nearer to the paper, whichever name comes first."""
    other = MEAN.replace("mean/mean", "sum/mean")
    for near, far in ((MEAN, other), (other, MEAN)):
        both = frame(
            cell("none", 0.0),
            cell("random", 0.0),
            cell("bayes_random", 0.0005, protocol=near),
            cell("bayes_random", 0.001, protocol=far),
        )
        assert line(ranking.rank(both), near, "before").pattern == line(ranking.rank(both), far, "before").pattern
        assert set(ranking.simulate(both, "mnist fcn")["protocol"]) == {near}
