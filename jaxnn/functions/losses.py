"""Losses and accuracy: predictions first, then targets, as in optax.

Each gives `(sum, weight)`: the sum over valid samples, and how many there are. `sum / weight` is
the mean, and sums and weights of unequal batches or shards can be added before the division. The
last axis of the predictions holds the outputs (or classes) of one sample; every axis before it
counts samples: `(batch, outputs)`, `(time, batch, outputs)` and so on. A mask has exactly those
leading axes; what stands at a masked step, NaN included, reaches neither the sum nor a gradient.

Weights have those axes too. A sample of weight w counts w times in both, and one of weight 0 not at
all, as if it were masked: no gradient goes through it, nor to its weight. `axis` says which of
the axes are summed: all of them, or 0 for one result for each sequence.

Targets of the shape of the predictions need two axes: `(N,)` may be N samples of one output,
`(N, 1)`, or one sample of N outputs, `(1, N)`, and the means of the two differ by the factor N.
"""

import jax
import jax.numpy as jnp
import optax

from jaxnn.functions.samples import (
    Axis,
    SumAndWeight,
    of_classes,
    of_flags,
    of_pairs,
    sum_outputs,
)
from jaxnn.internal.checks import state_dtype
from jaxnn.internal.options import check_fraction
from jaxnn.types import ArrayLike


def mean_squared_error(
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """Σ (y − a)², and the number m of samples, so that their ratio is C = 1/m Σ (y − a)².

    The squares are summed over the outputs of a sample, not averaged: m counts samples.

    Args:
      predictions: a, `(*samples, outputs)`, floating, of two axes at the least: every axis but the
        last one counts samples.
      targets: y, of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.
      weights: how much each sample counts, floating `(*samples,)`, or None for 1 each.
      axis: which axes of the samples are summed, None for all: 0 gives a sum and a weight for each
        sequence of `(time, *batch)`, and () those of each sample.

    Returns:
      The sum over valid samples and their number, or the sum of their weights: two scalars, or
      arrays of the axes that are left.

    Raises:
      ValueError: for other shapes, for predictions `(N,)`, which may be N samples or one, for an
        axis that is not one of the samples, and for a weight at a valid sample that is negative or
        not finite; weights are not checked under `jit`, where values are not known.
      TypeError: for what is no array, and for other dtypes: weights are of that of the predictions,
        or of float32 beside 16 bits.

    >>> total, weight = mean_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (5.0, 1.0)
    """
    name = "mean_squared_error"
    names = ("predictions", "targets")
    pair = of_pairs(name, names, predictions, targets, mask, weights, axis)
    predictions, targets, samples = pair
    return samples.total(sum_outputs(jnp.square(targets - predictions)))


def half_squared_error(
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """½ Σ (target − output)², and the number of samples: E of the backpropagation example.

    Args:
      predictions: the outputs, `(*samples, outputs)`, floating, of two axes at the least: every
        axis but the last one counts samples.
      targets: of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`.

    Returns:
      The sum over valid samples and their number, or the sum of their weights: two scalars, or
      arrays of the axes that are left.

    Raises:
      ValueError, TypeError: as `mean_squared_error`.

    >>> total, weight = half_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (2.5, 1.0)
    """
    name = "half_squared_error"
    names = ("predictions", "targets")
    pair = of_pairs(name, names, predictions, targets, mask, weights, axis)
    predictions, targets, samples = pair
    return samples.total(0.5 * sum_outputs(jnp.square(targets - predictions)))


def cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
    label_smoothing: float = 0.0,
) -> SumAndWeight:
    """−log softmax(logits)[label] in nats, summed, and the number of samples.

    Args:
      logits: `(*samples, classes)`, floating.
      labels: integers in 0…classes − 1, `(*samples,)`; at masked samples anything may stand.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`. A weight for each class is `of_class[labels]`.
      label_smoothing: ε in [0, 1), which is taken from the label and spread evenly over all
        classes (Szegedy et al. 2016).

    Returns:
      The sum over valid samples and their number, or the sum of their weights: two scalars, or
      arrays of the axes that are left.

    Raises:
      ValueError: as there, for no classes, and a label outside the classes. Under `jit`, where
        values are not known, such a label makes the loss NaN.
      TypeError: for what is no array, logits that are not floating and labels that are not integer.

    >>> total, weight = cross_entropy(jnp.zeros((2, 4)), jnp.array([0, 3]))
    >>> round(float(total / weight), 4)
    1.3863
    """
    check_fraction("cross_entropy", "label_smoothing", label_smoothing)
    logits, labels, samples = of_classes("cross_entropy", logits, labels, mask, weights, axis)
    inside = (labels >= 0) & (labels < logits.shape[-1])
    known = jnp.where(inside, labels, jnp.zeros((), labels.dtype))
    each = optax.losses.softmax_cross_entropy_with_integer_labels(logits, known)
    if label_smoothing:
        uniform = -jnp.mean(jax.nn.log_softmax(logits), axis=-1, dtype=state_dtype(each.dtype))
        each = (1 - label_smoothing) * each.astype(uniform.dtype) + label_smoothing * uniform
    return samples.total(jnp.where(inside, each, jnp.array(jnp.nan, each.dtype)))


def binary_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
    label_smoothing: float = 0.0,
) -> SumAndWeight:
    """−y log σ(logit) − (1 − y) log σ(−logit) in nats, and the number of samples.

    Summed, not averaged, over the outputs of a sample: the convention of polyphonic music, where a
    sample is a step of 88 notes.

    Args:
      logits: `(*samples, outputs)`, floating, of two axes at the least.
      labels: y in [0, 1], boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`.
      label_smoothing: ε in [0, 1): y (1 − ε) + ε / 2 in the place of y.

    Returns:
      The sum over valid samples and their number, or the sum of their weights: two scalars, or
      arrays of the axes that are left.

    Raises:
      ValueError: for other shapes, for logits `(N,)`, which may be N samples or one, and for a
        label that is NaN or outside [0, 1]. Labels are not checked under `jit`, where values are
        not known.
      TypeError: for what is no array, and for other dtypes.

    >>> total, weight = binary_cross_entropy(jnp.zeros((3, 2)), jnp.ones((3, 2)))
    >>> round(float(total / weight), 4)
    1.3863
    """
    check_fraction("binary_cross_entropy", "label_smoothing", label_smoothing)
    logits, labels, samples = of_flags("binary_cross_entropy", logits, labels, mask, weights, axis)
    if label_smoothing:
        labels = labels * (1 - label_smoothing) + label_smoothing / 2
    each = optax.losses.sigmoid_binary_cross_entropy(logits, labels)
    return samples.total(sum_outputs(each))


