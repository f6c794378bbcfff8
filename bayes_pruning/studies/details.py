"""Details of training that the paper leaves open (experiment=details), each held against Table 1 beside the default.

A detail is what the name of a network says after `fcn` or `cnn` (conf/experiment/details.yaml), with "kept" after it
where masks are kept. It is compared to the default of that network over the cells and seeds that both have, by the
likelihood of likelihood.py with the variances of the default's runs: details are run with one or two seeds, which have
next to none of their own.
"""

import numpy as np
import pandas as pd

from bayes_pruning.config.presets import ratio_of
from bayes_pruning.config.schema import PRINTED
from bayes_pruning.results.cells import CELL
from bayes_pruning.results.paper import DATASETS, METHODS, SPARSITIES, UNPRUNED, display_name, paper_values, percent
from bayes_pruning.results.statistics import FEWEST
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.studies import likelihood
from bayes_pruning.studies.likelihood import Cells
from bayes_pruning.studies.table1 import BEFORE

CELLS = {
    "fcn": [("random", 0.25), ("random", 0.5), ("random", 0.99), ("magnitude", 0.9), ("magnitude", 0.99)],
    "cnn": [(method, sparsity) for method in METHODS for sparsity in SPARSITIES],
}  # of each network, that a detail may have run in
SHOWN = {
    network: {(UNPRUNED, 0.0): "Unpruned"} | {cell: f"{display_name(cell[0])} {percent(cell[1])}" for cell in cells}
    for network, cells in CELLS.items()
}  # the same and the unpruned one, with their titles in a table
LEGEND = (
    "Each cell: accuracy before pruning minus the paper's, mean over seeds. Distance: root mean square of these; the "
    "default's over the same cells and seeds in brackets. Nearer by: how many nats more likely the paper's values are "
    "than under the default, over these cells, at the last epoch but one and at the last; below -3 the default has 95% "
    "of the weight of the two. Without a cell: the same at the last epoch when one cell is left out, the least and the "
    "most."
)
TOGETHER = (
    "By how many nats the paper's values are more likely than under the default, at the last epoch but one and at the "
    "last, and in brackets the most seeds that a cell has; below -3 the default has 95% of the weight of the two. "
    "Together: the sum over data sets."
)
KEY = ["dataset", "pruner", "target_sparsity"]
MEASURES = ["dataset", "detail", "seeds", "rms", "default_rms", "nearer", "least", "most"]


def compare(runs: pd.DataFrame, base: pd.DataFrame, network: str = "fcn") -> pd.DataFrame:
    """Compare each detail of `network` with its default, over the cells of SHOWN and the seeds that both have.

    `runs` has those of the default too; those of `base` have several seeds a cell, for the default's variances.
    Return a row for each data set and detail, the nearest to the paper first, with the columns

        seeds: the most that a cell has.
        rms, default_rms: root mean square of our means minus the paper's values.
        nearer: log-likelihood minus the default's, in nats.
        least, most: the same when one cell is left out.
        nearer_before: the same as `nearer` at the epoch before the last.
        the title of a cell of SHOWN: our mean minus the paper's value.
    """
    keys = ["dataset", "detail"]
    before = _compared(runs, base, network, 1).set_index(keys)["nearer"].rename("nearer_before")
    compared = _compared(runs, base, network, 0).join(before, on=keys)
    return compared.sort_values("nearer", ascending=False, kind="stable", ignore_index=True)


def _compared(runs: pd.DataFrame, base: pd.DataFrame, network: str, before: int) -> pd.DataFrame:
    last = _accuracies(runs, network, before)
    default = last[last["detail"] == network].drop(columns="detail")
    pairs = last[last["detail"] != network].merge(default, on=[*KEY, "seed"], suffixes=("", "_default"))
    means = pairs.groupby(["detail", *KEY]).agg(
        seeds=("seed", "size"), ours=("accuracy", "mean"), default=("accuracy_default", "mean")
    )
    means = means.reset_index().merge(_reference(base, network, before), on=KEY)
    rows = []
    for (dataset, detail), cells in means.groupby(["dataset", "detail"]):
        residual = cells["paper"].to_numpy() - cells[["ours", "default"]].to_numpy().T
        variance = np.stack([cells["variance"]] * 2)
        both = Cells(residual, variance, variance / cells["seeds"].to_numpy())
        without = [_nearer(both.drop(left_out)) for left_out in np.eye(len(cells), dtype=bool) if len(cells) > 1]
        rms = np.sqrt((residual**2).mean(-1))
        nearer = _nearer(both)
        ends = min(without, default=nearer), max(without, default=nearer)
        row = dict(zip(MEASURES, (dataset, detail, cells["seeds"].max(), *rms, nearer, *ends), strict=True))
        rows.append(row | dict(zip(cells["title"], -residual[0], strict=True)))
    return pd.DataFrame(rows, columns=[*MEASURES, *SHOWN[network].values()])


