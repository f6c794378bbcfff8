"""Everything that is published from one archive of runs, so that one command rebuilds it and CI can compare.

Beside the archive lie the table, the claims, the ranking and the figures. Pages that quote them (docs/reproduction.md)
have blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`, which are filled here: no number is copied by hand.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.figures import catalogue
from bayes_pruning.figures.style import STYLES
from bayes_pruning.pruning.decision import Decision
from bayes_pruning.results import frame
from bayes_pruning.results.paper import METHODS, UNPRUNED
from bayes_pruning.results.selection import choose
from bayes_pruning.results.tables import markdown
from bayes_pruning.runs.files import write_file
from bayes_pruning.studies import details, formats, ranking_formats, replay
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.claims.rules import UNDECIDED
from bayes_pruning.studies.details import Detail
from bayes_pruning.studies.ranking_formats import Ranking

PROTOCOL = "paper"  # the preset that table, figures and claims are of
CHANGES = (
    ("beta", 0.001), ("beta", 0.1), ("beta", 0.9), ("beta", 1.0),
    ("prior_std", 0.1), ("prior_std", 0.3), ("prior_std", 3.0), ("prior_std", 10.0),
    ("log_prior", "sum"), ("log_prior", "mean"), ("log_likelihood", "sum"), ("log_likelihood", "mean"),
    ("ratio", "unpruned_over_pruned"), ("ratio", "of_logs"),
)  # fmt: skip


@dataclass(frozen=True)
class Publication:
    """The runs of an archive, and what is made of them.

    Attributes:
        archive: of the paper's methods under all readings.
        beside: further archives, of which those runs are taken that are of the paper's methods and not in `archive`.
        details: an archive of experiment=details, if it was run.
    """

    archive: Path
    beside: tuple[Path, ...] = ()
    details: Path | None = None

    @cached_property
    def all_runs(self) -> pd.DataFrame:
        """Of all readings."""
        parts = [frame.load(self.archive).frame]
        for path in self.beside:
            runs = frame.load(path).frame
            known = {run for part in parts for run in part["hash"]}
            parts.append(runs[runs["pruner"].isin((UNPRUNED, *METHODS)) & ~runs["hash"].isin(known)])
        return pd.concat(parts, ignore_index=True)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Of the default reading."""
        return choose(self.all_runs, PROTOCOL)

    @cached_property
    def ranking(self) -> Ranking:
        """Of all readings."""
        return ranking_formats.ranking_of(self.all_runs)

    @cached_property
    def findings(self) -> list[verdicts.Finding]:
        """The claims under the default reading."""
        return verdicts.check(self.runs)

    @cached_property
    def summaries(self) -> Mapping[str, Any]:
        """Each run's summary.json, by its name."""
        return {run: made for path in (self.archive, *self.beside) for run, made in frame.load_summaries(path).items()}

    @cached_property
    def ledgers(self) -> Mapping[str, list[Decision]]:
        """The decisions of the runs whose gate is the paper's, by run name."""
        found = {run: rows for path in (self.archive, *self.beside) for run, rows in frame.load_ledgers(path).items()}
        return {run: rows for run, rows in found.items() if self.summaries[run]["pruner"] in METHODS}

    @cached_property
    def compared_details(self) -> list[Detail]:
        """The details of training beside the default, none if they were not run."""
        return [] if self.details is None else details.compare(frame.load(self.details).frame, self.runs)

    def texts(self) -> dict[str, str]:
        """The text files beside the archive, by name."""
        rendered = {f"table1{suffix}": render(self.runs, True, None) for suffix, render in formats.FORMATS.values()}
        return (
            rendered
            | {
                "claims.md": verdicts.as_markdown(self.findings, self.runs),
                "claims.json": verdicts.as_json(self.findings, self.runs),
                "readings.md": ranking_formats.markdown(self.ranking),
                "readings.csv": ranking_formats.csv_text(self.ranking),
                "coincidences.md": self.coincidences(),
            }
            | ({"details.md": details.markdown(self.compared_details)} if self.compared_details else {})
        )

    def pictures(self) -> dict[str, bytes]:
        """The figures that the runs allow, by file name."""
        style = STYLES["paper"]
        plates = [plate for plate in catalogue.catalogue() if plate.can_be_drawn(self.runs)]
        drawn = {plate.name: plate.figure(self.runs, style) for plate in plates}
        drawn["readings"] = ranking_formats.figure(self.ranking, style)
        return {
            f"{name}.{suffix}": catalogue.render(figure, style, suffix)
            for name, figure in drawn.items()
            for suffix in ("pdf", "png")
        }

    def coincidences(self) -> str:
        """Which other readings would have decided alike in every epoch."""
        return replay.coincidences(self.ledgers, self.summaries, CHANGES)

    def blocks(self) -> dict[str, Callable[[], str]]:
        """What pages may quote, by name."""
        found = {sheet.key: sheet for sheet in formats.sheets(self.runs, compared=True)}
        quoted: dict[str, Callable[[], str]] = {
            key: lambda sheet=sheet: formats.sheet_markdown(sheet, only_with_runs=True)  # type: ignore[misc]
            for key, sheet in found.items()
        }
        return quoted | {
            "origin": lambda: origin(self.all_runs, self.summaries),
            "ranking": lambda: ranking_formats.ranked_tables(self.ranking),
            "simulation": lambda: ranking_formats.simulation_table(self.ranking),
            "gates": lambda: ranking_formats.gates_table(self.ranking),
            "claim-counts": lambda: ranking_formats.claims_table(self.ranking),
            "claims-mixed": lambda: ranking_formats.mixed_claims_table(self.ranking),
            "claims": self.decided,
            "coincidences": self.coincidences,
            "details": lambda: details.markdown(self.compared_details) if self.compared_details else "Not run yet.\n",
        }

    def decided(self) -> str:
        """The claims that the runs decide, with their numbers."""
        rows = [
            (f.where, f.statement, f.verdict.outcome, "<br>".join(verdicts.told(f.verdict)))
            for f in self.findings
            if f.verdict.outcome != UNDECIDED
        ]
        table = markdown(("Where", "The paper", "Verdict", "Numbers"), rows)
        return f"{verdicts.summary(self.findings)}\n\n{table}"


