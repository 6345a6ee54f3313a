"""The derivative rule: what stands in its loops, which splits it takes, and its gradients."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Jaxpr
from rows import CELLS, OWN, assert_close, problem, with_gradients

import jaxnn

RULED = [name for name in CELLS if name.startswith(("elman", "lstm", "gru", "leaky", "conv"))]
TWO_PRODUCTS = ["gru reset before", "lstm projected, with hard gates", "mgu"]
RULED = [name for name in RULED if name not in TWO_PRODUCTS]
LINEAR = ("min", "lru", "s5", "s6", "rg lru", "qrnn", "sru", "causal conv", "mamba")
"""Rows of linear recurrences, and what is made of them, begin so."""


class Loop(NamedTuple):
    """A scan: the shapes of the products in its body, and of what it carries from step to step."""

    products: list[tuple[int, ...]]
    carried: list[tuple[int, ...]]


class Census(NamedTuple):
    """The shapes of the products outside of loops, and the loops."""

    products: list[tuple[int, ...]]
    loops: list[Loop]


def census(function: Callable[..., Any], *arguments: Any) -> Census:
    """What the jaxpr of a function holds."""
    found = Census([], [])
    count(jax.make_jaxpr(function)(*arguments).jaxpr, found.products, found)
    return found


def count(jaxpr: Jaxpr, products: list[tuple[int, ...]], found: Census) -> None:
    for eqn in jaxpr.eqns:
        if eqn.primitive.name in ("dot_general", "conv_general_dilated"):
            products.append(shape(eqn.outvars[0]))
        if eqn.primitive.name == "scan":
            consts, carry = eqn.params["num_consts"], eqn.params["num_carry"]
            carried = [shape(atom) for atom in eqn.invars[consts : consts + carry]]
            found.loops.append(Loop([], carried))
        if eqn.primitive.name == "linear_recurrence":
            linear, kinds = eqn.params["linear"], [*map(kind_of, eqn.invars)]
            leaves = [jax.ShapeDtypeStruct(kind.shape, kind.dtype) for kind in kinds]
            split = len(leaves) - len(linear.operands)
            count(jax.make_jaxpr(linear.run)(leaves[:split], leaves[split:]).jaxpr, products, found)
        for inner in inner_jaxprs(eqn.params):
            inside = eqn.primitive.name == "scan"
            count(inner, found.loops[-1].products if inside else products, found)


def kind_of(atom: Any) -> Any:
    return atom.aval


def shape(atom: Any) -> tuple[int, ...]:
    return atom.aval.shape


def inner_jaxprs(params: dict[str, Any]) -> Iterator[Jaxpr]:
    for value in params.values():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            if hasattr(each, "eqns") or hasattr(each, "jaxpr"):
                yield getattr(each, "jaxpr", each)


def gradient(cell: jaxnn.Cell, **options: Any) -> Callable[..., Any]:
    """The gradient of a loss on all outputs and on the final state."""

    def loss(params: Any, xs: Any, state: Any, start: Any) -> Any:
        results = cell.unroll(params, xs, state, start=start, **options)
        return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(results))

    return jax.grad(loss, (0, 1, 2, 3), allow_int=True)


def projections(params: Any) -> int:
    """The input is projected by one matmul a gate; by one product elsewhere, as before a norm."""
    if isinstance(params, jaxnn.GRUDParams):  # m V of each gate, δ D, and the gradient of D
        return 3 + 2
    kernel = getattr(params, "input_kernel", None)
    if getattr(params, "norm", None) is not None:  # all gates together
        return 1
    return kernel.shape[1] if kernel is not None and kernel.ndim == 3 else 1


def carries_no_weight(p: Any, loops: list[Loop]) -> bool:
    """The loops carry states, a count, and what they emit, for each step of each sequence."""
    batched = {leaf.shape for leaf in jax.tree.leaves(p.state)}
    carried = {shape for loop in loops for shape in loop.carried}
    over_time = {shape for shape in carried if shape[:2] == p.mask.shape}
    return batched <= carried <= {(), *batched, *over_time}


@pytest.mark.parametrize(
    "options", ["", "mask", "reset", "reverse", "mask reset", "mask reset reverse"]
)
@pytest.mark.parametrize("row", RULED)
def test_one_product_in_each_loop(row: str, options: str) -> None:
    p = problem(row)
    flags = {"mask": p.mask, "reset": p.reset, "reverse": True}
    run = gradient(p.cell, **{name: flags[name] for name in options.split()})
    outside, loops = census(run, p.params, p.xs, p.state, p.start)
    forward, backward = loops
    assert len(forward.products) == 1 and len(backward.products) == 1
    # The projected input, its two gradients, and the gradient of the recurrent kernel.
    assert len(outside) == projections(p.params) + 3
    assert carries_no_weight(p, loops)


@pytest.mark.parametrize("row", [name for name in CELLS if name.startswith(LINEAR)])
def test_no_product_is_left_in_the_loops_of_a_linear_cell(row: str) -> None:
    """They carry states and nothing else: forward, and backward. A convolution needs none."""
    p = problem(row)
    _, loops = census(gradient(p.cell), p.params, p.xs, p.state, p.start)
    assert len(loops) == (0 if row.startswith("causal conv") else 2)
    states = {leaf.shape for leaf in jax.tree.leaves(p.state)}
    for loop in loops:
        assert not loop.products and {*loop.carried} <= states


@pytest.mark.parametrize(
    "row",
    [name for name in CELLS if name not in OWN and not name.startswith((*LINEAR, "mlstm"))],
)
def test_every_cell_of_the_library_runs_by_the_rule(row: str) -> None:
    """By the plain scan the loop backward has further products, and carries the weights' gradient.

    Where this fails, something in the cell's equations is neither unit by unit nor the product of
    one array by one matrix of the parameters.
    """
    p = problem(row)
    outside, loops = census(gradient(p.cell), p.params, p.xs, p.state, p.start)
    forward, backward = loops
    assert len(forward.products) == len(backward.products)
    assert len(outside) == projections(p.params) + 2 + len(forward.products)
    assert carries_no_weight(p, loops)


@pytest.mark.parametrize("row", TWO_PRODUCTS)
def test_a_gate_before_a_product_makes_two_in_each_loop(row: str) -> None:
    """A reset before the product, a projection behind the gates: one product needs the other."""
    p = problem(row)
    run = gradient(p.cell, mask=p.mask, reset=p.reset)
    outside, loops = census(run, p.params, p.xs, p.state, p.start)
    assert [len(loop.products) for loop in loops] == [2, 2]
    # One more than for the others: each half of the recurrent kernel has a gradient of its own.
    assert len(outside) == projections(p.params) + 4
    assert carries_no_weight(p, loops)


def test_a_learned_initial_state_costs_no_product() -> None:
    cell = jaxnn.learned_initial_state(jaxnn.lstm(3, 4))
    params = cell.init(jax.random.key(0))
    xs, reset = jnp.ones((5, 2, 3), jnp.float32), np.eye(5, 2, dtype=bool)

    def loss(params: Any) -> jax.Array:
        return jnp.sum(cell.unroll(params, xs, reset=reset)[1] ** 2)

    outside, loops = census(jax.grad(loss), params)
    assert [len(loop.products) for loop in loops] == [1, 1]
    assert len(outside) == projections(params.cell) + 2


@pytest.mark.parametrize(
    ("differentiated", "products"),
    [("params", 2), ("xs", 1), ("state", 0)],
    ids=["params", "xs", "state"],
)
def test_what_is_not_differentiated_costs_nothing(differentiated: str, products: int) -> None:
    """One product for each gradient that is asked for (a state's is none)."""
    p = problem("lstm")
    given = {"params": p.params, "xs": p.xs, "state": p.state}

    def loss(value: Any) -> jax.Array:
        chosen = given | {differentiated: value}
        return jnp.sum(p.cell.unroll(chosen["params"], chosen["xs"], chosen["state"])[1] ** 2)

    outside, loops = census(jax.grad(loss), given[differentiated])
    assert len(outside) == projections(p.params) + products
    assert [len(loop.products) for loop in loops] == [1, 1]


def test_without_differentiation_only_the_output_is_stacked() -> None:
    p = problem("lstm")
    closed = jax.make_jaxpr(p.cell.unroll)(p.params, p.xs)
    scans = [eqn for eqn in all_eqns(closed.jaxpr) if eqn.primitive.name == "scan"]
    (only,) = scans
    stacked = [shape(var) for var in only.outvars if shape(var)[:1] == p.xs.shape[:1]]
    assert stacked == [(*p.xs.shape[:2], 4)]


def all_eqns(jaxpr: Jaxpr) -> Iterator[Any]:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in inner_jaxprs(eqn.params):
            yield from all_eqns(inner)


def test_many_parameters_at_once_batch_the_products() -> None:
    p = problem("lstm")
    many = jax.tree.map(lambda leaf: jnp.stack([leaf] * 7), p.params)
    run = jax.vmap(gradient(p.cell), (0, None, None, None))
    outside, loops = census(run, many, p.xs, p.state, p.start)
    assert [len(loop.products) for loop in loops] == [1, 1]
    assert len(outside) == projections(p.params) + 3
    assert all(np.prod(shape) % 7 == 0 for shape in outside)


@pytest.mark.parametrize("row", ["elman", "lstm peephole coupled", "gru"])
def test_two_directions_share_one_projection(row: str) -> None:
    """And its two gradients; beside them stands one gradient of a recurrent kernel each."""
    p = problem(row)
    layer = jaxnn.bidirectional(p.cell)

    def loss(params: Any, xs: Any) -> jax.Array:
        return jnp.sum(layer.apply(params, xs) ** 2)

    outside, loops = census(
        jax.grad(loss, (0, 1)), jaxnn.BidirectionalParams(*[p.params] * 2), p.xs
    )
    assert len(outside) == 3 + 2
    assert [len(loop.products) for loop in loops] == [1, 1, 1, 1]


def test_two_cells_of_the_same_functions_share_one_projection() -> None:
    """They may be initialised otherwise."""
    other = jaxnn.lstm(3, 4, kernel_init=jaxnn.initializers.orthogonal, dtype=jnp.float64)
    layer = jaxnn.bidirectional(jaxnn.lstm(3, 4, dtype=jnp.float64), other)
    params = jaxnn.BidirectionalParams(*[problem("lstm").params] * 2)
    assert len(census(layer.apply, params, problem("lstm").xs).products) == 1


@pytest.mark.parametrize(("rows", "hidden"), [(4, 5), (3, 8)])
@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.gru])
def test_narrow_rows_are_right_however_they_are_batched(make: Any, hidden: int, rows: int) -> None:
    """Compiled code for short rows was wrong once, where there was one axis more than the batch."""
    cell = make(3, hidden, dtype=jnp.float64)
    keys = jax.random.split(jax.random.key(0), 2)
    params = jax.vmap(cell.init)(keys)
    xs = jax.random.normal(keys[0], (6, 2, rows, 3), jnp.float64)
    weights = jax.random.normal(keys[1], (6, 2, rows, hidden), jnp.float64)

    def loss(params: Any, xs: Any, weights: Any) -> jax.Array:
        return jnp.sum(cell.unroll(params, xs)[1] * weights)

    run = jax.jit(jax.grad(loss, (0, 1)))
    first, second = (jax.tree.map(lambda leaf, n=n: leaf[n], params) for n in range(2))
    one = xs.reshape(6, -1, 3), weights.reshape(6, -1, hidden)
    gradient, gradient_xs = run(first, xs, weights)
    flat, flat_xs = run(first, *one)
    assert_close((gradient, gradient_xs), (flat, flat_xs.reshape(xs.shape)))
    many = jax.jit(jax.vmap(jax.grad(loss), (0, None, None)))(params, xs[:, 0], weights[:, 0])
    each = [run(p, xs[:, 0], weights[:, 0])[0] for p in (first, second)]
    assert_close(many, jax.tree.map(lambda *leaves: jnp.stack(leaves), *each))


