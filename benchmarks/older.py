"""Let a measurement import a checkout from before the package had folders, by the names of today."""

import importlib
import sys
from pathlib import Path
from types import ModuleType

NAMES = {  # module of today: its name when all modules lay in one folder
    "config.schema": "config",
    "config.paths": "paths",
    "data.datasets": "datasets",
    "engine.device": "device",
    "models.networks": "models",
    "training.trainer": "training",
}


def take_names(root: Path) -> None:
    """Make `bayes_pruning.config.schema` and the like importable from the checkout `root`, whatever its layout."""
    if (root / "bayes_pruning" / "config").is_dir():
        return
    for today, then in NAMES.items():
        package, _, name = today.partition(".")
        module = importlib.import_module(f"bayes_pruning.{then}")
        parent = sys.modules.setdefault(f"bayes_pruning.{package}", ModuleType(package))
        setattr(parent, name, module)
        sys.modules[f"bayes_pruning.{today}"] = module
