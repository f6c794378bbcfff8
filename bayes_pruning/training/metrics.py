"""The columns of metrics.csv, without torch, so that reading results starts quickly."""

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Metrics:
    """One row of metrics.csv. "Before" and no prefix: as the optimiser left the network; "pruned": after the gate.

    None is an empty cell: nothing asked for that number, so it was not computed (`log_evidence` in conf/config.yaml).
    """

    epoch: int  # from 1
    train_loss: float  # mean cross-entropy over the epoch's batches as trained, in nats
    test_loss: float  # mean cross-entropy before pruning, in nats
    test_accuracy: float  # fraction of test images classified correctly before pruning
    pruned_test_loss: float  # the same two after pruning
    pruned_test_accuracy: float
    sparsity_before: float  # zeros / prunable weights, as trained
    sparsity: float  # the same after pruning
    pruned: int  # 1 if the gate was open in this epoch, else 0
    log_likelihood_before: float | None  # over the training images, in nats, scaled as the protocol says
    log_prior_before: float  # over the prunable weights, in nats, scaled as the protocol says
    log_likelihood: float | None  # the same two after pruning
    log_prior: float
    log_bayes_factor: float | None  # log posterior after pruning minus before, in nats; 0 where nothing was pruned
    seconds: float  # wall time of the epoch, divided by the members of its stack


COLUMNS = tuple(field.name for field in fields(Metrics))
WHOLE = tuple(field.name for field in fields(Metrics) if field.type is int)
OPTIONAL = tuple(field.name for field in fields(Metrics) if field.type == float | None)  # what may be an empty cell
