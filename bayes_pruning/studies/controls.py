"""Controls for Bayes runs: the same run with a gate that opens as often, but at random (pruning.matched_rate).

If a Bayes method is better than its matched control, then the Bayes factor chose its epochs well; if not, only how
often it pruned mattered.
"""

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.results.run_records import read_folder
from bayes_pruning.runs.layout import is_finished
from bayes_pruning.runs.train import Job
from bayes_pruning.training.metrics import COLUMNS

GATE = "bayes_factor"
CONTROL = "matched_{selector}"  # a file of conf/pruner


def matched_job(folder: Path, settings: Mapping[str, Any]) -> Job | None:
    """The control of the finished Bayes run in `folder`; None if there is none such.

    Args:
        folder: of a run.
        settings: values that take the place of the run's, e.g. {"device": "cpu"}; none that change its numbers.
    """
    stored = folder / ".hydra" / "config.yaml"
    if not is_finished(folder) or not stored.exists():
        return None
    values: Any = OmegaConf.to_container(OmegaConf.load(stored), resolve=True)
    if values["pruner"]["gate"] != GATE:
        return None
    control = conf_dir() / "pruner" / f"{CONTROL.format(selector=values['pruner']['selector'])}.yaml"
    if not control.exists():
        return None
    place = COLUMNS.index("pruned")
    openings = sum(int(row[place]) for row in read_folder(folder).rows)
    return Job(*_with_pruner(values, control, openings, settings))


def _with_pruner(values: Mapping[str, Any], control: Path, openings: int, settings: Mapping[str, Any]) -> Any:
    changed = copy.deepcopy({**values, **settings})
    changed["pruner"] = OmegaConf.to_container(OmegaConf.load(control))
    changed["pruner"]["gate_options"]["openings"] = openings
    return changed, lambda: (OmegaConf.create(changed), None)
