import json
import math
import re
import shutil

import pandas as pd
import pytest
import scipy.stats
import synthetic
from conftest import ROOT
from fixtures import rewrite_summary
from synthetic import PROTOCOL, assert_one_sentence_each, frame

from bayes_pruning.results.cells import Cell, Cells
from bayes_pruning.studies.claims import rules, verdicts
from bayes_pruning.studies.claims.measures import overfitting, sparsity_steps
from bayes_pruning.studies.claims.rules import (
    CLAIMS,
    FAILS,
    HOLDS,
    TABLE_1,
    UNDECIDED,
    above,
    all_of,
    below,
    figure,
    within,
)

SPARSITIES = (0.25, 0.5, 0.75, 0.9, 0.99)


def runs(cell, seeds=3, **options):
    """As synthetic.runs, with as many seeds as an interval needs."""
    return synthetic.runs(cell, seeds=seeds, **options)


def verdict(name, found, label, *arguments):
    """What one claim says at one place of the paper."""
    [where] = [
        where
        for where, more in CLAIMS[name].cases
        if (where.label, more) == (label, arguments) or (where, more) == (label, arguments)
    ]
    return CLAIMS[name].function(Cells(found), where, *arguments)


def outcome(name, found, label, *arguments):
    return verdict(name, found, label, *arguments).outcome


def jitter(value, seed):
    """A number that differs a little from seed to seed."""
    return value + 1e-4 * seed


def at(value):
    """A metric of one value, but for a little jitter over seeds."""
    return lambda epoch, seed: jitter(value, seed)


# ---- the rules


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1.0, 1.1, 1.2], HOLDS),
        ([-1.0, -1.1, -1.2], FAILS),
        ([-1.0, 0.5, 1.2], UNDECIDED),  # the interval includes zero
        ([5.0, 5.1], UNDECIDED),  # no interval of two
        ([0.0, 0.0], UNDECIDED),  # no difference at all is neither
    ],
)
def test_a_difference_is_claimed_only_if_the_interval_excludes_zero(values, expected):
    assert above("d", pd.Series(values), 0).outcome == expected
    assert below("d", -pd.Series(values), 0).outcome == expected


def test_the_interval_is_students():
    values = [0.3, 0.1, 0.25, 0.4, 0.2]
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(0.95)
    [number] = above("d", pd.Series(values), 0).numbers
    assert (number.low, number.high) == pytest.approx((low, high), rel=1e-12)
    assert (number.n, number.mean) == (5, pytest.approx(0.25))
    just_inside, just_outside = low - 1e-9, low + 1e-9
    assert above("d", pd.Series(values), just_inside).outcome == HOLDS
    assert above("d", pd.Series(values), just_outside).outcome == UNDECIDED


@pytest.mark.parametrize(("middle", "expected"), [(0.0, HOLDS), (0.5, FAILS), (-0.5, FAILS), (0.1, UNDECIDED)])
def test_similar_means_that_the_whole_interval_is_within_the_margin(middle, expected):
    values = pd.Series([middle - 0.001, middle, middle + 0.001])
    assert within("d", values, -0.1, 0.1).outcome == expected


def test_several_parts_hold_if_all_do_and_fail_if_one_does():
    yes, no, unsure = (above("d", pd.Series(v), 0) for v in ([1, 1.1, 1.2], [-1, -1.1, -1.2], [-1, 1, 0.5]))
    assert all_of([yes, yes]).outcome == HOLDS
    assert all_of([yes, unsure]).outcome == UNDECIDED
    assert all_of([unsure, no, yes]).outcome == FAILS
    assert len(all_of([unsure, no, yes]).numbers) == 3


def test_intervals_of_one_claim_are_wider_so_that_they_hold_together():
    values = [0.3, 0.1, 0.25, 0.4, 0.2]
    [one] = above("d", pd.Series(values), 0, among=10).numbers
    low, high = scipy.stats.ttest_1samp(values, 0).confidence_interval(1 - 0.05 / 10)
    assert (one.low, one.high) == pytest.approx((low, high), rel=1e-9)


def test_the_intervals_of_every_claim_hold_together(monkeypatch):
    """Each knows how many the claim has; the best of ten cells is judged by an interval that holds for all ten."""
    asked, networks = [], [f"{where.dataset} {where.model}" for where in TABLE_1]
    monkeypatch.setattr(rules, "half_width", lambda _, among: asked.append(among) or 1.0)
    pruners = [
        "none",
        *(f"{p} {s}" for p in ("bayes_random", "bayes_magnitude", "random", "magnitude") for s in SPARSITIES),
    ]
    found = Cells(
        frame(
            *(runs(f"{network} {pruner}", test_loss=vee(4)["test_loss"]) for network in networks for pruner in pruners)
        )
    )
    for claim in CLAIMS.values():
        for where, arguments in claim.cases:
            asked.clear()
            numbers = claim.function(found, where, *arguments).numbers
            among = 10 if claim.name == "bayes_beats_unpruned" else len(numbers)
            assert asked in ([among] * len(numbers), []), (claim.name, where.label)
            assert asked or claim.name in ("cnn_is_larger", "deviations_are_reported")  # nothing random is in these


