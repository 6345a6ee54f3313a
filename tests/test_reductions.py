"""Special cases that must come out as something simpler, and values worked out by the equations."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, assert_differ, random_like

import jaxnn

TIME, BATCH, INPUT, HIDDEN = 5, 3, 2, 4
TOLERANCE = 1e-12
XS = random_like(jax.ShapeDtypeStruct((TIME, BATCH, INPUT), jnp.float64), 100, scale=1.0)
MASK = jnp.array([[1, 0, 1], [1, 1, 0], [0, 1, 0], [1, 1, 0], [1, 0, 0]], jnp.bool_)
RESET = jnp.array([[0, 0, 0], [1, 0, 0], [0, 0, 1], [0, 1, 0], [0, 0, 0]], jnp.bool_)
# σ(±50) is 1 or 0 to float64's last digit.
LARGE = 50.0


def lstm(**options: Any) -> jaxnn.Cell:
    """An LSTM in float64."""
    return jaxnn.lstm(INPUT, HIDDEN, dtype=jnp.float64, **options)


def gru(**options: Any) -> jaxnn.Cell:
    """A GRU in float64."""
    return jaxnn.gru(INPUT, HIDDEN, dtype=jnp.float64, **options)


def elman(**options: Any) -> jaxnn.Cell:
    """An Elman cell in float64."""
    return jaxnn.elman(INPUT, HIDDEN, dtype=jnp.float64, **options)


def random_params(cell: jaxnn.Cell, seed: int = 0) -> Any:
    """Random parameters, none of them zero."""
    return random_like(jax.eval_shape(cell.init, jax.random.key(0)), seed)


def random_state(cell: jaxnn.Cell, params: Any, seed: int = 10) -> Any:
    """A random state for the batch."""
    return random_like(cell.initial_state(params, (BATCH,)), seed)


def results(
    cell: jaxnn.Cell, make: Callable[[Any], Any], free: Any, state: Any, xs: Any = XS
) -> tuple[Any, Any]:
    """Final state and ys, and the gradients with respect to what is free, the state and xs.

    `make` turns what is free into the parameters; the loss weighs every entry otherwise.
    """

    @jax.jit
    def run(free: Any, state: Any, xs: Any) -> Any:
        outputs, vjp = jax.vjp(lambda free, s, xs: cell.unroll(make(free), xs, s), free, state, xs)
        return outputs, vjp(random_like(outputs, 30))

    return run(free, state, xs)


def sigmoid(a: Any) -> Any:
    """σ."""
    return 1 / (1 + np.exp(-a))


@pytest.mark.parametrize("coupled", [False, True])
def test_zero_peepholes_are_the_plain_lstm(coupled: bool) -> None:
    """In values and gradients; peepholes that are not zero make a difference."""
    plain, peeping = lstm(coupled=coupled), lstm(coupled=coupled, peephole=True)
    params = random_params(peeping)
    state = random_state(peeping, params)
    nothing = jnp.zeros_like(params.peephole)
    with_zeros = results(peeping, lambda p: p._replace(peephole=nothing), params, state)
    without = results(plain, lambda p: p._replace(peephole=None), params, state)
    assert_close(with_zeros, without, TOLERANCE)
    assert_differ(peeping.unroll(params, XS, state), without[0])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("make", [elman, lstm, gru])
def test_a_stack_of_one_is_the_cell(make: Callable[[], jaxnn.Cell], reverse: bool) -> None:
    """With a state, a mask, resets and a start, over a sequence and step by step."""
    cell = make()
    one = jaxnn.stack(cell)
    params = random_params(cell)
    state, start = random_state(cell, params, 10), random_state(cell, params, 11)
    final, ys = cell.unroll(params, XS, state, MASK, RESET, reverse, None, start)
    stacked = one.unroll((params,), XS, (state,), MASK, RESET, reverse, None, (start,))
    assert_close(stacked, ((final,), ys), TOLERANCE)
    final, y = cell.apply(params, state, XS[0])
    assert_close(one.apply((params,), (state,), XS[0]), ((final,), y), TOLERANCE)
    assert_close(one.initial_state((params,), (BATCH,)), (cell.initial_state(params, (BATCH,)),), 0)


def test_stack_gives_a_layer_the_outputs_of_the_one_below() -> None:
    """Two cells and a dense layer, against the three one after the other."""
    cells = lstm(), jaxnn.gru(HIDDEN, HIDDEN, dtype=jnp.float64)
    dense = jaxnn.dense(HIDDEN, 2, dtype=jnp.float64)
    stack = jaxnn.stack(*cells, dense)
    params = random_like(jax.eval_shape(stack.init, jax.random.key(0)), 0)
    states = random_like(stack.initial_state(params, (BATCH,)), 10)
    first, ys = cells[0].unroll(params[0], XS, states[0])
    second, ys = cells[1].unroll(params[1], ys, states[1])
    expected = (first, second, ()), dense.apply(params[2], ys)
    assert_close(stack.unroll(params, XS, states), expected, TOLERANCE)


def tied(params: jaxnn.LSTMParams) -> jaxnn.LSTMParams:
    """The plain LSTM's parameters whose input gate is 1 − f: σ(−a) = 1 − σ(a)."""
    f = jaxnn.COUPLED_LSTM_GATES.index("f")

    def with_input_gate(gates: Any, axis: int) -> Any:
        row = jnp.take(gates, jnp.array([f]), axis=axis)
        return jnp.concatenate([-row, gates], axis=axis)

    return jaxnn.LSTMParams(
        with_input_gate(params.input_kernel, 1),
        with_input_gate(params.recurrent_kernel, 1),
        with_input_gate(params.bias, 0),
        None if params.peephole is None else with_input_gate(params.peephole, 0),
    )


