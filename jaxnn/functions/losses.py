"""Losses and accuracy: predictions first, then targets, as in optax.

Each gives `(sum, weight)`: the sum over valid samples, and how many there are. `sum / weight` is
the mean, and sums and weights of unequal batches or shards can be added before the division. The
last axis of the predictions holds the outputs (or classes) of one sample; every axis before it
counts samples: `(batch, outputs)`, `(time, batch, outputs)` and so on. A mask covers those leading
axes; what stands at a masked step, NaN included, reaches neither the sum nor a gradient.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.functions.checks import check_array, check_flags, is_traced, state_dtype
from jaxnn.functions.sequences import clean, expand_to
from jaxnn.types import Array, ArrayLike

SumAndWeight = tuple[Array, Array]


def mean_squared_error(
    predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """Σ (y − a)², and the number m of samples, so that their ratio is C = 1/m Σ (y − a)².

    The squares are summed over the outputs of a sample, not averaged: m counts samples.

    Args:
      predictions: a, `(*samples, outputs)`, floating.
      targets: y, of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    >>> total, weight = mean_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (5.0, 1.0)
    """
    name = "mean_squared_error"
    predictions, targets, mask = _pair(name, predictions, targets, mask)
    return _total(_sum_outputs(jnp.square(targets - predictions)), mask)


def half_squared_error(
    predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """½ Σ (target − output)², and the number of samples: E of the backpropagation example.

    Args:
      predictions: the outputs, `(*samples, outputs)`, floating.
      targets: of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    >>> total, weight = half_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (2.5, 1.0)
    """
    name = "half_squared_error"
    predictions, targets, mask = _pair(name, predictions, targets, mask)
    return _total(0.5 * _sum_outputs(jnp.square(targets - predictions)), mask)


def cross_entropy(
    logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """−log softmax(logits)[label] in nats, summed, and the number of samples.

    Args:
      logits: `(*samples, classes)`, floating.
      labels: integers in 0…classes − 1, `(*samples,)`; at masked samples anything may stand.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    Raises:
      ValueError: for a label outside the classes. Under `jit`, where values are not known, such a
        label makes the loss NaN.

    >>> total, weight = cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))
    >>> round(float(total / weight), 4)
    1.3863
    """
    logits, labels, mask = _classes("cross_entropy", logits, labels, mask)
    inside = (labels >= 0) & (labels < logits.shape[-1])
    known = jnp.where(inside, labels, jnp.zeros((), labels.dtype))
    each = optax.losses.softmax_cross_entropy_with_integer_labels(logits, known)
    return _total(jnp.where(inside, each, jnp.array(jnp.nan, each.dtype)), mask)


def binary_cross_entropy(
    logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """−y log σ(logit) − (1 − y) log σ(−logit) in nats, and the number of samples.

    Summed, not averaged, over the outputs of a sample: the convention of polyphonic music, where a
    sample is a step of 88 notes.

    Args:
      logits: `(*samples, outputs)`, floating.
      labels: y in [0, 1], boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    Raises:
      ValueError: for a label outside [0, 1]. Not checked under `jit`, where values are not known.

    >>> total, weight = binary_cross_entropy(jnp.zeros((3, 2)), jnp.ones((3, 2)))
    >>> round(float(total / weight), 4)
    1.3863
    """
    logits, labels, mask = _binary("binary_cross_entropy", logits, labels, mask)
    each = optax.losses.sigmoid_binary_cross_entropy(logits, labels)
    return _total(_sum_outputs(each), mask)


def accuracy(logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> SumAndWeight:
    """How many samples have their largest logit at the label, and the number of samples.

    Args:
      logits: `(*samples, classes)`, floating.
      labels: integers in 0…classes − 1, `(*samples,)`.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The number of valid samples that are right and the number of valid samples, two scalars.

    Raises:
      ValueError: for a label outside the classes (under `jit` it counts as wrong).

    >>> right, weight = accuracy(jnp.array([[0.0, 2.0], [1.0, 0.0]]), jnp.array([1, 1]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, mask = _classes("accuracy", logits, labels, mask)
    right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    return _total(right.astype(jnp.float32), mask)


def binary_accuracy(
    logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """How many outputs are on the right side of logit 0, a share of each sample's, and the number
    of samples.

    Args:
      logits: `(*samples, outputs)`, floating; above 0 means yes.
      labels: 0 or 1, boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum over valid samples of the share of right outputs, and their number, two scalars.

    Raises:
      ValueError: for a label outside [0, 1] (not checked under `jit`).

    >>> right, weight = binary_accuracy(jnp.array([[2.0, -1.0]]), jnp.array([[1, 1]]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, mask = _binary("binary_accuracy", logits, labels, mask)
    right = (logits > 0) == (labels > 0.5)
    return _total(jnp.mean(right.astype(jnp.float32), axis=-1), mask)


def _sum_outputs(each: Array) -> Array:
    """The sum over the outputs of each sample, in float32 at the least."""
    return jnp.sum(each, axis=-1, dtype=state_dtype(each.dtype))


def _total(each: Array, mask: ArrayLike | None) -> SumAndWeight:
    """The sum over valid samples and their number, in float32 at the least."""
    dtype = state_dtype(each.dtype)
    if mask is None:
        return jnp.sum(each, dtype=dtype), jnp.array(each.size, dtype)
    each = jnp.where(expand_to(mask, each), each, jnp.zeros((), each.dtype))
    per_flag = each.size // mask.size if mask.size else 1
    return jnp.sum(each, dtype=dtype), jnp.sum(mask, dtype=dtype) * per_flag


def _floats(name: str, argument: str, x: Any) -> None:
    check_array(name, argument, x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{name}: {argument} must be floating, got {x.dtype}")
    if x.ndim < 1:
        raise ValueError(
            f"{name}: {argument} must have a last axis of outputs, got a scalar: use [..., None]"
        )


def _pair(name: str, predictions: Any, targets: Any, mask: ArrayLike | None):
    _floats(name, "predictions", predictions)
    check_array(name, "targets", targets)
    if tuple(predictions.shape) != tuple(targets.shape):
        raise ValueError(
            f"{name}: targets must have the shape of the predictions, {tuple(predictions.shape)}, "
            f"got {tuple(targets.shape)}"
        )
    if jax.dtypes.canonicalize_dtype(targets.dtype) != jax.dtypes.canonicalize_dtype(
        predictions.dtype
    ):
        raise TypeError(
            f"{name}: targets must be {predictions.dtype}, as the predictions are, "
            f"got {targets.dtype}"
        )
    _check_mask(name, mask, predictions)
    return clean(name, predictions, mask, "predictions"), clean(name, targets, mask), mask


def _classes(name: str, logits: Any, labels: Any, mask: ArrayLike | None):
    _floats(name, "logits", logits)
    check_array(name, "labels", labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"{name}: labels must be integers, got {labels.dtype}")
    if tuple(labels.shape) != tuple(logits.shape[:-1]):
        raise ValueError(
            f"{name}: labels must have the shape {tuple(logits.shape[:-1])}, one for each row of "
            f"logits, got {tuple(labels.shape)}"
        )
    _check_mask(name, mask, logits)
    classes = logits.shape[-1]
    _check_values(name, labels, mask, classes - 1, f"0…{classes - 1}")
    labels = jnp.asarray(clean(name, labels, mask, "labels"))
    if labels.dtype.itemsize < 4:  # the number of classes may not fit
        labels = labels.astype(jnp.int32)
    return clean(name, logits, mask, "logits"), labels, mask


def _binary(name: str, logits: Any, labels: Any, mask: ArrayLike | None):
    check_array(name, "labels", labels)
    _floats(name, "logits", logits)
    given = labels
    if jnp.issubdtype(labels.dtype, jnp.integer) or labels.dtype == jnp.bool_:
        labels = jnp.asarray(labels).astype(logits.dtype)
    pair = _pair(name, logits, labels, mask)
    _check_values(name, given, mask, 1, "[0, 1]")
    return pair


def _check_mask(name: str, mask: ArrayLike | None, predictions: Any) -> None:
    if mask is not None:
        check_array(name, "mask", mask)
        leading = tuple(predictions.shape[: min(mask.ndim, predictions.ndim - 1)])
        check_flags(name, "mask", mask, leading, "the predictions")


def _check_values(name: str, labels: Any, mask: Any, largest: int, allowed: str) -> None:
    """Labels of valid samples lie in 0…largest, where their values are known."""
    if is_traced(labels) or is_traced(mask):
        return
    values = np.asarray(labels)
    outside = (values < 0) | (values > largest)
    if mask is not None:
        flags = np.asarray(mask)  # in numpy, since jnp gives a tracer under jit
        outside = outside & flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim))
    if outside.any():
        raise ValueError(f"{name}: labels must lie in {allowed}, got {values[outside][0].item()}")