def test_figures_stand_for_the_papers_data_sets_and_networks():
    places = {n: (figure(n).dataset, figure(n).model, figure(n).sparsity) for n in (4, 6, 7, 10, 15, 16, 21)}
    assert places == {
        4: ("mnist", "fcn", 0.75),
        6: ("mnist", "fcn", 0.75),
        7: ("mnist", "cnn", 0.75),
        10: ("fashion_mnist", "fcn", 0.9),
        15: ("fashion_mnist", "cnn", 0.9),
        16: ("cifar10", "fcn", 0.9),
        21: ("cifar10", "cnn", 0.9),
    }
    assert len({(where.dataset, where.model) for where in TABLE_1}) == 6


def test_every_claim_says_where_the_paper_makes_it():
    assert len(CLAIMS) >= 25
    for claim in CLAIMS.values():
        assert re.match(r"Section 1\.[23]", claim.rule), claim.name
        assert claim.statement.endswith(".")
        assert claim.cases


# ---- learning curves


def test_the_bayes_factor_and_the_sparsity_go_as_the_paper_says_of_each_learning_curve():
    """By hand from the text on Figures 4, 10, 13, 16 and 19."""
    random, magnitude = "bayes_random", "bayes_magnitude"
    falls = {(4, magnitude), (10, magnitude), (13, magnitude), (16, magnitude), (16, random), (19, random)}
    rises = {(4, random), (13, random), (19, magnitude)}
    said = {"bayes_factor_falls": falls, "sparsity_settles": falls, "bayes_factor_rises": rises}
    said["sparsity_fluctuates"] = {*rises, (10, random)}
    for name, places in said.items():
        assert {(int(where.label.split()[1]), pruner) for where, (pruner,) in CLAIMS[name].cases} == places


def test_the_last_third_begins_with_the_step_into_it():
    cell = Cell("mnist", "fcn", "bayes_random", 0.75)
    found = runs("mnist fcn bayes_random 0.75", seeds=1, epochs=9, sparsity=lambda e, s: 0.3 * (e > 6))
    assert sparsity_steps(Cells(found), cell)[0] == pytest.approx(0.1)  # epochs 7, 8 and 9


@pytest.mark.parametrize(("turn", "expected"), [(5, HOLDS), (9, FAILS), (2, FAILS)])
def test_test_loss_turns(turn, expected):
    found = runs("mnist fcn none", epochs=12, test_loss=lambda e, s: abs(e - turn))
    assert outcome("test_loss_turns_about_epoch_5", found, "Figure 4") == expected


def three(random, magnitude, baseline=None, where="mnist fcn", sparsity=0.75, **options):
    """The baseline and both Bayes methods, each with its metrics."""
    return frame(
        runs(f"{where} none", **(baseline or {}), **options),
        runs(f"{where} bayes_random {sparsity}", **random, **options),
        runs(f"{where} bayes_magnitude {sparsity}", **magnitude, **options),
    )


def test_pruning_moves_all_four_losses():
    """Unpruned seeds differ by 10% and 20%, on average by 13%: a change by 10% of each seed is not beyond that.

    Epoch 1 does not count, in which one seed is three times as high; epoch 2 does, in which the change is doubled."""

    def losses(change):
        return dict.fromkeys(
            ("train_loss", "test_loss"),
            lambda e, s: (
                (0.5 + 0.05 * s)
                * (1 + change * (1 + 0.1 * s) * (2 if e == 2 else 1))  # the first epoch of seven that count
                * (3 if (e, s) == (1, 2) else 1)
            ),
        )

    moved, same = losses(0.3), losses(0.05)
    assert outcome("pruning_moves_the_losses", three(moved, moved, losses(0)), "Figure 4") == HOLDS
    assert outcome("pruning_moves_the_losses", three(moved, same, losses(0)), "Figure 4") == FAILS
    [first, *_] = verdict("pruning_moves_the_losses", three(moved, moved, losses(0)), "Figure 4").numbers
    pairs = [0.5, 0.55, 0.6]
    between = sum(abs(a / b - 1) for a in pairs for b in pairs) / 6
    assert first.mean == pytest.approx(0.3 * 1.1 * 8 / 7 - between)


@pytest.mark.parametrize(("swing", "expected"), [(0.3, HOLDS), (0.15, FAILS), (0.05, FAILS)])
def test_random_loss_oscillates_twice_as_much_as_the_baselines(swing, expected):
    zigzag = {"test_loss": lambda e, s: 1 + (swing + 1e-3 * s) * (-1) ** e}
    baseline = {"test_loss": lambda e, s: 1 + 0.1 * (-1) ** e}
    assert outcome("random_loss_oscillates", three(zigzag, {}, baseline), "Figure 4", "test_loss") == expected
    pruned = {f"pruned_{name}": loss for name, loss in zigzag.items()}
    smooth = {f"pruned_{name}": loss for name, loss in baseline.items()}
    assert outcome("random_loss_oscillates", three(pruned, {}, smooth), "Figure 4", "pruned_test_loss") == expected


