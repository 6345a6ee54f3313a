"""Dropout with one mask for a whole sequence, as a cell of its own."""

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import check_event_ndim
from jaxnn.internal.options import check_fraction
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.cell import cell_of
from jaxnn.recurrence.split import Stepwise
from jaxnn.transforms.seeds import SeededState
from jaxnn.transforms.sequence_dropout import Dropping, Rates, dropping
from jaxnn.types import ArrayLike, Cell, Key, Params, PyTree, State


@factory
def locked_dropout(rate: float, event_ndim: PyTree = 1) -> Cell[tuple[()], SeededState[tuple[()]]]:
    """Dropout with one mask for all steps of a sequence, for a place in `stack`.

    The mask belongs to the state, as that of `regularizers.variational_dropout`: drawn by the first
    step that has a key, for each sequence its own, and by a reset anew. `dropout` draws at every
    step.

    Args:
      rate: how much is dropped, in [0, 1).
      event_ndim: how many trailing dimensions of x are not batch.

    Returns:
      A Cell without parameters, `()`, with states `SeededState((), seed)`; y has the shape and
      dtype of x. `as_layer` makes it fit a `serial`.

    Raises:
      TypeError, ValueError: for a rate that is no number in [0, 1); when it runs, for an x that is
        not floating.

    Source: Merity et al. 2018 (arXiv 1708.02182), who call it so.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> model = jaxnn.stack(jaxnn.locked_dropout(0.5), jaxnn.lstm(4, 8))
    >>> layer = jaxnn.locked_dropout(0.5)
    >>> layer.unroll((), jnp.ones((2, 4)), key=jax.random.key(0))[1].tolist()
    [[0.0, 0.0, 0.0, 2.0], [0.0, 0.0, 0.0, 2.0]]
    """
    check_fraction("locked_dropout", "rate", rate)
    event_ndim = check_event_ndim("locked_dropout", event_ndim)
    name = this_call()
    same = Stepwise(name, _step, _no_state, event_ndim, at_once=_all_steps)
    return dropping(Dropping(name, cell_of(same, _no_params), same, Rates(rate, 0.0, 0.0)))


def _no_params(key: Key) -> tuple[()]:
    del key
    return ()


def _no_state(params: Params, batch_shape: tuple[int, ...] = ()) -> tuple[()]:
    del params, batch_shape
    return ()


def _step(
    params: Params, state: State, x: ArrayLike, key: Key | None = None
) -> tuple[State, PyTree]:
    """y is x."""
    del params, key
    return state, x


def _all_steps(params: Params, arguments: Arguments) -> tuple[State, PyTree]:
    del params
    return arguments.state, arguments.xs