@pytest.mark.parametrize("peephole", [False, True])
def test_coupled_lstm_is_the_lstm_with_tied_parameters(peephole: bool) -> None:
    """In values and gradients: the plain one's reach the shared parameters through both gates."""
    coupled, plain = lstm(coupled=True, peephole=peephole), lstm(peephole=peephole)
    params = random_params(coupled)
    assert (jaxnn.LSTM_GATES, jaxnn.COUPLED_LSTM_GATES) == (("i", "f", "g", "o"), ("f", "g", "o"))
    state = random_state(coupled, params)
    assert_close(
        results(coupled, lambda p: p, params, state),
        results(plain, tied, params, state),
        TOLERANCE,
    )


def before_params(after: jaxnn.GRUParams) -> jaxnn.GRUParams:
    """For the reset before the product: n has one bias, the sum of the two."""
    assert after.bias is not None and after.recurrent_bias is not None
    n = jaxnn.GRU_GATES.index("n")
    return after._replace(bias=after.bias.at[n].add(after.recurrent_bias), recurrent_bias=None)


def reset_open(params: jaxnn.GRUParams) -> jaxnn.GRUParams:
    """r = 1: nothing is reset, before or after."""
    assert params.bias is not None
    return params._replace(bias=params.bias.at[jaxnn.GRU_GATES.index("r")].set(LARGE))


def reset_shut(params: jaxnn.GRUParams) -> jaxnn.GRUParams:
    """r = 0: n sees x alone, so that b_h is out of reach too."""
    assert params.bias is not None and params.recurrent_bias is not None
    return params._replace(
        bias=params.bias.at[jaxnn.GRU_GATES.index("r")].set(-LARGE),
        recurrent_bias=jnp.zeros_like(params.recurrent_bias),
    )


def no_product(params: jaxnn.GRUParams) -> jaxnn.GRUParams:
    """W_n = 0 and b_h = 0: there is nothing to reset."""
    return diagonal(params, 0.0)


def diagonal(params: jaxnn.GRUParams, scale: float = 1.0) -> jaxnn.GRUParams:
    """W_n diagonal and b_h = 0: (r∘h) W_n = r∘(h W_n)."""
    assert params.recurrent_bias is not None
    n = jaxnn.GRU_GATES.index("n")
    kept = scale * params.recurrent_kernel[:, n] * jnp.eye(HIDDEN)
    return params._replace(
        recurrent_kernel=params.recurrent_kernel.at[:, n].set(kept),
        recurrent_bias=jnp.zeros_like(params.recurrent_bias),
    )


