"""The signals of mnist_1d.py, which the package mnist1d makes anew, and their picture."""

import pathlib
from typing import Any

import command_line
import drawing
import numpy as np

ORDERS = ("in order", "shuffled")
PUBLISHED = {  # by the data set's README, in both orders
    "logistic": (32, 32),
    "mlp": (68, 68),
    "cnn": (94, 56),
    "gru": (91, 57),
}


def load(shuffled: bool, validate: bool) -> Any:
    """`(x, labels)`, twice: for training, and for the test, or for validation.

    x is `(count, 40, 1)`, labels `(count,)`; for validation the last fifth of the training part
    takes the place of the test part. Shuffled, one permutation of the steps holds for all.
    """
    command_line.need("mnist1d")
    from mnist1d.data import get_dataset_args, make_dataset

    options: Any = get_dataset_args()
    options.shuffle_seq = shuffled
    made = make_dataset(options)
    train, test = (
        (made[x].astype(np.float32)[..., None], made[y].astype(np.int32))
        for x, y in (("x", "y"), ("x_test", "y_test"))
    )
    if not validate:
        return train, test
    cut = len(train[0]) * 4 // 5
    return tuple(a[:cut] for a in train), tuple(a[cut:] for a in train)


def draw(path: pathlib.Path, signals: Any, accuracies: Any, part: str) -> None:
    """Three signals in both orders, and the accuracies beside the published ones."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 4.2), layout="constrained")
    *panels, bars = figure.subplots(1, 3, width_ratios=(1, 1, 1.6))
    for axes, order, (x, labels) in zip(panels, ORDERS, signals, strict=True):
        for row, digit in enumerate((0, 3, 7)):
            axes.plot(x[labels == digit][0, :, 0] - 5 * row, color="black", linewidth=1)
            axes.text(-5, -5 * row, str(digit), fontsize=12, va="center")
        axes.set(title=f"three signals, {order}", xlabel="step", xlim=(-6, x.shape[1]), yticks=[])
    places = np.arange(len(accuracies))
    for k, (order, color) in enumerate(zip(ORDERS, ("#0072B2", "#E69F00"), strict=True)):
        at = places + 0.4 * k - 0.2
        drawn = bars.bar(at, [pair[k] for pair in accuracies.values()], 0.36, color=color)
        drawn.set_label(order)
        bars.bar_label(drawn, fmt="%.1f", label_type="center", color=("white", "black")[k])
        bars.plot(at, [PUBLISHED[name][k] for name in accuracies], "kD", markersize=6)
    bars.plot([], [], "kD", label="published")
    bars.set(ylabel=f"{part} accuracy (%)", xticks=places, ylim=(0, 118))
    bars.set_xticklabels(list(accuracies))
    bars.legend(frameon=False, ncols=3, loc="upper center")
    drawing.save(figure, path)
