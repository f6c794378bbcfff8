"""The comparison of pruning schedules: networks exactly as sparse as asked, beside what the paper claims for 99%.

All accuracies are after pruning, of the network whose zeros are counted. Differences are paired by seed. The tables are
quoted by docs/bayesian_schedule.md (publication.ScheduleStudy). Frames are those of frame.load with one more
column, `prunable_weights`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from bayes_pruning.results.cells import Cell, Cells
from bayes_pruning.results.paper import UNPRUNED, Key, display_name, paper_values, percent
from bayes_pruning.results.statistics import FEWEST, Difference, paired_difference, summarise
from bayes_pruning.results.tables import markdown
from bayes_pruning.studies import table1
from bayes_pruning.studies.formats import MISSING
from bayes_pruning.studies.table1 import AFTER

METHODS = (
    "one_shot", "iterative", "gradual", "gradual_global", "gradual_snip", "gradual_evidence", "bayes_schedule",
)  # fmt: skip
BASELINE, PROPOSED = "gradual", "bayes_schedule"
FLOOR = "gradual_evidence"  # the proposed method without its Bayes factor: it prunes to the floor of the schedule
CLAIMED = ("magnitude", "bayes_magnitude")  # the paper's columns that a target is taken from
WEIGHTS = "prunable_weights"  # a column beside those of frame.load
ROUNDING = 2  # weights: the zeros of each of three or four layers are a whole number
HIGH = 0.9  # from this sparsity on the proposed method is to beat the baseline


@dataclass(frozen=True)
class Target:
    """What is asked of the proposed method in one cell, and what it does."""

    place: tuple[str, str, float]  # dataset, model, sparsity
    mean: float
    seeds: int
    exact: bool  # every run has the zeros asked for, to within the rounding of counts
    over_paper: Mapping[str, float]  # mean minus the paper's value, by column
    relative: Mapping[str, float]  # the same of what each side has over its own unpruned network
    over_baseline: Difference | None

    @property
    def met(self) -> bool:
        """As sparse as asked, at least the paper's accuracies, and at high sparsity surely above the baseline."""
        enough = self.exact and all(difference >= 0 for difference in self.over_paper.values())
        if self.place[2] < HIGH:
            return enough
        return enough and self.over_baseline is not None and self.over_baseline.low > 0


def accuracies(frame: pd.DataFrame) -> str:
    """Markdown: every method's accuracy at each sparsity beside the unpruned network's and the paper's values."""
    runs, paper = table1.final_by_seed(frame), paper_values()
    head = ["Dataset", "Model", "Sparsity", "Unpruned", *map(_claim_name, CLAIMED), *map(display_name, METHODS)]
    rows = []
    for dataset, model, sparsity in _places(runs):
        place = dataset, model
        claims = [_four(paper.get((*place, column, sparsity))) for column in CLAIMED]
        unpruned = _cell(runs.get((*place, UNPRUNED, 0.0)))
        cells = [_cell(runs.get((*place, method, sparsity))) for method in METHODS]
        rows.append([display_name(dataset), display_name(model), percent(sparsity), unpruned, *claims, *cells])
    return markdown(head, rows)


def differences(frame: pd.DataFrame, reference: str = BASELINE, methods: Sequence[str] = METHODS) -> str:
    """Markdown: each of `methods` minus `reference`, paired by seed, with 95% t intervals."""
    runs = table1.final_by_seed(frame)
    others = [method for method in methods if method != reference]
    rows = []
    for dataset, model, sparsity in _places(runs):
        cells = []
        for method in others:
            found = _paired(runs, (dataset, model, method, sparsity), (dataset, model, reference, sparsity))
            cells.append(MISSING if found is None else _interval(found))
        rows.append([display_name(dataset), display_name(model), percent(sparsity), *cells])
    return markdown(["Dataset", "Model", "Sparsity", *map(display_name, others)], rows)


def targets(frame: pd.DataFrame, method: str = PROPOSED) -> list[Target]:
    """What `method` reaches, wherever it has runs."""
    runs, paper = table1.final_by_seed(frame), paper_values()
    found = []
    for place in _places(runs):
        dataset, model, sparsity = place
        mine = runs.get((dataset, model, method, sparsity))
        if mine is None:
            continue
        accuracy = summarise(mine[AFTER.column])
        assert accuracy is not None
        claims = {column: paper[key] for column in CLAIMED if (key := (dataset, model, column, sparsity)) in paper}
        over_paper = {column: accuracy.mean - claim for column, claim in claims.items()}
        over_baseline = _paired(runs, (dataset, model, method, sparsity), (dataset, model, BASELINE, sparsity))
        ahead = _head_start(runs, dataset, model)
        relative = {} if ahead is None else {column: over - ahead for column, over in over_paper.items()}
        exact = _exact(mine, sparsity)
        found.append(Target(place, accuracy.mean, accuracy.n, exact, over_paper, relative, over_baseline))
    return found