@pytest.mark.parametrize("special", [reset_open, reset_shut, no_product, diagonal])
def test_gru_resets_before_and_after_meet(
    special: Callable[[jaxnn.GRUParams], jaxnn.GRUParams],
) -> None:
    """Where r does not matter or passes through the product, both forms are one."""
    after, before = gru(), gru(reset_after=False)
    params = random_params(after)
    state = random_state(after, params)
    assert_close(
        results(before, lambda p: before_params(special(p)), params, state),
        results(after, special, params, state),
        TOLERANCE,
    )


def test_gru_resets_before_and_after_are_two_forms() -> None:
    """With parameters that have nothing special they differ."""
    after, before = gru(), gru(reset_after=False)
    params = random_params(after)
    assert_differ(before.unroll(before_params(params), XS), after.unroll(params, XS))


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_that_neither_resets_nor_keeps_is_elman(reset_after: bool) -> None:
    """r = 1 and z = 0 leave n = tanh(x U + h W + b + b_h)."""
    cell = gru(reset_after=reset_after)
    params = random_params(cell)
    z, n = (jaxnn.GRU_GATES.index(gate) for gate in ("z", "n"))
    params = reset_open(params)
    assert params.bias is not None
    bias = params.bias[n]
    params = params._replace(bias=params.bias.at[z].set(-LARGE))
    if params.recurrent_bias is not None:
        bias = bias + params.recurrent_bias
    simple = jaxnn.ElmanParams(
        params.input_kernel[:, [n]], params.recurrent_kernel[:, [n]], bias[None]
    )
    state = random_state(cell, params)
    final, ys = elman().unroll(simple, XS, jaxnn.ElmanState(*state))
    expected = jaxnn.GRUState(*final), ys
    assert_close(cell.unroll(params, XS, state), expected, TOLERANCE)


def test_a_gate_that_keeps_everything_keeps_the_state() -> None:
    """z = 1 in the GRU; f = 1 and i = 0 in the LSTM, also where they are coupled."""
    for cell, biases in (
        (gru(), {"z": LARGE}),
        (gru(reset_after=False), {"z": LARGE}),
        (lstm(), {"f": LARGE, "i": -LARGE}),
        (lstm(coupled=True), {"f": LARGE}),
    ):
        params = random_params(cell)
        coupled = params.bias.shape[0] == len(jaxnn.COUPLED_LSTM_GATES)
        names = jaxnn.COUPLED_LSTM_GATES if coupled else jaxnn.LSTM_GATES
        names = jaxnn.GRU_GATES if "z" in biases else names
        bias = params.bias
        for gate, value in biases.items():
            bias = bias.at[names.index(gate)].set(value)
        state = random_state(cell, params)
        final, _ = cell.unroll(params._replace(bias=bias), XS, state)
        assert_close(final[-1], state[-1], TOLERANCE)
        assert_differ(cell.unroll(params, XS, state)[0][-1], state[-1])


def numpy_of(tree: Any) -> Any:
    """The tree with numpy arrays, for arithmetic that jaxnn has no part in."""
    return jax.tree.map(np.asarray, tree)


@pytest.mark.parametrize("coupled", [False, True])
@pytest.mark.parametrize("peephole", [False, True])
def test_lstm_gates_follow_the_equations(coupled: bool, peephole: bool) -> None:
    """Each gate by its equation, then c' = f∘c + i∘g and h' = o∘tanh(c') from the gates."""
    cell = lstm(coupled=coupled, peephole=peephole)
    params = random_params(cell)
    state, x = random_state(cell, params), XS[0]
    gates = numpy_of(jaxnn.gates(cell, params, state, x))
    new, y = cell.apply(params, state, x)

    U, W, b, p, *_ = numpy_of(params)
    h, c = numpy_of(state)
    names = jaxnn.COUPLED_LSTM_GATES if coupled else jaxnn.LSTM_GATES
    a = {gate: np.asarray(x) @ U[:, row] + h @ W[:, row] + b[row] for row, gate in enumerate(names)}
    sees = [gate for gate in names if gate != "g"]
    weight = {gate: p[row] if peephole else 0 for row, gate in enumerate(sees)}
    f = sigmoid(a["f"] + weight["f"] * c)
    i = 1 - f if coupled else sigmoid(a["i"] + weight["i"] * c)
    g = np.tanh(a["g"])
    c = f * c + i * g
    o = sigmoid(a["o"] + weight["o"] * c)
    assert_close(gates, jaxnn.LSTMGates(i, f, g, o), TOLERANCE)

    c = gates.f * np.asarray(state.cell) + gates.i * gates.g
    h = gates.o * np.tanh(c)
    assert_close((new, y), (jaxnn.LSTMState(h, c), h), TOLERANCE)


