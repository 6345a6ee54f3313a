"""Inputs that are trees: each is the same as its arrays side by side, whatever is done with it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rows import assert_close, pad_with_nan, sliced, with_gradients

import jaxnn
from jaxnn.interop.onnx import to_model
from jaxnn.recurrence import methods

TIME, BATCH, UNITS = 5, 3, 4
KEYS = jax.random.split(jax.random.key(0), 4)
MASK = np.asarray(jaxnn.lengths_to_mask(jnp.array([5, 3, 0]), TIME))
RESET = np.zeros((TIME, BATCH), bool)
RESET[2, 0] = True


class Event(NamedTuple):
    """Features, the token of what happened, and the time since the event before."""

    features: Any
    token: Any
    gap: Any


EVENT_NDIM: Any = Event(1, 0, 0)
XS = Event(
    jax.random.normal(KEYS[0], (TIME, BATCH, 2)),
    jax.random.randint(KEYS[1], (TIME, BATCH), 0, UNITS),
    jax.random.uniform(KEYS[2], (TIME, BATCH)),
)


def beside(xs: Event) -> jax.Array:
    """The arrays side by side, in one."""
    token = xs.token[..., None].astype(xs.features.dtype)
    return jnp.concatenate([xs.features, token, xs.gap[..., None]], -1)


def apart(x: jax.Array) -> Event:
    """The inverse."""
    return Event(x[..., :2], x[..., 2].astype(jnp.int32), x[..., 3])


def init(key: jax.Array) -> Any:
    keys = jax.random.split(key, 3)
    shapes = {"kernel": (2, UNITS), "recurrent": (UNITS, UNITS), "table": (UNITS, UNITS)}
    each = zip(keys, shapes.items(), strict=True)
    return {name: jax.random.normal(k, shape) / 2 for k, (name, shape) in each}


def first(params: Any, batch_shape: tuple[int, ...] = ()) -> jax.Array:
    return jnp.zeros((*batch_shape, UNITS), params["kernel"].dtype)


def project(params: Any, x: Event) -> tuple[jax.Array, jax.Array]:
    kept = jnp.broadcast_to(jnp.exp(-x.gap)[..., None], (*x.gap.shape, UNITS))
    return x.features @ params["kernel"] + params["table"][x.token], kept


def mix(params: Any, state: jax.Array) -> jax.Array:
    return state @ params["recurrent"]


def combine(params: Any, projected: Any, mixed: jax.Array, state: jax.Array) -> jax.Array:
    added, kept = projected
    return kept * state + jnp.tanh(added + mixed)


def step(params: Any, state: jax.Array, x: Event) -> tuple[jax.Array, jax.Array]:
    state = combine(params, project(params, x), mix(params, state), state)
    return state, state


def coefficients(params: Any, x: Event) -> tuple[jax.Array, jax.Array]:
    added, kept = project(params, x)
    return kept, added


def shown(params: Any, state: jax.Array, x: Event) -> jax.Array:
    return state * x.gap[..., None]


def same(state: Any) -> Any:
    return state


Kind = Callable[[Callable[..., Any], Any], Any]
"""A cell whose functions are given x as they are written for, and its event_ndim."""
STEP: Kind = lambda of, n: jaxnn.cell(init, of(step, 2), first, n)  # noqa: E731
SPLIT: Kind = lambda of, n: jaxnn.split_cell(  # noqa: E731
    init, of(project, 1), mix, combine, first, same, n
)
LINEAR: Kind = lambda of, n: jaxnn.linear_cell(  # noqa: E731
    init, of(coefficients, 1), first, of(shown, 2), n
)


def of_tree(kind: Kind) -> Any:
    return kind(lambda function, place: function, EVENT_NDIM)


def of_one_array(kind: Kind) -> Any:
    """The same cell, of the arrays side by side."""

    def of(function: Callable[..., Any], place: int) -> Callable[..., Any]:
        def run(*args: Any) -> Any:
            return function(*args[:place], apart(args[place]), *args[place + 1 :])

        # The cells look at how many arguments a function takes.
        return {1: lambda p, x: run(p, x), 2: lambda p, s, x: run(p, s, x)}[place]

    return kind(of, 1)


F64 = jnp.float64
HEAD = jaxnn.dense(UNITS, 2, dtype=F64)
MADE: dict[str, tuple[Kind, Callable[[Any], Any]]] = {
    "a split": (SPLIT, lambda c: c),
    "a linear cell, chunked": (LINEAR, lambda c: jaxnn.with_method(c, "chunked")),
    "a stack in remat": (SPLIT, lambda c: jaxnn.remat(jaxnn.stack(c, HEAD), 2)),
    "learned, in a residual stack": (
        SPLIT,
        lambda c: jaxnn.stack(
            jaxnn.learned_initial_state(c),
            jaxnn.gru(UNITS, UNITS, dtype=F64),
            residual=True,
            dropout=0.5,
        ),
    ),
    "solved": (STEP, lambda c: jaxnn.solve(c, tolerance=1e-13)),
    "the state of a stack": (STEP, lambda c: jaxnn.output_state(jaxnn.stack(c))),
    "from both ends, serial": (
        SPLIT,
        lambda c: jaxnn.serial(jaxnn.bidirectional(c), jaxnn.dense(8, 2, dtype=F64)),
    ),
    "side by side": (
        SPLIT,
        lambda c: jaxnn.parallel(jaxnn.as_layer(c), jaxnn.as_layer(c, reverse=True), merge="sum"),
    ),
}


def judged(model: Any, xs: Any) -> Any:
    """Values and gradients, of masked steps too, by params and by what is floating in xs."""
    params = model.init(KEYS[3])
    run = lambda params, xs: model.unroll(params, xs, mask=MASK, reset=RESET)  # noqa: E731
    out, (params_bar, xs_bar) = with_gradients(run, params, pad_with_nan(xs, MASK))
    xs_bar = xs_bar if isinstance(xs_bar, Event) else apart(xs_bar)
    return out, params_bar, xs_bar.features, xs_bar.gap


@pytest.mark.parametrize("name", MADE)
def test_a_tree_is_its_arrays_side_by_side(name: str) -> None:
    kind, make = MADE[name]
    got = judged(make(of_tree(kind)), XS)
    assert_close(got, judged(make(of_one_array(kind)), beside(XS)))
    assert not any(np.any(np.asarray(leaf)[~MASK]) for leaf in got[2:])


def test_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "LARGE", 0)
    monkeypatch.setattr(methods, "BLOCK", 1)
    cell = of_tree(SPLIT)
    params = cell.init(KEYS[3])
    assert jaxnn.explain(cell, XS).choices[0].values == "blocks"
    got = cell.unroll(params, sliced(XS, slice(4)), mask=MASK[:4])
    assert_close(
        got,
        jaxnn.with_method(cell, "sequential").unroll(params, sliced(XS, slice(4)), mask=MASK[:4]),
    )


def test_outputs_that_are_trees_go_from_part_to_part() -> None:
    """A cell that gives a tree, on top of it one that takes it, and a residual of trees."""

    def both(params: Any, state: Any, x: Any) -> Any:
        state = state + x["a"]
        return state, {"a": state, "b": 2 * x["b"]}

    below = jaxnn.cell(
        lambda key: jnp.zeros(()),
        both,
        lambda params, batch=(): jnp.zeros((*batch, 2)),
        {"a": 1, "b": 0},
    )
    above = jaxnn.cell(
        lambda key: jnp.zeros(()),
        lambda params, state, x: (state, x["a"] * x["b"][..., None]),
        lambda params, batch=(): (),
        {"a": 1, "b": 0},
    )
    model = jaxnn.stack(jaxnn.residual(below), above)
    xs = {"a": jnp.ones((TIME, BATCH, 2)), "b": jnp.ones((TIME, BATCH))}
    params = model.init(KEYS[0])
    _, ys = model.unroll(params, pad_with_nan(xs, MASK), mask=MASK)
    want = 3 * (2 + np.arange(TIME)[:, None, None]) * MASK[..., None] * np.ones(2)
    assert_close(ys, jnp.asarray(want))
    with pytest.raises(TypeError, match=r"the output must be as its input, dict of \(a, b\)"):
        jaxnn.residual(above).unroll(params[0], xs)
    with pytest.raises(TypeError, match="must be an array, got dict"):
        jaxnn.stack(below, above, dropout=0.5).unroll(params, xs, key=KEYS[0])


def test_a_gate_of_ones_own_sees_the_tree() -> None:
    def share(params: Any, x: Event, mask: Any = None, key: Any = None) -> jax.Array:
        return jnp.broadcast_to(x.features[..., :1], (*x.gap.shape, UNITS))

    gate = jaxnn.Layer(lambda key: (), share)
    cell = of_tree(SPLIT)
    model = jaxnn.gated_by(cell, gate)
    params = model.init(KEYS[3])
    _, ys = model.unroll(params, XS)
    assert_close(ys, cell.unroll(params.cell, XS)[1] * XS.features[..., :1])


def test_learning_online_looks_at_the_tree() -> None:
    model = jaxnn.stack(of_tree(SPLIT), HEAD)
    other = jaxnn.stack(of_one_array(SPLIT), HEAD)
    params, targets = model.init(KEYS[3]), jnp.ones((TIME, BATCH, 2))
    square = lambda y, target: jnp.sum((y - target) ** 2)  # noqa: E731
    found = [
        jaxnn.online(each, "exact").unroll(
            params, pad_with_nan(xs, MASK), targets, square, mask=MASK, reset=RESET
        )
        for each, xs in ((model, XS), (other, beside(XS)))
    ]
    assert_close(*(each.gradient for each in found))


def test_a_tree_between_layers_that_learn_online() -> None:
    """A token in it, which has no gradient, keeps none from what is floating beside it."""

    def below(params: Any, state: jax.Array, x: Event) -> tuple[jax.Array, Event]:
        state, y = step(params, state, x)
        return state, Event(y[..., :2], x.token, jnp.sum(y, -1))

    lower = jaxnn.cell(init, below, first, EVENT_NDIM)
    model = jaxnn.stack(lower, of_tree(STEP))
    params, targets = model.init(KEYS[3]), jnp.ones((1, BATCH, UNITS))
    square = lambda y, target: jnp.sum((y - target) ** 2)  # noqa: E731
    xs = sliced(XS, slice(1))  # by layers, the first step alone is exact
    learned = jaxnn.online(model, by_layer=True).unroll(params, xs, targets, square)
    want = jax.grad(lambda params: square(model.unroll(params, xs)[1], targets))(params)
    assert np.any(want[0]["kernel"])
    assert_close(learned.gradient, want)


def test_diagnostics_look_at_the_tree() -> None:
    look = jaxnn.diagnostics
    found = []
    for cell, xs in ((of_tree(STEP), XS), (of_one_array(STEP), beside(XS))):
        params = cell.init(KEYS[3])
        state, x = cell.initial_state(params, (BATCH,)), sliced(xs, 0)
        found.append(
            (
                look.step_jacobian(cell, params, state, x),
                look.step_operator(cell, params, state, x).jvp(jnp.ones_like(state)),
                look.lyapunov_exponents(cell, params, xs, mask=MASK),
                look.gap_singular_values(cell, params, xs, 2, mask=MASK),
                look.gradient_norms(cell, params, xs, jnp.sum, mask=MASK),
                look.fixed_points(cell, params, jnp.ones((2, UNITS)), sliced(x, 0)).residual < 1e-9,
            )
        )
    got, want = (jax.tree.map(jnp.nan_to_num, each) for each in found)
    assert_close(got, want, 1e-7)


def test_decoding_feeds_a_tree() -> None:
    cell = jaxnn.stack(of_tree(STEP), jaxnn.dense(UNITS, UNITS, dtype=F64))
    params = cell.init(KEYS[3])
    feed = lambda token: Event(jnp.ones((*token.shape, 2)), token, jnp.ones(token.shape))  # noqa: E731
    written = jaxnn.decode(cell, params, None, jnp.zeros(BATCH, jnp.int32), 3, feed=feed)
    state, token = cell.initial_state(params, (BATCH,)), jnp.zeros(BATCH, jnp.int32)
    for t in range(3):
        state, y = cell.apply(params, state, feed(token))
        token = jnp.argmax(y, -1).astype(jnp.int32)
        assert np.array_equal(written.tokens[t], token)


def test_a_file_takes_a_dictionary_by_path(tmp_path: Any) -> None:
    cell, file = of_tree(SPLIT), tmp_path / "tree.jaxnn"
    params = cell.init(KEYS[3])
    jaxnn.export.save(file, cell, params, sliced(XS, (0, 0)), mask=True, platforms=("cpu",))
    shipped, given = jaxnn.export.load(file), XS._asdict()
    state = shipped.initial_state(sliced(given, 0))
    assert_close(shipped.sequence(state, given, MASK), cell.unroll(params, XS, mask=MASK), 1e-6)
    with pytest.raises(TypeError, match=r"xs must be a dict of \['features', 'token', 'gap'\]"):
        shipped.sequence(state, XS.features, MASK)


def test_one_number_serves_all_arrays_of_any_tree() -> None:
    """As in keras#16103: nodes and edges of a graph, both of two dimensions."""

    def run(kernel: Any, state: Any, x: Any) -> Any:
        nodes, (edges,) = x
        return (state := jnp.tanh(edges @ state @ kernel + nodes)), state

    cell = jaxnn.cell(
        lambda key: jax.random.normal(key, (2, 2)),
        run,
        lambda kernel, batch=(): jnp.zeros((*batch, 4, 2)),
        2,
    )
    kernel = cell.init(KEYS[0])
    xs = jnp.ones((TIME, BATCH, 4, 2)), [np.ones((TIME, BATCH, 4, 4))]
    state, ys = cell.unroll(kernel, xs, mask=MASK)
    assert ys.shape == (TIME, BATCH, 4, 2) and not np.any(np.asarray(ys)[~MASK])
    assert_close(state[:2], jnp.stack([ys[4, 0], ys[2, 1]]))


