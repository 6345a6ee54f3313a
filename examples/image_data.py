"""The images of images.py: Fashion-MNIST where it is installed, scikit-learn's digits elsewhere."""

import pathlib
from typing import Any, NamedTuple

import command_line
import idx
import numpy as np

FASHION = pathlib.Path("/usr/share/datasets/fashion-mnist")
CLOTHES = (
    *("T-shirt", "trousers", "pullover", "dress", "coat"),
    *("sandal", "shirt", "sneaker", "bag", "boot"),
)
DIGITS = tuple("0123456789")
SOURCE = (
    "folder of Fashion-MNIST's four idx files, gzipped or not, as Debian's package "
    "dataset-fashion-mnist puts them there; where it is not installed, digits are learned"
)


class Images(NamedTuple):
    """images `(count, height, width, 1)`, from 0 to 1; labels `(count,)`."""

    images: np.ndarray
    labels: np.ndarray

    def part(self, which: Any) -> "Images":
        """Some of them."""
        return Images(self.images[which], self.labels[which])


def load(folder: pathlib.Path) -> tuple[str, tuple[str, ...], Images, Images]:
    """A name, the names of the classes, and the parts for training and test.

    Where the files cannot be read, the script ends; where Debian's package is merely not installed,
    it is the digits.
    """
    if folder == FASHION and not folder.is_dir():
        return "digits", DIGITS, *digits()
    try:
        pairs = [idx.read_pair(folder, part) for part in ("train", "t10k")]
    except (OSError, ValueError) as error:
        command_line.stop(f"{error}; --data takes the folder of Fashion-MNIST's four idx files")
    train, test = (_images(x, y, 255) for x, y in pairs)
    return "fashion_mnist", CLOTHES, train, test


def digits() -> tuple[Images, Images]:
    """1,437 and 360 of scikit-learn's digits; the split is always the same."""
    command_line.need("scikit-learn")
    from sklearn.datasets import load_digits

    found: Any = load_digits()
    every = _images(found.images, found.target, 16)
    order = np.random.default_rng(0).permutation(len(every.labels))
    return every.part(order[360:]), every.part(order[:360])


def _images(images: np.ndarray, labels: np.ndarray, white: int) -> Images:
    return Images(images[..., None].astype(np.float32) / white, labels.astype(np.int32))
