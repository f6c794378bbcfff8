"""Make everything that is published from archives of runs, so that one command rebuilds it and CI can compare.

There are two studies: that of the paper, for docs/reproduction.md, and that of exactly sparse networks, for
docs/bayesian_schedule.md. Beside the archives lie the tables, the claims, the ranking and the figures. Pages that
quote them have blocks between `<!-- begin NAME -->` and `<!-- end NAME -->`, which are filled here: no number is copied
by hand.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_pruning.config.errors import UserError
from bayes_pruning.figures import catalogue
from bayes_pruning.figures.style import STYLES
from bayes_pruning.results import archive, frame
from bayes_pruning.results.paper import DATASETS, MODELS, SEEDS
from bayes_pruning.results.run_records import counted
from bayes_pruning.results.selection import choose, lengths, of_length
from bayes_pruning.results.tables import markdown
from bayes_pruning.runs.files import write_file
from bayes_pruning.studies import details, exact_sparsity, formats, ranking_formats, replay
from bayes_pruning.studies.claims import verdicts
from bayes_pruning.studies.ranking_formats import Ranking

PROTOCOL = "paper"  # the preset that table, figures and claims are of
NOT_RUN = "Not run yet.\n"  # what a page quotes of runs that no archive holds
SCHEDULE_PROTOCOL = "kept"  # the preset that all pruners of the study of schedules follow
CHANGES = (
    ("beta", 0.001), ("beta", 0.1), ("beta", 0.9), ("beta", 1.0),
    ("prior_std", 0.1), ("prior_std", 0.3), ("prior_std", 3.0), ("prior_std", 10.0),
    ("log_prior", "sum"), ("log_prior", "mean"), ("log_likelihood", "sum"), ("log_likelihood", "mean"),
    ("ratio", "unpruned_over_pruned"), ("ratio", "of_logs"),
)  # fmt: skip
# The tables of the study of schedules by the name of the block that quotes them, each with its title.
SCHEDULE_TABLES: Mapping[str, tuple[str, Callable[[pd.DataFrame], str]]] = {
    "schedules": ("Accuracy after pruning", exact_sparsity.accuracies),
    "schedule-differences": ("Minus gradual magnitude pruning", exact_sparsity.differences),
    "schedule-differences-global": (
        "Minus gradual magnitude pruning over all layers together",
        partial(exact_sparsity.differences, reference="gradual_global", methods=("gradual_evidence", "bayes_schedule")),
    ),
    "schedule-brake": ("What the Bayes factor adds", exact_sparsity.brake),
    "schedule-targets": ("Targets", exact_sparsity.targets_table),
}


def load_methods(paths: Sequence[Path]) -> pd.DataFrame:
    """Return the runs of all archives without those of the methods that the study of schedules compares."""
    runs = frame.load_archives(paths).frame
    return runs[~runs["pruner"].isin(exact_sparsity.METHODS)].reset_index(drop=True)


@dataclass(frozen=True)
class Publication:
    """Hold the study of the paper: its runs, and what is made of them.

    `further` are archives with none of the paper's five seeds. Claims are judged on them too; Table 1, its figures and
    the ranking are not made of them.
    """

    archives: Sequence[Path]  # of the paper's methods under all readings, and of their controls
    schedules: Sequence[Path] = ()  # of experiment=schedules, whose unpruned networks count too
    details: Sequence[Path] = ()  # of experiment=details, if it was run
    further: Sequence[Path] = ()

    @property
    def sources(self) -> tuple[Path, ...]:
        """Return the archives of which runs are taken. The first that holds a run counts."""
        return (*self.archives, *self.schedules)

    @cached_property
    def all_runs(self) -> pd.DataFrame:
        """Return the runs of all readings."""
        return load_methods(self.sources)

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Return the runs of the default reading."""
        return choose(self.all_runs, PROTOCOL)

    @cached_property
    def all_seeds(self) -> pd.DataFrame:
        """Return the runs of all readings and those of further seeds."""
        return load_methods([*self.sources, *self.further])

    @cached_property
    def judged(self) -> pd.DataFrame:
        """Return the runs that claims are judged on: those of the default reading with all their seeds."""
        return choose(self.all_seeds, PROTOCOL)

    @cached_property
    def ranking(self) -> Ranking:
        """Return the ranking of all readings that have as many epochs as the default one."""
        return ranking_formats.ranking_of(of_length(self.all_runs, int(self.runs["epochs"].iloc[0])))

    @cached_property
    def findings(self) -> list[verdicts.Finding]:
        """Return the claims under the default reading."""
        return verdicts.check(self.judged)

    @cached_property
    def summaries(self) -> Mapping[str, Any]:
        """Return each run's summary.json, by its name."""
        return frame.load_summaries(*self.sources, *self.further)

    @cached_property
    def compared_details(self) -> dict[str, pd.DataFrame]:
        """Return each network's details of training beside its default, if any were run."""
        if not self.details:
            return {}
        found = frame.load_archives(self.details).frame
        # The default of the CNN is the paper's row; that of the FCN ran again with its details.
        of_cnn = pd.concat([found, self.runs], ignore_index=True)
        compared = {
            "fcn": details.compare(found, self.runs),
            "cnn": details.compare(of_cnn, self.runs, "cnn"),
        }
        return {network: rows for network, rows in compared.items() if not rows.empty}

    def texts(self) -> dict[str, str]:
        """Return the text files beside the archive, by name."""
        seeds = (f"{name.upper()}:\n\n{formats.seeds_markdown(self.runs, name)}" for name in MODELS)
        texts = {f"table1{suffix}": render(self.runs, True) for suffix, render in formats.FORMATS.values()} | {
            "seeds.md": "\n".join(seeds),
            "claims.md": verdicts.as_markdown(self.findings, self.judged),
            "claims.json": verdicts.as_json(self.findings, self.judged),
            "readings.md": ranking_formats.markdown(self.ranking),
            "readings.csv": ranking_formats.csv_text(self.ranking),
            "coincidences.md": replay.coincidences(frame.load_ledgers(*self.sources), self.summaries, CHANGES),
        }
        of_details = {f"details_{name}.md": details.markdown(rows) for name, rows in self.compared_details.items()}
        return texts | of_details

    def pictures(self) -> dict[str, bytes]:
        """Return the figures that the runs allow, by file name."""
        style = STYLES["paper"]
        plates = [plate for plate in catalogue.catalogue() if plate.can_be_drawn(self.runs)]
        drawn = {plate.name: plate.figure(self.runs, style) for plate in plates}
        drawn["readings"] = ranking_formats.figure(self.ranking, style)
        return {
            f"{name}.{suffix}": catalogue.render(figure, style, suffix)
            for name, figure in drawn.items()
            for suffix in ("pdf", "png")
        }

    def blocks(self) -> dict[str, Callable[[], str]]:
        """Return what pages may quote, by name."""
        rows: dict[str, Callable[[], str]] = {
            f"row-{dataset}-{model}": partial(formats.row_markdown, self.runs, dataset, model)
            for model in MODELS
            for dataset in DATASETS
        }
        return rows | {
            "origin": lambda: origin(self.all_seeds, self.summaries),
            "seeds": lambda: formats.seed_counts(self.all_runs, PROTOCOL),
            "ranking": lambda: ranking_formats.overview_table(self.ranking, PROTOCOL),
            "claim-counts": lambda: ranking_formats.claims_table(self.ranking),
            "claims-contrary": lambda: ranking_formats.contrary_claims_table(self.ranking),
            "claims": self.by_statement,
            **{f"details-{network}": partial(self.details_together, network) for network in MODELS},
        }

    def details_together(self, network: str) -> str:
        """Return the details of a network's training over all data sets."""
        if network not in self.compared_details:
            return NOT_RUN
        return f"{details.together(self.compared_details[network])}\n{details.TOGETHER}\n"

    def by_statement(self) -> str:
        """Return where each of the paper's statements holds, fails and is undecided."""
        places: dict[str, dict[str, list[str]]] = {}
        for found in self.findings:
            places.setdefault(found.statement, {}).setdefault(found.verdict.outcome, []).append(found.where)
        rows = [
            (statement, *("; ".join(of_outcome.get(outcome, [])) for outcome in verdicts.OUTCOMES))
            for statement, of_outcome in places.items()
        ]
        table = markdown(("The paper", *verdicts.OUTCOMES), rows)
        return f"{verdicts.summary(self.findings)}\n\n{table}"