def accuracy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """How many samples have their largest logit at the label, and the number of samples.

    A sample with a NaN among its logits is wrong.

    Args:
      logits: `(*samples, classes)`, floating.
      labels: integers in 0…classes − 1, `(*samples,)`.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`.

    Returns:
      The number of valid samples that are right and the number of valid samples, or the sums of
      their weights.

    Raises:
      ValueError, TypeError: as `cross_entropy`; under `jit` a label outside the classes is wrong.

    >>> right, weight = accuracy(jnp.array([[0.0, 2.0], [1.0, 0.0]]), jnp.array([1, 1]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, samples = of_classes("accuracy", logits, labels, mask, weights, axis)
    right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    right = right & ~jnp.any(jnp.isnan(logits), axis=-1)
    return samples.total(right.astype(state_dtype(logits.dtype)))


def binary_accuracy(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """How many outputs are on the right side of logit 0, a share of each sample's, and the number
    of samples.

    Args:
      logits: `(*samples, outputs)`, floating, of two axes at the least; above 0 means yes, and NaN
        is wrong.
      labels: 0 or 1, boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`.

    Returns:
      The sum over valid samples of the share of right outputs, and their number, or the sum of
      their weights.

    Raises:
      ValueError, TypeError: as `binary_cross_entropy`.

    >>> right, weight = binary_accuracy(jnp.array([[2.0, -1.0]]), jnp.array([[1, 1]]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, samples = of_flags("binary_accuracy", logits, labels, mask, weights, axis)
    right = ((logits > 0) == (labels > 0.5)) & ~jnp.isnan(logits)
    return samples.total(jnp.mean(right.astype(state_dtype(logits.dtype)), axis=-1))
