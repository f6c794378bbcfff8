"""Load the first images of each data set, for rehearsals of scripts/gpu_session.sh: dataset.loader=rehearsal.mnist."""

from pathlib import Path

from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Images

TRAIN, TEST = 192, 64


def _few(images: Images) -> Images:
    train, test = (images.train_images[:TRAIN], images.train_labels[:TRAIN]), (images.test_images, images.test_labels)
    return Images(*train, *(tensor[:TEST] for tensor in test))


def mnist(root: Path) -> Images:
    """Load MNIST's first images."""
    return _few(datasets.mnist(root))


def fashion_mnist(root: Path) -> Images:
    """Load Fashion-MNIST's first images."""
    return _few(datasets.fashion_mnist(root))


def cifar10(root: Path) -> Images:
    """Load CIFAR-10's first images."""
    return _few(datasets.cifar10(root))
