"""Layers one after the other, and side by side."""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp

from jaxnn.functions.merge import Merge, check_merge, merge_outputs
from jaxnn.functions.sequences import clean_tree, expand_to
from jaxnn.internal.checks import (
    check_flags,
    check_init_key,
    check_key,
    check_mask,
    is_array,
    split_key,
)
from jaxnn.internal.factory import factory, this_call
from jaxnn.internal.inputs import check_arrays, leading_ndim, leading_of, leaves_of
from jaxnn.internal.named import Names, check_joined, check_names, joined
from jaxnn.recurrence.arguments import Arguments
from jaxnn.recurrence.unroll import sequence_unroll_by
from jaxnn.types import (
    ArrayLike,
    Cell,
    EventNdim,
    Key,
    Layer,
    Params,
    PyTree,
    Ranks,
    SequenceLayer,
    SequenceUnroll,
    State,
    appears_as,
    facts_of,
    name_of,
    with_facts,
)

AnyLayer = Layer[Params] | SequenceLayer[Params, State]


@overload
def serial(*layers: Layer[Params], names: None = None) -> Layer[tuple[Params, ...]]:
    """Layers make a Layer."""


@overload
def serial(*layers: AnyLayer, names: Names | None = None) -> Any:
    """A SequenceLayer among them makes a SequenceLayer; names make NamedTuples."""


@factory
def serial(*layers: AnyLayer, names: Names | None = None) -> AnyLayer:
    """Layers one after the other.

    The mask reaches every layer, which cleans its input with it, and every layer gets a key of its
    own. After a `pool_over_time` there are no steps any more: the layers after it get no mask.

    Args:
      *layers: Layers, the first one first; a cell belongs in `as_layer(cell)` here.
      names: a name for each: params and states are then NamedTuples, `params.head`.

    Returns:
      A Layer whose params are a tuple, one entry a layer. Where one of them looks along time
      (`as_layer`, `bidirectional`) it is a SequenceLayer: its `unroll` also takes and gives
      states, a tuple with `()` for the layers that have none.

    Raises:
      TypeError: for a part that is no Layer, and for names that are no words.
      ValueError: for a layer that looks along time after one that pools over it, and for names that
        are not one for each part; when it runs, where a layer changes the number of steps and a
        mask is given.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> encoder, head = jaxnn.as_layer(jaxnn.gru(3, 8)), jaxnn.dense(8, 2)
    >>> model = jaxnn.serial(encoder, head, names=("encoder", "head"))
    >>> params = model.init(jax.random.key(0))
    >>> model.apply(params, jnp.ones((5, 4, 3))).shape, params.head.kernel.shape
    ((5, 4, 2), (8, 2))
    """
    _check_layers("serial", layers)
    _check_pooled_once(layers)
    names, name = check_names("serial", names, len(layers)), this_call()
    event_ndim = event_ndim_of(layers)
    init = functools.partial(init_layers, name, layers, names)
    unroll = sequence_unroll_by(run_serial, name, event_ndim, layers, names)
    return _layer(name, layers, with_facts(init, event_ndim, _by_steps(layers)), unroll)


@overload
def parallel(
    *layers: Layer[Params], merge: Merge = "concat", names: None = None
) -> Layer[tuple[Params, ...]]:
    """Layers make a Layer."""


@overload
def parallel(*layers: AnyLayer, merge: Merge = "concat", names: Names | None = None) -> Any:
    """A SequenceLayer among them makes a SequenceLayer; names make NamedTuples."""


@factory
def parallel(*layers: AnyLayer, merge: Merge = "concat", names: Names | None = None) -> AnyLayer:
    """Layers side by side on the same input, their outputs merged.

    Args:
      *layers: Layers that take the same x.
      merge: "concat" (of the features), "sum", "mean", "product", or a function of the outputs;
        of outputs that are trees as in `bidirectional`.
      names: a name for each layer, as in `serial`.

    Returns:
      A Layer whose params are a tuple, one entry a layer; a SequenceLayer as `serial` gives one.

    Raises:
      TypeError: for a part that is no Layer.
      ValueError: for an unknown merge, and where some layers pool over time and others do not;
        when it runs, for a merge that needs equal sizes, or where a layer changes the number of
        steps and a mask is given.

    >>> import jax, jax.numpy as jnp, jaxnn
    >>> layer = jaxnn.parallel(jaxnn.dense(3, 4), jaxnn.dense(3, 2))
    >>> layer.apply(layer.init(jax.random.key(0)), jnp.ones(3)).shape
    (6,)
    """
    _check_layers("parallel", layers)
    if len({_pools(layer) for layer in layers}) > 1:
        given = ", ".join(f"{layer} {'does' if _pools(layer) else 'does not'}" for layer in layers)
        raise ValueError(f"parallel: all layers must pool over time, or none; {given}")
    check_merge("parallel", merge)
    names, name = check_names("parallel", names, len(layers)), this_call()
    known = [event_ndim_of([layer]) for layer in layers]
    event_ndim = None if None in known else _most(each for each in known if each is not None)
    init = functools.partial(init_layers, name, layers, names)
    unroll = sequence_unroll_by(run_parallel, name, event_ndim, layers, names, merge)
    return _layer(name, layers, with_facts(init, event_ndim, _by_steps(layers)), unroll)


