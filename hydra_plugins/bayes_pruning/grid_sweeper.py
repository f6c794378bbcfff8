"""Sweep over the product of all choices, as Hydra's basic sweeper does, with three differences.

Every job is checked before anything is written, not composed once only to see whether that works; an experiment may
have several products; and all failures of a sweep are listed, not the first one raised.
"""

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, JobStatus
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig

from bayes_pruning.config.errors import ConfigError, RunFailed, UserError
from hydra_plugins.bayes_pruning.composer import Composer


class GridSweeper(Sweeper):
    """Run the product of all choices through the launcher. Raise RunFailed at the end if a job failed.

    Args:
        params: the choices of an experiment, one for each field.
        grids: further choices; the sweep is one product for each of these, one after the other, beside `params`.
    """

    def __init__(
        self, params: Mapping[str, str] | None = None, grids: Sequence[Mapping[str, str]] | None = None
    ) -> None:
        self.params, self.grids = params or {}, grids or [{}]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        self.loader, self.config = hydra_context.config_loader, config
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=hydra_context, task_function=task_function, config=config
        )

    def sweep(self, arguments: list[str]) -> Any:
        parser = OverridesParser.create(config_loader=self.loader)
        jobs: list[list[str]] = []
        overrides = parser.parse_overrides(arguments)
        given = {override.key_or_group for override in overrides}
        if any(override.key_or_group == "experiment" and override.is_sweep_override() for override in overrides):
            raise UserError(
                "experiment takes one name in a sweep, because its grid is the sweep: give a command for each."
            )
        for grid in self.grids:
            params = {field: values for field, values in {**self.params, **grid}.items() if field not in given}
            fields = [f"{field}={values}" for field, values in params.items()]
            jobs += _product(parser.parse_overrides([*fields, *arguments]))
        assert self.config is not None
        assert self.launcher is not None
        if not getattr(self.launcher, "checks_jobs", False):
            from bayes_pruning.config.schema import run_config

            composer = Composer(self.loader, self.config)
            for job in jobs:
                run_config(composer.values(job))
        results = self.launcher.launch(jobs, initial_job_idx=0)
        failed = [result for result in results if result.status == JobStatus.FAILED]
        if failed:
            raise RunFailed("\n".join([f"{len(failed)} of {len(results)} jobs failed:", *map(_reason, failed)]))
        return results


def _product(overrides: Sequence[Override]) -> list[list[str]]:
    """Return the jobs of one grid; a field that is given twice has the choices that come last."""
    choices: dict[str, list[str]] = {}
    for override in overrides:
        field = override.get_key_element()
        if not override.is_sweep_override():
            values = [override.get_value_element_as_str()]
        elif override.is_discrete_sweep():
            values = list(override.sweep_string_iterator())
        else:
            raise ConfigError(field, override.value(), "choices, a range or a glob, which alone can be crossed")
        if not values:
            raise ConfigError(field, override.get_value_string(), "choices, a range or a glob with one value or more")
        choices[field] = [f"{field}={value}" for value in values]
    return [list(job) for job in product(*choices.values())]


def _reason(result: JobReturn) -> str:
    error = result._return_value
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"  {' '.join(result.overrides or [])}: {kind}{error}"