@dataclass(frozen=True)
class ScheduleStudy:
    """Hold the study of exactly sparse networks (experiment=schedules): its runs, and what is made of them."""

    archives: Sequence[Path]

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Return the runs that keep their masks, with the number of their prunable weights.

        Raise UserError if none is of a method that the study compares.
        """
        runs = choose(frame.load_archives(self.archives).frame, SCHEDULE_PROTOCOL)
        if not runs["pruner"].isin(exact_sparsity.METHODS).any():
            raise UserError(
                f"{' and '.join(map(str, self.archives))} has no run of a pruner that the study of schedules compares: "
                f"{', '.join(exact_sparsity.METHODS)}."
            )
        weights = {run: about["prunable_weights"] for run, about in self.summaries.items()}
        return runs.assign(**{exact_sparsity.WEIGHTS: runs["run"].map(weights)})

    @cached_property
    def summaries(self) -> Mapping[str, Any]:
        """Return each run's summary.json, by its name."""
        return frame.load_summaries(*self.archives)

    def texts(self) -> dict[str, str]:
        """Return the text files beside the archive, by name."""
        titled = (f"### {title}\n\n{table(self.runs)}" for title, table in SCHEDULE_TABLES.values())
        return {"schedules.md": "\n".join(titled)}

    def pictures(self) -> dict[str, bytes]:
        """Return the figure, by file name."""
        style = STYLES["paper"]
        drawn = exact_sparsity.schedules(self.runs, style)
        return {f"schedules.{suffix}": catalogue.render(drawn, style, suffix) for suffix in ("pdf", "png")}

    def blocks(self) -> dict[str, Callable[[], str]]:
        """Return what pages may quote, by name."""
        return {
            "origin": lambda: origin(self.runs, self.summaries),
            **{name: partial(table, self.runs) for name, (_, table) in SCHEDULE_TABLES.items()},
        }


