"""How sparse a network is to be after each epoch, on its way to the sparsity asked for.

A schedule is called once an epoch, after training, and says the fraction of zeros to prune to now, or None to leave the
network as it is. It declares whether it reads a Bayes factor. Only `constant` is the paper's; the others are for
networks whose masks are kept. To add your own, write the function, declare it and name it in a file of conf/pruner.
"""

from collections.abc import Callable
from dataclasses import dataclass

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.registry import SCHEDULES, Declared
from bayes_pruning.config.validation import AboveZero, Count, Whole


@dataclass(frozen=True)
class Plan:
    """What a schedule sees: one run at the end of one epoch."""

    epoch: int  # from 1
    epochs: int  # that the run has in all
    sparsity: float  # asked for at the end
    current: float  # fraction of zeros among the prunable weights, as trained
    log_beta: float  # threshold of the log Bayes factor, in nats
    log_bayes_factor: Callable[[float], float]  # of pruning to a sparsity now, in nats; costs a pass over the images


Schedule = Callable[..., float | None]  # (plan, **schedule_options)


def schedule(reads_bayes_factor: bool = True) -> Callable[[Schedule], Schedule]:
    """Declare a schedule: whether it reads `plan.log_bayes_factor`. If not, beta is no part of the run."""
    if callable(reads_bayes_factor):
        raise UserError("@schedule takes parentheses, as in @schedule() or @schedule(reads_bayes_factor=False).")
    return lambda function: SCHEDULES.register(function, Declared(reads_bayes_factor))


@schedule(reads_bayes_factor=False)
def constant(plan: Plan) -> float:
    """Return the full sparsity in every epoch whose gate is open, as the paper has it."""
    return plan.sparsity


@schedule(reads_bayes_factor=False)
def one_shot(plan: Plan, epoch: Count) -> float | None:
    """Prune all at once after `epoch`; the rest of the epochs is fine-tuning."""
    _between("epoch", epoch, 1, plan.epochs)
    return plan.sparsity if plan.epoch == epoch else None


@schedule(reads_bayes_factor=False)
def gradual(plan: Plan, start: Count, end: Count, power: AboveZero = 3.0) -> float | None:
    """Prune gradually (Zhu and Gupta, 2017, equation 1): s_t = s_f - s_f (1 - (t - t_0) / (t_n - t_0))^3.

    It prunes after each epoch t from `start` to `end`; `start` is the first that prunes, so t_0 is the epoch before it.
    """
    _between("start", start, 1, plan.epochs)
    _between("end", end, start, plan.epochs)
    if not start <= plan.epoch <= end:
        return None
    left = (end - plan.epoch) / (end - start + 1)
    return plan.sparsity * (1 - left**power)


@schedule(reads_bayes_factor=False)
def iterative(plan: Plan, start: Count, every: Count, steps: Count) -> float | None:
    """Prune `steps` times, `every` epochs apart; each time the same fraction of what is left goes."""
    _between("start", start, 1, plan.epochs)
    _between("every", every, 1, plan.epochs)
    _between("steps", steps, 1, plan.epochs)
    _between("start + (steps - 1) every", start + (steps - 1) * every, 1, plan.epochs)
    step, rest = divmod(plan.epoch - start, every)
    if rest or not 0 <= step < steps:
        return None
    return 1 - (1 - plan.sparsity) ** ((step + 1) / steps)


@schedule()
def evidence(plan: Plan, start: Count, end: Count, power: AboveZero = 3.0, steps: Whole = 4) -> float | None:
    """Return the largest sparsity found whose own Bayes factor is above beta, but never less than `gradual` asks for.

    Where more than `gradual` asks for is allowed, it bisects the density between that and the final one on a
    logarithmic scale, with `steps` candidates; docs/bayesian_schedule.md, algorithm 1.
    """
    floor = gradual(plan, start, end, power)
    if floor is None or floor >= plan.sparsity:
        return floor if floor is None or plan.current < plan.sparsity else None
    most = plan.sparsity
    least = min(max(floor, plan.current), most)  # by rounding, a layer may have more zeros than its share already
    if plan.log_bayes_factor(least) <= plan.log_beta or least == most:
        return least
    if plan.log_bayes_factor(most) > plan.log_beta:
        return most
    for _ in range(steps):
        middle = 1 - ((1 - least) * (1 - most)) ** 0.5
        if plan.log_bayes_factor(middle) > plan.log_beta:
            least = middle
        else:
            most = middle
    return least


def _between(field: str, value: int, low: int, high: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"pruner.schedule_options.{field}", value, f"a whole number from {low} to {high}")
