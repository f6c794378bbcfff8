"""The ranking of readings: distances by hand, intervals from resampled seeds, what gates did, what is printed."""

import csv
import io
from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic import PROTOCOL, assert_one_sentence_each, call_script, frame, runs

from bayes_pruning import presets, ranking, ranking_formats, readings
from bayes_pruning.plot_style import STYLES
from bayes_pruning.ranking import EVERYWHERE

MEAN = "regrow, previous, mean/mean, beta 0.5, prior N(0, 1^2)"
KEPT = "stay zero, previous, sum/sum, beta 0.5, prior N(0, 1^2)"
PAPER = {"none": 0.9782, "random": 0.9578, "bayes_random": 0.9706}  # MNIST, FCN, at 75%
script = pytest.fixture(call_script)


def cell(pruner: str, offset: float, spread: float = 0.0, protocol: str = PROTOCOL, **more: Any) -> pd.DataFrame:
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
        cell("bayes_random", -0.004, spread=0.002),
        cell("bayes_random", 0.03, protocol=MEAN),
    )


def line(
    found: list[ranking.Ranked], protocol: str, when: str, place: str = EVERYWHERE, gate: str = ""
) -> ranking.Ranked:
    [row] = [row for row in found if (row.protocol, row.gate, row.when, row.place) == (protocol, gate, when, place)]
    return row


def test_distances_by_hand(two_readings: pd.DataFrame) -> None:
    found = ranking.rank(two_readings)
    best = line(found, PROTOCOL, "before")
    assert found[0] == best
    assert best.all_cells.cells == 3
    assert best.all_cells.rms == pytest.approx(((0.0**2 + 0.003**2 + 0.004**2) / 3) ** 0.5)
    assert best.bayes_cells is not None
    assert (best.bayes_cells.cells, best.bayes_cells.rms) == (1, pytest.approx(0.004))
    other = line(found, MEAN, "before")
    assert other.all_cells.rms == pytest.approx(((0.0**2 + 0.003**2 + 0.03**2) / 3) ** 0.5)
    after = line(found, PROTOCOL, "after")
    assert after.all_cells.rms == pytest.approx(np.sqrt(np.mean([(0.1 - value) ** 2 for value in PAPER.values()])))
    assert line(found, PROTOCOL, "before", "mnist fcn").all_cells == best.all_cells


def test_intervals_are_those_of_the_seeds(two_readings: pd.DataFrame) -> None:
    """With two seeds a draw takes one of them twice or both: Bayes random is then 0.003, 0.004 or 0.005 away."""
    best = line(ranking.rank(two_readings), PROTOCOL, "before")
    assert best.bayes_cells is not None
    assert (best.bayes_cells.low, best.bayes_cells.high) == (pytest.approx(0.003), pytest.approx(0.005))
    other = line(ranking.rank(two_readings), MEAN, "before")
    assert other.bayes_cells is not None
    assert (other.bayes_cells.low, other.bayes_cells.high) == (pytest.approx(0.03), pytest.approx(0.03))


def test_the_difference_to_the_reference_is_over_common_cells_and_seeds(two_readings: pd.DataFrame) -> None:
    other = line(ranking.rank(two_readings), MEAN, "before")
    assert other.over_reference is not None
    assert other.over_reference.low > 0
    less = two_readings[~((two_readings["protocol"] == MEAN) & (two_readings["seed"] == 1))]
    extra = frame(less, runs("mnist fcn bayes_random 0.9", protocol=MEAN, test_accuracy=0.5))
    other = line(ranking.rank(extra), MEAN, "before")
    assert other.all_cells.cells == 4  # the most, so it is the reference although it is further away
    assert other.seeds == 1
    assert other.over_reference is None
    nearer = line(ranking.rank(extra), PROTOCOL, "before")
    assert nearer.over_reference is not None
    assert nearer.over_reference.n == 3  # the cell at 90% has runs under one reading only
    wanted = ((0.003**2 + 0.005**2) / 3) ** 0.5 - ((0.003**2 + 0.03**2) / 3) ** 0.5  # of the seed that both have
    assert nearer.over_reference.mean == pytest.approx(wanted)
    assert ranking.rank(extra)[0] == nearer


def test_readings_with_the_same_accuracies_can_not_be_told_apart() -> None:
    same = frame(cell("none", 0.01), cell("bayes_random", 0.01), cell("bayes_random", 0.01, protocol=MEAN))
    found = [row for row in ranking.rank(same) if row.when == "before" and row.place == EVERYWHERE]
    assert {row.all_cells for row in found} == {found[0].all_cells}
    [over] = [row.over_reference for row in found if row.over_reference]
    assert (over.mean, over.low, over.high) == (0, 0, 0)


