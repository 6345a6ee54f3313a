"""The table of laws' rows, and the oracle: one sequence after the other, one `apply` a step."""

import functools
import itertools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn.types import exportable

TIME, BATCH = 5, (3,)


class Problem(NamedTuple):
    """A cell with everything that its `unroll` takes."""

    cell: jaxnn.Cell
    params: Any
    xs: Any
    state: Any
    start: Any
    mask: np.ndarray
    reset: np.ndarray
    event_ndim: int  # of the first leaf of xs

    @property
    def oracle(self) -> Any:
        """The oracle for this cell, with the arguments of its `unroll`."""
        return functools.partial(oracle, self.cell, self.event_ndim)

    def arguments(self) -> tuple[Any, Any, Any, Any]:
        """What is differentiated."""
        return self.params, self.xs, self.state, self.start


@exportable
class OwnParams(NamedTuple):
    """The parameters of the cells that are written here."""

    kernel: jax.Array
    recurrent: jax.Array


@functools.cache
def _init_in(dtype: Any) -> Callable[[jax.Array], OwnParams]:
    def init(key: jax.Array) -> OwnParams:
        keys = jax.random.split(key)
        kernel = jax.random.normal(keys[0], (3, 4), dtype) / 2
        return OwnParams(kernel, jax.random.normal(keys[1], (4, 4), dtype) / 2)

    return init


def _own_state(params: OwnParams, batch_shape: tuple[int, ...] = ()) -> jax.Array:
    return jnp.full((*batch_shape, 4), 0.25, params.kernel.dtype)


def _identity(state: Any) -> Any:
    return state


