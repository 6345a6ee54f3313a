"""The sequences of sequential_images.py: images read pixel by pixel, and their picture."""

import pathlib
from typing import Any, NamedTuple

import drawing
import image_data
import numpy as np
import spread

ORDERS = ("in order", "permuted")


class Sequences(NamedTuple):
    """xs `(orders, count, time, 1)`, from −1 to 1; labels `(count,)`."""

    xs: np.ndarray
    labels: np.ndarray


def load(folder: pathlib.Path) -> tuple[str, Sequences, Sequences, Sequences]:
    """A name, and the parts for training, validation and test.

    The validation part is cut off the end of the training part, and as large as the test part. In
    order, an image is read row by row; permuted, by one permutation for all images.
    """
    name, _, every, test = image_data.load(folder)
    cut = max(1, len(every.labels) - len(test.labels))
    train, valid = every.part(slice(cut)), every.part(slice(cut, None))
    return name, sequences(train), sequences(valid), sequences(test)


def sequences(images: image_data.Images) -> Sequences:
    """Every image in both orders.

    >>> two = image_data.Images(np.arange(8.0).reshape(2, 2, 2, 1) / 7, np.array([0, 1]))
    >>> xs, labels = sequences(two)
    >>> xs.shape, xs[0, 0, :, 0].round(2).tolist()
    ((2, 2, 4, 1), [-1.0, -0.71, -0.43, -0.14])
    >>> order = np.argsort(xs[1, 0, :, 0])
    >>> np.array_equal(xs[1][:, order], xs[0])
    True
    """
    rows = 2 * images.images.reshape(len(images.labels), -1, 1) - 1
    order = np.random.default_rng(0).permutation(rows.shape[1])
    return Sequences(np.stack([rows, rows[:, order]]), images.labels)


def draw(path: pathlib.Path, shown: Sequences, results: dict[str, Any]) -> None:
    """In each order three sequences, the training loss, and the test accuracy of every seed."""
    figure, axes = spread.grid(len(ORDERS), 3, (14, 3.6 * len(ORDERS)))
    time = shown.xs.shape[2]
    for k, (order, (left, middle, right)) in enumerate(zip(ORDERS, axes, strict=True)):
        for row, label in enumerate((0, 3, 7)):
            x = shown.xs[k, np.argmax(shown.labels == label), :, 0]
            left.plot(x - 3 * row, color="black", linewidth=1)
            left.text(-0.06 * time, -3 * row, str(label), va="center")
        left.set(title=f"three images, {order}", xlabel="step", yticks=[])
        left.set_xlim(-0.08 * time, time)
        for row, (cell, color) in enumerate(zip(results, spread.COLORS, strict=False)):
            result = results[cell][k]
            spread.curves(middle, result.losses, cell, color, each=False)
            right.plot(result.scores, np.full(len(result.scores), row), "o", color=color, alpha=0.4)
            right.plot(np.median(result.scores), row, "|", color=color, markersize=16)
        middle.set(title=f"training loss, {order}", xlabel="update", ylabel="nats", yscale="log")
        middle.legend(frameon=False)
        right.set(title=f"test, {order}: every seed, and the median", xlabel="% right")
        right.set(yticks=range(len(results)), yticklabels=list(results), ylim=(len(results), -1))
    drawing.save(figure, path)
