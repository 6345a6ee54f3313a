"""Losses and accuracy: predictions first, then targets, as in optax.

Each gives `(sum, weight)`: the sum over valid samples, and how many there are. `sum / weight` is
the mean, and sums and weights of unequal batches or shards can be added before the division. The
last axis of the predictions holds the outputs (or classes) of one sample; every axis before it
counts samples: `(batch, outputs)`, `(time, batch, outputs)` and so on. A mask has exactly those
leading axes; what stands at a masked step, NaN included, reaches neither the sum nor a gradient.

Targets of the shape of the predictions need two axes: `(N,)` may be N samples of one output,
`(N, 1)`, or one sample of N outputs, `(1, N)`, and the means of the two differ by the factor N.
"""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.functions.sequences import check_values, clean, is_known
from jaxnn.internal.checks import check_flags, state_dtype
from jaxnn.types import Array, ArrayLike, Shaped

SumAndWeight = tuple[Array, Array]


def mean_squared_error(
    predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """Σ (y − a)², and the number m of samples, so that their ratio is C = 1/m Σ (y − a)².

    The squares are summed over the outputs of a sample, not averaged: m counts samples.

    Args:
      predictions: a, `(*samples, outputs)`, floating, of two axes at the least: every axis but the
        last one counts samples.
      targets: y, of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    Raises:
      ValueError: for other shapes, and for predictions `(N,)`, which may be N samples or one.
      TypeError: for what is no array, and for other dtypes.

    >>> total, weight = mean_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (5.0, 1.0)
    """
    name = "mean_squared_error"
    names = ("predictions", "targets")
    predictions, targets, mask = _pair(name, names, predictions, targets, mask)
    return _total(_sum_outputs(jnp.square(targets - predictions)), mask)


def half_squared_error(
    predictions: ArrayLike, targets: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """½ Σ (target − output)², and the number of samples: E of the backpropagation example.

    Args:
      predictions: the outputs, `(*samples, outputs)`, floating, of two axes at the least: every
        axis but the last one counts samples.
      targets: of the same shape and dtype.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    Raises:
      ValueError, TypeError: as `mean_squared_error`.

    >>> total, weight = half_squared_error(jnp.array([[1.0, 2.0]]), jnp.array([[0.0, 0.0]]))
    >>> float(total), float(weight)
    (2.5, 1.0)
    """
    name = "half_squared_error"
    names = ("predictions", "targets")
    predictions, targets, mask = _pair(name, names, predictions, targets, mask)
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
      ValueError: for other shapes, no classes, and a label outside the classes. Under `jit`, where
        values are not known, such a label makes the loss NaN.
      TypeError: for what is no array, logits that are not floating and labels that are not integer.

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
      logits: `(*samples, outputs)`, floating, of two axes at the least.
      labels: y in [0, 1], boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum and the number of valid samples, two scalars.

    Raises:
      ValueError: for other shapes, for logits `(N,)`, which may be N samples or one, and for a
        label that is NaN or outside [0, 1]. Labels are not checked under `jit`, where values are
        not known.
      TypeError: for what is no array, and for other dtypes.

    >>> total, weight = binary_cross_entropy(jnp.zeros((3, 2)), jnp.ones((3, 2)))
    >>> round(float(total / weight), 4)
    1.3863
    """
    logits, labels, mask = _binary("binary_cross_entropy", logits, labels, mask)
    each = optax.losses.sigmoid_binary_cross_entropy(logits, labels)
    return _total(_sum_outputs(each), mask)


def accuracy(logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None) -> SumAndWeight:
    """How many samples have their largest logit at the label, and the number of samples.

    A sample with a NaN among its logits is wrong.

    Args:
      logits: `(*samples, classes)`, floating.
      labels: integers in 0…classes − 1, `(*samples,)`.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The number of valid samples that are right and the number of valid samples, two scalars.

    Raises:
      ValueError, TypeError: as `cross_entropy`; under `jit` a label outside the classes is wrong.

    >>> right, weight = accuracy(jnp.array([[0.0, 2.0], [1.0, 0.0]]), jnp.array([1, 1]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, mask = _classes("accuracy", logits, labels, mask)
    right = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    right = right & ~jnp.any(jnp.isnan(logits), axis=-1)
    return _total(right.astype(jnp.float32), mask)


def binary_accuracy(
    logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None = None
) -> SumAndWeight:
    """How many outputs are on the right side of logit 0, a share of each sample's, and the number
    of samples.

    Args:
      logits: `(*samples, outputs)`, floating, of two axes at the least; above 0 means yes, and NaN
        is wrong.
      labels: 0 or 1, boolean, integer or of the logits' dtype, of the same shape.
      mask: boolean `(*samples,)`, or None.

    Returns:
      The sum over valid samples of the share of right outputs, and their number, two scalars.

    Raises:
      ValueError, TypeError: as `binary_cross_entropy`.

    >>> right, weight = binary_accuracy(jnp.array([[2.0, -1.0]]), jnp.array([[1, 1]]))
    >>> float(right / weight)
    0.5
    """
    logits, labels, mask = _binary("binary_accuracy", logits, labels, mask)
    right = ((logits > 0) == (labels > 0.5)) & ~jnp.isnan(logits)
    return _total(jnp.mean(right.astype(jnp.float32), axis=-1), mask)


def _sum_outputs(each: Array) -> Array:
    """The sum over the outputs of each sample, in float32 at the least."""
    return jnp.sum(each, axis=-1, dtype=state_dtype(each.dtype))


def _total(each: Array, mask: ArrayLike | None) -> SumAndWeight:
    """The sum over valid samples and their number, in float32 at the least."""
    dtype = state_dtype(each.dtype)
    if mask is None:
        return jnp.sum(each, dtype=dtype), jnp.array(each.size, dtype)
    each = jnp.where(mask, each, jnp.zeros((), each.dtype))
    return jnp.sum(each, dtype=dtype), jnp.sum(mask, dtype=dtype)


def _check_outputs(name: str, argument: str, x: Shaped, last: str) -> None:
    """Predictions are floating, and have a last axis that is not empty."""
    check_values(name, argument, x)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"{name}: {argument} must be floating, got {x.dtype}; {argument} come first, then what "
            f"they should have been"
        )
    if x.ndim < 1:
        raise ValueError(
            f"{name}: {argument} must be (*samples, {last}), got a scalar: use "
            f"{argument}[None, None] for one sample of one"
        )
    if x.shape[-1] == 0:
        raise ValueError(
            f"{name}: {argument} must be (*samples, {last}) with at least one of the {last}, got "
            f"the shape {tuple(x.shape)}"
        )


def _pair(
    name: str,
    names: tuple[str, str],
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None,
) -> tuple[Array, Array, ArrayLike | None]:
    """Predictions and targets of one shape and dtype, clean."""
    first, second = names
    _check_outputs(name, first, predictions, "outputs")
    check_values(name, second, targets)
    shape, got = tuple(predictions.shape), tuple(targets.shape)
    if len(shape) == 1:
        raise ValueError(
            f"{name}: {first} must be (*samples, outputs), got the shape {shape}, which may be "
            f"either: use {first}[:, None] for {shape[0]} samples of one output, {first}[None] for "
            f"one sample of {shape[0]} outputs; and the same for the {second}"
        )
    if shape != got:
        hint = ""
        if got == shape[:-1] and shape[-1] == 1:
            hint = f": use {second}[..., None]"
        elif len(shape) > 2 and got == (shape[1], shape[0], *shape[2:]):
            hint = f". One of the two is batch-major: use {second}.swapaxes(0, 1)"
        raise ValueError(
            f"{name}: {second} must have the shape of the {first}, {shape}, got {got}{hint}"
        )
    wanted, given = jax.dtypes.canonicalize_dtype(predictions.dtype), targets.dtype
    if jnp.issubdtype(given, jnp.floating):
        given = jax.dtypes.canonicalize_dtype(given)
    if wanted != given:
        raise TypeError(
            f"{name}: {second} must be {wanted}, as the {first} are, got {given}: use "
            f"{second}.astype('{wanted}')"
        )
    return *_clean(name, names, predictions, targets, mask), mask


def _clean(
    name: str,
    names: tuple[str, str],
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None,
) -> tuple[Array, Array]:
    """Both, with zeros where the mask, which covers the samples exactly, is false."""
    if mask is not None:
        _check_mask(name, mask, predictions, names[0])
    pairs = zip(names, (predictions, targets), strict=True)
    first, second = (jnp.asarray(clean(name, x, mask, argument)) for argument, x in pairs)
    return first, second


def _check_mask(name: str, mask: ArrayLike, predictions: ArrayLike, argument: str) -> None:
    """A mask covers the samples, all of their axes and no other."""
    check_values(name, "mask", mask)
    check_flags(name, "mask", mask, predictions.shape[:-1], f"the {argument}")


def _classes(
    name: str, logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[Array, Array, ArrayLike | None]:
    _check_outputs(name, "logits", logits, "classes")
    check_values(name, "labels", labels)
    shape, got = tuple(logits.shape), tuple(labels.shape)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        hint = "labels.astype(int)"
        if got == shape:
            hint = "jnp.argmax(labels, axis=-1) if they are one-hot"
        raise TypeError(
            f"{name}: labels must be integers, the classes, got {labels.dtype}: use {hint}"
        )
    if got != shape[:-1]:
        hint = ""
        if got == (*shape[:-1], 1):
            hint = ": use labels[..., 0]"
        elif got == shape:
            hint = ": use jnp.argmax(labels, axis=-1) if they are one-hot"
        elif len(got) > 1 and got == (shape[1], shape[0], *shape[2:-1]):
            hint = ". One of the two is batch-major: use labels.swapaxes(0, 1)"
        raise ValueError(
            f"{name}: labels must have the shape {shape[:-1]}, one for each row of logits, got "
            f"{got}{hint}"
        )
    if mask is not None:
        _check_mask(name, mask, logits, "logits")
    labels = _check_labels(name, labels, mask, shape[-1] - 1, f"0…{shape[-1] - 1}")
    logits, labels = _clean(name, ("logits", "labels"), logits, labels, mask)
    if labels.dtype.itemsize < 4:  # the number of classes may not fit
        labels = labels.astype(jnp.int32)
    return logits, labels, mask


def _binary(
    name: str, logits: ArrayLike, labels: ArrayLike, mask: ArrayLike | None
) -> tuple[Array, Array, ArrayLike | None]:
    check_values(name, "labels", labels)
    _check_outputs(name, "logits", logits, "outputs")
    given = labels
    if jnp.issubdtype(labels.dtype, jnp.integer) or labels.dtype == jnp.bool_:
        with np.errstate(over="ignore"):  # of labels that are far outside
            labels = labels.astype(logits.dtype)
    pair = _pair(name, ("logits", "labels"), logits, labels, mask)
    _check_labels(name, given, mask, 1, "[0, 1]")
    return pair


def _check_labels(
    name: str, labels: ArrayLike, mask: ArrayLike | None, largest: int, allowed: str
) -> ArrayLike:
    """The labels; those of valid samples lie in 0…largest, where their values are known.

    Whole numbers of numpy's outside of that come back as −1, since 64 bits may not be what jax
    keeps of them.
    """
    if not is_known(labels):
        return labels
    values = np.asarray(labels)
    outside = ~((values >= 0) & (values <= largest))  # NaN is, too
    if is_known(mask):
        bad = outside
        if mask is not None:
            flags = np.asarray(mask)  # in numpy, since jnp gives a tracer under jit
            bad = outside & flags.reshape(flags.shape + (1,) * (values.ndim - flags.ndim))
        if bad.any():
            raise ValueError(f"{name}: labels must lie in {allowed}, got {values[bad][0].item()}")
    if isinstance(labels, jax.Array) or not np.issubdtype(values.dtype, np.integer):
        return labels
    return np.where(outside, -1, values.astype(np.int64, copy=False)).astype(np.int32)
