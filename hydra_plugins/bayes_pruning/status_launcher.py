"""Say how far the runs of a sweep are, without training any (hydra/launcher=status, scripts/status.py)."""

from collections import Counter
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
        states, done, total = Counter[str](), Counter[str](), Counter[str]()
        for folder, run in folders.items():
            state, epochs, said = layout.state_of(folder, run.epochs)
            if said:
                print(f"{folder} {said}{older if state == 'cut short' else ''}")
            row = f"{run.dataset['name']} {run.model['name']}"  # of Table 1
            states[state] += 1
            done[row] += epochs
            total[row] += run.epochs
        for row in total:
            print(bar(row, done[row], total[row]))
        print(f"{len(folders)} runs: " + ", ".join(f"{states[state]} {state}" for state in layout.STATES))
        return []
