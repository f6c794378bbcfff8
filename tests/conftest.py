"""What the tests share: real digits, composed runs, and the command line called in this process."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

if not torch.cuda.is_available():  # before anything imports triton: its kernels then run on the CPU, slowly
    os.environ["TRITON_INTERPRET"] = "1"

from fixtures import unpack
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from synthetic import call_script

from bayes_pruning import cli, datasets, device, results
from bayes_pruning.config import RunConfig, run_config
from bayes_pruning.datasets import Dataset, Split
from bayes_pruning.paths import conf_dir
from bayes_pruning.readings import choose

ROOT = Path(__file__).resolve().parents[1]
QUIET = ("wandb.mode=disabled", "progress=none")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}  # for processes that run side by side on few cores


@pytest.fixture(autouse=True)
def _no_hydra_left() -> Iterator[None]:
    yield
    GlobalHydra.instance().clear()


def composed(*overrides: str) -> Any:
    """The config that the command line would compose from `overrides`."""
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def run_of(*overrides: str) -> RunConfig:
    """The run that `overrides` describe, on the embedded digits."""
    return run_config(composed("dataset=mnist_5k", *overrides))


@pytest.fixture(scope="session")
def cpu() -> torch.device:
    return device.pick("cpu")


@pytest.fixture(scope="session")
def digits(cpu: torch.device) -> Dataset:
    """The embedded data set: 4,000 + 1,000 real digits."""
    return datasets.load(composed("dataset=mnist_5k").dataset, "unused", cpu)


@pytest.fixture(scope="session")
def few_digits(digits: Dataset) -> Dataset:
    """The first 500 + 200 of them, for tests that train many networks."""
    train, test = digits.train, digits.test
    return Dataset(Split(train.images[:500], train.labels[:500]), Split(test.images[:200], test.labels[:200]))


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Call train.py's entry point with arguments; what it exits with (0 or None: fine) and what it printed."""

    def call(*arguments: str) -> tuple[Any, str]:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        GlobalHydra.instance().clear()
        code: Any = 0
        try:
            cli.main()
        except SystemExit as error:
            code = error.code
        return code, capsys.readouterr().out

    return call


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    """Call a script's entry point with arguments; see synthetic.call_script."""
    return call_script(monkeypatch, capsys)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published fixture's real runs of mnist_5k; do not write to them."""
    return unpack(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def real(folder: Path) -> Any:
    """Their frame."""
    return choose(results.load(folder).frame)