def test_mixed_units_leave_the_weights_gradient_to_one_product() -> None:
    p = problem("split that mixes units")
    run = gradient(p.cell, mask=p.mask, reset=p.reset)
    outside, loops = census(run, p.params, p.xs, p.state, p.start)
    kernel = p.params.recurrent
    assert all(kernel.shape not in loop.carried for loop in loops)
    assert kernel.size in [np.prod(shape) for shape in outside]


def test_a_crooked_mix_runs_by_the_plain_scan() -> None:
    p = problem("split with a crooked mix")
    _, loops = census(gradient(p.cell), p.params, p.xs, p.state, p.start)
    assert p.params.recurrent.shape in loops[-1].carried


class Params(NamedTuple):
    """Of the splits below."""

    kernel: jax.Array
    recurrent: jax.Array
    unit: jax.Array
    scalar: jax.Array


class TwoStates(NamedTuple):
    """A state of two leaves."""

    a: jax.Array
    b: jax.Array


def init(key: jax.Array) -> Params:
    keys = jax.random.split(key, 4)
    shapes = ((3, 4), (4, 4), (4,), ())
    return Params(
        *(jax.random.normal(k, s, jnp.float64) / 2 for k, s in zip(keys, shapes, strict=True))
    )


def two_states(params: Params, batch_shape: tuple[int, ...] = ()) -> TwoStates:
    return TwoStates(*(jnp.full((*batch_shape, 4), n, params.kernel.dtype) for n in (0.5, 0.25)))