def terms(factor):
    """The terms of a log Bayes factor: from -10 and -20 nats, which synthetic.PLAIN has before pruning."""
    return {"log_likelihood": lambda e, s: -10 + factor(e, s) + 1, "log_prior": -21.0, "log_bayes_factor": factor}


def factors(slope, closed=lambda e: False):
    return terms(lambda e, s: 0.0 if closed(e) else -100 + (slope + 1e-3 * s) * e) | {
        "pruned": lambda e, s: 0 if closed(e) else 1
    }


@pytest.mark.parametrize(("slope", "falls", "rises"), [(-3, HOLDS, FAILS), (3, FAILS, HOLDS)])
def test_trend_of_the_bayes_factor_is_over_the_epochs_that_pruned(slope, falls, rises):
    every_other = factors(slope, closed=lambda e: e % 2 == 0)  # zeros in between would hide the trend
    found = three(every_other, every_other, where="cifar10 fcn", sparsity=0.9)
    assert outcome("bayes_factor_falls", found, "Figure 16", "bayes_random") == falls
    [number] = verdict("bayes_factor_falls", found, "Figure 16", "bayes_magnitude").numbers
    assert number.mean == pytest.approx(slope + 0.001)
    cnn = found.assign(dataset="fashion_mnist", model="cnn")
    assert outcome("bayes_factor_rises", cnn, "Figure 13", "bayes_random") == rises


def test_a_trend_needs_three_pruned_epochs():
    found = three({}, factors(-1, closed=lambda e: e > 2))
    [finding] = [
        f for f in verdicts.check(found) if f.claim == "bayes_factor_falls" and f.where.startswith("Figure 4: ")
    ]
    assert finding.verdict.outcome == UNDECIDED
    assert finding.verdict.reason == "no run of mnist fcn bayes_magnitude 75% pruned in 3 epochs"


def test_sparsity_settles_or_fluctuates_in_the_last_third():
    settled = {"sparsity": lambda e, s: 0.75 if e > 7 else 0.75 * (e % 2)}
    moving = {"sparsity": lambda e, s: (0.75 - 0.01 * s) * (e % 2)}
    found = three(moving, settled, epochs=12)
    assert outcome("sparsity_settles", found, "Figure 4", "bayes_magnitude") == HOLDS
    assert outcome("sparsity_fluctuates", found, "Figure 4", "bayes_random") == HOLDS
    swapped = three(settled, moving, epochs=12)
    assert outcome("sparsity_settles", swapped, "Figure 4", "bayes_magnitude") == FAILS
    assert outcome("sparsity_fluctuates", swapped, "Figure 4", "bayes_random") == FAILS


def test_random_fits_better_compares_factors_where_something_was_pruned():
    low, high = (terms(at(v)) for v in (-50.0, -10.0))
    assert outcome("random_fits_better", three(high, low), "Figure 4") == HOLDS
    assert outcome("random_fits_better", three(low, high), "Figure 4") == FAILS
    seldom = terms(lambda e, s: jitter(-50, s) if e == 1 else 0.0) | {"pruned": lambda e, s: int(e == 1)}
    assert outcome("random_fits_better", three(seldom, high), "Figure 4") == FAILS  # its zeros are no evidence


@pytest.mark.parametrize(("ratio", "expected"), [("", FAILS), (" unpruned_over_pruned", HOLDS), (" of_logs", HOLDS)])
def test_the_bayes_factor_is_that_of_the_reading(ratio, expected):
    """Random pruning loses 40 nats more: printed, its factor is the lower one; upside down the higher one; of the log
    posteriors, -80 over -30 and -40 over -30, it is log(8 / 3) against log(4 / 3)."""
    own = PROTOCOL.replace("sum/sum", f"sum/sum{ratio}")
    found = three(terms(at(-50.0)), terms(at(-10.0)), protocol=own)
    assert outcome("random_fits_better", found, "Figure 4") == expected
    if ratio == " of_logs":
        [number] = verdict("random_fits_better", found, "Figure 4").numbers
        assert number.mean == pytest.approx(math.log(80 / 40), abs=1e-4)


def test_factors_that_were_not_computed_are_said_to_be_missing():
    """An empty cell of metrics.csv is read as NaN, and is no number."""
    empty = dict.fromkeys(("log_likelihood", "log_prior", "log_likelihood_before", "log_bayes_factor"), math.nan)
    findings = verdicts.check(three(empty, empty, empty))
    [found] = [f.verdict for f in findings if (f.claim, f.where) == ("random_fits_better", "Figure 4: MNIST FCN")]
    assert found.outcome == UNDECIDED
    assert found.reason == "the Bayes factors of mnist fcn bayes_random 75% were not computed, or nothing was pruned"
    assert not any(math.isnan(n.mean) for f in findings for n in f.verdict.numbers)