@pytest.mark.parametrize("reset_after", [False, True])
def test_gru_gates_follow_the_equations(reset_after: bool) -> None:
    """Each gate by its equation, then h' = (1 − z)∘n + z∘h from the gates."""
    cell = gru(reset_after=reset_after)
    params = random_params(cell)
    state, x = random_state(cell, params), XS[0]
    gates = numpy_of(jaxnn.gates(cell, params, state, x))
    new, y = cell.apply(params, state, x)

    U, W, b, b_h, _ = numpy_of(params)
    h = np.asarray(state.hidden)
    at = {gate: row for row, gate in enumerate(jaxnn.GRU_GATES)}
    xU = {gate: np.asarray(x) @ U[:, row] + b[row] for gate, row in at.items()}
    r, z = (sigmoid(xU[gate] + h @ W[:, at[gate]]) for gate in ("r", "z"))
    n = xU["n"] + (r * (h @ W[:, at["n"]] + b_h) if reset_after else (r * h) @ W[:, at["n"]])
    assert_close(gates, jaxnn.GRUGates(r, z, np.tanh(n)), TOLERANCE)

    h = (1 - gates.z) * gates.n + gates.z * h
    assert_close((new, y), (jaxnn.GRUState(h), h), TOLERANCE)


@pytest.mark.parametrize(("activation", "f"), [(jnp.tanh, np.tanh), (jnp.sin, np.sin)])
def test_elman_gates_follow_the_equation(activation: Any, f: Any) -> None:
    """s = f(x U + s₋₁ W + b), which is the new state and the output as well."""
    cell = elman(activation=activation)
    params = random_params(cell)
    state, x = random_state(cell, params), XS[0]
    gates = jaxnn.gates(cell, params, state, x)
    U, W, b = numpy_of(params)
    s = f(np.asarray(x) @ U[:, 0] + np.asarray(state.hidden) @ W[:, 0] + b[0])
    assert_close(gates, jaxnn.ElmanGates(s), TOLERANCE)
    assert_close(cell.apply(params, state, x), (jaxnn.ElmanState(s), s), TOLERANCE)


@pytest.mark.parametrize("bias", [True, False])
def test_mgu_follows_the_equations(bias: bool) -> None:
    """A loop in numpy, written from the paper's: h' = (1 − f)∘h + f∘n, with the gates by hand."""
    cell = jaxnn.mgu(INPUT, HIDDEN, bias, dtype=jnp.float64)
    params = random_params(cell)
    state = random_state(cell, params)
    U, W, b = numpy_of(params)
    (U_f, U_n), (W_f, W_n) = np.moveaxis(U, 1, 0), np.moveaxis(W, 1, 0)
    b_f, b_n = b if bias else (0, 0)
    h: Any = np.asarray(state.hidden)
    hs = []
    for x in np.asarray(XS):
        f = sigmoid(x @ U_f + h @ W_f + b_f)
        n = np.tanh(x @ U_n + (f * h) @ W_n + b_n)
        gates = jaxnn.gates(cell, params, jaxnn.MGUState(jnp.asarray(h)), x)
        assert_close(gates, jaxnn.MGUGates(f, n), 1e-12)
        h = (1 - f) * h + f * n
        hs.append(h)
    assert_close(cell.unroll(params, XS, state), (jaxnn.MGUState(h), np.stack(hs)), 1e-12)  # pyright: ignore[reportArgumentType]


def decay(D: Any, b: Any) -> Any:
    """γ of what came out of a product."""
    return np.exp(-np.maximum(0, D + b))


def missing_values() -> jaxnn.GRUDInput:
    """Some are observed, and NaN stands where none is."""
    rng = np.random.default_rng(5)
    seen, elapsed = rng.random(XS.shape) < 0.5, rng.exponential(size=XS.shape)
    return jaxnn.GRUDInput(jnp.where(seen, XS, jnp.nan), jnp.asarray(seen), jnp.asarray(elapsed))