def _own_apply(params: OwnParams, state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    state = jnp.tanh(x @ params.kernel + state @ params.recurrent)
    return state, jnp.sin(state) + x[..., :1]


def _noisy_apply(params: OwnParams, state: Any, x: jax.Array, key: Any = None) -> tuple[Any, Any]:
    """Its state is a dictionary, and its noise depends on the key."""
    new = jnp.tanh(x @ params.kernel + state["s"] @ params.recurrent)
    if key is not None:
        new = new + jax.random.normal(key, new.shape, new.dtype)
    return {"s": new, "count": state["count"] + 1}, new


def _noisy_state(params: OwnParams, batch_shape: tuple[int, ...] = ()) -> Any:
    dtype = params.kernel.dtype
    return {"s": jnp.zeros((*batch_shape, 4), dtype), "count": jnp.zeros(batch_shape, dtype)}


def _tree_apply(params: OwnParams, state: Any, x: Any) -> tuple[Any, Any]:
    """x is features and a token, and the time since the step before, which lets the state decay."""
    (features, token), elapsed = x["events"], x["elapsed"]
    kept = state * jnp.exp(-jnp.square(elapsed))[..., None]
    state = jnp.tanh(features @ params.kernel + params.recurrent[token] + kept)
    return state, {"state": state, "sum": jnp.sum(state, axis=-1) * elapsed}


def _images_apply(params: OwnParams, state: Any, x: jax.Array) -> tuple[Any, Any]:
    """x is (2, 3), so that the batch is all but two dimensions."""
    state = jnp.tanh(jnp.sum(x @ params.kernel, axis=-2) + state @ params.recurrent)
    return state, state


def _project(params: OwnParams, x: jax.Array) -> jax.Array:
    return x @ params.kernel


def _mix(params: OwnParams, state: jax.Array) -> jax.Array:
    return state @ params.recurrent


def _leaky(params: OwnParams, projected: Any, mixed: Any, state: Any) -> Any:
    return 0.75 * state + 0.25 * jnp.tanh(projected + mixed)


def _crooked_mix(params: OwnParams, state: jax.Array) -> jax.Array:
    """Breaks the promise of a split: not linear in the state."""
    return jnp.sin(2 * state) @ params.recurrent


def _normed(params: OwnParams, projected: Any, mixed: Any, state: Any) -> Any:
    """Breaks the promise of a split: each unit sees all others."""
    return jnp.tanh(jax.nn.standardize(projected + mixed, epsilon=1e-3) + state)


def _gated(params: OwnParams, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    a = jax.nn.sigmoid(x @ params.kernel)
    return a, jnp.sin(x @ params.kernel[:, ::-1])


def _rotating(params: OwnParams, x: jax.Array) -> tuple[Any, Any]:
    """A constant rotation that shrinks, in a Pair, beside a real leaf with a rate of its own."""
    turn = jaxnn.Pair(jnp.cos(params.recurrent[0]) / 2, jnp.sin(params.recurrent[0]) / 2)
    added = x @ params.kernel
    rate = jax.nn.sigmoid(params.recurrent[1])
    return {"z": turn, "r": rate}, {"z": jaxnn.Pair(added, added[..., ::-1]), "r": jnp.tanh(added)}


def _rotating_state(params: OwnParams, batch_shape: tuple[int, ...] = ()) -> Any:
    first = _own_state(params, batch_shape)
    return {"z": jaxnn.Pair(first, -first), "r": 2 * first}


def _shown(params: OwnParams, state: Any, x: jax.Array) -> jax.Array:
    return jnp.tanh(state["z"].real @ params.recurrent) * state["r"] + x[..., :1]


def _nothing_mixed(params: OwnParams, state: Any) -> tuple[()]:
    return ()


def _affine(params: OwnParams, projected: Any, mixed: Any, state: Any) -> Any:
    """A minimal GRU whose output gate's result is kept in the state, and not read again."""
    z = jax.nn.sigmoid(projected)
    cell = state["cell"] + z * (jnp.sin(projected) - state["cell"])
    return {"cell": cell, "hidden": jnp.tanh(cell) * z}


def _affine_state(params: OwnParams, batch_shape: tuple[int, ...] = ()) -> Any:
    first = _own_state(params, batch_shape)
    return {"cell": first, "hidden": 2 * first}


def _hidden_of(state: Any) -> Any:
    return state["hidden"]


def _own(apply: Any, initial_state: Any, dtype: Any, event_ndim: Any = 1) -> jaxnn.Cell:
    return jaxnn.cell(_init_in(dtype), apply, initial_state, event_ndim)


def _split(mix: Any, combine: Any, dtype: Any) -> jaxnn.Cell:
    return jaxnn.split_cell(_init_in(dtype), _project, mix, combine, _own_state, _identity)


def _stack(dtype: Any) -> jaxnn.Cell:
    return jaxnn.stack(jaxnn.lstm(3, 4, dtype=dtype), jaxnn.gru(4, 3, dtype=dtype))


def _learned(dtype: Any) -> jaxnn.Cell:
    return jaxnn.learned_initial_state(jaxnn.lstm(3, 4, dtype=dtype))


def _learned_inside(dtype: Any) -> jaxnn.Cell:
    learned = jaxnn.learned_initial_state(jaxnn.gru(4, 3, dtype=dtype))
    return jaxnn.residual(jaxnn.stack(jaxnn.elman(3, 4, dtype=dtype), learned))


def _solved(cell: jaxnn.Cell, method: str, dtype: Any) -> jaxnn.Cell:
    """To nearly all digits of the dtype."""
    return jaxnn.solve(cell, method, 1e-13 if dtype == jnp.float64 else 1e-6)


CELLS: dict[str, Callable[[Any], jaxnn.Cell]] = {
    "elman": lambda d: jaxnn.elman(3, 4, dtype=d),
    "elman relu no bias": lambda d: jaxnn.elman(3, 4, jax.nn.relu, bias=False, dtype=d),
    "lstm": lambda d: jaxnn.lstm(3, 4, dtype=d),
    "lstm peephole": lambda d: jaxnn.lstm(3, 4, peephole=True, dtype=d),
    "lstm coupled no bias": lambda d: jaxnn.lstm(3, 4, coupled=True, bias=False, dtype=d),
    "lstm peephole coupled": lambda d: jaxnn.lstm(3, 4, peephole=True, coupled=True, dtype=d),
    "lstm projected, with hard gates": lambda d: jaxnn.lstm(
        3, 4, gate_activation=jaxnn.activations.hard_sigmoid(0.2), projection_size=2, dtype=d
    ),
    "lstm normed": lambda d: jaxnn.lstm(3, 4, layer_norm=True, dtype=d),
    "gru": lambda d: jaxnn.gru(3, 4, dtype=d),
    "gru no bias": lambda d: jaxnn.gru(3, 4, bias=False, dtype=d),
    "gru reset before": lambda d: jaxnn.gru(3, 4, reset_after=False, dtype=d),
    "decaying gru": lambda d: jaxnn.gru_d(3, 4, dtype=d),
    "mgu": lambda d: jaxnn.mgu(3, 4, dtype=d),
    "janet": lambda d: jaxnn.janet(3, 4, 0.5, dtype=d),
    "conv gru": lambda d: jaxnn.conv_gru(2, 3, (4,), (3,), dtype=d),
    "ct rnn": lambda d: jaxnn.ct_rnn(3, 4, dtype=d),
    "ltc": lambda d: jaxnn.ltc(3, 4, unfolds=2, dtype=d),
    "lif": lambda d: jaxnn.lif(3, 4, threshold=0.5, dtype=d),
    "slstm": lambda d: jaxnn.slstm(3, 4, heads=2, dtype=d),
    "mlstm": lambda d: jaxnn.mlstm(3, 4, heads=2, dtype=d),
    "conv lstm": lambda d: jaxnn.conv_lstm(2, 3, (4,), (3,), dtype=d),
    "conv lstm peephole": lambda d: jaxnn.conv_lstm(
        2, 3, (3, 2), (3, 2), (2, 1), peephole=True, dtype=d
    ),
    "own": lambda d: _own(_own_apply, _own_state, d),
    "own with key": lambda d: _own(_noisy_apply, _noisy_state, d),
    "own of images": lambda d: _own(_images_apply, _own_state, d, 2),
    "own of a tree": lambda d: _own(_tree_apply, _own_state, d, {"events": (1, 0), "elapsed": 0}),
    "leaky split": lambda d: _split(_mix, _leaky, d),
    "split that mixes units": lambda d: _split(_mix, _normed, d),
    "split with a crooked mix": lambda d: _split(_crooked_mix, _leaky, d),
    "split that is linear": lambda d: jaxnn.split_cell(
        _init_in(d), _project, _nothing_mixed, _affine, _affine_state, _hidden_of
    ),
    "own linear": lambda d: jaxnn.linear_cell(_init_in(d), _gated, _own_state, _identity),
    "own linear of pairs": lambda d: jaxnn.linear_cell(
        _init_in(d), _rotating, _rotating_state, _shown
    ),
    "own linear of pairs, chunked": lambda d: jaxnn.with_method(
        build("own linear of pairs", d), "chunked"
    ),
    "min gru": lambda d: jaxnn.min_gru(3, 4, dtype=d),
    "min lstm": lambda d: jaxnn.min_lstm(3, 4, dtype=d),
    "rg lru": lambda d: jaxnn.rg_lru(3, dtype=d),
    "rg lru block": lambda d: jaxnn.rg_lru_block(3, 4, blocks=2, window=3, dtype=d),
    "indrnn": lambda d: jaxnn.indrnn(3, 4, steps=2, dtype=d),
    "qrnn": lambda d: jaxnn.qrnn(3, 4, dtype=d),
    "sru": lambda d: jaxnn.sru(3, dtype=d),
    "lru": lambda d: jaxnn.lru(3, 4, dtype=d),
    "s5": lambda d: jaxnn.s5(3, 8, dtype=d),
    "s6": lambda d: jaxnn.s6(3, 4, dtype=d),
    "causal conv": lambda d: jaxnn.causal_conv(3, 3, dtype=d),
    "mamba block": lambda d: jaxnn.mamba_block(3, 2, window=3, dtype=d),
}
FEATURES, FLAGS, FLOAT, TOKEN = (
    jax.ShapeDtypeStruct(shape, dtype)
    for shape, dtype in (((3,), float), ((3,), bool), ((), float), ((), jnp.int32))
)
EVENTS: dict[str, Any] = {
    "own of images": jax.ShapeDtypeStruct((2, 3), float),
    "own of a tree": {"events": (FEATURES, TOKEN), "elapsed": FLOAT},
    "decaying gru": jaxnn.GRUDInput(FEATURES, FLAGS, FEATURES),
    "conv gru": jax.ShapeDtypeStruct((4, 2), float),
    "conv lstm": jax.ShapeDtypeStruct((4, 2), float),
    "conv lstm peephole": jax.ShapeDtypeStruct((3, 2, 2), float),
}
"""Each x that is not just three features; floating leaves are of the dtype of the row."""
COMBINATIONS: dict[str, Callable[[Any], jaxnn.Cell]] = {
    "stack": _stack,
    "stack of layers": lambda d: jaxnn.stack(
        jaxnn.dense(3, 2, dtype=d), jaxnn.gru(2, 4, dtype=d), jaxnn.dense(4, 2, dtype=d)
    ),
    "stack with dropout and residual": lambda d: jaxnn.stack(
        jaxnn.elman(3, 4, dtype=d), jaxnn.gru(4, 4, dtype=d), dropout=0.5, residual=True
    ),
    "residual": lambda d: jaxnn.residual(jaxnn.gru(3, 3, dtype=d)),
    "learned": _learned,
    "learned in stack in residual": _learned_inside,
    "learned of stack": lambda d: jaxnn.learned_initial_state(_stack(d)),
    "emitting lstm": lambda d: jaxnn.output_state(jaxnn.lstm(3, 4, dtype=d)),
    "emitting stack": lambda d: jaxnn.output_state(_stack(d)),
    "emitting learned": lambda d: jaxnn.output_state(_learned(d)),
    "lru, chunked": lambda d: jaxnn.with_method(jaxnn.lru(3, 4, dtype=d), "chunked"),
    "s6, associative": lambda d: jaxnn.with_method(jaxnn.s6(3, 4, dtype=d), "associative"),
    "causal conv, sequential": lambda d: jaxnn.with_method(
        jaxnn.causal_conv(3, 3, dtype=d), "sequential"
    ),
    "gated by": lambda d: jaxnn.gated_by(jaxnn.min_gru(3, 4, dtype=d), jaxnn.dense(3, 4, dtype=d)),
    "rg lru, associative": lambda d: jaxnn.with_method(jaxnn.rg_lru(3, dtype=d), "associative"),
    "min gru, associative": lambda d: jaxnn.with_method(
        jaxnn.min_gru(3, 4, dtype=d), "associative"
    ),
    "solved gru": lambda d: _solved(jaxnn.gru(3, 4, dtype=d), "full", d),
    "solved lstm, unit": lambda d: _solved(jaxnn.lstm(3, 4, dtype=d), "unit", d),
    "variational dropout of zoneout": lambda d: jaxnn.regularizers.variational_dropout(
        jaxnn.regularizers.zoneout(jaxnn.lstm(3, 4, dtype=d), 0.5), 0.5, 0.5, 0.5
    ),
    "weight norm, bounded": lambda d: jaxnn.regularizers.weight_norm(
        jaxnn.regularizers.spectral_bound(jaxnn.gru(3, 4, dtype=d))
    ),
    "remat": lambda d: jaxnn.remat(jaxnn.lstm(3, 4, dtype=d), 2),
    "remat of stack in levels": lambda d: jaxnn.remat(_stack(d), 1, levels=2),
    "remat in learned in stack": lambda d: jaxnn.stack(
        jaxnn.elman(3, 4, dtype=d),
        jaxnn.learned_initial_state(jaxnn.remat(jaxnn.gru(4, 3, dtype=d), 3)),
        names=("below", "above"),
    ),
}
CELLS_AND_MORE = CELLS | COMBINATIONS
DEEP = ("lstm", "own with key", "split that mixes units", "learned in stack in residual")
"""Law 1 judges gradients everywhere; where another law needs programs of its own, only here."""
KINDS = (*DEEP, "elman", "gru", "min gru", "lru", "s6")
"""One row of each kind."""

SIBLINGS = (
    *("elman relu no bias", "gru no bias", "lstm coupled no bias", "lstm peephole coupled"),
    *("lstm projected, with hard gates", "lstm normed", "janet", "ct rnn", "ltc", "lif"),
    *("conv gru", "conv lstm", "decaying gru", "own of a tree", "slstm", "mlstm"),
    *("min lstm", "qrnn", "sru", "mamba block", "rg lru block", "causal conv, sequential"),
    *("min gru, associative", "rg lru, associative", "stack of layers", "emitting stack"),
    *("emitting learned", "learned of stack", "remat of stack in levels"),
    *("remat in learned in stack", "weight norm, bounded"),
)
"""Rows whose kind has another one. What is their own shows in these laws; the rest is their kind's,
and runs for them with JAXNN_ALL_LAWS=1."""
LAWS_OF_SIBLINGS = re.compile(
    r"law_1_masks.*-False\]|law_7_der|law_8_dtypes.*-bfloat16\]|law_9.*\[[ms]lstm\]"
)
LAWS_OF_KINDS = re.compile(r"law_7_finite|law_8_dtypes.*-float16\]")
"""What runs for a row of each kind only."""
LAWS_OF_PARTS = re.compile(r"law_7_second|law_9")
"""What combinations of cells have from their parts."""
SPIKING = ("lif",)
"""Their derivative is a surrogate: that of no function."""

OWN = {name for name in CELLS if name.startswith(("own", "leaky", "split"))}
"""The dtypes of these are the business of whoever wrote them."""


@functools.cache
def build(row: str, dtype: Any = jnp.float64) -> jaxnn.Cell:
    """The cell of a row, one object for each dtype."""
    return CELLS_AND_MORE[row](dtype)


@functools.cache
def problem(
    row: str, dtype: Any = jnp.float64, time: int = TIME, batch: tuple[int, ...] = BATCH
) -> Problem:
    """Numbers for a row: no parameter, state or start is zero, and the mask has every shape."""
    cell, rng = build(row, dtype), np.random.default_rng(1)
    event = EVENTS.get(row, FEATURES)

    def numbers(function: Callable[..., Any]) -> Any:
        """In the shapes and dtypes that a function gives; it is traced, and not compiled."""

        def fill(leaf: jax.ShapeDtypeStruct) -> jax.Array:
            return jnp.asarray((0.5 * rng.normal(size=leaf.shape)).astype(leaf.dtype))

        return jax.tree.map(fill, jax.eval_shape(function))

    def inputs(leaf: jax.ShapeDtypeStruct) -> jax.Array:
        shape = (time, *batch, *leaf.shape)
        if leaf.dtype == bool:
            return jnp.asarray(rng.random(shape) < 0.5)
        if jnp.issubdtype(leaf.dtype, jnp.integer):
            return jnp.asarray(rng.integers(0, 4, shape), leaf.dtype)
        return jnp.asarray(rng.normal(size=shape), dtype)

    params = numbers(functools.partial(cell.init, jax.random.key(0)))
    first = functools.partial(cell.initial_state, params, batch)
    state, start = numbers(first), numbers(first)
    xs = jax.tree.map(inputs, event)
    mask = rng.random((time, *batch)) < 0.6
    reset = rng.random((time, *batch)) < 0.4
    if time and batch:
        # The first sequence is valid throughout, with a reset at its last step, and the last
        # one has no valid step.
        mask[:, 0], mask[:, -1], reset[[0, -1], 0], reset[1:3, 0] = True, False, True, False
    return Problem(
        cell, params, xs, state, start, mask, reset, len(jax.tree.leaves(event)[0].shape)
    )


def sliced(tree: Any, index: Any) -> Any:
    """The same part of each leaf."""
    return jax.tree.map(lambda leaf: leaf[index], tree)


def pad_with_nan(xs: Any, mask: np.ndarray) -> Any:
    """NaN wherever the mask is false, and of what has none, a number that is out of place."""

    def pad(leaf: jax.Array) -> jax.Array:
        flags = mask.reshape(*mask.shape, *(1,) * (leaf.ndim - mask.ndim))
        floating = jnp.issubdtype(leaf.dtype, jnp.floating)
        return jnp.where(flags, leaf, jnp.array(jnp.nan if floating else 99, leaf.dtype))

    return jax.tree.map(pad, xs)


_apply = functools.cache(lambda apply: jax.jit(apply))


def oracle(
    cell: jaxnn.Cell,
    event_ndim: int,
    params: Any,
    xs: jax.Array,
    state: Any = None,
    mask: np.ndarray | None = None,
    reset: np.ndarray | None = None,
    reverse: bool = False,
    start: Any = None,
) -> tuple[Any, Any]:
    """What `unroll` must give: a loop over sequences, over steps, with plain `if`s."""
    first = jax.tree.leaves(xs)[0]
    time, *batch = first.shape[: first.ndim - event_ndim]
    apply, count = _jitted(cell.apply), int(np.prod(batch))
    # One jitted call takes the batch apart, one puts it together: eagerly, each piece would be a
    # program of its own.
    one = cell.initial_state(params)
    starts = [one] * count if start is None else _pieces(start, len(batch))
    states = list(starts) if state is None else _pieces(state, len(batch))
    inputs, outputs = _pieces(xs, 1 + len(batch)), [None] * (time * count)
    for n, index in enumerate(itertools.product(*map(range, batch))):
        for t in reversed(range(time)) if reverse else range(time):
            if mask is not None and not mask[(t, *index)]:
                continue
            fresh = reset is not None and reset[(t, *index)]
            if fresh and not reverse:
                states[n] = starts[n]
            states[n], outputs[t * count + n] = apply(params, states[n], inputs[t * count + n])
            if fresh and reverse:
                states[n] = starts[n]
    y = jax.eval_shape(apply, params, one, inputs[0])[1]
    blank = jax.tree.map(lambda y: np.zeros(y.shape, y.dtype), y)
    outputs = [blank if y is None else y for y in outputs]
    return _together(tuple(states), tuple(batch)), _together(tuple(outputs), (time, *batch))


_jitted = functools.cache(jax.jit)


@functools.partial(jax.jit, static_argnums=1)
def _pieces(tree: Any, leading: int) -> list[Any]:
    """The trees that lie along the leading dimensions, in one list."""
    flat = jax.tree.map(lambda a: a.reshape(-1, *a.shape[leading:]), tree)
    leaves, structure = jax.tree.flatten(flat)
    return [structure.unflatten(piece) for piece in zip(*leaves, strict=True)]


@functools.partial(jax.jit, static_argnums=1)
def _together(pieces: tuple[Any, ...], leading: tuple[int, ...]) -> Any:
    """The inverse of `_pieces`."""
    return jax.tree.map(lambda *a: jnp.stack(a).reshape(*leading, *a[0].shape), *pieces)


@jax.jit
def weigh(tree: Any) -> jax.Array:
    """A scalar of which every entry of the tree has another share; smooth, and no entry's last."""
    rng, total = np.random.default_rng(7), jnp.zeros(())
    for leaf in jax.tree.leaves(tree):
        exact = leaf.astype(total.dtype)
        total = total + jnp.sum(rng.normal(size=leaf.shape) * (exact + 0.5 * exact**2))
    return total


def floating(tree: Any) -> tuple[list[Any], Callable[[Any], Any]]:
    """The leaves that have a derivative, and what puts others in their place."""
    leaves, structure = jax.tree.flatten(tree)
    places = [n for n, leaf in enumerate(leaves) if jnp.issubdtype(leaf.dtype, jnp.floating)]

    def join(new: Any) -> Any:
        replaced = dict(zip(places, new, strict=True))
        return structure.unflatten([replaced.get(n, leaf) for n, leaf in enumerate(leaves)])

    return [leaves[n] for n in places], join


def with_gradients(run: Callable[..., Any], *arguments: Any) -> tuple[Any, Any]:
    """The outputs of `run(*arguments)` and the gradients of their weighed sum; zeros for what has
    none."""
    leaves, join = floating(arguments)

    def loss(leaves: Any) -> tuple[jax.Array, Any]:
        out = run(*join(leaves))
        return weigh(out), out

    (_, out), bars = jax.value_and_grad(loss, has_aux=True)(leaves)
    _, join = floating(jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), arguments))
    return out, join(bars)