def test_random_dips_then_improves():
    dip = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.3 if e < 5 else 0.6, s)}
    at_once = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.3 if e == 2 else 0.6, s)}
    too_late = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.3 if e == 5 else 0.6, s)}  # a third is 4
    only_up = {"test_accuracy": lambda e, s: jitter(0.5 + 0.02 * e, s)}
    only_down = {"test_accuracy": lambda e, s: jitter(0.5 - 0.02 * e, s)}
    zigzag = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.45 if e % 2 == 0 else 0.57, s)}
    shallow = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.497 if e < 5 else 0.6, s)}  # 0.0055 is similar
    stays_low = {"test_accuracy": lambda e, s: jitter(0.5 if e == 1 else 0.3 if e < 5 else 0.303, s)}
    falls, fails = ((dip, HOLDS), (at_once, HOLDS)), (too_late, only_up, only_down, zigzag, shallow, stays_low)
    of_each = (*falls, *((metrics, FAILS) for metrics in fails))
    for metrics, expected in of_each:
        found = frame(
            runs("cifar10 cnn bayes_random 0.9", epochs=12, **metrics),
            runs("cifar10 cnn none", epochs=12, test_accuracy=lambda e, s: 0.5 + 0.002 * s),
        )
        assert outcome("random_dips_then_improves", found, "Figure 19") == expected


def vee(turn, slope=0.1):
    """A test loss that falls to `turn` and then rises."""
    return {"test_loss": lambda e, s: 1 + slope * (1 + 0.005 * s) * abs(e - turn)}


@pytest.mark.parametrize(("cnn", "fcn", "expected"), [(9, 4, HOLDS), (4, 9, FAILS), (5, 5, UNDECIDED)])
def test_cnn_overfits_later(cnn, fcn, expected):
    found = frame(runs("mnist cnn none", epochs=12, **vee(cnn)), runs("mnist fcn none", epochs=12, **vee(fcn)))
    assert outcome("cnn_overfits_later", found, "Figure 7") == expected


def test_cnn_overfits_less():
    def both(model, slope):
        return [
            runs(f"mnist {model} {p} 0.75", epochs=12, **vee(5, slope)) for p in ("bayes_random", "bayes_magnitude")
        ]

    assert outcome("cnn_overfits_less", frame(*both("cnn", 0.05), *both("fcn", 0.2)), "Figure 7") == HOLDS
    assert outcome("cnn_overfits_less", frame(*both("cnn", 0.2), *both("fcn", 0.05)), "Figure 7") == FAILS


def test_cifar_overfits_later_and_more_than_both_others():
    def baselines(mnist, fashion, cifar):
        parts = {"mnist": mnist, "fashion_mnist": fashion, "cifar10": cifar}
        return frame(*(runs(f"{name} fcn none", epochs=14, **loss) for name, loss in parts.items()))

    assert outcome("cifar_overfits_later", baselines(vee(4), vee(5), vee(8)), "Figure 16") == HOLDS
    assert outcome("cifar_overfits_later", baselines(vee(4), vee(9), vee(8)), "Figure 16") == FAILS
    assert outcome("cifar_overfits_more", baselines(vee(5), vee(5), vee(5, 0.4)), "Figure 17") == HOLDS
    assert outcome("cifar_overfits_more", baselines(vee(5), vee(5, 0.4), vee(5)), "Figure 17") == FAILS


def test_overfitting_by_hand():
    """Test losses 8, 7, ..., 1, 2, 3, 4, 5: the last four average 3.5, the lowest four in a row (1, 2, 3 and 2) 2."""
    found = runs("mnist fcn none", epochs=12, test_loss=lambda e, s: abs(e - 8) + 1)
    assert list(overfitting(Cells(found), Cell("mnist", "fcn", "none"))) == pytest.approx([3.5 / 2 - 1] * 3)


# ---- sparsities


def levels(pruner, by_sparsity, where="mnist fcn", baseline=None, metric="test_accuracy", **options):
    """Runs of a method at the five sparsities, a metric at each, and the baseline."""
    parts = [
        runs(f"{where} {pruner} {s}", **{metric: common(value)}, **options)
        for s, value in zip(SPARSITIES, by_sparsity, strict=True)
    ]
    return frame(runs(f"{where} none", **({"test_accuracy": common(0.9)} | (baseline or {})), **options), *parts)


def common(value):
    """A metric that all runs of a seed have in common, 0.002 apart: accuracies within 0.0055 are similar."""
    return lambda epoch, seed: value + 0.002 * (seed - 1)


FALLING, RISING = (0.9, 0.88, 0.86, 0.84, 0.82), (0.82, 0.84, 0.86, 0.88, 0.9)


