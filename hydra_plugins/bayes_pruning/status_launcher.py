"""hydra/launcher=status: how far the runs of a sweep are, without training any (scripts/status.py)."""

import json
from collections.abc import Sequence

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.bayes_pruning.composer import Composer


class StatusLauncher(Launcher):
    """Prints a count of each state, and every run that failed with its reason."""

    checks_jobs = True  # it composes and checks them all: the sweeper need not do it before

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bayes_pruning.config.schema import run_config
        from bayes_pruning.runs import layout

        composer = Composer(self.context.config_loader, self.config)
        folders = {}
        for values in map(composer.values, job_overrides):
            run = run_config(values)
            folders[layout.folder_of(run, values["output_dir"])] = run
        states: dict[str, int] = dict.fromkeys(("finished", "cut short", "failed", "missing"), 0)
        for folder, run in folders.items():
            failure = folder / "failure.json"
            if layout.is_finished(folder):
                states["finished"] += 1
            elif failure.exists():
                states["failed"] += 1
                print(f"{folder} failed: {json.loads(failure.read_text())['reason']}")
            elif folder.exists():
                states["cut short"] += 1
                print(f"{folder} was cut short after epoch {layout.epochs_done(folder)} of {run.epochs}")
            else:
                states["missing"] += 1
        print(f"{len(folders)} runs: " + ", ".join(f"{count} {state}" for state, count in states.items()))
        return []
