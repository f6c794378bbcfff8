"""Check claims of sections 1.2 and 1.3 about what each sparsity does: Figures 5 to 21, Table 1, the discussion.

Each docstring says where the paper makes the claim and when it holds here. The text on the loss figures speaks of
"validation accuracy": accuracies are compared where it says so, losses where it says so, and both where the text on a
loss figure says that the accuracy improves; overfitting is how far the test loss rises after its lowest value, as a
fraction of that.
"""

import pandas as pd

from bayes_pruning.results.cells import Cells
from bayes_pruning.results.declared import twins
from bayes_pruning.results.paper import PAPER_CSV, SPARSITIES, UNPRUNED, percent
from bayes_pruning.studies.claims import measures, rules
from bayes_pruning.studies.claims.learning_curves import MAGNITUDE, RANDOM
from bayes_pruning.studies.claims.rules import TABLE_1, Verdict, Where, above, all_of, below, claim, within

OVERFITS = 0.05  # a rise of the test loss by this fraction: two seed deviations of it where it is small (99%, 0.023)
REACHED = 0.01  # a sparsity is reached within this: the paper gives them in whole percent
UP_TO_90 = SPARSITIES[:-1]
BLOCKS_BY_METHOD = [(where, pruner) for where in TABLE_1 for pruner in (RANDOM, MAGNITUDE)]


@claim("25% sparsity is best for random pruning.", *((n, "test_accuracy") for n in (5, 14, 17)), (11, "test_loss"))
def random_best_at_25(runs: Cells, where: Where, metric: str) -> Verdict:
    """Section 1.2, Figures 5, 14 and 17 (accuracy) and 11 (loss). At the last epoch, Bayes random at 25% is better
    than at each other sparsity (four intervals)."""
    low, *others = SPARSITIES
    sign = -1 if metric == "test_loss" else 1
    best = measures.last(runs, where.cell(RANDOM, low), metric)
    gains = {s: measures.paired(best, measures.last(runs, where.cell(RANDOM, s), metric)) * sign for s in others}
    return all_of([above(f"better by {metric} than at {percent(s)}", gain, 0, len(gains)) for s, gain in gains.items()])