def per_unit(vector: jax.Array, like: jax.Array) -> jax.Array:
    return jnp.expand_dims(vector, tuple(range(like.ndim - 1)))


def mix(params: Params, state: TwoStates) -> jax.Array:
    return state.a @ params.recurrent


def delayed(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """One leaf of the old state becomes another of the new one."""
    return TwoStates(jnp.tanh(x + mixed) * state.b, state.a)


def doubled(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """Both leaves are one array."""
    new = jnp.tanh(x + mixed + per_unit(params.unit, x))
    return TwoStates(new, new)


def constant(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """One leaf depends on the parameters alone."""
    return TwoStates(jnp.sin(mixed * x), jnp.zeros_like(x) + per_unit(params.unit**2, x))


def scaled(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """Scalars and vectors of the parameters, in several places; a jit and a custom_jvp inside."""
    unit = per_unit(jax.nn.softplus(params.unit), x)
    a = jax.jit(lambda u: jax.nn.relu(u + 0.1) + jax.nn.silu(unit * u))(x + mixed)
    return TwoStates(a * params.scalar - unit, 0.9 * state.b + jnp.where(a > 0, a, x * mixed))


def passed(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """A projected input becomes state as it is, and a mixed one."""
    return TwoStates(x, mixed)


def twice(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """The two inputs are read in their sum, and by themselves."""
    return TwoStates(jnp.tanh(x + mixed) + jnp.cos(x), jnp.sin(mixed + mixed) + state.b**2 / 4)


def multiplied(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """Products of a new state and of an old one, one of them read twice."""
    a = jnp.tanh(x + mixed)
    b = a @ params.recurrent
    return TwoStates(a, jnp.sin(b) + b * state.b + (state.b * x) @ params.recurrent**2)


def flat(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """Steps and signs, whose slope is zero."""
    return TwoStates(
        jnp.sign(x) * jnp.tanh(mixed), jnp.floor(state.b) + state.b * (x > 0).astype(x.dtype)
    )


@pytest.mark.parametrize(
    "combine",
    [delayed, doubled, constant, scaled, passed, twice, multiplied, flat],
    ids=lambda f: f.__name__,
)
def test_pointwise_splits_have_the_gradients_of_a_loop(combine: Any) -> None:
    assert_as_the_loop(mix, combine, ruled=True)


def stacked(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """A unit sees the one beside it."""
    return TwoStates(jnp.tanh(x + jnp.roll(mixed, 1, axis=-1)), state.a)


def squeezed(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """Each unit sees the mean of all."""
    return TwoStates(jnp.tanh(x + mixed), state.b - jnp.mean(state.b, axis=-1, keepdims=True))


@jax.custom_vjp
def with_own_rule(x: jax.Array) -> jax.Array:
    return jnp.sin(x)


with_own_rule.defvjp(lambda x: (jnp.sin(x), x), lambda x, bar: (2 * jnp.cos(x) * bar,))


def ruled_by_vjp(params: Params, x: jax.Array, mixed: jax.Array, state: TwoStates) -> TwoStates:
    """With a gradient of its user's own, which is no derivative."""
    return TwoStates(with_own_rule(x + mixed), state.a)


def affine(params: Params, state: TwoStates) -> jax.Array:
    return state.a @ params.recurrent + per_unit(params.unit, state.a)


def squared(params: Params, state: TwoStates) -> jax.Array:
    return (state.a * state.b) @ params.recurrent


def halted(params: Params, state: TwoStates) -> jax.Array:
    return jax.lax.stop_gradient(state.a) @ params.recurrent


@pytest.mark.parametrize("combine", [stacked, squeezed], ids=lambda f: f.__name__)
def test_other_splits_have_the_gradients_of_a_loop(combine: Any) -> None:
    """By half of the rule: the weights' gradient is not carried either."""
    assert_as_the_loop(mix, combine, ruled=True)


def test_a_rule_of_its_users_own_is_not_under_half_of_the_rule() -> None:
    assert_as_the_loop(mix, ruled_by_vjp, ruled=False)


@pytest.mark.parametrize("crooked", [affine, squared, halted], ids=lambda f: f.__name__)
def test_other_mixes_have_the_gradients_of_a_loop(crooked: Any) -> None:
    assert_as_the_loop(crooked, delayed, ruled=False)


def test_a_mix_that_is_not_linear_in_its_weights_is_under_the_rule() -> None:
    def sine(params: Params, state: TwoStates) -> jax.Array:
        return state.a @ jnp.sin(params.recurrent)

    assert_as_the_loop(sine, delayed, ruled=True)


def assert_as_the_loop(mix: Any, combine: Any, ruled: bool) -> None:
    project = lambda params, x: x @ params.kernel  # noqa: E731
    output = lambda state: state.a + jnp.sin(state.b)  # noqa: E731
    cell = jaxnn.split_cell(init, project, mix, combine, two_states, output)
    params = cell.init(jax.random.key(0))
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(4, 2, 3)))
    state, start = (
        jax.tree.map(lambda leaf: leaf + rng.normal(size=leaf.shape), two_states(params, (2,)))
        for _ in range(2)
    )
    mask, reset = rng.random((4, 2)) < 0.8, rng.random((4, 2)) < 0.3

    def unroll(params: Any, xs: Any, state: Any, start: Any) -> Any:
        return cell.unroll(params, xs, state, mask, reset, start=start)

    def loop(params: Any, xs: Any, state: Any, start: Any) -> Any:
        ys = []
        for t in range(4):
            choose = lambda flags, a, b: jax.tree.map(  # noqa: E731
                lambda a, b: jnp.where(flags[:, None], a, b), a, b
            )
            new, y = cell.apply(params, choose(reset[t] & mask[t], start, state), xs[t])
            state = choose(mask[t], new, state)
            ys.append(jnp.where(mask[t][:, None], y, 0))
        return state, jnp.stack(ys)

    arguments = (params, xs, state, start)
    assert_close(with_gradients(unroll, *arguments), with_gradients(loop, *arguments))
    _, loops = census(gradient(cell), *arguments)
    if ruled:
        assert params.recurrent.shape not in loops[-1].carried
    else:
        assert params.recurrent.shape in loops[-1].carried


def test_what_combine_closes_over_is_not_forgotten() -> None:
    """A traced value in a closure is no parameter; its cell runs by the plain scan."""

    def loss(scale: jax.Array) -> jax.Array:
        def combine(params: Any, x: jax.Array, mixed: jax.Array, state: Any) -> TwoStates:
            return TwoStates(jnp.tanh(scale * (x + mixed)), state.a)

        cell = jaxnn.split_cell(
            init, lambda params, x: x @ params.kernel, mix, combine, two_states, lambda s: s.a
        )
        params = cell.init(jax.random.key(0))
        return jnp.sum(cell.unroll(params, jnp.ones((3, 2, 3), jnp.float64))[1] ** 2)

    at = jnp.asarray(0.7, jnp.float64)
    slope = (loss(at + 1e-6) - loss(at - 1e-6)) / 2e-6
    np.testing.assert_allclose(jax.grad(loss)(at), slope, rtol=1e-6)


def test_the_jaxprs_of_two_lengths_are_of_one_size() -> None:
    """Nothing is unrolled: what is traced and compiled does not grow with time."""
    sizes = []
    for time in (4, 40):
        p = problem("lstm", time=time)
        closed = jax.make_jaxpr(gradient(p.cell, mask=p.mask))(p.params, p.xs, p.state, p.start)
        sizes.append(len(list(all_eqns(closed.jaxpr))))
    assert sizes[0] == sizes[1]


@pytest.mark.parametrize(("make", "arrays"), [(jaxnn.lstm, 6), (jaxnn.gru, 6), (jaxnn.elman, 1)])
def test_what_a_layer_keeps_until_the_backward_pass(make: Any, arrays: int) -> None:
    """What the loops themselves want is not made before they run."""
    time, batch, hidden = 64, 8, 32

    def temporaries(layers: int) -> float:
        cell = jaxnn.stack(*[make(hidden, hidden) for _ in range(layers)])
        params = cell.init(jax.random.key(0))
        xs = jnp.ones((time, batch, hidden), jnp.float32)
        run = jax.jit(jax.grad(lambda params: jnp.sum(cell.unroll(params, xs)[1] ** 2)))
        memory = run.lower(params).compile().memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes / xs.nbytes

    assert temporaries(4) - temporaries(2) < 2 * (arrays + 0.5)


def test_an_ensemble_places_nothing_by_a_gather() -> None:
    """What is made late is placed by a number that is known late: one for all members."""
    cell, xs = jaxnn.lstm(3, 16), jnp.ones((5, 2, 3), jnp.float32)
    members = jax.vmap(cell.init)(jax.random.split(jax.random.key(0), 4))
    each = jax.vmap(jax.grad(lambda params: jnp.sum(cell.unroll(params, xs)[1] ** 2)))
    text = jax.jit(each).lower(members).compile().as_text() or ""
    assert "dynamic-slice(" in text and "gather(" not in text


@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.gru, jaxnn.elman])
def test_a_step_of_a_stream_has_one_product_for_the_input(make: Any) -> None:
    """And one for the state: gate by gate, each step would cut the input kernel."""
    cell = make(8, 16)
    params, x = cell.init(jax.random.key(0)), jnp.ones((1, 8), jnp.float32)
    outside, loops = census(cell.apply, params, cell.initial_state(params, (1,)), x)
    assert len(outside) == 2 and not loops