def committed(folder: Path) -> Publication:
    """What is made of the archives in a folder; those that are not there yet are left out."""
    beside = (folder / "schedules.parquet", folder / "first_closed.parquet")
    more = folder / "details.parquet"
    return Publication(
        folder / "fcn.parquet", tuple(path for path in beside if path.exists()), more if more.exists() else None
    )


def write(study: Any, out: Path) -> str:
    """Write the texts and figures of a study to a folder and return a line on it. Raises UserError if it can not."""
    texts, pictures = study.texts(), study.pictures()
    for name, text in texts.items():
        write_file(out / name, text)
    for name, data in pictures.items():
        write_file(out / "figures" / name, data)
    return f"{out}: {', '.join(texts)} and {len(pictures)} figures, from {study.archive}"


def origin(runs: pd.DataFrame, summaries: Mapping[str, Any]) -> str:
    """What runs are, and what they were made with; `summaries` may have others too."""
    runs = runs.drop_duplicates("hash")
    abouts = [summaries[run] for run in runs["run"]]
    versions = sorted({", ".join(f"{k} {v}" for k, v in about["versions"].items()) for about in abouts})
    hours = sum(about["wall_seconds"] for about in abouts) / 3600
    counted = (runs["dataset"] + " " + runs["model"]).value_counts(sort=False)
    listed = ", ".join(f"{n} of {ranking_formats.block_name(str(block))}" for block, n in counted.items())
    return (
        f"{len(runs)} runs of {' or '.join(map(str, sorted(runs['epochs'].unique())))} epochs ({listed}), "
        f"{hours:.1f} hours of training in all, on {' or '.join(sorted({about['device'] for about in abouts}))}, "
        f"with {'; '.join(versions)}.\n"
    )


def filled(page: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """A page with its blocks filled. Raises UserError for a block that there is none of."""

    def fill(found: re.Match[str]) -> str:
        name = found[1]
        if name not in blocks:
            raise UserError(f'There is no block "{name}" to fill: there are {", ".join(sorted(blocks))}.')
        return f"<!-- begin {name} -->\n\n{blocks[name]()}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->", fill, page, flags=re.DOTALL)
