"""What is published from the archive of schedules (experiment=schedules): tables and figure of exactly sparse networks.

The counterpart of publication.Publication, for docs/bayesian_schedule.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from bayes_pruning.figures import catalogue
from bayes_pruning.figures.style import STYLES
from bayes_pruning.results import frame
from bayes_pruning.results.selection import choose
from bayes_pruning.studies import exact_sparsity_tables
from bayes_pruning.studies.exact_sparsity_figure import schedules
from bayes_pruning.studies.publication import origin

PROTOCOL = "kept"  # the preset that all its pruners follow


@dataclass(frozen=True)
class ScheduleStudy:
    """The runs of an archive, and what is made of them."""

    archive: Path

    @cached_property
    def runs(self) -> pd.DataFrame:
        """Those that keep their masks, with the number of their prunable weights."""
        found = choose(frame.load(self.archive).frame, PROTOCOL)
        weights = {run: about["prunable_weights"] for run, about in self.summaries.items()}
        return found.assign(**{exact_sparsity_tables.WEIGHTS: found["run"].map(weights)})

    @cached_property
    def summaries(self) -> Mapping[str, Any]:
        """Each run's summary.json, by its name."""
        return frame.load_summaries(self.archive)

    def texts(self) -> dict[str, str]:
        """The text files beside the archive, by name."""
        parts = {
            "Accuracy after pruning": exact_sparsity_tables.accuracies(self.runs),
            "Minus gradual magnitude pruning": exact_sparsity_tables.differences(self.runs),
            "Minus gradual magnitude pruning over all layers together": self._minus_global(),
            "What the Bayes factor adds": exact_sparsity_tables.brake(self.runs),
            "Targets": exact_sparsity_tables.targets_table(self.runs),
        }
        return {"schedules.md": "\n".join(f"### {title}\n\n{text}" for title, text in parts.items())}

    def _minus_global(self) -> str:
        return exact_sparsity_tables.differences(self.runs, "gradual_global", ("gradual_evidence", "bayes_schedule"))

    def pictures(self) -> dict[str, bytes]:
        """The figure, by file name."""
        style = STYLES["paper"]
        drawn = schedules(self.runs, style)
        return {f"schedules.{suffix}": catalogue.render(drawn, style, suffix) for suffix in ("pdf", "png")}

    def blocks(self) -> dict[str, Callable[[], str]]:
        """What pages may quote, by name."""
        return {
            "origin": lambda: origin(self.runs, self.summaries),
            "schedules": lambda: exact_sparsity_tables.accuracies(self.runs),
            "schedule-differences": lambda: exact_sparsity_tables.differences(self.runs),
            "schedule-differences-global": self._minus_global,
            "schedule-brake": lambda: exact_sparsity_tables.brake(self.runs),
            "schedule-targets": lambda: exact_sparsity_tables.targets_table(self.runs),
        }