@claim("With random pruning the accuracy decreases as the sparsity increases.", 5, 11, 14, 17, 20)
def random_falls_with_sparsity(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. The slope of Bayes random's last accuracy over the five sparsities (in steps) is below zero."""
    return below("change of accuracy a step of sparsity", measures.step_trend(runs, where, RANDOM, "test_accuracy"), 0)


@claim(
    "Pruning reduces the effects of overfitting.",
    *((number, RANDOM) for number in (5, 14, 18, 20)),
    *((number, MAGNITUDE) for number in (12, 15, 18, 21)),
)
def pruning_reduces_overfitting(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2, up to 90% sparsity where it says so (Figures 5 and 14), else at all five. The overfitting at each
    sparsity is below the baseline's (four or five intervals)."""
    baseline = measures.overfitting(runs, where.cell(UNPRUNED))
    levels = UP_TO_90 if where.label in ("Figure 5", "Figure 14") else SPARSITIES
    less = {s: measures.paired(measures.overfitting(runs, where.cell(pruner, s)), baseline) for s in levels}
    parts = []
    for sparsity, change in less.items():
        name = f"overfitting of {pruner} at {percent(sparsity)} minus the baseline's"
        parts.append(below(name, change, 0, len(less)))
    return all_of(parts)


@claim("With random pruning the network only starts to become worse at 99% sparsity.", 5)
def random_worse_only_at_99(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes random's last accuracy is similar to the baseline's or above up to 90%, and lower than similar
    at 99% (five intervals)."""
    same, among = measures.tolerance(runs, where), len(SPARSITIES)
    differences = {s: measures.over_baseline(runs, where, RANDOM, s, "test_accuracy") for s in SPARSITIES}
    parts = [above(f"accuracy over the baseline's at {percent(s)}", differences[s], -same, among) for s in UP_TO_90]
    return all_of([*parts, below("accuracy over the baseline's at 99%", differences[0.99], -same, among)])


@claim("With random pruning the accuracy of the CNN remains similar to the baseline until 90% sparsity.", 8)
def random_like_baseline_until_90(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes random's last accuracy is similar to the baseline's at 25%, 50%, 75% and 90% (four
    intervals)."""
    return all_of([_similar(runs, where, RANDOM, sparsity, len(UP_TO_90)) for sparsity in UP_TO_90])


@claim("Beyond 90% sparsity the accuracy of the randomly pruned CNN decreases.", 8)
def random_falls_after_90(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes random's last accuracy is lower at 99% than at 90%."""
    high, low = (measures.last(runs, where.cell(RANDOM, sparsity), "test_accuracy") for sparsity in (0.99, 0.9))
    return below("accuracy at 99% minus that at 90%", measures.paired(high, low), 0)


@claim("With magnitude pruning at 25% sparsity the accuracy remains similar to the baseline.", 6)
def magnitude_25_like_baseline(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes magnitude's last accuracy at 25% is similar to the baseline's."""
    return _similar(runs, where, MAGNITUDE, 0.25)


@claim(
    "With magnitude pruning the validation accuracy improves as the sparsity increases.",
    *((number, metric) for number in (6, 12) for metric in ("test_accuracy", "test_loss")),
)
def magnitude_improves_with_sparsity(runs: Cells, where: Where, metric: str) -> Verdict:
    """Section 1.2, which says accuracy; Figures 6 and 12 show the loss. The slope of Bayes magnitude's last test
    accuracy over the five sparsities (in steps) is above zero; that of its test loss is below zero."""
    trend = measures.step_trend(runs, where, MAGNITUDE, metric)
    name = f"change of {metric} a step of sparsity"
    return above(name, trend, 0) if metric == "test_accuracy" else below(name, trend, 0)


@claim("The effects of overfitting are reduced as the number of parameters is reduced.", 12)
def overfitting_falls_with_sparsity(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. The slope of Bayes magnitude's overfitting over the five sparsities (in steps) is below zero."""
    rises = [measures.overfitting(runs, where.cell(MAGNITUDE, sparsity)) for sparsity in SPARSITIES]
    return below("change of overfitting a step of sparsity", measures.slope_over_steps(rises), 0)


@claim("With magnitude pruning the network still overfits until 99% of the parameters are pruned.", 6)
def magnitude_overfits_until_99(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes magnitude's test loss rises by more than 5% after its lowest value up to 90%, by less
    at 99% (five intervals)."""
    rises = {s: measures.overfitting(runs, where.cell(MAGNITUDE, s)) for s in SPARSITIES}
    parts = [above(f"overfitting at {percent(s)}", rises[s], OVERFITS, len(rises)) for s in UP_TO_90]
    return all_of([*parts, below("overfitting at 99%", rises[0.99], OVERFITS, len(rises))])


@claim("The CNN overfits the data even after pruning 99% of the parameters by magnitude.", 9)
def magnitude_overfits_even_at_99(runs: Cells, where: Where) -> Verdict:
    """Section 1.2, Figure 9. Bayes magnitude's test loss rises by more than 5% after its lowest value at 99%."""
    return above("overfitting at 99%", measures.overfitting(runs, where.cell(MAGNITUDE, 0.99)), OVERFITS)


@claim("Even pruning 99% of the parameters by magnitude does not affect the accuracy of the CNN.", 9)
def magnitude_unharmed_at_99(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes magnitude's last accuracy at 99% is similar to the baseline's (Table 1 has -0.0114)."""
    return _similar(runs, where, MAGNITUDE, 0.99)


@claim("With magnitude pruning the validation loss continues to improve as 99% sparsity is achieved.", 15, 18, 21)
def magnitude_loss_improves_to_99(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes magnitude's last test loss is lower at 99% than at 90%."""
    high, low = (measures.last(runs, where.cell(MAGNITUDE, sparsity), "test_loss") for sparsity in (0.99, 0.9))
    return below("test loss at 99% minus that at 90%", measures.paired(high, low), 0)


@claim("Bayes pruning is comparable or better than its traditional twin.", *BLOCKS_BY_METHOD)
def bayes_as_good_as_classic(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2, Table 1. Averaged over the five sparsities, the last accuracy of the Bayes method is similar to its
    twin's of the same seed or above."""
    twin = twins()[pruner]
    pairs = [
        [measures.last(runs, where.cell(name, sparsity), "test_accuracy") for name in (pruner, twin)]
        for sparsity in SPARSITIES
    ]
    mean = pd.concat([measures.paired(*pair) for pair in pairs], axis=1).dropna().mean(axis=1)
    return above(f"accuracy of {pruner} minus {twin}", mean, -measures.tolerance(runs, where))


@claim("Bayes pruning outperforms unpruned networks.", *TABLE_1)
def bayes_beats_unpruned(runs: Cells, where: Where) -> Verdict:
    """Section 1.2, Table 1. The last accuracy of the best of the ten Bayes cells is above the baseline's of the same
    seed; since it is chosen afterwards, by an interval that holds for all ten together."""
    cells = [(pruner, sparsity) for pruner in (RANDOM, MAGNITUDE) for sparsity in SPARSITIES]
    gains = {cell: measures.over_baseline(runs, where, *cell, "test_accuracy") for cell in cells}
    pruner, sparsity = max(gains, key=lambda cell: gains[cell].mean())
    return above(
        f"accuracy of {pruner} at {percent(sparsity)} minus the baseline's", gains[pruner, sparsity], 0, len(cells)
    )


@claim("Pruning to a desired level of sparsity loses no accuracy compared to the baseline.", *BLOCKS_BY_METHOD)
def sparse_without_losing_accuracy(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.3 and Table 1, at 90% sparsity. The network after the last epoch's pruning has a sparsity within 0.01
    of what was asked, and its accuracy is similar to the baseline's of the same seed or above (two intervals)."""
    sparsity = measures.last(runs, where.cell(pruner, 0.9), "sparsity")
    lost = measures.over_baseline(runs, where, pruner, 0.9, "pruned_test_accuracy")
    as_sparse = within("sparsity after the last epoch", sparsity, 0.9 - REACHED, 0.9 + REACHED, 2)
    as_good = above("accuracy after pruning minus the baseline's", lost, -measures.tolerance(runs, where), 2)
    return all_of([as_sparse, as_good])


@claim("The number of parameters of the CNN is larger than that of the FCN.", 7)
def cnn_is_larger(runs: Cells, where: Where) -> Verdict:
    """Section 1.2, Figure 7. By the widths of conf/model, which the paper's text does not give: with others it may be
    the other way round. Nothing random is in it."""
    more = measures.weights("cnn") - measures.weights("fcn")
    outcome = rules.HOLDS if more > 0 else rules.FAILS
    number = rules.Number("weights of the CNN minus those of the FCN", more, None, None, 1, "above 0", outcome)
    return Verdict(outcome, (number,))


@claim("The mean and standard deviation of the accuracy is reported.", TABLE_1[0])
def deviations_are_reported(runs: Cells, where: Where) -> Verdict:
    """Section 1.2 speaks of five runs (Experimental setup). Table 1, as it was copied, has a column of deviations."""
    columns = PAPER_CSV.read_text().splitlines()[0].split(",")
    outcome = rules.HOLDS if "deviation" in columns else rules.FAILS
    return Verdict(outcome, reason=f"the columns of Table 1 are {', '.join(columns)}")


def _similar(runs: Cells, where: Where, pruner: str, sparsity: float, among: int = 1) -> Verdict:
    same = measures.tolerance(runs, where)
    difference = measures.over_baseline(runs, where, pruner, sparsity, "test_accuracy")
    return within(f"accuracy over the baseline's at {percent(sparsity)}", difference, -same, same, among)
