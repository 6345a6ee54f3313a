"""The signals of mnist_1d.py, which the package mnist1d makes anew: no file, no download."""

from typing import Any

import command_line
import numpy as np


def load(shuffled: bool, validate: bool) -> Any:
    """`(x, labels)`, twice: for training, and for the test, or for validation.

    x is `(count, 40, 1)`, labels `(count,)`; for validation the last fifth of the training part
    takes the place of the test part. Shuffled, one permutation of the steps holds for all.
    """
    try:
        from mnist1d.data import get_dataset_args, make_dataset
    except ImportError:
        command_line.stop("MNIST-1D is made by the package mnist1d: pip install mnist1d")
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
