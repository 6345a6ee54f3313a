"""Losses of forecasts: quantiles, and absolute errors in units of what a naive forecast misses."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from jaxnn.functions.samples import (
    Axis,
    SumAndWeight,
    check_outputs,
    of_pairs,
    sum_outputs,
)
from jaxnn.functions.sequences import check_values, clean, expand_to, is_known
from jaxnn.internal.checks import check_flags, dtype_in_jax, state_dtype
from jaxnn.internal.options import check_size
from jaxnn.types import Array, ArrayLike


def quantile_loss(
    predictions: ArrayLike,
    targets: ArrayLike,
    quantiles: Sequence[float],
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """Σ max(q (y − a), (q − 1) (y − a)), the pinball loss: the best a is the quantile q of y.

    Summed, not averaged, over the outputs of a sample and their quantiles. Of q = ½ it is half the
    absolute error.

    Args:
      predictions: a, `(*samples, outputs, quantiles)`, floating.
      targets: y, `(*samples, outputs)`, of the same dtype.
      quantiles: each q, above 0 and below 1, in the order of the last axis.
      mask: boolean `(*samples,)`, or None.
      weights, axis: as in `mean_squared_error`.

    Returns:
      The sum over valid samples and their number, or the sum of their weights.

    Raises:
      ValueError: for other shapes, and a quantile that is not between 0 and 1; and as
        `mean_squared_error`.
      TypeError: for what is no array, other dtypes, and quantiles that are no tuple or list.

    Source: Koenker & Bassett 1978.

    >>> low_and_high = jnp.array([[[1.0, 4.0]]])
    >>> total, weight = quantile_loss(low_and_high, jnp.array([[2.0]]), (0.1, 0.9))
    >>> round(float(total), 4), float(weight)
    (0.3, 1.0)
    """
    name = "quantile_loss"
    check_outputs(name, "predictions", predictions, "outputs, quantiles")
    check_values(name, "targets", targets)
    levels = _check_quantiles(name, quantiles, predictions)
    shape, got = tuple(predictions.shape), tuple(targets.shape)
    if len(shape) < 3 or got == (*shape[:-1], 1):
        raise ValueError(
            f"{name}: predictions must be (*samples, outputs, quantiles), got the shape {shape} "
            f"for targets {got}: use predictions[..., None, :] for samples of one output"
        )
    names = ("predictions", "targets")
    pair = of_pairs(name, names, predictions[..., 0], targets, mask, weights, axis)
    _, targets, samples = pair
    predictions = jnp.asarray(clean(name, predictions, samples.mask, "predictions"))
    dtype = state_dtype(predictions.dtype)
    error = (targets[..., None] - predictions).astype(dtype)
    q = jnp.broadcast_to(jnp.asarray(levels, dtype), error.shape)
    return samples.total(jnp.sum(jnp.maximum(q * error, (q - 1) * error), axis=(-2, -1)))


def _check_quantiles(
    name: str, quantiles: Sequence[float], predictions: ArrayLike
) -> tuple[float, ...]:
    if not isinstance(quantiles, (tuple, list)) or not all(
        isinstance(q, (int, float)) and not isinstance(q, bool) for q in quantiles
    ):
        raise TypeError(f"{name}: quantiles must be a tuple of numbers, got {quantiles!r}")
    if not all(0 < q < 1 for q in quantiles):
        raise ValueError(f"{name}: quantiles must lie above 0 and below 1, got {quantiles}")
    if len(quantiles) != predictions.shape[-1]:
        raise ValueError(
            f"{name}: quantiles must be one for each of the last axis of the predictions, "
            f"{tuple(predictions.shape)}; got {len(quantiles)}"
        )
    return tuple(quantiles)


def naive_scale(series: ArrayLike, season: int = 1, mask: ArrayLike | None = None) -> Array:
    """The mean of |yₜ − yₜ₋ₘ|: by how much the naive forecast, the value a season ago, is wrong.

    Args:
      series: y, the training data, `(time, *batch, outputs)`, floating.
      season: m, in steps; 1 for data without one.
      mask: boolean `(time, *batch)`, or None. A pair of steps counts where both are valid.

    Returns:
      `(*batch, outputs)`, float32 for 16-bit series; zeros where no pair is valid.

    Raises:
      ValueError: for other shapes, and a series that is no longer than a season.
      TypeError: for what is no array, or not floating, a mask that is not boolean, and a season
        that is no integer.

    >>> naive_scale(jnp.array([[1.0], [3.0], [2.0]])).tolist()
    [1.5]
    """
    name = "naive_scale"
    check_outputs(name, "series", series, "outputs")
    if series.ndim < 2:
        raise ValueError(
            f"{name}: series must be (time, *batch, outputs), got the shape {tuple(series.shape)}: "
            f"use series[:, None] for one number a step"
        )
    season = check_size(name, "season", season)
    if isinstance(series.shape[0], int) and series.shape[0] <= season:
        raise ValueError(
            f"{name}: series must have more steps than a season, {season}, got {series.shape[0]}"
        )
    if mask is None:
        mask = jnp.ones(series.shape[:-1], jnp.bool_)
    check_values(name, "mask", mask)
    check_flags(name, "mask", mask, series.shape[:-1], "the series")
    y = jnp.asarray(clean(name, series, mask, "series"))
    y = y.astype(state_dtype(y.dtype))
    both = mask[season:] & mask[:-season]
    apart = jnp.where(expand_to(both, y), jnp.abs(y[season:] - y[:-season]), jnp.zeros((), y.dtype))
    count = jnp.maximum(jnp.sum(both, axis=0, dtype=y.dtype), jnp.ones((), y.dtype))
    return jnp.sum(apart, axis=0) / expand_to(count, y[0])


def mean_absolute_scaled_error(
    predictions: ArrayLike,
    targets: ArrayLike,
    scale: ArrayLike,
    mask: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    axis: Axis = None,
) -> SumAndWeight:
    """Σ |y − a| / scale, and the number of samples: their ratio is the MASE.

    Below 1 the forecast is better than the naive one was on the training data, whatever the unit
    of the series. Summed over the outputs of a sample.

    Args:
      predictions: a, `(time, *batch, outputs)`, floating, of two axes at the least.
      targets: y, of the same shape and dtype.
      scale: above 0, `(*batch, outputs)`, as `naive_scale` gives it of the training data; or of the
        shape of the predictions. Of the same dtype, or float32 beside 16 bits.
      mask: boolean `(time, *batch)`, or None.
      weights, axis: as in `mean_squared_error`; axis 0 gives the MASE of each series.

    Returns:
      The sum over valid samples and their number, or the sum of their weights.

    Raises:
      ValueError: for other shapes; for a scale at a valid sample that is not above 0 and finite, as
        that of a constant series (not checked under `jit`, where it makes the loss infinite or
        NaN); and as `mean_squared_error`.
      TypeError: for what is no array, and for other dtypes.

    Source: Hyndman & Koehler 2006.

    >>> scale = naive_scale(jnp.array([[1.0], [3.0], [2.0]]))
    >>> mean_absolute_scaled_error(jnp.array([[3.0]]), jnp.array([[6.0]]), scale)[0].tolist()
    2.0
    """
    name = "mean_absolute_scaled_error"
    names = ("predictions", "targets")
    pair = of_pairs(name, names, predictions, targets, mask, weights, axis)
    predictions, targets, samples = pair
    divisor = _check_scale(name, scale, predictions, samples.mask)
    return samples.total(
        sum_outputs(jnp.abs(targets - predictions).astype(divisor.dtype) / divisor)
    )


def _check_scale(name: str, scale: ArrayLike, predictions: Array, mask: ArrayLike | None) -> Array:
    """The scale of each output of each sample, one where the mask is false."""
    check_values(name, "scale", scale)
    shape, exact = tuple(predictions.shape), state_dtype(predictions.dtype)
    if dtype_in_jax(scale) not in (predictions.dtype, exact):
        raise TypeError(f"{name}: scale must be {exact}, got {scale.dtype}")
    if tuple(scale.shape) not in (shape, shape[1:]):
        raise ValueError(
            f"{name}: scale must have the shape {shape[1:]}, one for each output of each series, "
            f"or that of the predictions, {shape}; got {tuple(scale.shape)}"
        )
    wide = (np if isinstance(scale, (np.ndarray, np.generic)) else jnp).broadcast_to(scale, shape)
    if is_known(scale) and is_known(mask):
        values = np.broadcast_to(np.asarray(scale), shape)
        bad = ~(np.isfinite(values) & (values > 0))
        if mask is not None:
            bad = bad & np.asarray(mask)[..., None]
        if bad.any():
            raise ValueError(
                f"{name}: scale must be finite and above 0, got {values[bad][0].item()}"
            )
    divisor = jnp.asarray(clean(name, wide, mask, "scale")).astype(exact)
    if mask is None:
        return divisor
    return jnp.where(expand_to(mask, divisor), divisor, jnp.ones((), exact))
