"""Write Table 1 and its comparisons as Markdown, LaTeX (booktabs) and CSV.

Markdown and LaTeX render the same `Sheet`s, so they can not differ in a number; CSV has every number in full.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pandas as pd

from bayes_pruning.config import presets
from bayes_pruning.results import tables
from bayes_pruning.results.paper import DATASETS, METHODS, MODELS, UNPRUNED, Key, display_name, percent, rank
from bayes_pruning.results.selection import protocols
from bayes_pruning.results.statistics import Difference
from bayes_pruning.studies import table1
from bayes_pruning.studies.table1 import ACCURACIES, Accuracy, Cell, Differences

MISSING = "missing"
LEGEND = (
    "Each cell: mean ± sample standard deviation of the test accuracy over seeds (number of seeds); the paper's value "
    "and our mean minus it; zeros: the mean measured fraction of prunable weights that are zero in the very network "
    "whose accuracy is given."
)
PAIRED = "Mean of the differences in test accuracy, paired by seed, with its 95% t interval (number of pairs)."
CSV_COLUMNS = (
    "accuracy", "dataset", "model", "method", "sparsity", "n", "mean", "sd", "paper", "difference", "measured_sparsity",
)  # fmt: skip
CSV_PAIRED = ("twin", "paired_n", "paired_mean", "paired_low", "paired_high")

Lines = tuple[str, ...]  # what one cell shows, line below line


@dataclass(frozen=True)
class Sheet:
    """Hold one table as text: a title, what its cells mean, and the rows."""

    key: str
    title: str
    legend: str
    header: Sequence[str]
    rows: Sequence[Sequence[Lines]]


def sheets(frame: pd.DataFrame, compared: bool) -> list[Sheet]:
    """Return the tables of accuracy before and after pruning; `compared` adds Bayes methods minus twin and controls."""
    setting = f"epoch {frame['epochs'].iloc[0]}, protocol: {protocols(frame)[0]}"
    tables = [_accuracy_sheet(frame, accuracy, setting) for accuracy in ACCURACIES]
    if compared:
        classic = table1.compare(frame, table1.twins(frame))
        tables.append(_comparison_sheet("comparison", "Each Bayes method minus its classic twin", classic, setting))
        if controls := table1.compare(frame, table1.controls(frame)):
            title = "Each Bayes method minus its controls, which ask for no evidence"
            tables.append(_comparison_sheet("controls", title, controls, setting))
    return tables


def markdown(frame: pd.DataFrame, compared: bool = False) -> str:
    """Return the tables of a chosen frame (`sheets`) as GitHub's Markdown."""
    return "\n\n".join(map(_markdown_table, sheets(frame, compared)))


def _markdown_table(sheet: Sheet) -> str:
    rows = [list(map("<br>".join, row)) for row in sheet.rows]
    return f"### {sheet.title}\n\n{tables.markdown(sheet.header, rows)}\n{sheet.legend}\n"


def latex(frame: pd.DataFrame, compared: bool = False) -> str:
    """Return the tables of a chosen frame (`sheets`) as LaTeX floats; they need booktabs, makecell and rotating."""
    return "% \\usepackage{booktabs,makecell,rotating}\n" + "\n".join(map(_latex_table, sheets(frame, compared)))


def csv_text(frame: pd.DataFrame, compared: bool = False) -> str:
    """Return every cell of both tables as one row of CSV, numbers in full; empty where there is none.

    With `compared` each Bayes method minus its classic twin stands in its row.
    """
    chosen = table1.twins(frame) if compared else []
    pairs = {key: (twin, by_when) for (key, twin), by_when in table1.compare(frame, chosen).items()}
    rows = [
        _csv_row(accuracy, key, cell, *pairs.get(key, (None, {})))
        for accuracy in ACCURACIES
        for key, cell in table1.cells(frame, accuracy).items()
    ]
    columns = [*CSV_COLUMNS, *(CSV_PAIRED if chosen else ())]
    return pd.DataFrame(rows, columns=columns, dtype=object).to_csv(index=False, lineterminator="\n")


FORMATS: Mapping[str, tuple[str, Callable[[pd.DataFrame, bool], str]]] = {  # by name: a file's suffix, renderer
    "markdown": (".md", markdown),
    "latex": (".tex", latex),
    "csv": (".csv", csv_text),
}


