"""What each task of a sweep on Slurm asks for: `hydra.launcher.slurm`, checked before anything is submitted."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from bayes_pruning.config.errors import ConfigError, one_of

SHORTEST_MINUTES = 5  # submitit has Slurm warn a task 90 s before its time is up, and Slurm may do so 60 s too early
WHOLE = {"timeout_min": SHORTEST_MINUTES, "max_timeouts": 0, "array_parallelism": 1}  # field: least value
WHOLE_OR_NULL = {"cpus_per_task": 1, "gpus_per_node": 0, "mem_gb": 1}


@dataclass(frozen=True)
class SlurmSettings:
    """Fields are explained in conf/hydra/launcher/stacked.yaml. Raises ConfigError for a value that is not accepted."""

    partition: str | None
    timeout_min: int
    max_timeouts: int
    cpus_per_task: int | None
    gpus_per_node: int | None
    mem_gb: int | None
    array_parallelism: int
    options: Mapping[str, Any]

    def __post_init__(self) -> None:
        for name, least in {**WHOLE, **WHOLE_OR_NULL}.items():
            value = getattr(self, name)
            if value is None and name in WHOLE_OR_NULL:
                continue
            if not isinstance(value, int) or isinstance(value, bool) or value < least:
                null = ", or null for the cluster's default" if name in WHOLE_OR_NULL else ""
                raise ConfigError(f"hydra.launcher.slurm.{name}", value, f"a whole number of at least {least}{null}")
        if not (self.partition is None or isinstance(self.partition, str)):
            raise ConfigError("hydra.launcher.slurm.partition", self.partition, "a name, or null")
        if not isinstance(self.options, Mapping):
            raise ConfigError("hydra.launcher.slurm.options", self.options, "options of sbatch by their names")

    def for_submitit(self) -> dict[str, Any]:
        """The same as submitit's `AutoExecutor.update_parameters` takes it; None is left out there."""
        # Since Slurm 22.05 srun no longer takes over this one of sbatch's options.
        srun = [] if self.cpus_per_task is None else [f"--cpus-per-task={self.cpus_per_task}"]
        return {
            "timeout_min": self.timeout_min,
            "cpus_per_task": self.cpus_per_task,
            "gpus_per_node": self.gpus_per_node,
            "mem_gb": self.mem_gb,
            "slurm_partition": self.partition,
            "slurm_array_parallelism": self.array_parallelism,
            "slurm_srun_args": srun,
            "slurm_additional_parameters": {"requeue": True, **self.options},
        }


def slurm_settings(values: Mapping[str, Any]) -> SlurmSettings:
    """The settings in `values`, the config's node. Raises ConfigError also for a field that there is not."""
    names = [field.name for field in fields(SlurmSettings)]
    if not isinstance(values, Mapping):
        raise ConfigError("hydra.launcher.slurm", values, f"the fields {one_of(names)}")
    for name in values:
        if name not in names:
            raise ConfigError(f"hydra.launcher.slurm.{name}", values[name], f"no such field, only {one_of(names)}")
    return SlurmSettings(**values)
