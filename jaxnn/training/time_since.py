"""How long ago each feature was observed; plain numpy, on the host."""

import numpy as np
import numpy.typing as npt

from jaxnn.internal.checks import shape_text
from jaxnn.training.checks import check_leaf


def elapsed(times: npt.ArrayLike, observed: npt.ArrayLike) -> np.ndarray:
    """The time since each feature was last observed, as `gru_d` takes it.

        δ_0 = 0;   δ_t = times_t − times_{t−1} + (0 where observed_{t−1}, else δ_{t−1})

    Before the first observation it is the time since the first step.

    Args:
      times: `(time, *batch)`, numbers that do not fall along time. The steps of a padded sequence
        have none: take those of the sequence, then pad.
      observed: boolean `(time, *batch, features)`, whether each feature was.

    Returns:
      δ, of the shape of observed and the dtype of times, or float32 where those are integers.

    Raises:
      TypeError: for times that are no real numbers, and observed that is not boolean.
      ValueError: for observed whose shape is not that of times and features, times that fall, or
        are not finite.

    Source: Che et al. 2018 (arXiv 1606.01865), section 2.1.

    >>> seen = np.array([[True, True], [False, True], [False, False], [True, True]])
    >>> elapsed(np.array([0.0, 0.5, 2.0, 2.5]), seen).tolist()
    [[0.0, 0.0], [0.5, 0.5], [2.0, 1.5], [2.5, 2.0]]
    """
    times, observed = np.asarray(times), np.asarray(observed)
    if times.dtype.kind not in "iuf":
        raise TypeError(f"elapsed: times must be real numbers, got {shape_text(times)}")
    check_leaf("elapsed", "times", times)
    if observed.dtype != bool:
        raise TypeError(f"elapsed: observed must be boolean, got {shape_text(observed)}")
    if times.ndim < 1 or observed.shape[:-1] != times.shape:
        raise ValueError(
            f"elapsed: observed must be (time, *batch, features) for times (time, *batch), got "
            f"{observed.shape} for {times.shape}"
        )
    if times.dtype.kind != "f":
        times = times.astype(np.float32)
    steps = np.diff(times, axis=0)
    if not np.isfinite(times).all() or (steps < 0).any():
        raise ValueError("elapsed: times must be finite, and not fall along time")
    found = np.zeros(observed.shape, times.dtype)
    for t, step in enumerate(steps):
        found[t + 1] = step[..., None] + np.where(observed[t], 0, found[t])
    return found
