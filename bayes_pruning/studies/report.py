"""Write one HTML page of all results: table, figures, claims, and what made them.

The page is one file that fetches nothing (its content policy forbids it): figures are SVG inside it, script and style
are a few lines each. It opens from disk, on a phone too.
"""

import base64
import math
import platform
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from bayes_pruning import __version__
from bayes_pruning.config import presets
from bayes_pruning.figures.catalogue import Plate, render
from bayes_pruning.figures.style import METHOD_LABELS, STYLES
from bayes_pruning.results.declared import unfinished
from bayes_pruning.results.frame import load_summaries
from bayes_pruning.results.paper import NAMES, UNPRUNED, Key, percent
from bayes_pruning.results.run_records import Incomplete, counted
from bayes_pruning.results.selection import lengths, protocols, setting
from bayes_pruning.results.statistics import Difference, Summary
from bayes_pruning.studies import table1
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.claims.rules import UNDECIDED
from bayes_pruning.studies.formats import MISSING

LIBRARIES = ("numpy", "pandas", "matplotlib", "scipy")


@dataclass(frozen=True)
class Entry:
    """Hold one cell of the table: what is shown, and what it is sorted by (empty where there is nothing)."""

    text: str
    key: str = ""


@dataclass(frozen=True)
class TableRow:
    """Hold one method at one sparsity; `missing` if it has no runs."""

    entries: tuple[Entry, ...]
    missing: bool


HEADER = (
    "Data set",
    "Network",
    "Method",
    "Sparsity asked",
    "Accuracy before pruning",
    "Accuracy after pruning",
    "Zeros after pruning",
    "Paper",
    "Before minus paper",
    "Bayes minus classic, before",
)


def page(
    frame: pd.DataFrame, plates: Sequence[Plate], incomplete: Incomplete, command: str, made_with: Sequence[str]
) -> str:
    """Return the whole page about runs of one protocol.

    It shows the plates that there are runs for, the runs left out, the `command` that was typed to make it, and the
    lines of `origins`.
    """
    findings = verdicts.check(frame)
    told = [(finding, verdicts.told(finding.verdict)) for finding in findings]
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template("report.html.j2").render(
        runs=frame["hash"].nunique(),
        setting=setting(frame),
        epoch=lengths(frame),
        incomplete=incomplete,
        header=HEADER,
        rows=table_rows(frame),
        pictures=[picture(frame, plate) for plate in plates if plate.can_be_drawn(frame)],
        absent=[plate for plate in plates if not plate.can_be_drawn(frame)],
        decided=[pair for pair in told if pair[0].verdict.outcome != UNDECIDED],
        undecided=[pair for pair in told if pair[0].verdict.outcome == UNDECIDED],
        outcomes=verdicts.counts(findings),
        summary=verdicts.summary(findings),
        how=verdicts.HOW,
        rules={finding.claim: finding.rule for finding in findings},
        command=command,
        sweep=sweep_command(frame),
        made_with=made_with,
        versions=f"bayes_pruning {__version__}, Python {platform.python_version()}, {libraries}",
    )


def table_rows(frame: pd.DataFrame) -> list[TableRow]:
    """Return a row of Table 1 for each method and sparsity, in the paper's order; those without runs as missing."""
    before, after = (table1.cells(frame, accuracy) for accuracy in table1.ACCURACIES)
    compared = table1.compare(frame, table1.twins(frame))
    paired = {key: differences["before"] for (key, _), differences in compared.items()}
    return [_row(key, cell, after[key], paired.get(key)) for key, cell in before.items()]


def _row(key: Key, before: table1.Cell, after: table1.Cell, difference: Difference | None) -> TableRow:
    dataset, model, method, sparsity = key
    entries = (
        *(Entry(NAMES.get(name, name), name) for name in (dataset, model)),
        Entry(METHOD_LABELS.get(method, method), method),
        Entry("none" if method == UNPRUNED else percent(sparsity), repr(sparsity)),
        _mean(before.ours),
        _mean(after.ours),
        Entry(MISSING) if after.sparsity is None else Entry(percent(after.sparsity, 1), repr(after.sparsity)),
        Entry("") if before.paper is None else Entry(f"{before.paper:.4f}", repr(before.paper)),
        Entry("") if before.difference is None else Entry(f"{before.difference:+.4f}", repr(before.difference)),
        Entry("") if difference is None else Entry(f"{difference} (n = {difference.n})", repr(difference.mean)),
    )
    return TableRow(entries, missing=before.ours is None)


def _mean(accuracy: Summary | None) -> Entry:
    if accuracy is None:
        return Entry(MISSING)
    spread = "" if math.isnan(accuracy.sd) else f" ± {accuracy.sd:.4f}"
    return Entry(f"{accuracy.mean:.4f}{spread} (n = {accuracy.n})", repr(accuracy.mean))


def picture(frame: pd.DataFrame, plate: Plate) -> dict[str, str]:
    """Draw a plate for print, as SVG; return its name, its title, its data URI and its words for who can not see it."""
    style = STYLES["paper"]
    data = base64.b64encode(render(plate.figure(frame, style), style, "svg")).decode()
    uri = f"data:image/svg+xml;base64,{data}"
    return {"name": plate.name, "title": plate.title, "uri": uri, "alt": plate.alt_text(frame)}


def sweep_command(frame: pd.DataFrame) -> str:
    """Return a sweep of train.py that has these runs, and any that are missing between them.

    Settings that the frame does not know, as a learning rate, are not in it. Pruners whose files leave an option to the
    user, as matched_random, are left out, and so is a protocol without name.
    """
    frame = frame[~frame["pruner"].isin(unfinished())]
    pruned = frame[frame["pruner"] != UNPRUNED]
    named = {presets.name_of(text) for text in protocols(pruned)} & set(presets.names().values()) - {presets.BASE}
    values = {
        "protocol": pd.Series(sorted(named), dtype=str),
        "dataset": frame["dataset"],
        "model": frame["model"],
        "pruner": frame["pruner"],
        "sparsity": pruned["target_sparsity"],
        "seed": frame["seed"],
        "epochs": frame.get("trained", frame["epochs"]),
    }
    listed = {name: ",".join(f"{value}" for value in sorted(column.unique())) for name, column in values.items()}
    return "python train.py -m " + " ".join(f"{name}={text}" for name, text in listed.items() if text)


def origins(source: str | Path, frame: pd.DataFrame) -> list[str]:
    """Return the versions, device and commit that made the runs, and how many runs each made.

    Of runs that come from another source than run folders and archives nothing is known here.
    """
    summaries, origins = load_summaries(source), Counter[str]()
    for about in (summaries[name] for name in sorted(set(frame["run"])) if name in summaries):
        versions = ", ".join(f"{name} {number}" for name, number in about.get("versions", {}).items())
        origins[f"{versions}; device {about.get('device')}; commit {about.get('git_commit') or 'unknown'}"] += 1
    return [f"{counted(n, 'run')}: {text}" for text, n in origins.most_common()]
