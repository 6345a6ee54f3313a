"""Connectionist temporal classification: a loss of labels that are not aligned with the steps."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax

from jaxnn.functions.samples import (
    Axis,
    SumAndWeight,
    check_labels,
    check_outputs,
    samples_of,
)
from jaxnn.functions.sequences import check_values, clean, is_known
from jaxnn.internal.checks import check_flags, state_dtype
from jaxnn.types import Array, ArrayLike

NOTHING = -1e30
"""What counts as the logarithm of zero: below that of any alignment, however long."""


def ctc_loss(
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None = None,
    label_mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
    blank: int = 0,
) -> SumAndWeight:
    """−log p(labels | logits) in nats, over all alignments, and the number of sequences.

    An alignment has a class at each step; without repetitions, and then without blanks, it reads
    as the labels. The recursion over the steps is that of `optax.losses.ctc_loss`.

    Args:
      logits: `(time, *batch, classes)`, floating, the blank among the classes.
      labels: integers in 0…classes − 1 but the blank, `(length, *batch)`.
      mask: boolean `(time, *batch)`, or None. A sequence without a valid step is no sample.
      label_mask: boolean `(length, *batch)`, or None: which labels there are.
      weights: how much each sequence counts, floating `(*batch,)`, or None for 1 each.
      axis: which axes of the batch are summed, None for all; () gives each sequence.
      blank: the class that is no label.

    Returns:
      The sum over sequences and their number, or the sum of their weights. Labels that cannot be
      had in so few steps, each of them in one and a blank between equal ones, have the probability
      0: the loss is infinite, and its gradient zero. A weight of 0 leaves them out.

    Raises:
      ValueError: for other shapes, no steps, a blank that is no class, and a label outside the
        classes, or that is the blank. Under `jit`, where values are not known, such a label makes
        the loss NaN.
      TypeError: for what is no array, and for other dtypes.

    Source: Graves et al. 2006.

    >>> logits = jnp.log(jnp.array([[0.5, 0.5], [0.5, 0.5]]))[:, None]
    >>> total, weight = ctc_loss(logits, jnp.array([[1]]))         # "1-", "-1" or "11"
    >>> round(float(jnp.exp(-total)), 4), float(weight)
    (0.75, 1.0)
    """
    name = "ctc_loss"
    _check(name, logits, labels, mask, label_mask, blank)
    some = None if mask is None else _any_step(mask)
    samples = samples_of(name, "first step of the logits", logits[0], some, weights, axis)
    steps = _of_samples(logits[..., 0], mask, samples.mask)
    there = _of_samples(labels, label_mask, samples.mask)
    classes = logits.shape[-1]
    _check_blanks(name, labels, there, blank)
    labels = check_labels(name, labels, there, classes - 1, f"0…{classes - 1}")
    labels = jnp.asarray(clean(name, labels, there, "labels"))
    if labels.dtype.itemsize < 4:  # the number of classes may not fit
        labels = labels.astype(jnp.int32)
    logits = jnp.asarray(clean(name, logits, steps, "logits"))
    logits = logits.astype(state_dtype(logits.dtype))
    return samples.total(_each(logits, labels, steps, there, int(blank)))


@functools.partial(jax.jit, static_argnames="blank")
def _each(
    logits: Array, labels: Array, steps: Array | None, there: Array | None, blank: int
) -> Array:
    """The loss of each sequence."""
    time, *batch, classes = logits.shape
    steps = jnp.ones((time, *batch), jnp.bool_) if steps is None else steps
    there = jnp.ones(labels.shape, jnp.bool_) if there is None else there
    wrong = jnp.any(((labels < 0) | (labels >= classes) | (labels == blank)) & there, axis=0)
    if labels.shape[0] == 0:
        labels = jnp.zeros((1, *batch), labels.dtype)
        there = jnp.zeros((1, *batch), jnp.bool_)
    order = jnp.argsort(~there, axis=0, stable=True)  # labels first
    labels, there = (jnp.take_along_axis(x, order, axis=0) for x in (labels, there))
    between = jnp.sum((labels[1:] == labels[:-1]) & there[1:], axis=0)
    enough = jnp.sum(steps, axis=0) >= jnp.sum(there, axis=0) + between

    def flat(x: Array) -> Array:
        return x.reshape(x.shape[0], -1).T

    def padding(flags: Array) -> Array:
        return flat(~flags).astype(logits.dtype)

    with jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow"):
        each = optax.losses.ctc_loss(
            logits.reshape(time, -1, classes).swapaxes(0, 1),
            padding(steps),
            flat(labels),
            padding(there),
            blank_id=blank,
            log_epsilon=NOTHING,
        )
    each = jnp.where(enough, each.reshape(*batch).astype(logits.dtype), jnp.inf)
    return jnp.where(wrong, jnp.nan, each)


def _any_step(mask: ArrayLike) -> ArrayLike:
    """Which sequences have a valid step; in numpy where known, as jnp gives a tracer under jit."""
    return np.asarray(np.asarray(mask).any(0)) if is_known(mask) else jnp.any(mask, axis=0)


def _of_samples(
    x: ArrayLike, mask: ArrayLike | None, sequences: ArrayLike | None
) -> ArrayLike | None:
    """Which of x, `(steps, *batch)`, are valid and of a sequence that counts; None for all."""
    if sequences is None:
        return mask
    known = is_known(mask) and is_known(sequences)
    every = np.ones(x.shape, bool) if known else jnp.ones(x.shape, jnp.bool_)
    return (every if mask is None else np.asarray(mask) if known else mask) & sequences[None]


def _check_blanks(name: str, labels: ArrayLike, there: ArrayLike | None, blank: int) -> None:
    """No label that is there is the blank, where that can be told."""
    if not is_known(labels) or not is_known(there):
        return
    blanks = np.asarray(labels) == blank
    if np.any(blanks if there is None else blanks & np.asarray(there)):
        raise ValueError(
            f"{name}: labels must not hold the blank, {blank}: label_mask says which there are"
        )


def _check(
    name: str,
    logits: ArrayLike,
    labels: ArrayLike,
    mask: ArrayLike | None,
    label_mask: ArrayLike | None,
    blank: int,
) -> None:
    """Raise unless shapes and dtypes are those of logits, labels and their masks."""
    check_outputs(name, "logits", logits, "classes")
    check_values(name, "labels", labels)
    shape, got = tuple(logits.shape), tuple(labels.shape)
    if len(shape) < 2 or shape[0] == 0:
        raise ValueError(
            f"{name}: logits must be (time, *batch, classes), of one step at the least, got the "
            f"shape {shape}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"{name}: labels must be integers, the classes, got {labels.dtype}: use "
            f"labels.astype(int)"
        )
    if len(got) != len(shape) - 1 or got[1:] != shape[1:-1]:
        hint = ""
        if len(got) > 1 and (got[0], *got[2:]) == shape[1:-1]:
            hint = ". One of the two is batch-major: use labels.swapaxes(0, 1)"
        raise ValueError(
            f"{name}: labels must be (length, *batch) with the batch of the logits, "
            f"{shape[1:-1]}, got the shape {got}{hint}"
        )
    for argument, flags, of in (("mask", mask, "logits"), ("label_mask", label_mask, "labels")):
        if flags is not None:
            check_values(name, argument, flags)
            check_flags(name, argument, flags, shape[:-1] if of == "logits" else got, f"the {of}")
    if isinstance(blank, bool) or not isinstance(blank, (int, np.integer)):
        raise TypeError(f"{name}: blank must be a class, an integer, got {blank!r}")
    if not 0 <= blank < shape[-1]:
        raise ValueError(f"{name}: blank must be a class, 0…{shape[-1] - 1}, got {blank}")