def varied(found):
    """The same with another jitter in each cell, so that differences have a spread."""
    steps = found.groupby(["pruner", "target_sparsity"]).ngroup() * found["seed"] * 1e-5
    return found.assign(test_accuracy=found["test_accuracy"] + steps, test_loss=found["test_loss"] + steps)


def test_random_is_best_at_25():
    best = verdict("random_best_at_25", varied(levels("bayes_random", FALLING)), "Figure 5", "test_accuracy")
    assert best.outcome == HOLDS
    assert [number.mean for number in best.numbers] == pytest.approx([0.02, 0.04, 0.06, 0.08], abs=1e-4)
    third_best = (0.86, 0.9, 0.87, 0.84, 0.82)
    found = varied(levels("bayes_random", third_best))
    assert outcome("random_best_at_25", found, "Figure 5", "test_accuracy") == FAILS
    losses = levels("bayes_random", RISING, where="fashion_mnist fcn", metric="test_loss")
    lowest = verdict("random_best_at_25", varied(losses), "Figure 11", "test_loss")  # the lowest loss is best
    assert lowest.outcome == HOLDS
    assert [number.mean for number in lowest.numbers] == pytest.approx([0.02, 0.04, 0.06, 0.08], abs=1e-4)


def test_trends_over_sparsities():
    falling, rising = (varied(levels("bayes_random", values)) for values in (FALLING, RISING))
    assert outcome("random_falls_with_sparsity", falling, "Figure 5") == HOLDS
    assert outcome("random_falls_with_sparsity", rising, "Figure 5") == FAILS
    [number] = verdict("random_falls_with_sparsity", falling, "Figure 5").numbers
    assert number.mean == pytest.approx(-0.02, abs=1e-4)
    lacking = falling[(falling["target_sparsity"] < 0.99) | (falling["seed"] > 0)]  # a seed without its last sparsity
    [number] = verdict("random_falls_with_sparsity", lacking, "Figure 5").numbers
    assert (number.n, number.mean) == (2, pytest.approx(-0.02, abs=1e-4))
    for metric, better, worse in (("test_loss", FALLING, RISING), ("test_accuracy", RISING, FALLING)):
        for values, expected in ((better, HOLDS), (worse, FAILS)):
            magnitude = varied(levels("bayes_magnitude", values, metric=metric))
            assert outcome("magnitude_improves_with_sparsity", magnitude, "Figure 6", metric) == expected


def test_overfitting_falls_with_sparsity():
    for rises, expected in (((0.5, 0.4, 0.3, 0.2, 0.1), HOLDS), ((0.1, 0.2, 0.3, 0.4, 0.5), FAILS)):
        cells = zip(SPARSITIES, rises, strict=True)
        found = frame(*(runs(f"fashion_mnist fcn bayes_magnitude {s}", epochs=12, **vee(5, rise)) for s, rise in cells))
        assert outcome("overfitting_falls_with_sparsity", found, "Figure 12") == expected


def test_pruning_reduces_overfitting_up_to_90_in_figures_5_and_14_and_up_to_99_in_the_others():
    def found(pruner, slopes, where):
        parts = [
            runs(f"{where} {pruner} {s}", epochs=12, **vee(5, slope))
            for s, slope in zip(SPARSITIES, slopes, strict=True)
        ]
        return frame(runs(f"{where} none", epochs=12, **vee(5, 0.2)), *parts)

    worse_at_99 = (0.1, 0.1, 0.1, 0.1, 0.4)
    random = found("bayes_random", worse_at_99, "cifar10 fcn")
    magnitude = found("bayes_magnitude", worse_at_99, "cifar10 fcn")
    assert outcome("pruning_reduces_overfitting", random, "Figure 18", "bayes_random") == FAILS
    for where, shown, expected in (
        ("mnist fcn", "Figure 5", HOLDS),
        ("fashion_mnist cnn", "Figure 14", HOLDS),
        ("cifar10 cnn", "Figure 20", FAILS),
    ):
        at_99 = found("bayes_random", worse_at_99, where)
        assert outcome("pruning_reduces_overfitting", at_99, shown, "bayes_random") == expected
    assert outcome("pruning_reduces_overfitting", magnitude, "Figure 18", "bayes_magnitude") == FAILS


@pytest.mark.parametrize(
    ("accuracies", "expected"),
    [
        ((0.9, 0.91, 0.9, 0.899, 0.8), HOLDS),  # the baseline has 0.9
        ((0.9, 0.91, 0.9, 0.899, 0.9), FAILS),
        ((0.9, 0.91, 0.9, 0.87, 0.8), FAILS),
    ],
)
def test_random_becomes_worse_only_at_99(accuracies, expected):
    assert outcome("random_worse_only_at_99", varied(levels("bayes_random", accuracies)), "Figure 5") == expected


