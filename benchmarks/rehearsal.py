"""Load the first images of each data set, for rehearsals of scripts/gpu_session.sh: dataset.loader=rehearsal.mnist."""

from collections.abc import Callable
from pathlib import Path

from bayes_pruning.data import datasets
from bayes_pruning.data.datasets import Images

TRAIN, TEST = 192, 64
Loader = Callable[[Path], Images]


def _first_of(load: Loader) -> Loader:
    """Return a loader of the first images that `load` gives."""

    def few(root: Path) -> Images:
        images = load(root)
        train, test = (images.train_images, images.train_labels), (images.test_images, images.test_labels)
        return Images(*(part[:TRAIN] for part in train), *(part[:TEST] for part in test))

    return few


mnist, fashion_mnist, cifar10 = map(_first_of, (datasets.mnist, datasets.fashion_mnist, datasets.cifar10))