def values(run: Callable[..., Any], *arguments: Any) -> tuple[Any, None]:
    """In the place of `with_gradients`, where values are enough."""
    return run(*arguments), None


def judge(row: str) -> Callable[..., tuple[Any, Any]]:
    """`with_gradients` for the rows in `DEEP`, `values` for the others."""
    return with_gradients if row in DEEP else values


def assert_close(got: Any, want: Any, tolerance: float = 1e-10) -> None:
    """Equal trees, relative to each leaf's largest entry; dtypes and NaNs count too."""
    chex.assert_trees_all_equal_structs(got, want)
    chex.assert_trees_all_equal_shapes_and_dtypes(got, want)
    leaves = [np.asarray(leaf).astype(np.float64) for leaf in jax.tree.leaves(want)]
    largest = max((np.abs(leaf).max(initial=0) for leaf in leaves), default=0)
    named = jax.tree_util.tree_leaves_with_path(got)
    for (path, leaf), expected in zip(named, leaves, strict=True):
        where = jax.tree_util.keystr(path)
        # A gradient that cancels to nothing is judged by its neighbours.
        scale = max(np.abs(expected).max(initial=0), 1e-3 * largest)
        error = np.abs(np.asarray(leaf).astype(np.float64) - expected).max(initial=0)
        assert error <= tolerance * scale, f"{where}: off by {error}, largest entry {scale}"
