"""Details of training that the paper leaves open (experiment=details), each held against Table 1 beside the default.

A detail is the name of a network (conf/experiment/details.yaml), with "kept" after it where masks are kept. It is
compared to the default, `fcn`, over the cells and seeds that both have, by the likelihood of likelihood.py with the
variances of the default's runs: details are run with one or two seeds, which have next to none of their own.
"""

import numpy as np
import pandas as pd

from bayes_pruning.results.paper import DATASETS, UNPRUNED, display_name, paper_values, percent
from bayes_pruning.results.statistics import FEWEST
from bayes_pruning.results.tables import markdown as table_text
from bayes_pruning.studies import likelihood
from bayes_pruning.studies.likelihood import Cells
from bayes_pruning.studies.table1 import BEFORE

DEFAULT = "fcn"
SHOWN = ((UNPRUNED, 0.0), ("random", 0.25), ("random", 0.5), ("random", 0.99), ("magnitude", 0.9), ("magnitude", 0.99))
LEGEND = (
    "Each cell: accuracy before pruning minus the paper's, mean over seeds. Distance: root mean square of these; the "
    "default's over the same cells and seeds in brackets. Nearer by: how many nats more likely the paper's values are "
    "than under the default, over these cells; below -3 the default has 95% of the weight of the two."
)
KEY = ["dataset", "pruner", "target_sparsity"]
MEASURES = ["dataset", "detail", "seeds", "rms", "default_rms", "nearer"]


def compare(runs: pd.DataFrame, base: pd.DataFrame) -> pd.DataFrame:
    """Compare each detail with the default, over the cells of SHOWN and the seeds that both have.

    Args:
        runs: of the experiment, with those of the default.
        base: the default's with several seeds a cell, for their variances.

    Return a row for each data set and detail, the nearest to the paper first, with the columns

        seeds: the most that a cell has.
        rms, default_rms: root mean square of our means minus the paper's values.
        nearer: log-likelihood minus the default's, in nats.
        a cell of SHOWN, by its title: our mean minus the paper's value.
    """
    last = _last_epochs(runs)
    default = last[last["detail"] == DEFAULT].drop(columns="detail")
    pairs = last[last["detail"] != DEFAULT].merge(default, on=[*KEY, "seed"], suffixes=("", "_default"))
    means = pairs.groupby(["detail", *KEY]).agg(
        seeds=("seed", "size"), ours=("accuracy", "mean"), default=("accuracy_default", "mean")
    )
    means = means.reset_index().merge(_reference(base), on=KEY)
    rows = []
    for (dataset, detail), cells in means.groupby(["dataset", "detail"]):
        residual = cells["paper"].to_numpy() - cells[["ours", "default"]].to_numpy().T
        variance = np.stack([cells["variance"]] * 2)
        own, of_default = likelihood.log_likelihood(Cells(residual, variance, variance / cells["seeds"].to_numpy()))
        rms = np.sqrt((residual**2).mean(-1))
        row = dict(zip(MEASURES, (dataset, detail, cells["seeds"].max(), *rms, own - of_default), strict=True))
        rows.append(row | dict(zip(cells["title"], -residual[0], strict=True)))
    compared = pd.DataFrame(rows, columns=[*MEASURES, *_titles()])
    return compared.sort_values("nearer", ascending=False, kind="stable", ignore_index=True)


def _last_epochs(runs: pd.DataFrame) -> pd.DataFrame:
    """Return the accuracy before pruning at the last epoch of each run, and the detail that the run is of."""
    last = runs[runs["epoch"] == runs["epochs"]].rename(columns={BEFORE.column: "accuracy"})
    kept = last["protocol"].str.startswith("stay zero") & (last["pruner"] != UNPRUNED)
    detail: pd.Series = last["model"].str.removeprefix(f"{DEFAULT}_").str.replace("_", " ") + np.where(
        kept, " kept", ""
    )
    return last.assign(detail=detail)[["detail", *KEY, "seed", "accuracy"]]


def _reference(base: pd.DataFrame) -> pd.DataFrame:
    """Return for each cell of SHOWN the paper's value, the variance of a run, and its title.

    Where the default has too few seeds for a variance, it is the median of the data set's cells.
    """
    accuracies = _last_epochs(base[base["model"] == DEFAULT]).groupby(KEY)["accuracy"]
    variances = accuracies.var()[accuracies.size() >= FEWEST]
    paper = {
        (dataset, pruner, sparsity): accuracy
        for (dataset, model, pruner, sparsity), accuracy in paper_values().items()
        if model == DEFAULT and (pruner, sparsity) in SHOWN
    }
    cells = pd.Series(paper, name="paper").rename_axis(KEY).reset_index()
    cells = cells.join(variances.rename("variance"), on=KEY)
    cells["variance"] = cells["variance"].fillna(cells["dataset"].map(variances.groupby("dataset").median()))
    return cells.assign(title=[_title(*cell) for cell in zip(cells["pruner"], cells["target_sparsity"], strict=True)])


def _titles() -> list[str]:
    return [_title(*cell) for cell in SHOWN]


def _title(pruner: str, sparsity: float) -> str:
    return display_name(pruner) if pruner == UNPRUNED else f"{display_name(pruner)} {percent(sparsity)}"


def markdown(compared: pd.DataFrame) -> str:
    """Return a table for each data set."""
    distances = compared["rms"].map("{:.4f}".format) + compared["default_rms"].map(" ({:.4f})".format)
    differences = {
        title: compared[title].map("{:+.4f}".format, na_action="ignore").astype(object).fillna("")
        for title in _titles()
    }
    shown = pd.DataFrame(
        {"Detail": compared["detail"], "Seeds": compared["seeds"]}
        | differences
        | {"Distance": distances, "Nearer by": compared["nearer"].map("{:+.1f}".format)}
    )
    parts = [
        f"{display_name(dataset)}:\n\n{table_text(list(shown.columns), rows.to_numpy())}"
        for dataset in DATASETS
        if not (rows := shown[compared["dataset"] == dataset]).empty
    ]
    return "\n".join([*parts, f"{LEGEND}\n"])
