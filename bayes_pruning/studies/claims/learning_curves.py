"""Check claims of section 1.2 about learning curves: losses, the Bayes factor and the sparsity against epochs.

Each docstring says where the paper makes the claim and when it holds here; `rules` says how it is decided.
"""

from collections.abc import Callable
from itertools import product

import pandas as pd

from bayes_pruning.results.cells import Cell, Cells
from bayes_pruning.results.paper import UNPRUNED
from bayes_pruning.studies.claims import measures
from bayes_pruning.studies.claims.rules import Verdict, Where, above, all_of, below, claim, within

RANDOM, MAGNITUDE = "bayes_random", "bayes_magnitude"
TURN = (3.0, 7.0)  # "about 5 epochs", of 25
OSCILLATES = 2.0  # times the baseline's oscillation is large
MOVES = 0.05  # a change of sparsity an epoch that can be seen in a figure of sparsities from 0 to 1
PAIR = 2  # epochs over which an accuracy is averaged where it may zigzag with a gate that opens every other epoch


@claim("The validation loss turns in about 5 epochs.", 4, 10)
def test_loss_turns_about_epoch_5(runs: Cells, where: Where) -> Verdict:
    """Section 1.2 ("starts to decrease in about 5 epochs", in a text on overfitting; it falls from the start, so this
    is read as the turn). The baseline's lowest test loss is at epoch 3 to 7 on average."""
    return within("epoch of the lowest test loss", measures.lowest_epoch(runs, where.cell(UNPRUNED)), *TURN)