def row_markdown(frame: pd.DataFrame, dataset: str, model: str) -> str:
    """Return one row of the paper's table as GitHub's Markdown: the paper's value, ours before pruning, ours after it.

    A cell of which several seeds were run has their mean and, in brackets, their number.
    """
    cells_before, cells_after = (table1.cells(frame, accuracy) for accuracy in ACCURACIES)

    def three(method: str, sparsity: float) -> str:
        before, after = (cells[dataset, model, method, sparsity] for cells in (cells_before, cells_after))
        values = (before.paper, before.ours and before.ours.mean, after.ours and after.ours.mean)
        runs = f" ({before.ours.n})" if before.ours and before.ours.n > 1 else ""
        return ", ".join(MISSING if value is None else f"{value:.4f}" for value in values) + runs

    rows = [
        [percent(sparsity), *(three(method, sparsity) for method in METHODS)]
        for *where, sparsity in table1.grid(cells_before)
        if tuple(where) == (dataset, model) and sparsity is not None
    ]
    header = ["Sparsity", *map(display_name, METHODS)]
    return f"Unpruned: {three(UNPRUNED, 0.0)}.\n\n{tables.markdown(header, rows)}"


def seed_counts(frame: pd.DataFrame, default: str) -> str:
    """Return by network, reading and data set how many seeds the paper's cells have, as GitHub's Markdown.

    `5 (2), 3 (19)` are two cells with five seeds and 19 with three. The unpruned networks, which no reading changes,
    are counted with the reading that is named `default`.
    """
    last = frame[(frame["epoch"] == frame["epochs"]) & frame["pruner"].isin((UNPRUNED, *METHODS))]
    last = last.assign(reading=last["protocol"].map(presets.name_of).mask(last["pruner"] == UNPRUNED, default))
    seeds = last.groupby(["model", "reading", "dataset", "pruner", "target_sparsity"])["seed"].nunique()
    texts = seeds.groupby(["model", "reading", "dataset"]).agg(_cells_by_seeds).unstack(fill_value="")
    order = pd.DataFrame({"rows": (texts != "").sum(axis=1), "runs": seeds.groupby(["model", "reading"]).sum()})
    order = order.iloc[::-1].sort_values(["rows", "runs"], ascending=False, kind="stable")
    lines = sorted(order.index, key=lambda line: (rank(line[0], MODELS), line[1] != default))
    datasets = sorted(map(str, texts), key=lambda name: rank(name, DATASETS))
    rows = [[display_name(line[0]), line[1], *texts.loc[line, datasets]] for line in lines]
    return tables.markdown(["Network", "Reading", *map(display_name, datasets)], rows)


def _cells_by_seeds(seeds: pd.Series) -> str:
    """Return how many cells have how many seeds, the most seeds first: '5 (2), 3 (19)'."""
    return ", ".join(f"{n} ({cells})" for n, cells in sorted(Counter(seeds).items(), reverse=True))


def seeds_markdown(frame: pd.DataFrame, model: str) -> str:
    """Return the cells of a network of which several seeds were run, each seed on its own, as GitHub's Markdown."""
    runs, rows = table1.final_by_seed(frame), []
    for key, cell in table1.cells(frame, table1.BEFORE).items():
        dataset, of, method, sparsity = key
        if of == model and cell.ours is not None and cell.ours.n > 1:
            each = runs[key].sort_index()
            name = f"{display_name(method)} {percent(sparsity)}" if sparsity else "Unpruned"
            paper = "" if cell.paper is None else f"{cell.paper:.4f}"
            seeds = ", ".join(map(str, each.index))
            numbers = (", ".join(f"{value:.4f}" for value in each[accuracy.column]) for accuracy in ACCURACIES)
            rows.append([display_name(dataset), name, paper, seeds, *numbers])
    return tables.markdown(["Dataset", "Cell", "Paper", "Seeds", "Before pruning", "After pruning"], rows)