def test_random_cnn_is_like_the_baseline_until_90_and_worse_after():
    found = varied(levels("bayes_random", (0.9, 0.902, 0.899, 0.9, 0.7), where="mnist cnn"))
    assert outcome("random_like_baseline_until_90", found, "Figure 8") == HOLDS
    assert outcome("random_falls_after_90", found, "Figure 8") == HOLDS
    flat = varied(levels("bayes_random", (0.9, 0.92, 0.9, 0.9, 0.91), where="mnist cnn"))
    assert outcome("random_like_baseline_until_90", flat, "Figure 8") == FAILS
    assert outcome("random_falls_after_90", flat, "Figure 8") == FAILS


def test_magnitude_is_like_the_baseline_at_25_and_unharmed_at_99():
    same = varied(levels("bayes_magnitude", (0.901, 0.9, 0.9, 0.9, 0.88)))
    assert outcome("magnitude_25_like_baseline", same, "Figure 6") == HOLDS
    lower = varied(levels("bayes_magnitude", [0.88] * 5))
    assert outcome("magnitude_25_like_baseline", lower, "Figure 6") == FAILS
    cnn = same.assign(model="cnn")
    assert outcome("magnitude_unharmed_at_99", cnn, "Figure 9") == FAILS


def test_what_is_similar_is_measured_in_deviations_of_unpruned_seeds():
    """0.00205 apart, so that two seeds differ by up to 0.00568 in 95 of 100 pairs; ten times closer, 0.004 is more."""
    found = varied(levels("bayes_magnitude", [0.904] * 5))
    assert outcome("magnitude_25_like_baseline", found, "Figure 6") == HOLDS
    [number] = verdict("magnitude_25_like_baseline", found, "Figure 6").numbers
    assert number.wanted == f"from -{1.96 * 2**0.5 * 0.00205:.4g} to {1.96 * 2**0.5 * 0.00205:.4g}"
    within = [
        f"{2 * scipy.stats.t.cdf(1.96, seeds - 1) - 1:.0%}" for seeds in (15, 10, 5, 3)
    ]  # of a deviation that is estimated
    assert within == ["93%", "92%", "88%", "81%"]
    assert "from fifteen seeds they are in 93, from ten in 92, from five in 88, from three in 81." in verdicts.HOW
    close = found.assign(test_accuracy=found["test_accuracy"] - 0.0018 * (found["seed"] - 1))
    assert outcome("magnitude_25_like_baseline", close, "Figure 6") == FAILS
    with pytest.raises(rules.Undecidable, match="fewer than 3 unpruned seeds"):
        verdict("magnitude_25_like_baseline", found[(found["pruner"] != "none") | (found["seed"] < 2)], "Figure 6")


def test_magnitude_overfits_until_99():
    def found(last):
        slopes = dict(zip(SPARSITIES, (0.2, 0.2, 0.2, 0.2, last), strict=True))
        return frame(
            *(runs(f"mnist fcn bayes_magnitude {s}", epochs=12, **vee(5, slope)) for s, slope in slopes.items())
        )

    assert outcome("magnitude_overfits_until_99", found(0.005), "Figure 6") == HOLDS
    assert outcome("magnitude_overfits_until_99", found(0.2), "Figure 6") == FAILS
    for last, expected in ((0.2, HOLDS), (0.005, FAILS)):
        cnn = found(last).assign(model="cnn")
        assert outcome("magnitude_overfits_even_at_99", cnn, "Figure 9") == expected


def test_what_the_paper_says_of_its_networks_and_its_table():
    """784 x 256 + 256 x 128 + 128 x 10 weights; 32 x 9 + 64 x 32 x 9 + 64 x 7 x 7 x 128 + 128 x 10 of the CNN."""
    [number] = verdict("cnn_is_larger", runs("mnist fcn none"), "Figure 7").numbers
    assert number.mean == 421_408 - 234_752
    assert outcome("deviations_are_reported", runs("mnist fcn none"), table_1_place()) == FAILS


def test_magnitude_loss_improves_to_99():
    for values, expected in ((RISING[::-1], HOLDS), (RISING, FAILS)):
        found = varied(levels("bayes_magnitude", values, where="cifar10 fcn", metric="test_loss"))
        assert outcome("magnitude_loss_improves_to_99", found, "Figure 18") == expected


def table_1_place(dataset="mnist", model="fcn"):
    return next(where for where in TABLE_1 if (where.dataset, where.model) == (dataset, model))


@pytest.mark.parametrize(("bayes", "expected"), [(0.9, HOLDS), (0.897, HOLDS), (0.93, HOLDS), (0.88, FAILS)])
def test_bayes_is_comparable_or_better_than_its_twin(bayes, expected):
    both = frame(levels("bayes_random", [bayes] * 5), levels("random", [0.9] * 5).query("pruner != 'none'"))
    assert outcome("bayes_as_good_as_classic", varied(both), table_1_place(), "bayes_random") == expected