def test_gru_d_follows_the_equations() -> None:
    """A loop in numpy, written from the paper's 10 to 16, with its z, which is 1 − z here."""
    cell = jaxnn.gru_d(INPUT, HIDDEN, dtype=jnp.float64)
    params = random_params(cell)
    state, xs = random_state(cell, params), missing_values()
    U, W, V, b, w, b_x, D, b_h, mean = numpy_of(params)
    h, last = numpy_of(state)
    hs = []
    for value, m, delta in zip(*numpy_of(xs), strict=True):
        value = np.nan_to_num(value)
        g_x, g_h = decay(w * delta, b_x), decay(delta @ D, b_h)
        x = m * value + (1 - m) * (g_x * last + (1 - g_x) * mean)
        before = jaxnn.GRUDState(jnp.asarray(h), jnp.asarray(last))
        gates = jaxnn.gates(cell, params, before, jaxnn.GRUDInput(value, m, delta))
        h = g_h * h
        r = sigmoid(x @ U[:, 0] + h @ W[:, 0] + m @ V[:, 0] + b[0])
        z = 1 - sigmoid(x @ U[:, 1] + h @ W[:, 1] + m @ V[:, 1] + b[1])
        n = np.tanh(x @ U[:, 2] + (r * h) @ W[:, 2] + m @ V[:, 2] + b[2])
        assert_close(gates, jaxnn.GRUGates(r, 1 - z, n), 1e-12)
        h, last = (1 - z) * h + z * n, np.where(m, value, last)
        hs.append(h)
    assert_close(cell.unroll(params, xs, state), (jaxnn.GRUDState(h, last), np.stack(hs)), 1e-12)


def test_gru_d_of_what_is_all_there_is_the_gru() -> None:
    """With no time gone, and V a bias more. Before the first observation, last is the mean."""
    cell = jaxnn.gru_d(INPUT, HIDDEN, dtype=jnp.float64)
    gru = jaxnn.gru(INPUT, HIDDEN, reset_after=False, dtype=jnp.float64)
    params = random_params(cell)
    still = params._replace(
        input_decay_bias=-1 + 0 * params.mean, hidden_decay_bias=-jnp.ones(HIDDEN)
    )
    there = jaxnn.GRUDInput(XS, jnp.ones(XS.shape, bool), jnp.zeros_like(XS))
    biases = params.bias + jnp.sum(params.observed_kernel, 0)
    plain = jaxnn.GRUParams(params.input_kernel, params.recurrent_kernel, biases, None)
    _, ys = cell.unroll(still, there)
    assert_close(ys, gru.unroll(plain, XS)[1], 1e-12)
    first = cell.initial_state(params, (BATCH,))
    assert np.array_equal(first.last, np.broadcast_to(params.mean, (BATCH, INPUT)))


def test_what_is_not_observed_reaches_no_gradient() -> None:
    cell, xs = jaxnn.gru_d(INPUT, HIDDEN, dtype=jnp.float64), missing_values()
    params = random_params(cell)

    def loss(params: Any, values: Any) -> Any:
        return jnp.sum(cell.unroll(params, xs._replace(values=values))[1])

    bars, values_bar = jax.grad(loss, (0, 1))(params, xs.values)
    assert all(np.all(np.isfinite(leaf)) and np.any(leaf) for leaf in jax.tree.leaves(bars))
    assert np.array_equal(np.asarray(values_bar) != 0, np.asarray(xs.observed))


def shifted_difference(left: Any, right: Any) -> Any:
    """A merge that is not symmetric, and not zero where both are."""
    return left - 2 * right + 1


MERGES = {
    "concat": ("concat", lambda left, right: np.concatenate([left, right], axis=-1)),
    "sum": ("sum", np.add),
    "mean": ("mean", lambda left, right: (left + right) / 2),
    "product": ("product", np.multiply),
    "function": (shifted_difference, shifted_difference),
}


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
@pytest.mark.parametrize(("merge", "by_hand"), MERGES.values(), ids=MERGES)
def test_bidirectional_merges_both_directions(merge: Any, by_hand: Any, mask: Any) -> None:
    """Outputs and both final states, against the two cells; masked steps give zeros."""
    forward, backward = lstm(), gru()
    layer = jaxnn.bidirectional(forward, backward, merge)
    params = random_like(jax.eval_shape(layer.init, jax.random.key(0)), 0)
    states = random_state(forward, params.forward), random_state(backward, params.backward, 11)
    first, left = forward.unroll(params.forward, XS, states[0], mask, RESET)
    last, right = backward.unroll(params.backward, XS, states[1], mask, RESET, True)
    expected = by_hand(np.asarray(left), np.asarray(right))
    if mask is not None:
        expected = np.where(np.asarray(mask)[..., None], expected, 0)
    assert_close(layer.unroll(params, XS, states, mask, RESET), ((first, last), expected), 1e-15)


