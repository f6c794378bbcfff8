"""The three data sets without the last fifth of their training images, as if it were held out for validation.

The paper speaks of a validation set and names no split (docs/reproduction.md, "Training details"). The test images stay
the same, and so do the mean and deviation of the pixels, which are those of all training images.

python train.py dataset=mnist dataset.loader=examples.fewer_images.mnist model.name=fcn_fewer_images
"""

from dataclasses import replace
from pathlib import Path

from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Images


def mnist(root: Path) -> Images:
    """Return MNIST with its first 48,000 training images."""
    return without_last_fifth(datasets.mnist(root))


def fashion_mnist(root: Path) -> Images:
    """Return Fashion-MNIST with its first 48,000 training images."""
    return without_last_fifth(datasets.fashion_mnist(root))


def cifar10(root: Path) -> Images:
    """Return CIFAR-10 with its first 40,000 training images."""
    return without_last_fifth(datasets.cifar10(root))


def without_last_fifth(images: Images) -> Images:
    """Return the same images without the last fifth of those to train on, in the order of the files."""
    kept = len(images.train_labels) * 4 // 5
    return replace(images, train_images=images.train_images[:kept], train_labels=images.train_labels[:kept])