def _head_start(runs: Mapping[Key, pd.DataFrame], dataset: str, model: str) -> float | None:
    """Our mean accuracy of the unpruned network minus the paper's; None if either is missing."""
    unpruned, paper = (dataset, model, UNPRUNED, 0.0), paper_values()
    return (
        float(runs[unpruned][AFTER.column].mean()) - paper[unpruned] if unpruned in runs and unpruned in paper else None
    )


def targets_table(frame: pd.DataFrame, method: str = PROPOSED) -> str:
    """Markdown of `targets`."""
    over = [f"minus {_claim_name(column)}" for column in CLAIMED]
    over += [f"{name}, both over their unpruned network" for name in over]
    head = ["Dataset", "Model", "Sparsity", display_name(method), "Exactly as sparse", *over]
    rows = []
    for target in targets(frame, method):
        dataset, model, sparsity = target.place
        beyond = [
            f"{values[column]:+.4f}" if column in values else ""
            for values in (target.over_paper, target.relative)
            for column in CLAIMED
        ]
        baseline = _interval(target.over_baseline) if target.over_baseline else MISSING
        names = [display_name(dataset), display_name(model), percent(sparsity), f"{target.mean:.4f} ({target.seeds})"]
        verdict = "met" if target.met else "missed"
        rows.append([*names, "yes" if target.exact else "no", *beyond, baseline, verdict])
    return markdown([*head, f"minus {display_name(BASELINE)}", "Target"], rows)


def brake(frame: pd.DataFrame) -> str:
    """Markdown: what the Bayes factor adds to the floor of its schedule, and in how many epochs of each seed it let
    more go than that floor (the last of them in brackets)."""
    runs, cells = table1.final_by_seed(frame), Cells(frame)
    rows = []
    for place in _places(runs):
        dataset, model, sparsity = place
        found = _paired(runs, (dataset, model, PROPOSED, sparsity), (dataset, model, FLOOR, sparsity))
        if found is not None:
            epochs = [f"{count} ({last})" if count else "0" for count, last in _beyond_floor(cells, place)]
            names = [display_name(dataset), display_name(model), percent(sparsity)]
            rows.append([*names, _interval(found), ", ".join(epochs)])
    both = f"{display_name(PROPOSED)} minus {display_name(FLOOR)}"
    return markdown(["Dataset", "Model", "Sparsity", both, "Epochs beyond the floor"], rows)


def _beyond_floor(cells: Cells, place: tuple[str, str, float]) -> list[tuple[int, int]]:
    """For each seed, the epochs that pruned and left more zeros than FLOOR has then: how many, and the last."""
    dataset, model, sparsity = place
    proposed, floor = (Cell(dataset, model, method, sparsity) for method in (PROPOSED, FLOOR))
    before, after = (cells.by_epoch(proposed, column) for column in ("sparsity_before", "sparsity"))
    weights = cells.rows[proposed][WEIGHTS].iloc[0]
    found = []
    for seed, reached in cells.by_epoch(floor, "sparsity").items():
        if seed in after:
            more = (after[seed] - reached) * weights > ROUNDING
            grown = (after[seed] - before[seed]) * weights > ROUNDING
            epochs = after.index[more & grown]
            found.append((len(epochs), max(epochs, default=0)))
    return found


def _exact(runs: pd.DataFrame, sparsity: float) -> bool:
    return bool(((runs[AFTER.sparsity] - sparsity).abs() * runs[WEIGHTS] <= ROUNDING).all())


def _places(runs: Mapping[Key, pd.DataFrame]) -> list[tuple[str, str, float]]:
    return [(d, m, s) for d, m, s in table1.grid(runs) if s is not None]


def _paired(runs: Mapping[Key, pd.DataFrame], one: Key, other: Key) -> Difference | None:
    if one not in runs or other not in runs:
        return None
    return paired_difference(runs[one][AFTER.column], runs[other][AFTER.column])


def _cell(runs: pd.DataFrame | None) -> str:
    found = None if runs is None else summarise(runs[AFTER.column])
    if found is None:
        return MISSING
    return f"{found.mean:.4f} ± {found.sd:.4f} ({found.n})" if found.n > 1 else f"{found.mean:.4f} (1)"


def _interval(found: Difference) -> str:
    ends = f"[{found.low:+.4f}, {found.high:+.4f}]" if found.n >= FEWEST else "no interval"
    return f"{found.mean:+.4f} {ends}"


def _four(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _claim_name(column: str) -> str:
    return f"paper's {display_name(column)}"
