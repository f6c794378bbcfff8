"""hydra/launcher=stacked: all jobs of a sweep as a few stacks, each job with its own folder as if it had run alone."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from bayes_pruning.errors import ConfigError, RunFailed
from hydra_plugins.bayes_pruning.composer import Composer, without_hydra


class StackedLauncher(Launcher):
    """Trains a sweep in this process (bayes_pruning.sweep), many runs at a time.

    Args:
        max_members: of a stack; None chooses by the memory at hand.
    """

    def __init__(self, max_members: int | None) -> None:
        if max_members is not None and (not isinstance(max_members, int) or max_members < 1):
            raise ConfigError("hydra.launcher.max_members", max_members, "a whole number of at least 1, or null")
        self.max_members = max_members

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.context, self.task_function, self.config = hydra_context, task_function, config

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        from bayes_pruning import sweep  # torch takes seconds to import, and Hydra imports every plugin at its start
        from bayes_pruning.execute import FAILED, Job

        setup_globals()
        configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
        started = time.monotonic()
        composer = Composer(self.context.config_loader, self.config)
        configs: dict[int, DictConfig] = {}

        def compose(number: int) -> tuple[DictConfig, DictConfig]:
            """A job's config and Hydra's node; its first call is the job's start."""
            if number not in configs:
                configs[number] = self._start_job(
                    composer.config(job_overrides[number]), initial_job_idx + number, jobs[number]
                )
            return _split(configs[number])

        jobs = [Job(composer.values(job), partial(compose, number)) for number, job in enumerate(job_overrides)]
        own = HydraConfig.instance().cfg
        try:
            outcomes = sweep.run_sweep(jobs, self.max_members)
            returns = []
            for number, job in enumerate(jobs):
                outcome = outcomes[job.folder]
                config, hydra = compose(number)
                result = JobReturn(list(job_overrides[number]), config, hydra, str(job.folder), hydra.hydra.job.name)
                result.status = JobStatus.FAILED if outcome.status == FAILED else JobStatus.COMPLETED
                result.return_value = RunFailed(outcome.reason) if outcome.status == FAILED else str(outcome.folder)
                self.context.callbacks.on_job_end(config=configs[number], job_return=result)
                returns.append(result)
        finally:
            HydraConfig.instance().cfg = own
        print(sweep.summary(jobs, outcomes, time.monotonic() - started))
        return returns

    def _start_job(self, config: DictConfig, number: int, job: Any) -> DictConfig:
        """Note the job's number and folder in Hydra's node, as Hydra's own launchers do, and tell the callbacks."""
        with read_write(config), open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
            config.hydra.runtime.output_dir = str(job.folder.absolute())
        HydraConfig.instance().set_config(config)
        self.context.callbacks.on_job_start(config=config, task_function=self.task_function)
        return config


def _split(config: DictConfig) -> tuple[DictConfig, Any]:
    """A composed config as the job's own part and Hydra's node, which are saved apart."""
    return without_hydra(config), OmegaConf.masked_copy(config, ["hydra"])
