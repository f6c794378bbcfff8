"""What the tests share: real digits, composed runs, and the command line called in this process.

The process that hands the tests to others loads this file too, before it starts them. It is kept quick to load: what
imports torch, pandas or Hydra is imported where it is used.
"""

from __future__ import annotations

import atexit
import copy
import gc
import os
import sys
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import needs
import pytest
from fixtures import unpack

if TYPE_CHECKING:
    import torch
    from omegaconf import DictConfig

    from bayes_pruning.config.schema import RunConfig
    from bayes_pruning.data.datasets import Dataset

ROOT = Path(__file__).resolve().parents[1]
QUIET = ("wandb.mode=disabled", "progress=none")
GROUPS = ("dataset", "model", "pruner", "protocol", "experiment")  # sparsity and seed are numbers as well
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}  # for processes that run side by side on few cores


def pytest_configure(config: pytest.Config) -> None:
    try:
        needs.required()
    except ValueError as error:
        raise pytest.UsageError(str(error)) from error
    gc.disable()  # until all that the tests import is there to stay


def pytest_collection_finish(session: pytest.Session) -> None:
    """Let no search for garbage look through all that was imported, which takes long, and let it be made seldom."""
    gc.freeze()
    gc.set_threshold(50_000)
    gc.enable()
    if not hasattr(session.config, "workerinput"):  # a process of xdist's leaves without a last search
        atexit.register(gc.unfreeze)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where there is no GPU one test stands for all that need one: it is skipped, or fails, once."""
    need_gpu = [item for item in items if any("gpu" in mark.args for mark in item.iter_markers("needs"))]
    if need_gpu and needs.why_not("gpu"):
        dropped = set(need_gpu[1:])
        config.hook.pytest_deselected(items=need_gpu[1:])
        items[:] = [item for item in items if item not in dropped]


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        for kind in mark.args:
            needs.need(kind)


@pytest.fixture(scope="session", autouse=True)
def _files_composed_once() -> Iterator[None]:
    from compositions import compose_once

    with pytest.MonkeyPatch.context() as patch:
        compose_once(patch)
        yield


@pytest.fixture(autouse=True)
def _no_hydra_left() -> Iterator[None]:
    from hydra.core.global_hydra import GlobalHydra

    yield
    GlobalHydra.instance().clear()


@lru_cache(maxsize=256)
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    from hydra import compose, initialize_config_dir

    from bayes_pruning.config.paths import conf_dir

    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        return compose("config", overrides=list(overrides))


def composed(*overrides: str) -> DictConfig:
    """The config that the command line would compose from `overrides`."""
    return copy.deepcopy(_composed(overrides))


def config_of(*overrides: str) -> DictConfig:
    """As `composed`, on the embedded digits, quicker.

    Hydra composes the choices of groups, which takes it a tenth of a second, once for all tests; single values are
    put into the result afterwards, as Hydra does too.
    """
    from omegaconf import OmegaConf

    chosen = [o for o in overrides if o.partition("=")[0] in GROUPS]
    values = [o.lstrip("+") for o in overrides if o not in chosen]
    config = composed("dataset=mnist_5k", *chosen)
    OmegaConf.set_struct(config, False)
    return OmegaConf.merge(config, OmegaConf.from_dotlist(values))


def run_of(*overrides: str) -> RunConfig:
    """The run that `overrides` describe, on the embedded digits."""
    from bayes_pruning.config.schema import run_config

    return run_config(config_of(*overrides))


@pytest.fixture(scope="session")
def cpu() -> torch.device:
    from bayes_pruning.engine import device

    return device.pick("cpu")


@pytest.fixture(scope="session")
def digits(cpu: torch.device) -> Dataset:
    """The embedded data set: 4,000 + 1,000 real digits."""
    from bayes_pruning.data import datasets

    return datasets.load(composed("dataset=mnist_5k").dataset, "unused", cpu)


@pytest.fixture(scope="session")
def few_digits(digits: Dataset) -> Dataset:
    """The first 500 + 200 of them, for tests that train many networks."""
    from bayes_pruning.data.datasets import Dataset, Split

    train, test = digits.train, digits.test
    return Dataset(Split(train.images[:500], train.labels[:500]), Split(test.images[:200], test.labels[:200]))


@pytest.fixture
def digits_only(few_digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few hundred digits instead of 5,000, for commands in this process."""
    monkeypatch.setattr("bayes_pruning.data.datasets.load", lambda *_: few_digits)


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[Any, str]]:
    """Call train.py's entry point with arguments; what it exits with (0 or None: fine) and what it printed.

    Without -m, Hydra composes the whole config twice, the first time only to see whether hydra.mode is set. No test
    sets it, so here it composes once; the real commands of test_cli.py do as they do.
    """
    from hydra._internal.hydra import Hydra
    from hydra.core.global_hydra import GlobalHydra

    from bayes_pruning import cli

    monkeypatch.setattr(Hydra, "get_mode", lambda *_, **__: None)

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
    from synthetic import call_script

    return call_script(monkeypatch, capsys)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published fixture's real runs of mnist_5k; do not write to them."""
    return unpack(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="session")
def real(folder: Path) -> Any:
    """Their frame."""
    from bayes_pruning.results import frame
    from bayes_pruning.results.selection import choose

    return choose(frame.load(folder).frame)
