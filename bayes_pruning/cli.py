"""Serve the command line: Hydra composes a config, and one run (or each job of a sweep) trains from it."""

import os
import sys
from contextlib import closing
from typing import Any

import hydra
import yaml
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, read_write
from omegaconf.errors import InterpolationResolutionError, OmegaConfBaseException

from bayes_pruning.config.errors import RunFailed, UserError, end_with_closed_output
from bayes_pruning.config.paths import conf_dir


def train(config: DictConfig) -> str:
    """Train the run that `config` describes; return its folder's path. Raise UserError if it can not be trained."""
    from bayes_pruning.runs import layout
    from bayes_pruning.runs.progress import Display, describe, show
    from bayes_pruning.runs.train import Clock, job_of, train_stack

    whole: Any = HydraConfig.instance().cfg  # None outside Hydra
    hydra_node = None if whole is None else OmegaConf.masked_copy(whole, ["hydra"])  # as Hydra saves it
    job = job_of(config, hydra_node)
    if hydra_node is not None:
        with read_write(hydra_node.hydra.runtime):
            hydra_node.hydra.runtime.output_dir = str(job.folder.absolute())
    done = layout.epochs_done(job.folder)
    with closing(Display(config.progress, total=job.run.epochs, done=done)) as display:
        [outcome] = train_stack([job], display, Clock(config.max_minutes))
    if outcome.status == "failed":
        raise RunFailed(f"{outcome.folder} failed: {outcome.reason}.")
    if outcome.status == "skipped":
        show(f"{outcome.folder} is finished already; remove it to train it again.")
    elif outcome.status == "stopped":
        show(f"{outcome.folder} stopped: {outcome.reason}. The same command goes on from there.")
    elif outcome.metrics is not None:
        show(f"{outcome.folder} is finished: {describe(outcome.metrics, job.run.epochs)}")
    return str(outcome.folder)


def check_is_one_run(hydra_config: Any) -> None:
    """Raise UserError if an experiment's grid has fields that the command line leaves open: it needs -m."""
    grids = [hydra_config.sweeper.get("params") or {}, *(hydra_config.sweeper.get("grids") or [])]
    given = {override.split("=")[0] for override in hydra_config.overrides.task}
    if left := [field for field in dict.fromkeys(field for grid in grids for field in grid) if field not in given]:
        experiment = f"experiment={hydra_config.runtime.choices.get('experiment')}"
        raise UserError(f"{experiment} is a grid over {', '.join(left)}: train it with -m, or give each of these here.")


def task(config: DictConfig) -> str:
    """Train a job of Hydra's. A lone run's UserError ends the program here, before Hydra adds lines to it."""
    hydra_config = HydraConfig.get()
    if hydra_config.mode != RunMode.RUN:
        return train(config)
    try:
        check_is_one_run(hydra_config)
        return train(config)
    except UserError as error:
        sys.exit(str(error))


def main() -> None:
    """Train as train.py and the installed command ask; errors that a user can mend are one sentence each."""
    os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach us whole, and any other keeps its stack trace
    try:
        hydra.main(version_base="1.3", config_path=str(conf_dir()), config_name="config")(task)()
        sys.stdout.flush()
    except BrokenPipeError:
        end_with_closed_output()
    except KeyboardInterrupt:
        print("Stopped; the same command goes on from the last finished epoch.", file=sys.stderr)
        sys.exit(130)
    except (yaml.YAMLError, InterpolationResolutionError) as error:
        sys.exit(f"The config can not be read: {' '.join(str(error).split())}.")
    except CompactHydraException as error:
        cause = f" {error.__cause__}" if isinstance(error.__cause__, OmegaConfBaseException) else ""
        sys.exit(f"{error}{cause}")
