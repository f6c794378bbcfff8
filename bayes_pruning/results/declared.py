"""Say what a run's pruner declares: whether it is unpruned, its classic twin, what of the protocol it reads.

It follows from the group `pruner` of a run's config, which folders, archives and W&B have alike. A config of an earlier
version names no twin: then it is that of the file of conf/pruner with the pruner's name.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import pandas as pd
from omegaconf import MISSING

from bayes_pruning.config import presets
from bayes_pruning.config.errors import UserError
from bayes_pruning.config.registry import GATES, SCHEDULES
from bayes_pruning.config.schema import UNPRUNED_GATE

PARTS = ("selector", "gate", "schedule")
NOTHING, MASKS, ALL = "nothing", "masks", "all"  # of a protocol: MASKS is whether pruned weights may grow again


@dataclass(frozen=True)
class Declared:
    """Hold what is declared of a pruner."""

    unpruned: bool = False
    twin: str = ""  # the classic pruner that it is compared with, empty if it has none
    reads: str = ALL  # what of the protocol its networks depend on: NOTHING, MASKS or ALL


def of_config(pruner: Mapping[str, Any]) -> Declared:
    """Return what the group `pruner` of a run's config says."""
    twin = pruner["twin"] if "twin" in pruner else by_name().get(str(pruner["name"]), Declared()).twin
    if pruner["gate"] == UNPRUNED_GATE:
        return Declared(True, twin or "", NOTHING)
    try:
        gate, schedule = GATES.declared(pruner["gate"]), SCHEDULES.declared(pruner.get("schedule") or "constant")
        reads_all = gate.reads_bayes_factor or gate.of_a_reading or schedule.reads_bayes_factor
    except UserError:  # a user's function that is not here
        reads_all = True
    return Declared(False, twin or "", ALL if reads_all else MASKS)


@lru_cache(maxsize=1)
def by_name() -> dict[str, Declared]:
    """Return what the files of conf/pruner declare, by the pruner's name."""
    return {name: of_config({"twin": None} | values) for name, values in _files().items()}


@lru_cache(maxsize=1)
def _files() -> dict[str, dict[str, Any]]:
    """Return the fields of the files of conf/pruner, by the pruner's name."""
    return {values["name"]: values for values in map(presets.file_values, presets.files("pruner"))}


def controls() -> list[tuple[str, str]]:
    """Return each control of conf/pruner, and the Bayes pruner that is compared with it."""
    return [(name, values["control_of"]) for name, values in _files().items() if values.get("control_of")]


def unfinished() -> set[str]:
    """Return the pruners whose files of conf/pruner leave an option to the user: their names alone train nothing."""
    options = {name: [file.get(f"{part}_options") or {} for part in PARTS] for name, file in _files().items()}
    return {name for name, parts in options.items() if any(MISSING in part.values() for part in parts)}


def twins(frame: pd.DataFrame | None = None) -> dict[str, str]:
    """Return the classic twin of each pruner that has one: of conf/pruner, and of the runs of a frame."""
    pairs = {name: declared.twin for name, declared in by_name().items()}
    if frame is not None:
        of_runs = frame.loc[frame["twin"] != "", ["pruner", "twin"]].drop_duplicates()
        pairs |= dict(zip(of_runs["pruner"], of_runs["twin"], strict=True))
    return {name: twin for name, twin in pairs.items() if twin}
