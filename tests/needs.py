"""What some tests need that not every machine has. Without it they are skipped, unless REQUIRE says that it is there.

    REQUIRE=slurm,chromium,data make test-slow

turns a skip for want of any of these into a failure, so that none can hide. `@pytest.mark.needs("gpu")` is how a test
says what it needs; `need("data")` is the same from inside a test or fixture.
"""

import os
import shutil
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import pytest
import slurm
from faults.small_disk import SmallDisk

ROOT = Path(__file__).resolve().parents[1]
DATA = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "cifar-10-batches-py"}  # torchvision's folders
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


def _data() -> str | None:
    missing = [name for name in DATA if data_root(name) is None]
    return f"no files of {', '.join(missing)} in DATA_ROOT or ./data" if missing else None


def _disk() -> str | None:
    try:
        with SmallDisk(kilobytes=4):
            return None
    except OSError as error:
        return f"no file system of our own: {error}"


def _ray() -> str | None:
    found = find_spec("hydra_plugins.hydra_ray_launcher")
    return None if found else "hydra-ray-launcher is not installed (pip install hydra-ray-launcher)"


def _gpu() -> str | None:
    import torch  # which the process that hands tests to others does not need

    return None if torch.cuda.is_available() else "no GPU that torch can use"


KINDS: dict[str, Callable[[], str | None]] = {  # why it can not be had, None if it can
    "gpu": _gpu,
    "slurm": slurm.why_not,
    "chromium": lambda: None if CHROMIUM else "there is no Chromium here (apt-get install chromium)",
    "data": _data,
    "disk": _disk,
    "ray": _ray,
}


@lru_cache
def data_root(name: str) -> Path | None:
    """A folder with torchvision's files of a data set, laid out by the machine."""
    places = [Path(os.environ.get("DATA_ROOT", ROOT / "data")), Path.home() / "data"]
    return next((place for place in places if (place / DATA[name]).exists()), None)


@lru_cache
def why_not(kind: str) -> str | None:
    return KINDS[kind]()


def required() -> set[str]:
    """Return the kinds that REQUIRE names. Raise ValueError for one that does not exist."""
    kinds = set(filter(None, os.environ.get("REQUIRE", "").split(",")))
    if unknown := kinds - KINDS.keys():
        raise ValueError(f"REQUIRE={','.join(sorted(unknown))} is not accepted: it takes {', '.join(KINDS)}")
    return kinds


def need(kind: str) -> None:
    """Skip the test that runs, or fail it if REQUIRE says that what it needs is there."""
    if reason := why_not(kind):
        if kind in required():
            pytest.fail(f"REQUIRE has {kind}, but: {reason}", pytrace=False)
        pytest.skip(f"needs {kind}: {reason}")


def real_files(name: str) -> Path:
    """`data_root` of a data set that the test needs."""
    if (found := data_root(name)) is None:
        need("data")
    assert found is not None
    return found
