"""How a model runs over a sequence, and why not in another way."""

from typing import NamedTuple

import jax

from jaxnn.internal.checks import check_key, is_array, shape_text
from jaxnn.internal.inputs import leaves_of
from jaxnn.recurrence.methods import Choice, listening
from jaxnn.types import Array, Cell, Key, PyTree, SequenceLayer, Shaped


class Explanation(NamedTuple):
    """The choice of each recurrence of a model, in the order in which they run; prints as text."""

    choices: tuple[Choice, ...]

    def __str__(self) -> str:
        return "\n".join(map(_text, self.choices)) or "no recurrence runs in it"

    __repr__ = __str__


def explain(
    model: Cell | SequenceLayer,
    xs: PyTree,
    mask: Shaped | None = None,
    reset: Shaped | None = None,
    key: Key | None = None,
) -> Explanation:
    """By which method each recurrence of a model runs over a sequence, and why the others refuse.

    Nothing is computed: the model is traced with parameters of the shapes that its `init` gives.
    `fast` has the derivative rule, and `whole steps` half of it. `sequential` is the plain scan, by
    JAX's own derivative; `blocks` is for large sequences that nobody differentiates, and `linear`
    for a recurrence that is linear in its state.

    Args:
      model: a Cell, or a SequenceLayer such as `bidirectional` makes.
      xs: a sequence, `(time, *batch, ...)`: an array or a `jax.ShapeDtypeStruct`, or a tree.
      mask, reset: as for `unroll`, arrays or shapes.
      key: as for `unroll`: whatever is random runs as in training.

    Returns:
      An Explanation, whose `choices` tell of each recurrence its name, the method for values, that
      under a derivative, and the refusals; it prints as text.

    Raises:
      TypeError: for another model, and what `unroll` raises for such xs, mask, reset
        and key.

    >>> import jax.numpy as jnp, jaxnn
    >>> jaxnn.explain(jaxnn.lstm(3, 4), jnp.ones((100, 8, 3)))
    lstm(3, 4) over float32[100, 8, 3]: fast
      linear: its step has a product with the state
      blocks: its projected input takes 51,200 bytes, and blocks pay above 16,777,216
    """
    if not isinstance(model, (Cell, SequenceLayer)):
        raise TypeError(f"explain: model must be a Cell or a SequenceLayer, got {model!r}")
    check_key("explain", key)
    flags = [each for each in (("mask", mask), ("reset", reset)) if each[1] is not None]
    for name, value in leaves_of("explain", "xs", xs) + flags:
        if not is_array(value):
            raise TypeError(f"explain: {name} must be an array or a shape, got {shape_text(value)}")

    def run(xs: PyTree, mask: Array | None, reset: Array | None, key: Key | None) -> PyTree:
        params = model.init(jax.random.key(0))
        return model.unroll(params, xs, mask=mask, reset=reset, key=key)

    with listening() as choices:
        jax.eval_shape(run, xs, mask, reset, key)
    return Explanation(tuple(choices))


def _text(choice: Choice) -> str:
    how = choice.values
    if choice.derivative != how:
        how = f"{how}; {choice.derivative} under a derivative"
    lines = [f"{choice.name} over {choice.xs}: {how}"]
    lines += [
        f"  {method}: {reason}"
        for method, reason in choice.refusals.items()
        if method != choice.values
    ]
    return "\n".join(lines)
