"""Say how far the runs of a sweep are, without training any (hydra/launcher=status, scripts/status.py)."""

from collections.abc import Sequence
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from hydra_plugins.bayes_pruning.composer import Composer


class StatusLauncher(Launcher):
    """Print every run that is training, cut short or failed, a bar for each data set and network, and counts."""

    checks_jobs = True  # it composes and checks them all: the sweeper need not do it before

    def __init__(self, **_: Any) -> None:
        """Take the settings of the launcher that trains, which an experiment or the command line may have."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.config = hydra_context, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bayes_pruning.config.errors import UserError
        from bayes_pruning.config.schema import run_config
        from bayes_pruning.runs import layout
        from bayes_pruning.runs.progress import bar

        composer = Composer(self.context.config_loader, self.config)
        folders, older = {}, ""
        for values in map(composer.values, job_overrides):
            run = run_config(values)
            folders[layout.folder_of(run, values["output_dir"])] = run
            if values["checkpoint_seconds"]:
                older = " (its checkpoint may be older)"
        states: dict[str, int] = dict.fromkeys(("finished", "training", "cut short", "failed", "missing"), 0)
        rows: dict[str, list[int]] = {}  # of Table 1: epochs that are done, epochs in all
        for folder, run in folders.items():
            row = rows.setdefault(f"{run.dataset['name']} {run.model['name']}", [0, 0])
            state, done = "missing", 0
            if layout.is_finished(folder):
                try:
                    layout.final_metrics(folder)
                    state, done = "finished", run.epochs
                except UserError as error:
                    state = "failed"
                    print(f"{folder} failed: {error}")
            elif reason := layout.failure(folder):
                state = "failed"
                print(f"{folder} failed: {reason}")
            elif folder.exists():
                at_work, done = layout.in_use(folder), layout.epochs_done(folder)
                state = "training" if at_work else "cut short"
                how = "is being trained, now" if at_work else "was cut short"
                print(f"{folder} {how} after epoch {done} of {run.epochs}{'' if at_work else older}")
            states[state] += 1
            row[0] += done
            row[1] += run.epochs
        for name, (done, total) in rows.items():
            print(bar(name, done, total))
        print(f"{len(folders)} runs: " + ", ".join(f"{count} {state}" for state, count in states.items()))
        return []