def test_vmap_over_a_part_of_the_tree() -> None:
    cell = of_tree(SPLIT)
    params = cell.init(KEYS[3])
    many = XS._replace(features=jnp.stack([XS.features, 2 * XS.features]))
    axes: Any = Event(0, None, None)
    _, ys = jax.vmap(lambda xs: cell.unroll(params, xs), (axes,))(many)
    assert_close(ys[1], cell.unroll(params, XS._replace(features=many.features[1]))[1])


def test_what_does_not_fit_is_told_by_its_path() -> None:
    cell = of_tree(SPLIT)
    params = cell.init(KEYS[3])
    state = cell.initial_state(params, (BATCH,))
    gru = jaxnn.gru(2, UNITS)
    coefficients = lambda params, x: (jnp.exp(-x.gap), x.features @ params["kernel"])  # noqa: E731
    per_sequence = jaxnn.linear_cell(init, coefficients, first, same, EVENT_NDIM)
    late, few = XS._replace(gap=XS.gap[1:]), XS._replace(features=XS.features[0, 0])
    wrong: dict[str, tuple[type[Exception], Callable[[], Any]]] = {
        r"all arrays of xs must have one time and batch, but xs\.features begins with \(5, 3\), "
        r"and xs\.gap with \(4, 3\)": (ValueError, lambda: cell.unroll(params, late)),
        r"xs\.features must be \(time, \*batch, features\), at least 2 dimensions, got the shape "
        r"\(2,\); apply runs one step": (ValueError, lambda: cell.unroll(params, few)),
        r"xs must be a tree like event_ndim, Event\(features=1, token=0, gap=0\), got float": (
            TypeError,
            lambda: cell.unroll(params, XS.features),
        ),
        r"Event\(features=1, token=0, gap=0\), got Event\(features, token, gap\) with \.gap None": (
            TypeError,
            lambda: cell.unroll(params, XS._replace(gap=None)),
        ),
        r"remat.*xs\.features must be \(time, \*batch, features\), .* got the shape \(5,\)": (
            ValueError,
            lambda: jaxnn.remat(cell, 2).unroll(params, XS._replace(features=jnp.ones(5))),
        ),
        r"xs\.gap must be an array, got str": (
            TypeError,
            lambda: cell.unroll(params, XS._replace(gap="soon")),
        ),
        r"all arrays of x must have one batch, but x\.features begins with \(3,\), and x\.token "
        r"with \(2,\)": (
            ValueError,
            lambda: cell.apply(params, state, sliced(XS, 0)._replace(token=XS.token[0, :2])),
        ),
        "xs must be an array, got tuple; nor is it a tree of them": (
            TypeError,
            lambda: cell.unroll(params, ()),
        ),
        r"xs must be an array, got Event\(features, token, gap\): the cells of jaxnn take one": (
            TypeError,
            lambda: gru.unroll(gru.init(KEYS[0]), XS),
        ),
        r"mask must have the shape \(5, 3\) \(the leading dimensions of xs\), got \(5, 2\)": (
            ValueError,
            lambda: jaxnn.stack(cell).unroll((params,), XS, mask=MASK[:, :2]),
        ),
        r"event_ndim\.token must be a positive integer, got 'a'": (
            TypeError,
            lambda: jaxnn.cell(init, step, first, Event(1, "a", 0)),
        ),
        r"event_ndim\.gap must be a positive integer, got -1": (
            ValueError,
            lambda: jaxnn.cell(init, step, first, Event(1, 0, -1)),
        ),
        r"an a that depends on x must have the shape of b, \(4, 4\), got \(4,\)": (
            ValueError,  # of as many sequences as units, it would be taken for that of the units
            lambda: per_sequence.unroll(params, sliced(XS, (slice(None), [0, 1, 2, 0]))),
        ),
        "takes a tree of arrays, and a graph one array": (
            TypeError,
            lambda: to_model(cell, params, XS.features),
        ),
    }
    for text, (kind, call) in wrong.items():
        with pytest.raises(kind, match=text):
            call()


def test_equal_trees_of_numbers_make_one_cell() -> None:
    """A dictionary too, which cannot be hashed; it prints as it is written."""
    make = lambda n: jaxnn.cell(init, step, first, n)  # noqa: E731
    assert make({"a": 1, "b": (0, 2)}) is make({"b": (0, 2), "a": 1})
    assert make({"a": 1, "b": 0}) is not make({"a": 0, "b": 1})
    assert repr(make({"a": 1, "b": [0]})) == "cell(step, event_ndim={'a': 1, 'b': [0]})"