def test_bidirectional_of_one_cell_has_two_sets_of_parameters() -> None:
    """A cell that is given once runs both ways; `apply` is `unroll` from the initial states."""
    cell = gru()
    layer = jaxnn.bidirectional(cell)
    assert layer.unroll is not cell.unroll
    params = layer.init(jax.random.key(0))
    assert_differ(params.forward.input_kernel, params.backward.input_kernel)
    _, ys = jaxnn.bidirectional(cell, cell).unroll(params, XS)
    assert_close(layer.apply(params, XS), ys, 0)
    _, left = cell.unroll(params.forward, XS)
    _, right = cell.unroll(params.backward, XS, reverse=True)
    assert_close(ys, jnp.concatenate([left, right], axis=-1), TOLERANCE)


def test_bidirectional_concatenates_unequal_sizes_and_adds_equal_ones_only() -> None:
    """3 + 4 features are 7 together; they have no sum."""
    small = jaxnn.gru(INPUT, 3, dtype=jnp.float64)
    layer = jaxnn.bidirectional(small, gru())
    params = layer.init(jax.random.key(0))
    assert layer.apply(params, XS).shape == (TIME, BATCH, 7)
    with pytest.raises(ValueError, match="merge='sum' needs outputs of equal sizes"):
        jaxnn.bidirectional(small, gru(), "sum").apply(params, XS)


def deep_bidirectional() -> tuple[jaxnn.SequenceLayer, Any, jaxnn.SequenceLayer, Any]:
    """Two layers in both forms: stacks that meet at the output, and layers that merge each."""
    stack = jaxnn.stack(gru(), jaxnn.gru(HIDDEN, HIDDEN, dtype=jnp.float64))
    wide = jaxnn.gru(2 * HIDDEN, HIDDEN, dtype=jnp.float64)
    late = jaxnn.bidirectional(stack, stack)
    early = jaxnn.serial(jaxnn.bidirectional(gru()), jaxnn.bidirectional(wide))
    shapes = [jax.eval_shape(layer.init, jax.random.key(0)) for layer in (late, early)]
    return late, random_like(shapes[0], 0), early, random_like(shapes[1], 1)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
def test_bidirectional_of_stacks_merges_at_the_output(mask: Any) -> None:
    """Each direction runs through all its layers by itself."""
    late, params, _, _ = deep_bidirectional()
    lower, upper = gru(), jaxnn.gru(HIDDEN, HIDDEN, dtype=jnp.float64)
    finals, outputs = [], []
    for (low, high), reverse in ((params.forward, False), (params.backward, True)):
        below, ys = lower.unroll(low, XS, None, mask, None, reverse)
        above, ys = upper.unroll(high, ys, None, mask, None, reverse)
        finals.append((below, above))
        outputs.append(ys)
    expected = tuple(finals), jnp.concatenate(outputs, axis=-1)
    assert_close(late.unroll(params, XS, None, mask), expected, TOLERANCE)


@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "masked"])
def test_serial_of_bidirectionals_merges_every_layer(mask: Any) -> None:
    """The second layer sees both directions of the first."""
    _, _, early, params = deep_bidirectional()
    ys, finals = XS, []
    for cell, p in zip(
        (gru(), jaxnn.gru(2 * HIDDEN, HIDDEN, dtype=jnp.float64)), params, strict=True
    ):
        first, left = cell.unroll(p.forward, ys, None, mask)
        last, right = cell.unroll(p.backward, ys, None, mask, None, True)
        finals.append((first, last))
        ys = jnp.concatenate([left, right], axis=-1)
    assert_close(early.unroll(params, XS, None, mask), (tuple(finals), ys), TOLERANCE)
