"""Give the scripts beside this file the command line's configs and data sets."""

from typing import Any

from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bayes_pruning.config.paths import conf_dir
from bayes_pruning.data.datasets import Dataset, Split


def compose_config(*overrides: str) -> Any:
    """Return a config as the command line composes it."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=["sparsity=0.9", "wandb.mode=disabled", *overrides])


def run_values(config: Any) -> dict[str, Any]:
    """Return a config as plain values."""
    plain: Any = OmegaConf.to_container(config, resolve=True)
    return dict(plain)


def part(data: Dataset, images: int) -> Dataset:
    """Return the first `images` training images and a sixth as many for the test; all for 0."""
    if not images:
        return data
    train, test = data.train, data.test
    return Dataset(
        Split(train.images[:images], train.labels[:images]),
        Split(test.images[: images // 6], test.labels[: images // 6]),
    )
