"""What the losses share: their samples, which of them count and how much, and their arguments."""

import math
import operator
from typing import NamedTuple, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.functions.sequences import check_valid_fit, check_values, clean, is_known, zero_masked
from jaxnn.internal.checks import check_covers, check_flags, dtype_in_jax, is_traced, state_dtype
from jaxnn.types import Array, ArrayLike, Shaped

SumAndWeight = tuple[Array, Array]
Axis = int | tuple[int, ...] | None


class Samples(NamedTuple):
    """Which samples count, how much, and over which of their axes a loss is summed.

    mask: boolean, or None where all do; it is false where the weight is zero. weights: in the dtype
    of the sums, zero where the mask is false, or None where each counts 1. axes: as numbers from 0.
    """

    mask: ArrayLike | None
    weights: Array | None
    axes: tuple[int, ...]

    def total(self, each: Array) -> SumAndWeight:
        """The weighted sum over the samples that count, and the sum of their weights, in float32 at
        the least."""
        dtype = state_dtype(each.dtype)
        each = each.astype(dtype)
        if self.weights is not None:
            each = each * self.weights
        if self.mask is not None:
            each = jnp.where(self.mask, each, jnp.zeros((), dtype))
        sums = jnp.sum(each, self.axes)
        counts = self.mask if self.weights is None else self.weights
        if counts is not None:
            return sums, jnp.sum(counts, self.axes, dtype=dtype)
        count = math.prod(each.shape[axis] for axis in self.axes)
        return sums, jnp.full(sums.shape, count, dtype)


def samples_of(
    name: str,
    argument: str,
    predictions: Shaped,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    axis: Axis,
) -> Samples:
    """The samples of some predictions, all of whose axes but the last one count them.

    Raises:
      TypeError: for a mask that is not boolean, weights that are not of the dtype of the
        predictions, or of the float32 in which 16-bit ones are summed, and an axis that is none.
      ValueError: for a mask or weights of other axes, a weight that is negative or not finite,
        where its value is known, and an axis that is not one of the samples.
    """
    leading, of = tuple(predictions.shape[:-1]), f"the {argument}"
    axes = _check_axis(name, axis, len(leading))
    if mask is not None:
        check_values(name, "mask", mask)
        check_flags(name, "mask", mask, leading, of)
    if weights is None:
        return Samples(mask, None, axes)
    _check_weights(name, weights, mask, predictions, of)
    counts = (np.asarray(weights) if is_known(weights) else weights) != 0
    if mask is not None:
        counts = counts & (np.asarray(mask) if is_known(mask) else mask)
    exact = state_dtype(dtype_in_jax(predictions))
    return Samples(counts, zero_masked(weights, counts).astype(exact), axes)


def _check_weights(
    name: str, weights: ArrayLike, mask: ArrayLike | None, predictions: Shaped, of: str
) -> None:
    check_values(name, "weights", weights)
    allowed = dtype_in_jax(predictions), state_dtype(dtype_in_jax(predictions))
    if dtype_in_jax(weights) not in allowed:
        hint = ", or mask= for flags" if weights.dtype == jnp.bool_ else ""
        raise TypeError(
            f"{name}: weights must be {allowed[1]}, as {of} are summed, got {weights.dtype}: use "
            f"weights.astype('{allowed[1]}'){hint}"
        )
    check_covers(name, "weights", weights, tuple(predictions.shape[:-1]), of)
    check_valid_fit(name, "weights", weights, mask)
    if not is_known(weights) or not is_known(mask):
        return
    values = np.asarray(weights)
    bad = ~(np.isfinite(values) & (values >= 0))
    if mask is not None:
        bad = bad & np.asarray(mask)  # in numpy, since jnp gives a tracer under jit
    if bad.any():
        raise ValueError(
            f"{name}: weights must be finite and at least 0, got {values[bad][0].item()}"
        )


def _check_axis(name: str, axis: Axis, count: int) -> tuple[int, ...]:
    """The axes that are summed, as numbers."""
    if axis is None:
        return tuple(range(count))
    axes = tuple(_axis_number(name, one) for one in (axis if isinstance(axis, tuple) else (axis,)))
    if len(set(axes)) < len(axes) or not all(0 <= one < count for one in axes):
        known = f"0…{count - 1}" if count else "none"
        raise ValueError(
            f"{name}: axis must be axes of the samples, counted from the front, each once: "
            f"{known}; got {axis}"
        )
    return axes


def _axis_number(name: str, axis: SupportsIndex) -> int:
    try:
        if isinstance(axis, (bool, np.bool_)) or is_traced(axis):
            raise TypeError
        return operator.index(axis)
    except TypeError:
        raise TypeError(
            f"{name}: axis must be None, an integer or a tuple of them, got {axis!r}"
        ) from None


def sum_outputs(each: Array) -> Array:
    """The sum over the outputs of each sample, in float32 at the least."""
    return jnp.sum(each, axis=-1, dtype=state_dtype(each.dtype))


def check_outputs(name: str, argument: str, x: Shaped, last: str) -> None:
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


def of_pairs(
    name: str,
    names: tuple[str, str],
    predictions: ArrayLike,
    targets: ArrayLike,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    axis: Axis,
) -> tuple[Array, Array, Samples]:
    """Predictions and targets of one shape and dtype, clean, and the samples."""
    first, second = names
    check_outputs(name, first, predictions, "outputs")
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
    samples = samples_of(name, first, predictions, mask, weights, axis)
    predictions = jnp.asarray(clean(name, predictions, samples.mask, first))
    return predictions, jnp.asarray(clean(name, targets, samples.mask, second)), samples


def of_classes(
    name: str,
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    axis: Axis,
) -> tuple[Array, Array, Samples]:
    """Logits and the classes that they should have chosen, clean, and the samples."""
    check_outputs(name, "logits", logits, "classes")
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
    samples = samples_of(name, "logits", logits, mask, weights, axis)
    labels = check_labels(name, labels, samples.mask, shape[-1] - 1, f"0…{shape[-1] - 1}")
    logits = jnp.asarray(clean(name, logits, samples.mask, "logits"))
    labels = jnp.asarray(clean(name, labels, samples.mask, "labels"))
    if labels.dtype.itemsize < 4:  # the number of classes may not fit
        labels = labels.astype(jnp.int32)
    return logits, labels, samples


def of_flags(
    name: str,
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None,
    weights: ArrayLike | None,
    axis: Axis,
) -> tuple[Array, Array, Samples]:
    """Logits and shares in [0, 1], clean, and the samples."""
    check_values(name, "labels", labels)
    check_outputs(name, "logits", logits, "outputs")
    given = labels
    if jnp.issubdtype(labels.dtype, jnp.integer) or labels.dtype == jnp.bool_:
        with np.errstate(over="ignore"):  # of labels that are far outside
            labels = labels.astype(logits.dtype)
    names = ("logits", "labels")
    logits, labels, samples = of_pairs(name, names, logits, labels, mask, weights, axis)
    check_labels(name, given, samples.mask, 1, "[0, 1]")
    return logits, labels, samples


def check_labels(
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
