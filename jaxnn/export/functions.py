"""Which functions a model is shipped as, and each of them as `jax.export` serialises it.

| of a | functions |
|---|---|
| Cell | `sequence`, `step`, `initial_state`, `reset_state` |
| SequenceLayer | `sequence` |
| Layer | `apply` |
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.export

from jaxnn.export.border import described, inward, outward, weights_of
from jaxnn.internal.inputs import front
from jaxnn.transforms.initial_state import reset_state
from jaxnn.types import Array, Cell, Layer, Params, PyTree, SequenceLayer, Shape


class Sizes(NamedTuple):
    """What the model is given: one step's x, without a batch; the sizes of batch and time, as
    numbers or symbolic; and whether a sequence has a mask and a reset."""

    x: PyTree
    batch: Shape
    time: Shape
    mask: bool
    reset: bool


class Function(NamedTuple):
    """A function of a file: the shapes of what it takes after the params, the names of what it
    gives, and the function itself, of the model's own trees."""

    arguments: dict[str, PyTree]
    results: tuple[str, ...]
    call: Callable[..., Any]


def functions_of(
    model: Cell | SequenceLayer | Layer, params: Params, sizes: Sizes
) -> dict[str, Function]:
    """The functions that a model has, by name."""
    x, xs = _led_by(sizes.batch, sizes.x), _led_by(sizes.time + sizes.batch, sizes.x)
    flag = jax.ShapeDtypeStruct(sizes.batch, bool)
    flags = {"mask": sizes.mask, "reset": sizes.reset}
    taken = [name for name in flags if flags[name]]
    along = {name: _led_by(sizes.time, flag) for name in taken}
    if isinstance(model, Layer):
        single = {"mask": flag} if sizes.mask else {}
        return {"apply": Function({"x": x, **single}, ("y",), model.apply)}
    if isinstance(model, SequenceLayer):

        def sequence(params: Params, xs: PyTree, *given: Any) -> PyTree:
            return model.unroll(params, xs, **dict(zip(taken, given, strict=True)))[1]

        result = "y" if model.pools else "ys"
        return {"sequence": Function({"xs": xs, **along}, (result,), sequence)}
    state = jax.eval_shape(lambda params: model.initial_state(params, sizes.batch), params)

    def unroll(params: Params, state: PyTree, xs: PyTree, *given: Any) -> PyTree:
        return model.unroll(params, xs, state, **dict(zip(taken, given, strict=True)))

    def initial_state(params: Params, x: PyTree) -> PyTree:
        return model.initial_state(params, front(x, len(sizes.batch)))

    def reset(params: Params, state: PyTree, flags: Array) -> PyTree:
        return reset_state(model, params, state, flags)

    return {
        "sequence": Function({"state": state, "xs": xs, **along}, ("state", "ys"), unroll),
        "step": Function({"state": state, "x": x}, ("state", "y"), model.apply),
        "initial_state": Function({"x": x}, ("state",), initial_state),
        "reset_state": Function({"state": state, "reset": flag}, ("state",), reset),
    }


def exported(
    name: str, function: Function, params: Params, platforms: tuple[str, ...]
) -> tuple[bytes, dict[str, Any]]:
    """The function, serialised, with plain trees at its border; and what the metadata say of it."""

    def plain(weights: dict[str, Any], *given: Any) -> Any:
        likes = function.arguments.values()
        trees = [inward(*pair) for pair in zip(given, likes, strict=True)]
        results = function.call(inward(weights, params), *trees)
        if len(function.results) == 1:
            return outward(function.results[0], results)
        return tuple(outward(*pair) for pair in zip(function.results, results, strict=True))

    plain.__name__ = name
    given = [outward(*item) for item in function.arguments.items()]
    with _without_locations():
        made = jax.export.export(jax.jit(plain), platforms=platforms)(weights_of(params), *given)
    results = made.out_tree.unflatten(made.out_avals)
    each = results if len(function.results) > 1 else (results,)
    return bytes(made.serialize()), {
        "arguments": dict(zip(function.arguments, map(described, given), strict=True)),
        "results": dict(zip(function.results, map(described, each), strict=True)),
        "calling_convention_version": made.calling_convention_version,
    }


def _led_by(leading: Shape, x: PyTree) -> PyTree:
    """With further dimensions before those of each array."""
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct((*leading, *leaf.shape), leaf.dtype), x)


@contextlib.contextmanager
def _without_locations() -> Iterator[None]:
    """No paths of this machine's files in what is written."""
    option = "jax_traceback_in_locations_limit"
    before = getattr(jax.config, option)
    jax.config.update(option, 0)
    try:
        yield
    finally:
        jax.config.update(option, before)