def test_classic_runs_stand_in_every_reading_with_their_regrow() -> None:
    classic = frame(cell("none", 0.0), cell("random", 0.0))
    kept = cell("bayes_random", 0.0, protocol=KEPT)
    found = ranking.rank(frame(classic, kept, cell("bayes_random", 0.0)))
    assert line(found, KEPT, "before").all_cells.cells == 2  # unpruned and Bayes; random was trained with regrowth
    assert line(found, PROTOCOL, "before").all_cells.cells == 3
    assert {row.protocol for row in ranking.rank(frame(classic, kept))} == {KEPT}  # classic runs tell no readings apart
    assert {row.protocol for row in ranking.rank(classic)} == {PROTOCOL}


def test_another_gate_takes_the_places_of_the_bayes_methods(two_readings: pd.DataFrame) -> None:
    laplace = cell("bayes_random", 0.01).assign(pruner="laplace_random", run="l", hash="l")
    found = ranking.rank(frame(two_readings, laplace))
    other = line(found, PROTOCOL, "before", gate="laplace_evidence")
    assert other.all_cells.rms == pytest.approx(((0.0**2 + 0.003**2 + 0.01**2) / 3) ** 0.5)
    assert line(found, PROTOCOL, "before") == line(ranking.rank(two_readings), PROTOCOL, "before")
    uses = {use.pruner: use for use in ranking.gate_uses(frame(two_readings, laplace)) if use.protocol == PROTOCOL}
    assert set(uses) == {"bayes_random", "laplace_random"}
    difference = uses["laplace_random"].over_twin["before"]
    assert difference is not None
    assert difference.mean == pytest.approx(PAPER["bayes_random"] + 0.01 - PAPER["random"] - 0.003)


def test_gates(two_readings: pd.DataFrame) -> None:
    def every_other(epoch: int, _: int) -> int:
        return epoch % 2

    mixed = frame(
        cell("none", 0.0),
        cell("random", 0.0),
        cell("bayes_random", 0.01, pruned=every_other),
        cell("bayes_random", 0.0, protocol=MEAN, pruned=lambda epoch, seed: int(seed == 0)).assign(
            test_accuracy=lambda rows: rows["seed"].map({0: PAPER["random"], 1: PAPER["none"]})
        ),
    )
    alternating, other = sorted(ranking.gate_uses(mixed), key=lambda use: use.protocol != PROTOCOL)
    assert (alternating.runs, alternating.opened, alternating.alternating) == (2, 0.5, 2)
    assert (alternating.as_twin, alternating.as_unpruned) == (0, 0)
    assert (other.opened, other.alternating, other.as_twin, other.as_unpruned) == (0.5, 0, 1, 1)
    difference = alternating.over_twin["before"]
    assert difference is not None
    assert difference.mean == pytest.approx(PAPER["bayes_random"] + 0.01 - PAPER["random"])
    assert difference.n == 2


def test_formats_tell_the_same(two_readings: pd.DataFrame) -> None:
    found = ranking_formats.ranking_of(two_readings)
    text = ranking_formats.markdown(found)
    rows = list(csv.DictReader(io.StringIO(ranking_formats.csv_text(found))))
    assert len(rows) == len(found.distances) == 8
    assert [row["reading"] for row in rows[:2]] == ["paper", "mean"]
    for row in rows:
        assert f"{float(row['rms']):.4f} [{float(row['low']):.4f}, {float(row['high']):.4f}]" in text
    drawn = ranking_formats.figure(found, STYLES["paper"])
    points = {item.get_label(): item.get_xdata() for item in drawn.axes[0].get_lines()}
    assert points == {
        f"{presets.name_of(p)}, {w}": [line(list(found.distances), p, w).all_cells.rms]
        for p in (PROTOCOL, MEAN)
        for w in ("before", "after")
    }
    assert {label.get_text() for label in drawn.axes[0].get_yticklabels()} == {"paper", "mean"}


def test_every_preset_has_a_name_and_a_reading_of_its_own() -> None:
    assert presets.name_of(PROTOCOL) == "paper"
    assert presets.name_of(KEPT) == "kept"
    assert presets.name_of("what no preset says") == "what no preset says"
    assert len(presets.names()) == len(list((presets.conf_dir() / "protocol").glob("*.yaml")))


def test_a_reading_is_chosen_by_its_preset(two_readings: pd.DataFrame) -> None:
    assert set(readings.choose(two_readings, "mean")["protocol"]) == {PROTOCOL, MEAN}  # with its twin and baseline
    assert set(readings.choose(two_readings, "paper")["protocol"]) == {PROTOCOL}


def test_bad_sources_end_in_a_sentence(script: Any, tmp_path: Any) -> None:
    assert_one_sentence_each(script, "rank_readings.py", tmp_path)