def _accuracy_sheet(frame: pd.DataFrame, accuracy: Accuracy, setting: str) -> Sheet:
    cells, methods = table1.cells(frame, accuracy), table1.method_names(frame)
    rows: list[list[Lines]] = []
    for dataset, model, sparsity in table1.grid(cells):
        unpruned = _cell_lines(cells[dataset, model, UNPRUNED, 0.0])
        pruned: list[Lines] = [(MISSING,)] * (1 + len(methods))
        if sparsity is not None:
            own = (_cell_lines(cells[dataset, model, method, sparsity]) for method in methods)
            pruned = [(percent(sparsity),), *own]
        rows.append([(display_name(dataset),), (display_name(model),), unpruned, *pruned])
    title = f"Accuracy {accuracy.when} pruning ({accuracy.network}; {setting})"
    header = ["Dataset", "Model", "Unpruned", "Sparsity asked", *map(display_name, methods)]
    return Sheet(f"accuracy-{accuracy.when}", title, LEGEND, header, _once(rows, 3))


def _once(rows: Sequence[list[Lines]], first: int) -> list[list[Lines]]:
    """Return the rows, their `first` cells empty where they are those of the row before, as the paper has it."""
    again = [False, *(one[:first] == other[:first] for one, other in pairwise(rows))]
    return [[()] * first + row[first:] if same else row for row, same in zip(rows, again, strict=False)]


def _cell_lines(cell: Cell) -> Lines:
    lines = [MISSING]
    if cell.ours is not None and cell.sparsity is not None:
        sd = "n/a" if math.isnan(cell.ours.sd) else f"{cell.ours.sd:.4f}"
        lines = [f"{cell.ours.mean:.4f} ± {sd} ({cell.ours.n})", f"zeros {percent(cell.sparsity, 1)}"]
    if cell.paper is not None:
        difference = "" if cell.difference is None else f", {cell.difference:+.4f}"
        lines.insert(1, f"paper {cell.paper:.4f}{difference}")
    return tuple(lines)


def _comparison_sheet(key: str, title: str, compared: Mapping[tuple[Key, str], Differences], setting: str) -> Sheet:
    pairs = dict.fromkeys((method, twin) for (_, _, method, _), twin in compared)
    columns = [(method, twin, accuracy.when) for accuracy in ACCURACIES for method, twin in pairs]
    rows: list[list[Lines]] = []
    for dataset, model, sparsity in dict.fromkeys((d, m, s) for (d, m, _, s), _ in compared):
        by_column = (compared[(dataset, model, method, sparsity), twin][when] for method, twin, when in columns)
        names = display_name(dataset), display_name(model), percent(sparsity)
        rows.append([*((name,) for name in names), *map(_difference_lines, by_column)])
    header = [f"{display_name(method)} - {display_name(twin)}, {when} pruning" for method, twin, when in columns]
    titles = ["Dataset", "Model", "Sparsity asked", *header]
    return Sheet(key, f"{title} ({setting})", PAIRED, titles, _once(rows, 2))


def _difference_lines(difference: Difference | None) -> Lines:
    if difference is None:
        return (MISSING,)
    return f"{difference.mean:+.4f} ({difference.n})", difference.interval


def _latex_table(sheet: Sheet) -> str:
    rows = [list(map("\n".join, row)) for row in sheet.rows]
    return (
        f"\\begin{{sidewaystable}}\n\\caption{{{_escape(sheet.title)}. {_escape(sheet.legend)}}}\n"
        f"\\label{{tab:{sheet.key}}}\n\\centering\\scriptsize\n"
        f"{tables.latex(sheet.header, rows, _escape)}\\end{{sidewaystable}}\n"
    )


LATEX = {sign: f"\\{sign}" for sign in "_%&#${}"} | {
    "\\": r"\textbackslash{}", "^": r"\textasciicircum{}", "~": r"\textasciitilde{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", "±": r"$\pm$",
}  # fmt: skip


def _escape(text: str) -> str:
    text = re.sub("|".join(map(re.escape, LATEX)), lambda match: LATEX[match[0]], text)
    return re.sub(r"([+-])(?=\d)", r"$\1$", text)


def _csv_row(accuracy: Accuracy, key: Key, cell: Cell, twin: str | None, differences: Differences) -> dict[str, Any]:
    row = {"accuracy": accuracy.when, **dict(zip(("dataset", "model", "method", "sparsity"), key, strict=True))}
    row |= {"n": 0} if cell.ours is None else vars(cell.ours)
    row |= {"paper": cell.paper, "difference": cell.difference, "measured_sparsity": cell.sparsity}
    if twin is not None:
        difference = differences[accuracy.when]
        paired = {"n": 0} if difference is None else vars(difference)
        row |= {"twin": twin} | {f"paired_{name}": number for name, number in paired.items()}
    return row