def test_bayes_beats_unpruned_with_its_best_cell():
    both = [levels("bayes_random", [0.85] * 5), levels("bayes_magnitude", (0.8, 0.8, 0.92, 0.8, 0.8)).iloc[24:]]
    both = varied(frame(*both))
    lucky = (both["pruner"] == "bayes_random") & (both["target_sparsity"] == 0.25) & (both["seed"] == 2)
    both.loc[lucky, "test_accuracy"] = 0.99  # in one seed, not on average
    found = verdict("bayes_beats_unpruned", both, table_1_place())
    assert found.outcome == HOLDS
    assert found.numbers[0].name == "accuracy of bayes_magnitude at 75% minus the baseline's"
    assert found.numbers[0].mean == pytest.approx(0.02, abs=1e-3)


@pytest.mark.parametrize(
    ("sparsity", "accuracy", "expected"),
    [(0.9, 0.9, HOLDS), (0.9, 0.8, FAILS), (0.0, 0.9, FAILS)],  # a network left unpruned has not reached its sparsity
)
def test_sparse_without_losing_accuracy_asks_the_pruned_network(sparsity, accuracy, expected):
    pruned = runs("mnist fcn bayes_random 0.9", sparsity=sparsity, pruned_test_accuracy=at(accuracy), test_accuracy=0.1)
    found = varied(frame(runs("mnist fcn none", pruned_test_accuracy=0.9, test_accuracy=common(0.9)), pruned))
    assert outcome("sparse_without_losing_accuracy", found, table_1_place(), "bayes_random") == expected


def test_pairs_are_of_the_same_seed():
    """Seeds differ by 0.1, the method by 0.01: only paired differences show that it falls."""
    found = frame(
        runs("mnist cnn bayes_random 0.9", seeds=4, test_accuracy=lambda e, s: 0.5 + 0.1 * s),
        runs("mnist cnn bayes_random 0.99", seeds=4, test_accuracy=lambda e, s: 0.49 + 0.1001 * s),
    )
    assert outcome("random_falls_after_90", found, "Figure 8") == HOLDS
    shuffled = found.assign(seed=found["seed"].where(found["target_sparsity"] == 0.9, 3 - found["seed"]))
    assert outcome("random_falls_after_90", shuffled, "Figure 8") == UNDECIDED
    without_first = found[(found["target_sparsity"] == 0.9) | (found["seed"] > 0)]
    assert outcome("random_falls_after_90", without_first, "Figure 8") == HOLDS


def test_final_values_are_those_of_the_last_epoch():
    found = frame(
        runs("mnist cnn bayes_random 0.9", test_accuracy=lambda e, s: 0.5 + 0.01 * e),
        runs("mnist cnn bayes_random 0.99", test_accuracy=lambda e, s: jitter(0.7 - 0.03 * e, s)),
    )
    [number] = verdict("random_falls_after_90", found, "Figure 8").numbers
    assert number.mean == pytest.approx((0.7 - 0.24) - (0.5 + 0.08) + 1e-4)


# ---- all claims together


TURNS = {"test_loss": lambda e, s: abs(e - 5 - 0.1 * s)}  # at epoch 5


def test_missing_runs_are_undecided_with_the_reason():
    findings = verdicts.check(runs("mnist fcn none", **TURNS))
    by_place = {(f.claim, f.where): f.verdict for f in findings}
    assert by_place["test_loss_turns_about_epoch_5", "Figure 4: MNIST FCN"].outcome == HOLDS
    other = by_place["test_loss_turns_about_epoch_5", "Figure 10: Fashion-MNIST FCN"]
    assert (other.outcome, other.reason, other.numbers) == (UNDECIDED, "no runs of fashion_mnist fcn none", ())
    assert by_place["random_fits_better", "Figure 4: MNIST FCN"].reason == "no runs of mnist fcn bayes_random 75%"


def test_seeds_that_no_pair_has_are_undecided_with_the_reason():
    apart = varied(levels("bayes_magnitude", RISING))
    apart["seed"] += 3 * (apart["pruner"] != "none")
    with pytest.raises(rules.Undecidable, match=r"^the runs compared share no seed$"):
        verdict("magnitude_25_like_baseline", apart, "Figure 6")
    each_alone = varied(levels("bayes_random", FALLING))
    each_alone["seed"] += 3 * each_alone["target_sparsity"].rank(method="dense").astype(int)
    with pytest.raises(rules.Undecidable, match=r"^the runs compared share no seed$"):
        verdict("random_falls_with_sparsity", each_alone, "Figure 5")
    with pytest.raises(rules.Undecidable, match=r"^a single unpruned seed$"):
        verdict("pruning_moves_the_losses", three({}, {}, seeds=1), "Figure 4")
    with pytest.raises(rules.Undecidable, match=r"^no seed has a slope$"):
        above("slope", pd.Series([math.nan, math.nan]), 0)


