"""Dropout with one mask for a whole sequence, of a cell's input, state and output."""

from typing import TypeVar

from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.options import check_fraction
from jaxnn.recurrence.cell import check_cell, description_of
from jaxnn.recurrence.split import Split
from jaxnn.transforms.seeds import SeededState
from jaxnn.transforms.sequence_dropout import Dropping, Rates, dropping
from jaxnn.types import Cell

P = TypeVar("P")
S = TypeVar("S")


@factory
def variational_dropout(
    cell: Cell[P, S],
    input: float = 0.0,
    state: float = 0.0,
    output: float = 0.0,
) -> Cell[P, SeededState[S]]:
    """A cell with dropout by the same masks at all steps of a sequence.

        s', y = cell(s with z_h∘h, z_x∘x)       y = z_y∘y

    Each z is 0 with probability rate and 1 / (1 − rate) otherwise. z_h stands before the recurrent
    product alone: what a gate keeps of the state is not dropped. The masks belong to the state, as
    a seed: the first step that has a key draws them, each sequence its own, and a reset draws new
    ones. So a sequence that is streamed by `apply` or cut in pieces has the masks that it has in
    one piece. Without a key nothing is dropped, and no mask is lost.

    Args:
      cell: a single cell, such as `lstm`, or `cell` of your own.
      input, state, output: rates, in [0, 1).

    Returns:
      A Cell with the params and outputs of `cell` and states `SeededState(cell, seed)`. Where there
      is no reset it runs as fast as `cell`; with resets and a key, step by step.

    Raises:
      TypeError, ValueError: for another cell, and for rates that are no numbers in [0, 1); a
        `state` for a cell whose recurrent product is not known (`cell`, `linear_cell`), or one of
        whose products comes after its gates.

    Source: Gal & Ghahramani 2016 (arXiv 1512.05287), with the masks of all gates tied; keras calls
    it dropout and recurrent_dropout.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> cell = jaxnn.regularizers.variational_dropout(jaxnn.gru(3, 4), state=0.5, output=0.5)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 3))
    >>> _, ys = cell.unroll(params, xs, key=jax.random.key(1))
    >>> (ys == 0).all(0).tolist(), (ys == 0).any(0).tolist()
    ([False, True, True, True], [False, True, True, True])
    """
    rates = Rates(input, state, output)
    for argument, rate in rates._asdict().items():
        check_fraction("variational_dropout", argument, rate)
    check_cell("variational_dropout", "cell", cell)
    inner = description_of(cell)
    if inner is None:
        raise TypeError(
            f"variational_dropout: cell must be a single one, got {cell!r}, made of others:"
            f" use variational_dropout on the cells inside"
        )
    if state and not isinstance(inner, Split):
        raise TypeError(
            f"variational_dropout: state must be 0 for {cell!r}, of which jaxnn does not know where"
            f" its state is multiplied: split_cell tells it"
        )
    return dropping(Dropping(this_call(), cell, inner, rates))