def studies_in(folder: Path) -> tuple[Publication, ScheduleStudy]:
    """Return the two studies of the archives in a folder, which are sorted by what they hold, and then by name.

    An archive with a network that is none of the paper's is of details of training. One with a pruner that the study of
    schedules compares is of that study. Every other is of the study of the paper: of its claims alone if it has none of
    the paper's seeds.
    """
    paper, of_schedules, of_details, of_claims = [], [], [], []
    for path in sorted(folder.glob(f"*{archive.SUFFIX}")):
        summaries = frame.load_summaries(path).values()
        if any(summary["model"] not in MODELS for summary in summaries):
            of_details.append(path)
        elif any(summary["pruner"] in exact_sparsity.METHODS for summary in summaries):
            of_schedules.append(path)
        elif all(summary["seed"] not in SEEDS for summary in summaries):
            of_claims.append(path)
        else:
            paper.append(path)
    return Publication(paper, of_schedules, of_details, of_claims), ScheduleStudy(of_schedules)


def write(studies: Sequence[tuple[Publication | ScheduleStudy, Path | None]], out: Path) -> list[str]:
    """Write the texts and figures of studies to the folder `out`, and fill the page that quotes each, if any.

    A study without archives, and its page, are left as they are. Nothing is written before everything is made. Return a
    line on each study and page. Raise UserError if something can not be made or written.
    """
    made, lines = dict[Path, str | bytes](), list[str]()
    for study, page in studies:
        if not study.archives:
            lines.append(f"{out} has no archive for {page}, which is left as it is")
            continue
        texts, pictures = study.texts(), study.pictures()
        made |= {out / name: text for name, text in texts.items()}
        made |= {out / "figures" / name: data for name, data in pictures.items()}
        sources = ", ".join(map(str, study.archives))
        lines.append(f"{out}: {', '.join(texts)} and {len(pictures)} figures, from {sources}")
        if page is not None:
            made[page] = filled(page.read_text(encoding="utf-8"), study.blocks())
            lines.append(f"filled {page}")
    for path, content in made.items():
        write_file(path, content)
    return lines


def origin(runs: pd.DataFrame, summaries: Mapping[str, Any]) -> str:
    """Return what the runs are, and what they were made with: how many by each device and versions, if by several."""
    runs = runs.drop_duplicates("hash")
    of_runs = [summaries[run] for run in runs["run"]]
    made_with = Counter(
        f"on {summary['device']}, with " + ", ".join(f"{name} {number}" for name, number in summary["versions"].items())
        for summary in of_runs
    )
    setups = [f"{text} ({counted(n, 'run')})" if len(made_with) > 1 else text for text, n in sorted(made_with.items())]
    hours = sum(summary["wall_seconds"] for summary in of_runs) / 3600
    blocks = (runs["dataset"] + " " + runs["model"]).value_counts(sort=False)
    listed = ", ".join(f"{n} of {ranking_formats.block_name(str(block))}" for block, n in blocks.items())
    return (
        f"{len(runs)} runs of {lengths(runs)} epochs ({listed}), "
        f"{hours:.1f} hours of training in all, {'; '.join(setups)}.\n"
    )


def filled(page: str, blocks: Mapping[str, Callable[[], str]]) -> str:
    """Return a page with its blocks filled. Raise UserError for a block that there is none of."""

    def fill(match: re.Match[str]) -> str:
        name = match[1]
        if name not in blocks:
            raise UserError(f'There is no block "{name}" to fill: there are {", ".join(sorted(blocks))}.')
        return f"<!-- begin {name} -->\n\n{blocks[name]()}\n<!-- end {name} -->"

    return re.sub(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->", fill, page, flags=re.DOTALL)