def _nearer(both: Cells) -> float:
    """Return the log-likelihood of a detail minus the default's, in nats: the two readings of `both`."""
    of_detail, of_default = likelihood.log_likelihood(both)
    return float(of_detail - of_default)


def _accuracies(runs: pd.DataFrame, network: str, before: int) -> pd.DataFrame:
    """Return the accuracy before pruning, so many epochs before the last one of each run, and the run's detail.

    Runs under another ratio than the printed one are left out, since they are no details of training.
    """
    own = (runs["model"] + "_").str.startswith(f"{network}_") & (runs["protocol"].map(ratio_of) == PRINTED)
    last = runs[own & (runs["epoch"] == runs["epochs"] - before)].rename(columns={BEFORE.column: "accuracy"})
    kept = last["protocol"].str.startswith("stay zero") & (last["pruner"] != UNPRUNED)
    detail: pd.Series = last["model"].str.removeprefix(f"{network}_").str.replace("_", " ")
    return last.assign(detail=detail + np.where(kept, " kept", ""))[["detail", *KEY, "seed", "accuracy"]]


def _reference(base: pd.DataFrame, network: str, before: int) -> pd.DataFrame:
    """Return for each cell of SHOWN the paper's value, the variance of a run, and its title.

    Where the default has too few seeds for a variance, it is the median of the data set's cells.
    """
    accuracies = _accuracies(base[base["model"] == network], network, before).groupby(KEY)["accuracy"]
    variances = accuracies.var()[accuracies.size() >= FEWEST]
    cells = pd.Series(paper_values(), name="paper").rename_axis(CELL).xs(network, level="model").reset_index()
    cells["title"] = [SHOWN[network].get(cell) for cell in zip(cells["pruner"], cells["target_sparsity"], strict=True)]
    cells = cells.dropna(subset="title").join(variances.rename("variance"), on=KEY)
    cells["variance"] = cells["variance"].fillna(cells["dataset"].map(variances.groupby("dataset").median()))
    return cells


def markdown(compared: pd.DataFrame) -> str:
    """Return a table for each data set, with the cells that one of its details ran in."""
    shown = compared[["detail", "seeds"]].rename(columns={"detail": "Detail", "seeds": "Seeds"})
    for title in compared.columns.difference([*MEASURES, "nearer_before"], sort=False):
        differences = compared[title].round(4) + 0.0  # a zero has no minus
        shown[title] = differences.map("{:+.4f}".format, na_action="ignore").astype(object).fillna("")
    shown["Distance"] = compared["rms"].map("{:.4f}".format) + compared["default_rms"].map(" ({:.4f})".format)
    shown["Nearer by"] = _nearer_by(compared)
    shown["Without a cell"] = compared["least"].map("{:+.1f} to ".format) + compared["most"].map("{:+.1f}".format)
    parts = []
    for dataset in DATASETS:
        rows = shown[compared["dataset"] == dataset]
        ran = rows.columns[(rows != "").any()]
        if not rows.empty:
            parts.append(f"{display_name(dataset)}:\n\n{table_text(list(ran), rows[ran].to_numpy())}")
    if len(parts) > 1:
        parts.append(f"All data sets together:\n\n{together(compared)}")
    return "\n".join([*parts, f"{LEGEND}\n"])


def together(compared: pd.DataFrame) -> str:
    """Return one table of the nats: a line for each detail, by the lower of the sums at the two epochs."""
    sums = compared.groupby("detail")[["nearer_before", "nearer"]].sum()
    sums = sums.iloc[np.argsort(-sums.min(axis=1), kind="stable")]
    texts = _nearer_by(compared) + compared["seeds"].map(" ({})".format)
    by_dataset = compared.assign(text=texts).pivot(index="detail", columns="dataset", values="text").fillna("")
    datasets = [name for name in DATASETS if name in by_dataset]
    rows = [(detail, *by_dataset.T[detail][datasets], text) for detail, text in _nearer_by(sums).items()]
    return table_text(["Detail", *map(display_name, datasets), "Together"], rows)


def _nearer_by(rows: pd.DataFrame) -> pd.Series:
    """Return the nats at the last epoch but one and at the last as text."""
    return rows["nearer_before"].map("{:+.1f}".format) + " / " + rows["nearer"].map("{:+.1f}".format)
