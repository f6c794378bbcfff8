"""The numbers by which the paper's claims are read: runs a little on either side of each."""

from typing import Any

import pytest
import synthetic
from synthetic import PROTOCOL, frame
from test_ranking import cell as ranked
from test_ranking import two_readings  # noqa: F401

from bayes_pruning.results.cells import Cells
from bayes_pruning.studies import ranking
from bayes_pruning.studies.claims.rules import CLAIMS, FAILS, HOLDS, UNDECIDED
from bayes_pruning.studies.claims.verdicts import OUTCOMES


def runs(cell: str, epochs: int = 12, **options: Any) -> Any:
    """Three runs."""
    return synthetic.runs(cell, seeds=3, epochs=epochs, **options)


def outcome(name: str, found: Any, label: str, *arguments: Any, dataset: str = "mnist", model: str = "fcn") -> str:
    """What one claim says at one place of the paper."""
    [where] = {
        where
        for where, more in CLAIMS[name].cases
        if (where.label, where.dataset, where.model, more) == (label, dataset, model, arguments)
    }
    told = CLAIMS[name].function(Cells(found), where, *arguments).outcome
    assert told in OUTCOMES
    return told


@pytest.mark.parametrize(
    ("turn", "expected"), [(2, FAILS), (3, UNDECIDED), (4, HOLDS), (6, HOLDS), (7, UNDECIDED), (8, FAILS)]
)
def test_about_five_epochs_are_from_three_to_seven(turn: int, expected: str) -> None:
    """A mean that is exactly three or seven is on neither side."""
    found = runs("mnist fcn none", test_loss=lambda e, s: abs(e - turn))
    assert outcome("test_loss_turns_about_epoch_5", found, "Figure 4") == expected


@pytest.mark.parametrize(("swing", "expected"), [(0.19, FAILS), (0.21, HOLDS)])
def test_an_oscillation_is_large_from_twice_the_baselines(swing: float, expected: str) -> None:
    """A loss that ends where it began all the same: changes up and down do not cancel."""
    found = frame(
        runs("mnist fcn none", epochs=9, test_loss=lambda e, s: 1 + 0.1 * (-1) ** e),
        runs("mnist fcn bayes_random 0.75", epochs=9, test_loss=lambda e, s: 1 + (swing + 1e-4 * s) * (-1) ** e),
    )
    assert outcome("random_loss_oscillates", found, "Figure 4", "test_loss") == expected


@pytest.mark.parametrize(("step", "settles", "fluctuates"), [(0.045, HOLDS, FAILS), (0.055, FAILS, HOLDS)])
def test_sparsity_fluctuates_from_five_hundredths_an_epoch(step: float, settles: str, fluctuates: str) -> None:
    def moving(epoch: int, seed: int) -> float:
        return 0.7 + (step + 1e-4 * seed) * (epoch % 2)

    found = frame(
        *(runs(f"mnist fcn {pruner} 0.75", sparsity=moving) for pruner in ("bayes_random", "bayes_magnitude"))
    )
    assert outcome("sparsity_settles", found, "Figure 4", "bayes_magnitude") == settles
    assert outcome("sparsity_fluctuates", found, "Figure 4", "bayes_random") == fluctuates


@pytest.mark.parametrize(("rise", "expected"), [(0.045, FAILS), (0.055, HOLDS)])
def test_a_rise_of_the_test_loss_by_a_twentieth_is_overfitting(rise: float, expected: str) -> None:
    """Over the last four of twelve epochs, from a loss that did not move before."""

    def loss(epoch: int, seed: int) -> float:
        return 1 + (rise + 1e-4 * seed if epoch > 8 else 0)

    found = runs("mnist cnn bayes_magnitude 0.99", test_loss=loss)
    assert outcome("magnitude_overfits_even_at_99", found, "Figure 9", model="cnn") == expected


@pytest.mark.parametrize(
    ("sparsity", "expected"), [(0.888, FAILS), (0.892, HOLDS), (0.908, HOLDS), (0.912, FAILS), (0.5, FAILS)]
)
def test_a_sparsity_is_reached_within_a_hundredth(sparsity: float, expected: str) -> None:
    same = {name: lambda e, s: 0.9 + 0.002 * s for name in ("test_accuracy", "pruned_test_accuracy")}
    pruned = runs("mnist fcn bayes_magnitude 0.9", sparsity=lambda e, s: sparsity + 1e-4 * s, **same)
    found = frame(runs("mnist fcn none", **same), pruned)
    assert outcome("sparse_without_losing_accuracy", found, "Table 1", "bayes_magnitude") == expected


@pytest.mark.parametrize(("gap", "patterns"), [(0.0035, 1), (0.0042, 2)])
def test_readings_have_one_pattern_if_their_difference_is_no_surprise(
    gap: float,
    patterns: int,
    two_readings: Any,  # noqa: F811
) -> None:
    """A run's variance is 3.92e-6 as in test_ranking's numbers by hand: chi-square 3.13 and 4.50, of 3.84.

    Two seeds count, those of the cell that differs, however many another cell has."""
    other = PROTOCOL.replace("beta 0.5", "beta 0.4")
    more = ranked("none", 0.0, seeds=4).query("seed > 1")
    found = ranking.rank(frame(two_readings, more, ranked("bayes_random", -0.004 - gap, protocol=other)))
    before = found[(found["accuracy"] == "before") & found["protocol"].isin([PROTOCOL, other])]
    assert before["pattern"].nunique() == patterns
