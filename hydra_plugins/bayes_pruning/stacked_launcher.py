"""Launch all jobs of a sweep as a few stacks (hydra/launcher=stacked), each with its folder as if it had run alone."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from bayes_pruning.config.errors import ConfigError, RunFailed, UserError
from bayes_pruning.config.validation import CountOrNull, checked
from hydra_plugins.bayes_pruning._slurm_settings import slurm_settings
from hydra_plugins.bayes_pruning.composer import Composer, without_hydra


class StackedLauncher(Launcher):
    """Train a sweep as stacks of many runs: in workers on this machine (runs/workers.py), or on a cluster.

    conf/hydra/launcher/stacked.yaml explains the settings.
    """

    checks_jobs = True  # all of them, before the first starts; the sweeper asks (and can not ask for the class: Hydra's
    # search for plugins executes their modules anew)

    def __init__(
        self, max_members: int | None, workers: int | None, cluster: str | None, slurm: Mapping[str, Any]
    ) -> None:
        self.max_members, self.workers, self.cluster, self.slurm = max_members, workers, cluster, slurm

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Raise ConfigError for a setting that is not accepted; in __init__ Hydra would wrap it in its lines."""
        self.context, self.task_function, self.config = hydra_context, task_function, config
        for name, count in (("max_members", self.max_members), ("workers", self.workers)):
            checked(CountOrNull, count, f"hydra.launcher.{name}")
        if self.cluster not in (None, "slurm"):
            raise ConfigError("hydra.launcher.cluster", self.cluster, "slurm, or null for this machine")
        self.settings = slurm_settings(self.slurm)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        # torch takes seconds to import, and Hydra imports every plugin at its start
        from bayes_pruning.runs import sweep, workers
        from bayes_pruning.runs.progress import show
        from bayes_pruning.runs.train import Job

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        started, now = time.monotonic(), datetime.now()  # ${now:...} is the same for all runs
        OmegaConf.register_new_resolver("now", lambda pattern: now.strftime(pattern), replace=True)
        composer = Composer(self.context.config_loader, self.config)
        listening = bool(self.context.callbacks.callbacks)  # a callback sees every job's config, of skipped runs too
        configs: dict[int, DictConfig] = {}  # kept only for callbacks: each is about 0.1 MiB

        def compose(number: int) -> tuple[DictConfig, DictConfig]:
            """Return a job's config and Hydra's node, which are saved apart; the first call is the job's start."""
            config = configs.get(number)
            if config is None:
                config = self._start_job(composer.config(job_overrides[number]), initial_job_idx + number, jobs[number])
            if listening:
                configs[number] = config
            return without_hydra(config), OmegaConf.masked_copy(config, ["hydra"])

        sweep_config = HydraConfig.instance().cfg
        jobs = [Job(composer.values(job), partial(compose, number)) for number, job in enumerate(job_overrides)]
        try:
            here = partial(workers.run_sweep, workers=self.workers)
            run_sweep = self._on_slurm() if self.cluster == "slurm" else here
            outcomes = run_sweep(jobs, self.max_members)
            returns = []
            for number, job in enumerate(jobs):
                outcome = outcomes[job.folder]
                config, hydra = compose(number) if listening else (None, None)
                name = self.config.hydra.job.name
                result = JobReturn(list(job_overrides[number]), config, hydra, str(job.folder), name)
                failed = outcome.status == "failed"
                result.status = JobStatus.FAILED if failed else JobStatus.COMPLETED
                result.return_value = RunFailed(outcome.reason) if failed else str(outcome.folder)
                if listening:
                    self.context.callbacks.on_job_end(config=configs.pop(number), job_return=result)
                returns.append(result)
        finally:
            HydraConfig.instance().cfg = sweep_config
        show(sweep.summary(jobs, outcomes, time.monotonic() - started))
        return returns

    def _on_slurm(self) -> Any:
        """Return what takes the place of workers.run_sweep on a Slurm cluster."""
        try:
            from hydra_plugins.bayes_pruning import _slurm_sweep
        except ModuleNotFoundError as error:
            if error.name != "submitit":
                raise
            raise UserError("hydra.launcher.cluster=slurm needs the package submitit: pip install submitit.") from error
        return partial(_slurm_sweep.run_sweep, settings=self.settings)

    def _start_job(self, config: DictConfig, number: int, job: Any) -> DictConfig:
        """Note the job's number and folder in Hydra's node, as Hydra's own launchers do, and tell the callbacks.

        Interpolations are resolved, because a worker or another machine would resolve ${now:...} or ${hydra:...} anew.
        """
        with read_write(config), open_dict(config):
            config.update(job.values)
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
            config.hydra.runtime.output_dir = str(job.folder.absolute())
        HydraConfig.instance().set_config(config)
        self.context.callbacks.on_job_start(config=config, task_function=self.task_function)
        return config
