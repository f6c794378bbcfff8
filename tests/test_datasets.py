"""The data: what the config says of it, and files that are missing, altered or poisoned."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from conftest import ROOT, composed

from bayes_pruning import datasets
from bayes_pruning.datasets import LOADERS, pixel_statistics
from bayes_pruning.errors import ConfigError, UserError
from bayes_pruning.streams import data_order

PLACES = [Path(os.environ.get("DATA_ROOT", ROOT / "data")), Path.home() / "data"]


def real_files(name: str) -> Path:
    """A folder with torchvision's files of `name`, laid out by the machine; such tests need them."""
    folder = {"mnist": "MNIST", "fashion_mnist": "FashionMNIST", "cifar10": "cifar-10-batches-py"}[name]
    for place in PLACES:
        if (place / folder).exists():
            return place
    pytest.skip(f"no files of {name} in DATA_ROOT or ./data")


@pytest.mark.parametrize("name", ["mnist_5k", "mnist", "fashion_mnist", "cifar10"])
def test_the_configs_mean_and_deviation_are_those_of_the_training_images(name: str) -> None:
    root = Path("unused") if name == "mnist_5k" else real_files(name)
    config = composed(f"dataset={name}").dataset
    means, deviations = pixel_statistics(LOADERS.find(config.loader)(root).train_images)
    assert list(config["mean"]) == pytest.approx(means, abs=5e-7)
    assert list(config["std"]) == pytest.approx(deviations, abs=5e-7)


def test_pixel_statistics_of_a_case_by_hand() -> None:
    pixels = torch.tensor([[[[0, 255]], [[51, 51]]]], dtype=torch.uint8)
    means, deviations = pixel_statistics(pixels)
    assert means == pytest.approx([0.5, 0.2])
    assert deviations == pytest.approx([0.5, 0.0])


def test_images_are_normalised(digits: datasets.Dataset) -> None:
    assert digits.train.images.shape == (4000, 1, 28, 28)
    assert digits.test.images.shape == (1000, 1, 28, 28)
    assert digits.train.images.double().mean().item() == pytest.approx(0, abs=1e-5)
    assert digits.train.images.double().std().item() == pytest.approx(1, abs=1e-4)


def test_the_embedded_digits_are_split_without_overlap_or_loss() -> None:
    images = LOADERS.find("mnist_5k")(Path("unused"))
    labels = torch.cat([images.train_labels, images.test_labels])
    assert labels.bincount().tolist() == [500] * 10
    assert images.test_labels.bincount().min() > 70  # not sorted by class


def test_an_epoch_visits_every_example_once_in_an_order_of_its_own() -> None:
    first, second = data_order(0, 1, 1000), data_order(0, 2, 1000)
    assert sorted(first.tolist()) == list(range(1000))
    assert not torch.equal(first, second)
    assert not torch.equal(first, data_order(1, 1, 1000))
    assert torch.equal(first, data_order(0, 1, 1000))


def test_an_altered_file_is_refused_with_its_name(tmp_path: Path) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    (raw / "train-images-idx3-ubyte").write_bytes(b"\0\0\x08\x03truncated")
    with pytest.raises(UserError, match=r"train-images-idx3-ubyte is truncated or altered .* remove it"):
        LOADERS.find("mnist")(tmp_path)


def test_a_poisoned_pickle_is_never_opened(tmp_path: Path) -> None:
    class Poison:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "poisoned"),)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(pickle.dumps(Poison()))
    with pytest.raises(UserError, match="data_batch_1 is truncated or altered"):
        LOADERS.find("cifar10")(tmp_path)
    assert not (tmp_path / "poisoned").exists()


def test_missing_files_without_network_name_the_three_ways_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("urllib.request.urlopen", unreachable)
    with pytest.raises(UserError) as caught:
        LOADERS.find("fashion_mnist")(tmp_path)
    sentence = str(caught.value)
    assert "\n" not in sentence
    for part in ("FashionMNIST", str(tmp_path), "put torchvision's files", "get network", "dataset=mnist_5k"):
        assert part in sentence


def test_an_unknown_loader_lists_what_exists() -> None:
    with pytest.raises(ConfigError, match="cifar10, fashion_mnist, mnist or mnist_5k"):
        LOADERS.find("mnits")
