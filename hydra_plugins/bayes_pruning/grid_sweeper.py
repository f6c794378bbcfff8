"""The sweeper of this project: Hydra's basic one, but every job is checked before anything is written.

Hydra's own composes each job once only to see whether that works, and raises the first failure of a sweep; here a
launcher that composes anyway is not waited for, and all failures are listed.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.utils import JobReturn, JobStatus

from bayes_pruning.config.errors import RunFailed, UserError
from hydra_plugins.bayes_pruning.composer import Composer


class GridSweeper(BasicSweeper):
    """Runs the product of all choices through the launcher. Raises RunFailed at the end if a job failed.

    Args:
        max_batch_size: jobs launched at a time, None for all.
        params: the choices of an experiment, one for each field.
        grids: further choices; the sweep is one product for each of these, one after the other, beside `params`.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: Mapping[str, str] | None = None,
        grids: Sequence[Mapping[str, str]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)  # type: ignore[arg-type]
        self.grids = grids or [{}]

    def sweep(self, arguments: list[str]) -> Any:
        assert self.hydra_context is not None
        assert self.launcher is not None
        loader = self.hydra_context.config_loader
        parser = OverridesParser.create(config_loader=loader)
        jobs: list[list[str]] = []
        given = {override.key_or_group for override in parser.parse_overrides(arguments)}
        params = [choice for choice in self._parse_config() if choice.partition("=")[0] not in given]
        for grid in self.grids:
            fields = {field: values for field, values in grid.items() if field not in given}
            choices = [*params, *(f"{field}={values}" for field, values in fields.items()), *arguments]
            for part in self.split_arguments(parser.parse_overrides(choices), None):
                jobs += part
        size = self.max_batch_size or len(jobs)
        batches = [jobs[start : start + size] for start in range(0, len(jobs), size)]
        if not getattr(self.launcher, "checks_jobs", False):
            self._check(jobs)
        results: list[JobReturn] = []
        for batch in batches:
            results += self.launcher.launch(batch, initial_job_idx=len(results))
        failed = [result for result in results if result.status == JobStatus.FAILED]
        if failed:
            raise RunFailed("\n".join([f"{len(failed)} of {len(results)} jobs failed:", *map(_reason, failed)]))
        return results

    def _check(self, jobs: Sequence[Sequence[str]]) -> None:
        from bayes_pruning.config.schema import run_config

        assert self.hydra_context is not None
        assert self.config is not None
        composer = Composer(self.hydra_context.config_loader, self.config)
        for job in jobs:
            run_config(composer.values(job))


def _reason(result: JobReturn) -> str:
    error = result._return_value
    kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
    return f"  {' '.join(result.overrides or [])}: {kind}{error}"