def _layer(
    name: str,
    layers: tuple[AnyLayer, ...],
    init: Callable[[Key], Params],
    unroll: SequenceUnroll,
) -> AnyLayer:
    """A SequenceLayer where one of the layers is one."""
    apply = functools.partial(apply_layers, name, unroll)
    if any(isinstance(layer, SequenceLayer) for layer in layers):
        return SequenceLayer(init, apply, unroll, any(map(_pools, layers)))
    return Layer(init, apply)


@appears_as("init")
def init_layers(
    name: str, layers: tuple[AnyLayer, ...], names: Names | None, key: Key
) -> tuple[Params, ...]:
    """The parameters of each layer, from a key of its own."""
    check_init_key(name, key)
    keys = jax.random.split(key, len(layers))
    return joined(names, (layer.init(k) for layer, k in zip(layers, keys, strict=True)))


@appears_as("apply")
def apply_layers(
    name: str,
    unroll: SequenceUnroll,
    params: Params,
    x: PyTree,
    mask: ArrayLike | None = None,
    key: Key | None = None,
) -> PyTree:
    """The output alone, from the initial states."""
    check_arrays(name, "x", x)
    check_key(name, key)
    return unroll(params, x, None, mask, None, key)[1]


def run_serial(
    name: str,
    event_ndim: EventNdim | None,
    layers: tuple[AnyLayer, ...],
    names: Names | None,
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    """Each layer on the output of the one before, with the states of those that have one."""
    check_flags_of(name, event_ndim, arguments)
    states, xs, mask, reset = [], arguments.xs, arguments.mask, arguments.reset
    for layer, p, part in _parts(name, layers, names, params, arguments):
        part = part._replace(xs=clean_tree(name, xs, mask), mask=mask, reset=reset)
        if event_ndim is not None:
            part = _written_out(facts_of(layer).event_ndim, part)
        state, xs = _run_part(layer, p, part)
        states.append(state)
        if _pools(layer):
            mask = reset = None
    return joined(names, states), xs


def run_parallel(
    name: str,
    event_ndim: EventNdim | None,
    layers: tuple[AnyLayer, ...],
    names: Names | None,
    merge: Merge,
    params: Params,
    arguments: Arguments,
) -> tuple[State, PyTree]:
    """Every layer on the same input, with the states of those that have one."""
    check_flags_of(name, event_ndim, arguments)
    arguments = arguments._replace(xs=clean_tree(name, arguments.xs, arguments.mask))
    parts = [_run_part(*part) for part in _parts(name, layers, names, params, arguments)]
    states, outputs = zip(*parts, strict=True)
    leading = None
    if event_ndim is not None:
        leading = leading_ndim(arguments.xs, event_ndim) - _pools(layers[0])
    return joined(names, states), merge_outputs(name, merge, list(outputs), leading)


def _parts(
    name: str,
    layers: tuple[AnyLayer, ...],
    names: Names | None,
    params: Params,
    arguments: Arguments,
) -> Iterator[tuple[AnyLayer, Params, Arguments]]:
    """Each layer with its parameters, and the arguments with its own state, key and start."""
    check_joined(name, "params", params, names, len(layers))
    for argument, value in (("state", arguments.state), ("start", arguments.start)):
        if value is not None:
            check_joined(name, argument, value, names, len(layers))
    nothing = (None,) * len(layers)
    keys = split_key(name, arguments.key, len(layers))
    states, starts = arguments.state or nothing, arguments.start or nothing
    for layer, p, state, key, start in zip(layers, params, states, keys, starts, strict=True):
        yield layer, p, arguments._replace(state=state, key=key, start=start)


def _run_part(layer: AnyLayer, params: Params, arguments: Arguments) -> tuple[State, PyTree]:
    if isinstance(layer, SequenceLayer):
        state, y = layer.unroll(params, *arguments[:4], *arguments[5:])
    else:
        state, y = (
            (),
            layer.apply(params, arguments.xs, mask_for(layer, arguments.mask), arguments.key),
        )
    return state, y if _pools(layer) else _same_steps(layer, y, arguments.mask)


def event_ndim_of(parts: Sequence[AnyLayer | Cell]) -> EventNdim | None:
    """How many trailing dimensions of its input a chain takes as one thing: None if not known.

    The first part that knows tells, but a layer that acts on the features alone, or entry by entry,
    leaves it to those after it; where all do, it is the features.
    """
    for part in parts:
        event_ndim, each_step = facts_of(part).event_ndim, facts_of(part).each_step
        if event_ndim is None and not each_step:
            return None
        if event_ndim is not None and not (each_step and event_ndim == 1):
            return event_ndim
    return 1


def _most(known: Iterable[EventNdim]) -> EventNdim:
    """Of layers that read the same input: a tree says most."""
    return max(known, key=lambda each: (1, 0) if isinstance(each, Ranks) else (0, each))


def _by_steps(layers: Sequence[AnyLayer]) -> bool:
    return all(facts_of(layer).each_step for layer in layers)


def check_flags_of(name: str, event_ndim: EventNdim | None, arguments: Arguments) -> None:
    """Raise unless mask and reset cover exactly the time and the batch of xs."""
    flags = {"mask": arguments.mask, "reset": arguments.reset}
    if event_ndim is None:
        for where, leaf in leaves_of(name, "xs", arguments.xs):
            check_mask(name, arguments.mask, leaf, None, where)
    elif any(value is not None for value in flags.values()):
        # Layers alone may take a vector, without time.
        leading = leading_of(name, "xs", arguments.xs, event_ndim, False)
        for argument, value in flags.items():
            if value is not None:
                check_flags(name, argument, value, leading, "xs")


def mask_for(layer: AnyLayer, mask: ArrayLike | None) -> ArrayLike | None:
    """The mask for a part whose input is clean: none for a layer that acts on each step by itself.

    It could not tell how many dimensions are time and batch where its input has more than features.
    """
    return None if facts_of(layer).each_step else mask


def _written_out(event_ndim: EventNdim | None, arguments: Arguments) -> Arguments:
    """With mask and reset, which are known to cover time and batch, for each place of an image too,
    where the part takes the places of an image as a batch."""
    if not isinstance(event_ndim, int) or not is_array(arguments.xs):
        return arguments

    def wide(flags: ArrayLike | None) -> ArrayLike | None:
        if flags is None or flags.ndim >= arguments.xs.ndim - event_ndim:
            return flags
        leading = arguments.xs.shape[: arguments.xs.ndim - event_ndim]
        return jnp.broadcast_to(expand_to(flags, jnp.zeros(leading)), leading)

    return arguments._replace(mask=wide(arguments.mask), reset=wide(arguments.reset))


def _pools(layer: AnyLayer) -> bool:
    return isinstance(layer, SequenceLayer) and layer.pools


def _same_steps(layer: AnyLayer, y: PyTree, mask: ArrayLike | None) -> PyTree:
    if mask is None:
        return y
    for leaf in jax.tree.leaves(y):
        if tuple(leaf.shape[: mask.ndim]) != tuple(mask.shape):
            raise ValueError(
                f"{name_of(layer)}: it changes the number of steps, from {tuple(mask.shape)} to "
                f"{tuple(leaf.shape[: mask.ndim])}, so it cannot be given a mask: pool with "
                f"pool_over_time after the layers that take one"
            )
    return y


def _check_layers(name: str, layers: tuple[object, ...]) -> None:
    if not layers:
        raise ValueError(f"{name}: it needs at least one layer")
    for index, layer in enumerate(layers):
        if not isinstance(layer, (Layer, SequenceLayer)):
            hint = (
                ": jaxnn.as_layer(cell) makes a Layer of a Cell, jaxnn.stack takes Cells"
                if isinstance(layer, Cell)
                else ""
            )
            raise TypeError(f"{name}: part {index} must be a Layer, got {layer!r}{hint}")


def _check_pooled_once(layers: tuple[AnyLayer, ...]) -> None:
    pooled = None
    for index, layer in enumerate(layers):
        if pooled is not None and isinstance(layer, SequenceLayer):
            raise ValueError(
                f"serial: part {index}, {layer}, looks along time, and part {pooled}, "
                f"{layers[pooled]}, has pooled over it: pool last"
            )
        if _pools(layer):
            pooled = index
