"""Check what each task of a sweep on Slurm asks for (`hydra.launcher.slurm`) before anything is submitted."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from omegaconf import DictConfig, OmegaConf
from pydantic import ConfigDict, Field

from bayes_pruning.config.validation import Count, Whole, checked

SHORTEST_MINUTES = 5  # submitit has Slurm warn a task 90 s before its time is up, and Slurm may do so 60 s too early

CountOrDefault = Annotated[
    int | None,
    Field(strict=True, ge=1, description="a whole number of at least 1, or null for the cluster's default"),
]


@dataclass(frozen=True)
class SlurmSettings:
    """Hold what a task asks for; conf/hydra/launcher/stacked.yaml explains the fields."""

    __pydantic_config__ = ConfigDict(extra="forbid")
    partition: Annotated[str | None, Field(strict=True, description="a name, or null")]
    timeout_min: Annotated[
        int, Field(strict=True, ge=SHORTEST_MINUTES, description=f"a whole number of at least {SHORTEST_MINUTES}")
    ]
    max_timeouts: Whole
    cpus_per_task: CountOrDefault
    gpus_per_node: Annotated[
        int | None,
        Field(strict=True, ge=0, description="a whole number of at least 0, or null for the cluster's default"),
    ]
    mem_gb: CountOrDefault
    array_parallelism: Count
    options: Annotated[Mapping[str, Any], Field(description="options of sbatch by their names")]

    def for_submitit(self) -> dict[str, Any]:
        """Return the same as submitit's `AutoExecutor.update_parameters` takes it; None is left out there."""
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


def slurm_settings(values: Any) -> SlurmSettings:
    """Return the settings in the config's node. Raise ConfigError for a value that is not accepted."""
    plain = OmegaConf.to_container(values, resolve=True) if isinstance(values, DictConfig) else values
    return checked(SlurmSettings, plain, "hydra.launcher.slurm")