@claim("Pruning affects the training and validation loss of both random and magnitude pruning.", 4, 10)
def pruning_moves_the_losses(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. From epoch 2 on, training and test loss of both Bayes methods differ from the baseline's of the
    same seed by more than unpruned seeds differ among themselves (four intervals)."""
    parts = []
    for pruner, metric in product((RANDOM, MAGNITUDE), ("train_loss", "test_loss")):
        name = f"relative change of the {metric} of {pruner}, minus that between unpruned seeds"
        parts.append(above(name, measures.beyond_seeds(runs, where, pruner, metric), 0, 4))
    return all_of(parts)


@claim(
    "There are large oscillations in the loss of random pruning.",
    *((number, metric) for number in (4, 10) for metric in ("test_loss", "pruned_test_loss")),
)
def random_loss_oscillates(runs: Cells, where: Where, metric: str) -> Verdict:
    """Section 1.2, which does not say whether the loss is that before or after pruning. Bayes random's test loss
    changes from epoch to epoch by more than twice as much as the baseline's (so "large" is read), on average over
    epochs."""
    pruned, baseline = (measures.oscillation(runs, where.cell(pruner), metric) for pruner in (RANDOM, UNPRUNED))
    more = measures.paired(pruned, OSCILLATES * baseline)
    return above(f"oscillation of the {metric} minus twice the baseline's", more, 0)


@claim(
    "The Bayes factor reduces as the number of epochs increases.",
    *((number, MAGNITUDE) for number in (4, 10, 13, 16)),
    *((number, RANDOM) for number in (16, 19)),
)
def bayes_factor_falls(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2. The slope of the reading's own log Bayes factor against epochs, over those that pruned, is below
    zero."""
    return below(f"slope of the log Bayes factor of {pruner}", measures.factor_trend(runs, where.cell(pruner)), 0)


@claim("The Bayes factor shows an increasing trend.", (4, RANDOM), (13, RANDOM), (19, MAGNITUDE))
def bayes_factor_rises(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2. The slope of the reading's own log Bayes factor against epochs, over those that pruned, is above
    zero."""
    return above(f"slope of the log Bayes factor of {pruner}", measures.factor_trend(runs, where.cell(pruner)), 0)


@claim(
    "The sparsity of the network becomes stabilized.",
    *((number, MAGNITUDE) for number in (4, 10, 13, 16)),
    *((number, RANDOM) for number in (16, 19)),
)
def sparsity_settles(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2. In the last third of the epochs, the sparsity after the epoch changes by less than 0.05 an epoch."""
    return below(f"change of sparsity an epoch of {pruner}", measures.sparsity_steps(runs, where.cell(pruner)), MOVES)


@claim("The sparsity remains fluctuating.", *((n, RANDOM) for n in (4, 10, 13)), (19, MAGNITUDE))
def sparsity_fluctuates(runs: Cells, where: Where, pruner: str) -> Verdict:
    """Section 1.2. In the last third of the epochs, the sparsity after the epoch changes by more than 0.05 an epoch."""
    return above(f"change of sparsity an epoch of {pruner}", measures.sparsity_steps(runs, where.cell(pruner)), MOVES)


@claim("Bayesian random pruning fits the data better than magnitude pruning (Bayes factors).", 4, 7, 10, 13, 18)
def random_fits_better(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. The mean of the reading's own log Bayes factor over the epochs that pruned is higher for Bayes
    random."""
    random, magnitude = (measures.log_factors(runs, where.cell(pruner)).mean() for pruner in (RANDOM, MAGNITUDE))
    return above("log Bayes factor, random minus magnitude", measures.paired(random, magnitude), 0)


@claim("The validation accuracy for random pruning decreases at first and then improves.", 13, 16, 19)
def random_dips_then_improves(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. Bayes random's lowest accuracy over two epochs, from epoch 2 to a third of all, is below that of
    epoch 1, before anything was pruned, by more than what is similar, and the mean accuracy of the last four epochs is
    above it by as much (two intervals)."""
    accuracy, dip = measures.long_enough(runs, where.cell(RANDOM), "test_accuracy"), measures.tolerance(runs, where)
    lowest = accuracy.iloc[1 : max(1 + PAIR, len(accuracy) // 3)].rolling(PAIR).mean().min()
    late = accuracy.iloc[-measures.WINDOW :].mean()
    falls = above("dip of the accuracy", accuracy.iloc[0] - lowest, dip, 2)
    return all_of([falls, above("rise since", late - lowest, dip, 2)])


@claim("The effects of overfitting are seen later in the CNN than in the FCN.", 7, 13)
def cnn_overfits_later(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. The baseline's lowest test loss is at a later epoch in the CNN than in the FCN."""
    cnn, fcn = (measures.lowest_epoch(runs, where.cell(UNPRUNED, model=model)) for model in ("cnn", "fcn"))
    return above("epoch of the lowest test loss, CNN minus FCN", measures.paired(cnn, fcn), 0)


@claim("The CNN overfits less than the FCN at 75% sparsity.", 7)
def cnn_overfits_less(runs: Cells, where: Where) -> Verdict:
    """Section 1.2. With both Bayes methods, the test loss rises less after its lowest value (as a fraction of it) in
    the CNN than in the FCN."""
    parts = []
    for pruner in (RANDOM, MAGNITUDE):
        cnn, fcn = (measures.overfitting(runs, where.cell(pruner, model=model)) for model in ("cnn", "fcn"))
        parts.append(below(f"overfitting of {pruner}, CNN minus FCN", measures.paired(cnn, fcn), 0, 2))
    return all_of(parts)


@claim("The effects of overfitting are seen a little later than for MNIST and Fashion.", 16)
def cifar_overfits_later(runs: Cells, where: Where) -> Verdict:
    """Section 1.2, CIFAR-10. The FCN baseline's lowest test loss is at a later epoch than on either other data set."""
    return _above_other_data_sets(runs, where, "epoch of the lowest test loss", measures.lowest_epoch)


def _above_other_data_sets(runs: Cells, where: Where, name: str, of: Callable[[Cells, Cell], pd.Series]) -> Verdict:
    """Return whether the baseline's number is above that on MNIST, and above that on Fashion-MNIST."""
    parts = []
    for other in ("mnist", "fashion_mnist"):
        cells = where.cell(UNPRUNED), Cell(other, where.model, UNPRUNED)
        more = measures.paired(*(of(runs, cell) for cell in cells))
        parts.append(above(f"{name}, minus that of {other}", more, 0, 2))
    return all_of(parts)


@claim("Due to the larger network, the effects of overfitting are higher than for MNIST and Fashion.", 17)
def cifar_overfits_more(runs: Cells, where: Where) -> Verdict:
    """Section 1.2, Figure 17. The FCN baseline's test loss rises more after its lowest value (as a fraction of it) than
    on either other data set."""
    return _above_other_data_sets(runs, where, "overfitting", measures.overfitting)
