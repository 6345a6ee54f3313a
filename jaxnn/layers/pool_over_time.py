"""Pooling over the steps of a sequence: what comes after it has no time any more."""

import functools

from jaxnn.functions.sequences import masked_last, masked_max, masked_mean
from jaxnn.internal.checks import check_array, check_key, check_mask, check_tuple
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_option
from jaxnn.internal.parameters import init_checked
from jaxnn.layers.composition import apply_layers
from jaxnn.layers.layer import no_params
from jaxnn.recurrence.arguments import Run, sequence_unroll_by
from jaxnn.types import Array, Params, SequenceLayer, State, with_facts

POOLS = {"mean": masked_mean, "max": masked_max, "last": masked_last}


@factory
def pool_over_time(how: str) -> SequenceLayer:
    """One value for each sequence: the mean, the largest or the last one of its valid steps.

    In a `serial` the mask reaches the pooling and stops there, since the layers after it see no
    steps: `serial(embedding, bidirectional, pool_over_time, dense)` is a whole classifier.

    Args:
      how: "mean", "max" or "last", for `masked_mean`, `masked_max` or `masked_last`.

    Returns:
      A SequenceLayer without parameters or a state, both `()`: xs `(time, *batch, features)` to y
      `(*batch, features)`, of the same dtype; zeros for a sequence that has no valid step.

    Raises:
      ValueError: for another `how`; when it runs, for xs without a time axis beside the features, a
        mask that does not fit, and for a reset, since the segments would be pooled together.
      TypeError: when it runs, for the mean of xs that are not floating.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> both_ways = jaxnn.bidirectional(jaxnn.gru(8, 16))
    >>> model = jaxnn.serial(
    ...     jaxnn.embedding(100, 8), both_ways, jaxnn.pool_over_time("mean"), jaxnn.dense(32, 2)
    ... )
    >>> words, mask = jnp.ones((5, 4), int), jaxnn.lengths_to_mask(jnp.array([5, 2, 3, 1]), 5)
    >>> model.apply(model.init(jax.random.key(0)), words, mask).shape
    (4, 2)
    """
    check_option("pool_over_time", "how", how, tuple(POOLS))
    name = this_call()
    unroll = sequence_unroll_by(run_pool, name, how)
    init = with_facts(functools.partial(init_checked, name, no_params), 1)
    return SequenceLayer(init, functools.partial(apply_layers, name, unroll), unroll, pools=True)


def run_pool(name: str, how: str, params: Params, run: Run) -> tuple[State, Array]:
    """A whole sequence; there is no state."""
    check_key(name, run.key)
    for argument, value in (("params", params), ("state", run.state), ("start", run.start)):
        if value is not None or argument == "params":
            check_tuple(name, argument, value, 0)
    if run.reset is not None:
        raise ValueError(
            f"{name}: it cannot be given a reset, since it would pool the segments together: run "
            f"each segment as a sequence of its own"
        )
    check_array(name, "xs", run.xs)
    if run.xs.ndim < 2:
        raise ValueError(
            f"{name}: xs must be (time, *batch, features), got the shape {tuple(run.xs.shape)}"
        )
    check_mask(name, run.mask, run.xs, 1, "xs")
    return (), POOLS[how](run.xs, run.mask)