def turn(found):
    findings = verdicts.check(found)
    place = ("test_loss_turns_about_epoch_5", "Figure 4: MNIST FCN")
    [verdict] = [f.verdict for f in findings if (f.claim, f.where) == place]
    return verdict


def test_short_runs_are_undecided_with_the_reason():
    found = turn(runs("mnist fcn none", epochs=3))
    assert found.reason == "the runs of mnist fcn none have 3 epochs, which is fewer than 8"


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_are_undecided_but_show_their_number(seeds):
    found = turn(runs("mnist fcn none", seeds=seeds, **TURNS))
    assert (found.outcome, found.numbers[0].n, found.numbers[0].low) == (UNDECIDED, seeds, None)
    assert found.numbers[0].mean == 5


def test_findings_go_by_figure_then_table():
    labels = [finding.where.split(":")[0] for finding in verdicts.check(runs("mnist fcn none"))]
    numbers = [int(label.split()[1]) for label in labels if label.startswith("Figure")]
    assert numbers == sorted(numbers)
    assert set(range(4, 22)) == set(numbers)  # each of the paper's figures is held to something
    assert labels[len(numbers) :] == ["Table 1"] * (len(labels) - len(numbers))


def test_every_claim_is_checked_where_the_published_ones_are():
    """At the same figures, in the same words: else only the slow tests, which make all tables anew, would tell."""
    published = json.loads((ROOT / "outputs" / "published" / "claims.json").read_text())["findings"]
    said = [(f.claim, f.where, f.statement, f.rule) for f in verdicts.check(runs("mnist fcn none"))]
    assert said == [(f["claim"], f["where"], f["statement"], f["rule"]) for f in published]


@pytest.mark.parametrize(
    ("low", "high", "n", "outcome", "text"),
    [
        (None, None, 1, HOLDS, "d: 0.1235 (above 0: holds)"),  # nothing random is in it
        (None, None, 1, UNDECIDED, "d: 0.1235 no interval, n = 1 (above 0: undecided)"),
        (None, None, 2, UNDECIDED, "d: 0.1235 no interval, n = 2 (above 0: undecided)"),
        (0.1, 0.15, 3, HOLDS, "d: 0.1235 [0.1, 0.15], n = 3 (above 0: holds)"),
    ],
)
def test_a_number_is_told_with_its_interval_if_it_has_one(low, high, n, outcome, text):
    assert str(rules.Number("d", 0.12345, low, high, n, "above 0", outcome)) == text


def test_markdown_and_json_say_the_same():
    found = runs("mnist fcn none", **TURNS)
    findings = verdicts.check(found)
    contents = json.loads(verdicts.as_json(findings, found))
    assert sum(contents["counts"].values()) == len(contents["findings"]) == len(findings)
    assert contents["epochs"] == [8]
    text = verdicts.as_markdown(findings, found)
    rows = [line for line in text.splitlines() if line.startswith(("| Figure", "| Table"))]
    assert [re.search(r"\*\*(\w+)\*\*", row)[1] for row in rows] == [f["outcome"] for f in contents["findings"]]
    assert PROTOCOL in text
    first = contents["findings"][0]
    assert first["numbers"][0]["n"] == 3
    assert first["rule"].startswith("Section 1.2")
    assert verdicts._rounded(repr(0.1 + 0.2)) == 0.3  # in which processors agree
    assert not any(math.isnan(n["mean"]) for f in contents["findings"] for n in f["numbers"])


# ---- the script


def test_script_prints_or_writes(script, folder, tmp_path):
    code, printed = script("check_claims.py", folder)
    assert code == 0
    assert printed.startswith("# The paper's claims")
    code, printed = script("check_claims.py", folder, "--format", "json")
    decided = [found for found in json.loads(printed)["findings"] if found["outcome"] != "undecided"]
    assert {found["claim"] for found in decided} == {"cnn_is_larger", "deviations_are_reported"}  # which need no runs
    code, printed = script("check_claims.py", folder, "--out", tmp_path)
    assert code == 0
    assert " checks of " in printed.splitlines()[-1]
    assert {path.name for path in tmp_path.iterdir()} == {"claims.md", "claims.json"}


def test_script_on_nothing(script, tmp_path):
    assert_one_sentence_each(script, "check_claims.py", tmp_path)


def test_script_on_one_run(script, folder):
    code, printed = script("check_claims.py", next(folder.glob("*none-seed0*")))
    assert code == 0
    assert "no runs of mnist fcn none" in printed


def test_script_refuses_to_mix_two_protocols(script, folder, tmp_path):
    both = tmp_path / "runs"
    shutil.copytree(folder, both)
    other = shutil.copytree(next(both.glob("*bayes_random-0.5-seed0*")), both / "other")
    protocol = json.loads((other / "summary.json").read_text())["protocol"]
    rewrite_summary(other, hash="0000000000", protocol=protocol | {"beta": 2.0})
    code, _ = script("check_claims.py", both)
    assert code.startswith("The runs follow 2 protocols")
    assert "\n" not in code
