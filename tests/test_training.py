"""The train step and truncated BPTT: what is descended, what is kept, what is donated."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY = jax.random.key(0)
X = np.linspace(-1, 1, 12, dtype=np.float32).reshape(6, 2)
Y = X @ np.array([[1.0], [-2.0]], np.float32) + np.float32(0.5)


def squares(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """The loss of a dense layer, with a mask over samples."""
    del key
    x, y, mask = batch
    return *jaxnn.losses.mean_squared_error(jaxnn.dense(2, 1).apply(params, x), y, mask), state


def dense_params() -> Any:
    """Fresh ones, since some tests look whether they are deleted."""
    return jaxnn.dense(2, 1).init(KEY)


def batch_of(x: np.ndarray = X, valid: int = 6) -> Any:
    """The data, of which the first `valid` samples count."""
    return x, Y, np.arange(6) < valid


def start(optimizer: Any, params: Any = None, state: Any = ()) -> jaxnn.training.TrainState:
    """A first train state of the dense layer."""
    params = dense_params() if params is None else params
    return jaxnn.training.train_state(params, optimizer, jax.random.key(1), state)


def raw(tree: Any) -> list[Any]:
    """The bytes of each leaf, to compare bit for bit, NaN included."""

    def data(leaf: Any) -> bytes:
        typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        return np.asarray(jax.random.key_data(leaf) if typed else leaf).tobytes()

    return [(jax.tree.structure(tree)), *map(data, jax.tree.leaves(tree))]


def test_step_is_descent_on_the_mean():
    """params − rate · ∇(sum / weight), over the valid samples alone."""
    step, first = jaxnn.training.train_step(squares, optax.sgd(0.1)), start(optax.sgd(0.1))
    after, metrics = step(first, batch_of(valid=4))

    def by_hand(params: Any) -> Any:
        error = X[:4] @ params.kernel + params.bias[None] - Y[:4]
        return jnp.sum(error**2) / 4

    params = dense_params()
    value, gradient = jax.value_and_grad(by_hand)(params)
    want = jax.tree.map(lambda p, g: p - 0.1 * g, params, gradient)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), after.params, want)
    np.testing.assert_allclose(metrics.loss, value, rtol=1e-6)
    assert float(metrics.weight) == 4
    norm = np.sqrt(sum(float(jnp.sum(g**2)) for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(metrics.gradient_norm, norm, rtol=1e-5)
    assert bool(metrics.finite) and int(after.step) == 1


def schedule() -> Any:
    """A rate that optax computes from a count, by itself mixing dtypes."""
    return optax.adam(optax.cosine_decay_schedule(0.1, 100))


OPTIMIZERS = {
    "momentum": lambda: optax.sgd(0.1, momentum=0.9, nesterov=True),
    "adamw": lambda: optax.adamw(0.1, mask=jaxnn.training.decay_mask),
    "schedule": schedule,
    "clip": lambda: optax.chain(optax.clip_by_global_norm(1.0), optax.rmsprop(0.1)),
    "ema": lambda: optax.chain(optax.sgd(0.1), optax.ema(0.9)),
    "schedule_free": lambda: optax.contrib.schedule_free_sgd(0.1),
    "noise": lambda: optax.chain(optax.add_noise(0.01, 0.5, key=KEY), optax.sgd(0.1)),
    "inject": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=0.1),
    "plateau": lambda: optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
    "polyak": lambda: optax.polyak_sgd(),
    "lbfgs": lambda: optax.lbfgs(),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_any_optimizer_under_strict_promotion(name: str):
    """It descends, traces once, changes no dtype, and keeps all where the batch holds NaN."""
    traces = []

    def loss(*arguments: Any) -> Any:
        traces.append(None)
        return squares(*arguments)

    step, current = jaxnn.training.train_step(loss, OPTIMIZERS[name]()), start(OPTIMIZERS[name]())
    shapes = jax.eval_shape(lambda: current)
    current, first = step(current, batch_of())
    traced = len(traces)  # a line search traces the loss more than once
    last = first
    for _ in range(8):
        current, last = step(current, batch_of())
    assert float(last.loss) < float(first.loss)
    assert jax.eval_shape(lambda: current) == shapes
    before = raw(current[:3])
    current, metrics = step(current, batch_of(np.full_like(X, np.nan)))
    assert not bool(metrics.finite)
    assert raw(current[:3]) == before
    current, metrics = step(current, batch_of())
    assert bool(metrics.finite)
    assert raw(current[:3]) != before
    assert len(traces) == traced


@pytest.mark.parametrize("bad", ["nan", "inf", "gradient", "update", "weight"])
def test_not_finite_keeps_everything(bad: str):
    """Parameters, optimiser and state stay bit for bit, and the next good step goes on."""

    def loss(params: Any, state: Any, x: Any, key: Any) -> Any:
        del key
        total = jnp.sum((params - 1.0) ** 2) + jnp.sum(jnp.sqrt(jnp.abs(x) + 1.0))
        weight = jnp.ones(())
        if bad == "gradient":  # √0 is finite, its derivative is not
            total += jnp.sum(jnp.sqrt(params * x))
        if bad == "weight":
            weight = jnp.where(x[0] == 0, jnp.nan, weight)
        return total, weight, state + x[0] + 1.0

    value = {"nan": np.nan, "inf": np.inf}.get(bad, 0.0)
    first = jnp.full((2,), 4.0)
    rate = optax.inject_hyperparams(optax.sgd)(learning_rate=0.1, momentum=0.9)
    step, current = jaxnn.training.train_step(loss, rate), start(rate, first, jnp.zeros(()))
    good = jnp.ones(2)
    current, metrics = step(current, good)
    assert bool(metrics.finite)
    before = raw(current[:3])
    if bad == "update":
        current.opt_state.hyperparams["learning_rate"] = jnp.array(np.inf, jnp.float64)
        before = raw(current[:3])
    current, metrics = step(current, jnp.full((2,), value))
    assert not bool(metrics.finite)
    assert raw(current[:3]) == before
    assert int(current.step) == 2
    if bad == "update":
        current.opt_state.hyperparams["learning_rate"] = jnp.array(0.1, jnp.float64)
    current, metrics = step(current, good)
    assert bool(metrics.finite)
    assert raw(current.params) != before[1:2]
    assert float(current.state) == 4.0


def test_an_infinite_gradient_with_a_finite_update():
    """The sign of ∞ is a step like any other, but not one to take."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del batch, key
        return jnp.sum(jnp.sqrt(params)), 1.0, state

    optimizer = optax.sign_sgd(0.1)
    current, metrics = jaxnn.training.train_step(loss, optimizer)(
        start(optimizer, jnp.zeros(2)), None
    )
    assert not bool(metrics.finite) and np.isinf(metrics.gradient_norm)
    assert not np.any(current.params)


def test_no_valid_sample_changes_nothing():
    """Neither momentum nor weight decay moves anything where all is masked."""
    optimizer = optax.adamw(0.1, weight_decay=0.5)
    step, current = jaxnn.training.train_step(squares, optimizer), start(optimizer)
    current, _ = step(current, batch_of())
    before = raw(current[:3])
    current, metrics = step(current, batch_of(valid=0))
    assert raw(current[:3]) == before
    assert bool(metrics.finite) and float(metrics.weight) == 0 and float(metrics.loss) == 0


@pytest.mark.parametrize("committed", [False, True])
def test_one_program(committed: bool, caplog: pytest.LogCaptureFixture):
    """By hand and in fit, and wherever the train state was put: it is compiled once."""
    step, current = jaxnn.training.train_step(squares, optax.adam(0.1)), start(optax.adam(0.1))
    if committed:
        current = jax.device_put(current, jax.devices()[0])
    with jax.log_compiles():
        current, _ = step(current, batch_of())
        current = jaxnn.training.fit(step, current, [batch_of()] * 3, progress=False).train_state
        step(current, batch_of())
    names = [record.getMessage().split(" with ")[0] for record in caplog.records]
    assert names.count("Compiling jit(step)") == 1


def test_donation_takes_the_train_state_alone():
    """The given train state is gone; the caller's parameters, key and state are not."""
    params, key, state = dense_params(), jax.random.key(3), jnp.ones(2)
    first = jaxnn.training.train_state(params, optax.adam(0.1), key, state)
    after, _ = jaxnn.training.train_step(squares, optax.adam(0.1))(first, batch_of())
    given = first._replace(key=jax.random.key_data(first.key))
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(given))
    kept = (params, state, after.params, after.opt_state, after.state)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(kept))
    assert jax.random.split(key).shape == (2,)


def test_an_optimizer_whose_state_is_the_params():
    """One buffer in two places cannot be donated twice, so each leaf has its own."""

    def init(params: Any) -> Any:
        return params, params

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del state
        return jax.tree.map(lambda g: -0.1 * g, updates), (params, params)

    optimizer = optax.GradientTransformation(init, update)
    step, current = jaxnn.training.train_step(squares, optimizer), start(optimizer)
    for _ in range(3):
        before = raw(current.params)
        current, _ = step(current, batch_of())
        assert raw(current.opt_state[0]) == raw(current.opt_state[1]) == before


def test_an_optimizer_state_of_another_dtype():
    """It stays in the dtype that it began with, so that nothing traces twice."""

    def update(updates: Any, state: Any, params: Any = None) -> Any:
        del params
        return updates, state + np.float64(0.5)

    optimizer = optax.GradientTransformation(lambda params: jnp.zeros((), jnp.float32), update)
    step, current = jaxnn.training.train_step(squares, optimizer), start(optimizer)
    for _ in range(2):
        current, _ = step(current, batch_of())
    count: Any = current.opt_state
    assert (count.dtype, float(count)) == (jnp.float32, 1.0)


@pytest.mark.parametrize("key", [jax.random.key(7), jax.random.PRNGKey(7)], ids=["typed", "legacy"])
def test_each_step_has_its_own_key(key: Any):
    """Step n draws from fold_in(key, n), again and again the same."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del state, batch
        return jnp.sum(params**2), 1.0, jax.random.uniform(key)

    step = jaxnn.training.train_step(loss, optax.sgd(0.1))
    drawn: list[float] = []
    for _ in range(2):
        drawn.clear()
        current = jaxnn.training.train_state(jnp.ones(2), optax.sgd(0.1), key, jnp.zeros(()))
        for _ in range(3):
            current, _ = step(current, None)
            drawn.append(float(current.state))
        assert drawn == [float(jax.random.uniform(jax.random.fold_in(key, n))) for n in range(3)]
    assert len(set(drawn)) == 3


class Carry(NamedTuple):
    """A state with a name."""

    hidden: Any


WRONG = {
    "one value": (
        lambda p, s: jnp.sum(p),
        "loss must give .sum, weight, state. or .*, got float64",
    ),
    "two values": (lambda p, s: (jnp.sum(p), 1.0), "got tuple of 2"),
    "five values": (lambda p, s: (jnp.sum(p), 1.0, s, (), ()), "got tuple of 5"),
    "complex": (
        lambda p, s: (jnp.sum(p), jnp.ones((), complex), s),
        "weight .* must be real, got complex128",
    ),
    "many": (lambda p, s: (jnp.sum(p), 1.0, s, {"a": p}), r"aux\['a'\] .* a scalar: a sum over"),
    "text": (lambda p, s: (jnp.sum(p), 1.0, s, ["a"]), r"aux\[0\] .* must be a scalar.*got str"),
    "i": (
        lambda p, s: (jnp.sum(p), 1.0, s, jnp.ones((), complex)),
        "aux that loss gives must be real",
    ),
    "a sum for each": (lambda p, s: (p, 1.0, s), r"sum .* must be a scalar, got float64\[2\]"),
    "an integer": (lambda p, s: (jnp.arange(2)[0], 1.0, s), "sum .* must be floating, got int64"),
    "no sum": (lambda p, s: (None, 1.0, s), "sum .* must be a scalar, got NoneType"),
    "weights": (lambda p, s: (jnp.sum(p), p, s), r"weight .* must be a scalar, got float64\[2\]"),
    "no weight": (lambda p, s: (jnp.sum(p), None, s), "weight .* must be a scalar, got NoneType"),
    "no state": (lambda p, s: (jnp.sum(p), 1.0, ()), "a state like the one it was given, .*Carry"),
    "a tuple": (lambda p, s: (jnp.sum(p), 1.0, tuple(s)), "a state like the one it was given"),
    "wider": (lambda p, s: (jnp.sum(p), 1.0, Carry(p)), r"of float32\[\]; got .* of float64\[2\]"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_loss_that_gives_something_else(name: str):
    """A TypeError says what came, before anything is computed."""
    give, message = WRONG[name]
    first = start(optax.sgd(0.1), jnp.ones(2), Carry(jnp.zeros((), jnp.float32)))
    step = jaxnn.training.train_step(
        lambda params, state, batch, key: give(params, state), optax.sgd(0.1)
    )
    with pytest.raises(TypeError, match=message):
        step(first, None)


MULTI = optax.MultiSteps(optax.sgd(0.1), 2)
BUILDS: dict[str, Any] = {
    "swapped": ((optax.sgd(0.1), squares), {}, TypeError, "loss must be a function of .*got Grad"),
    "no loss": ((None, optax.sgd(0.1)), {}, TypeError, "loss must be a function .*got None"),
    "a class": ((TypeError, optax.sgd(0.1)), {}, TypeError, "loss must be a function"),
    "no optimizer": ((squares, None), {}, TypeError, "optimizer must be an optax .*got NoneType"),
    "a name": ((squares, "sgd"), {}, TypeError, "optimizer must be an optax transf.*got str"),
    "factory": ((squares, optax.sgd), {}, TypeError, "optimizer must be an optax .*got function"),
    "MultiSteps": ((squares, MULTI), {}, ValueError, r"optax\.MultiSteps, .*accumulate=n"),
    "as transformation": (
        (squares, MULTI.gradient_transformation()),
        {},
        ValueError,
        r"optax\.MultiSteps, .*accumulate=n",
    ),
    "mesh": ((squares, optax.sgd(0.1), 8), {}, TypeError, r"mesh must be a jax\.sharding\.Mesh"),
    "axis": ((squares, optax.sgd(0.1), None, "first"), {}, TypeError, "batch_axis must be of int"),
    "axis -1": ((squares, optax.sgd(0.1), None, (1, -1)), {}, ValueError, "of axes from 0 on"),
    "axis True": (
        (squares, optax.sgd(0.1), None, True),
        {},
        TypeError,
        "batch_axis must be of int",
    ),
    "0": (
        (squares, optax.sgd(0.1)),
        {"accumulate": 0},
        ValueError,
        "accumulate must be a positive",
    ),
    "2.0": ((squares, optax.sgd(0.1)), {"accumulate": 2.0}, TypeError, "accumulate must be a pos"),
    "True": (
        (squares, optax.sgd(0.1)),
        {"accumulate": True},
        TypeError,
        "accumulate must be a pos",
    ),
}


@pytest.mark.parametrize("name", BUILDS)
def test_what_no_step_is_made_of(name: str):
    """It is said when the step is built."""
    arguments, options, error, message = BUILDS[name]
    with pytest.raises(error, match=f"^train_step: .*{message}"):
        jaxnn.training.train_step(*arguments, **options)


STATES: dict[str, Any] = {
    "huge": (
        {"accumulate": 2**31},
        ValueError,
        "accumulate must be at most 2147483647",
    ),
    "no params": ({"params": None}, TypeError, "params must hold arrays"),
    "text": ({"params": {"w": "abc"}}, TypeError, r"params\['w'\] must be an array, got str"),
    "objects": (
        {"params": np.array([None])},
        TypeError,
        "params must be an array, got ndarray of object",
    ),
    "shapes": (
        {"params": [jax.ShapeDtypeStruct((2,), "float32")]},
        TypeError,
        r"params\[0\] must be an array, got a ShapeDtypeStruct",
    ),
    "integers": ({"params": {"w": np.arange(2)}}, TypeError, r"\['w'\] must be floating.*int64"),
    "state": ({"state": ("a",)}, TypeError, r"state\[0\] must be an array, got str"),
    "optimizer": ({"optimizer": "sgd"}, TypeError, "optimizer must be an optax transf.*got str"),
    "chained": (
        {"optimizer": optax.chain(optax.clip(1.0), MULTI.gradient_transformation())},
        ValueError,
        r"optax\.MultiSteps, .*accumulate=n",
    ),
    "apply_every": (
        {"optimizer": optax.chain(optax.apply_every(2), optax.sgd(0.1))},
        ValueError,
        r"optax\.apply_every, .*accumulate=n",
    ),
    "accumulate": ({"accumulate": -1}, ValueError, "accumulate must be a positive integer, got -1"),
    "fraction": (
        {"accumulate": 1.5},
        TypeError,
        r"accumulate must be a positive integer, got 1\.5",
    ),
}


@pytest.mark.parametrize("name", STATES)
def test_what_no_train_state_is_made_of(name: str):
    """Each argument is named."""
    options, error, message = STATES[name]
    given = {"params": jnp.ones(2), "optimizer": optax.sgd(0.1), "key": KEY} | options
    with pytest.raises(error, match=f"^train_state: .*{message}"):
        jaxnn.training.train_state(**given)


class Tensor:
    """An array of another library."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        del dtype, copy
        return np.ones(2)


def test_what_a_step_does_not_take():
    """Another train state, or a batch with leaves that are no arrays; nothing is donated."""
    step = jaxnn.training.train_step(lambda p, s, b, k: (jnp.sum(p**2), 1.0, s), optax.sgd(0.1))
    for wrong in (None, {"w": 1.0}, jnp.ones(2), (1, 2, 3, 4, 5)):
        with pytest.raises(TypeError, match=r"^train_step: a step takes a TrainState"):
            step(wrong, None)  # pyright: ignore[reportArgumentType]
    current = start(optax.sgd(0.1), jnp.ones(2))
    for leaf, got in (
        ("a", "str"),
        (Tensor(), r"Tensor: use np\.asarray\(batch\[1\]\)"),
        ({1}, "set"),
    ):
        with pytest.raises(
            TypeError, match=rf"^train_step: batch\[1\] must be an array, got {got}"
        ):
            step(current, (np.ones(2), leaf))
    with pytest.raises(ValueError, match=r"^train_step: batch\['n'\] .*(not fit|beyond 64)"):
        step(current, {"n": 2**70})
    chained = optax.chain(optax.identity(), MULTI.gradient_transformation())
    by_hand = current._replace(opt_state=chained.init(current.params))
    with pytest.raises(ValueError, match=r"^train_step: the optimizer holds optax\.MultiSteps"):
        jaxnn.training.train_step(squares, chained)(by_hand, batch_of())
    assert not current.params.is_deleted()
    step(current, {"numbers": 1, "flag": True, "rate": 0.5, "none": None})


WITHOUT_X64 = {
    "large": (np.array([1e300]), False),
    "a little too large": (np.array([3.5e38, 0]), False),
    "lowest": (np.array([[-1e39, np.nan]]), False),
    "complex": (np.array([1.0, 1e40j]), False),
    "scalar": (np.float64(1e39), False),
    "wraps": (np.array([2**31]), False),
    "below": (np.array([-(2**31) - 1, 0]), False),
    "unsigned": (np.array([2**32], np.uint64), False),
    "number": (2**40, False),
    "usual": (np.array([1 / 3, -3.4e38, np.inf, -np.inf, np.nan]), True),
    "rounds": (np.array([3.4028235e38, 1e-300]), True),
    "integers": (np.array([2**31 - 1, -(2**31)]), True),
    "nothing": (np.zeros((0, 2)), True),
    "big float32": (np.array([3e38], np.float32), True),
}


@pytest.mark.parametrize("name", WITHOUT_X64)
def test_numbers_of_64_bits_without_x64(name: str):
    """Rounded as everywhere in jax, but neither made infinite nor wrapped around."""
    array, fits = WITHOUT_X64[name]
    with jax.enable_x64(False):
        step = jaxnn.training.train_step(lambda p, s, b, k: (jnp.sum(p**2), 1.0, s), optax.sgd(0.1))
        current = jaxnn.training.train_state(np.ones(2), optax.sgd(0.1), jax.random.key(0))
        assert current.params.dtype == jnp.float32
        if fits:
            assert bool(step(current, {"x": array})[1].finite)
            jaxnn.training.train_state(np.ones(2), optax.sgd(0.1), jax.random.key(0), array)
            return
        with pytest.raises(ValueError, match=r"^train_step: batch\['x'\] .*does not fit"):
            step(current, {"x": array})
        with pytest.raises(ValueError, match=r"^train_state: state .*does not fit"):
            jaxnn.training.train_state(np.ones(2), optax.sgd(0.1), jax.random.key(0), array)


def test_train_state_needs_a_key():
    """None, a number and a batch of keys are none."""
    for key in (None, 3, jax.random.split(KEY)):
        with pytest.raises(TypeError, match="train_state: key"):
            jaxnn.training.train_state(jnp.ones(2), optax.sgd(0.1), key)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_sixteen_bits(dtype: Any):
    """Arithmetic in 16 bits trains parameters in float32, with a state that is carried."""
    cell = jaxnn.stack(jaxnn.elman(2, 8, dtype=dtype), jaxnn.dense(8, 1, dtype=dtype))
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(7, 4, 2)), dtype)
    optimizer = optax.adam(0.03)

    def loss(params: Any, state: Any, xs: Any, key: Any) -> Any:
        state, ys = cell.unroll(params, xs, state, key=key)
        return *jaxnn.losses.mean_squared_error(ys, xs[..., :1]), state

    params = cell.init(KEY)
    current = start(optimizer, params, cell.initial_state(params, (4,)))
    step, losses = jaxnn.training.train_step(loss, optimizer), []
    for _ in range(30):
        current, metrics = step(current, xs)
        losses.append(float(metrics.loss))
    assert losses[-1] < 0.5 * losses[0]
    assert {leaf.dtype for leaf in jax.tree.leaves(current.params)} == {np.dtype("float32")}


def test_the_norm_of_sixteen_bit_gradients_does_not_overflow():
    """1000 gradients of 100 have finite entries and a square of 10⁷, beyond float16."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del batch, key
        return jnp.sum(params["half"] * 100) / 3 + params["wide"].astype(jnp.float16), 1.0, state

    params = {"half": jnp.zeros(1000, jnp.float16), "wide": jnp.zeros((), jnp.float64)}
    optimizer = optax.sgd(0.01)
    current, metrics = jaxnn.training.train_step(loss, optimizer)(start(optimizer, params), None)
    assert bool(metrics.finite)
    np.testing.assert_allclose(metrics.gradient_norm, 100 / 3 * 1000**0.5, rtol=1e-3)
    assert float(current.params["half"][0]) < 0


# Truncated backpropagation through time.

CELL = jaxnn.stack(jaxnn.elman(2, 5, dtype=jnp.float64), jaxnn.dense(5, 1, dtype=jnp.float64))
SERIES = np.random.default_rng(1).normal(size=(10, 3, 3))


def chunk_loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """The error of one chunk, from the state that the one before it left."""
    series, mask = batch
    state, ys = CELL.unroll(params, series[..., :2], state, mask, key=key)
    return *jaxnn.losses.mean_squared_error(ys, series[..., 2:], mask), state


# It keeps the gradient in its state, and the parameters as they are.
RECORD = optax.chain(optax.trace(0.0), optax.set_to_zero())
STEP = jaxnn.training.train_step(chunk_loss, RECORD)


def last_loss(cut: bool, params: Any) -> Any:
    """The mean loss of the last two of ten steps, with or without cuts after four and eight."""
    state = CELL.initial_state(params, (3,))
    ys: Any = None
    for at in (0, 4, 8):
        state = jax.tree.map(jax.lax.stop_gradient, state) if cut else state
        state, ys = CELL.unroll(params, SERIES[at : at + 4, :, :2], state)
    return jnp.sum((ys - SERIES[8:, :, 2:]) ** 2) / 6


@pytest.mark.parametrize("key", [jax.random.key(7), jax.random.PRNGKey(7)], ids=["typed", "legacy"])
def test_truncated_bptt(key: Any):
    """Forward it is the whole sequence; backward it is cut between chunks; nothing is lost."""
    params = CELL.init(KEY)
    current = jaxnn.training.train_state(params, RECORD, key, CELL.initial_state(params, (3,)))
    total = weight = 0.0
    for batch in jaxnn.data.chunks(SERIES, 4):  # the last one holds two steps and two of padding
        current, metrics = STEP(current, batch)
        total += float(metrics.loss * metrics.weight)
        weight += float(metrics.weight)
    got: Any = current.opt_state
    want, uncut = (
        jax.jit(jax.grad(functools.partial(last_loss, cut)))(params) for cut in (True, False)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-9, 1e-12), got[0].trace, want)
    assert np.abs(want[0].recurrent_kernel - uncut[0].recurrent_kernel).max() > 1e-4
    state, ys = CELL.unroll(params, SERIES[..., :2])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9), current.state, state)
    assert weight == 30
    np.testing.assert_allclose(total, np.sum((ys - SERIES[..., 2:]) ** 2), rtol=1e-9)


def test_a_donated_train_state_is_named() -> None:
    """Not XLA's word for it: what to go on with."""
    optimizer = optax.sgd(0.1)
    step = jaxnn.training.train_step(lambda p, s, b, k: (jnp.sum((p - b) ** 2), 1.0, s), optimizer)
    first = jaxnn.training.train_state(jnp.ones(2), optimizer, jax.random.key(0))
    step(first, jnp.zeros(2))
    with pytest.raises(ValueError, match="go on with the one that the step returned"):
        step(first, jnp.zeros(2))


# Several batches for one update.

CUTS = [slice(0, 3), slice(3, 4), slice(4, 6)]


def parts(x: np.ndarray = X, mask: Any = None) -> list[Any]:
    """The data in three unequal batches."""
    mask = np.ones(6, bool) if mask is None else mask
    return [(x[cut], Y[cut], mask[cut]) for cut in CUTS]


def accumulating(optimizer: Any, params: Any = None, n: int = 3, state: Any = ()) -> Any:
    """A step of n batches and its first train state."""
    params = dense_params() if params is None else params
    step = jaxnn.training.train_step(squares, optimizer, accumulate=n)
    return step, jaxnn.training.train_state(
        params, optimizer, jax.random.key(1), state, accumulate=n
    )


def close(a: Any, b: Any, tolerance: float = 1e-6) -> None:
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), a, b)


ACCUMULATING = {
    name: OPTIMIZERS[name]
    for name in ("momentum", "adamw", "schedule", "clip", "ema", "inject", "plateau", "polyak")
}


@pytest.mark.parametrize("name", ACCUMULATING)
def test_law_accumulated_batches_are_one(name: str):
    """However unequal, one without any valid sample included: three calls take the step of all
    samples together, also where the optimiser asks for the loss."""
    optimizer = ACCUMULATING[name]()
    whole, want = jaxnn.training.train_step(squares, optimizer), start(optimizer)
    step, got = accumulating(optimizer)
    for count in (6, 5, 3):
        valid = np.arange(6) < count
        want, _ = whole(want, (X, Y, valid))
        for number, part in enumerate(parts(mask=valid)):
            before = raw(got[:2])
            got, metrics = step(got, part)
            assert bool(metrics.finite)
            assert bool(metrics.updated) == (number == 2)
            if number < 2:
                assert raw(got[:2]) == before
    close(got[:2], want[:2])
    assert int(got.step) == 9 and int(got.accumulated.batches) == 0


def test_metrics_of_an_accumulating_step():
    """Loss, weight and gradient of the call's own batch, as a plain step would tell them."""
    step, got = accumulating(optax.sgd(0.0))
    for part in parts() * 2:
        got, metrics = step(got, part)
        _, want = jaxnn.training.train_step(squares, optax.sgd(0.0))(start(optax.sgd(0.0)), part)
        close(metrics[:3], want[:3])


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_a_batch_that_is_not_finite_adds_nothing(bad: int):
    """It counts as one of the n, wherever it stands; the update is that of the others."""
    optimizer = optax.adam(0.1)
    step, got = accumulating(optimizer)
    data = parts()
    data[bad] = (np.full_like(data[bad][0], np.nan), *data[bad][1:])
    told = []
    for part in data:
        got, metrics = step(got, part)
        told.append((bool(metrics.finite), bool(metrics.updated)))
    assert told == [(number != bad, number == 2) for number in range(3)]
    rest = np.delete(np.arange(6), np.r_[CUTS[bad]])
    whole = jaxnn.training.train_step(squares, optimizer)
    want, _ = whole(start(optimizer), (X[rest], Y[rest], np.ones(len(rest), bool)))
    close(got[:2], want[:2])


@pytest.mark.parametrize("value", [np.nan, 0.0])
def test_n_batches_of_nothing_change_nothing(value: float):
    """Neither momentum nor decay moves, and the next n are a full step again."""
    optimizer = optax.adamw(0.1, weight_decay=0.5)
    step, got = accumulating(optimizer)
    for part in parts():
        got, _ = step(got, part)
    before = raw(got[:2])
    for part in parts(np.full_like(X, value), np.zeros(6, bool) if value == 0 else None):
        got, metrics = step(got, part)
        assert not bool(metrics.updated)
    assert raw(got[:2]) == before
    whole, want = jaxnn.training.train_step(squares, optimizer), start(optimizer)
    for part in parts():
        got, metrics = step(got, part)
        want, _ = whole(want, (X, Y, np.ones(6, bool))) if bool(metrics.updated) else (want, None)
    want, _ = whole(want, (X, Y, np.ones(6, bool)))
    close(got[:2], want[:2])


def test_an_accumulated_update_that_is_not_finite():
    """It is not taken, and what led to it is gone."""
    step, got = accumulating(optax.scale(float("inf")), n=2)
    before = raw(got.params)
    for expected in (True, False, True, False):
        got, metrics = step(got, batch_of())
        assert (bool(metrics.finite), bool(metrics.updated)) == (expected, False)
        assert raw(got.params) == before
    assert float(got.accumulated.weight) == 0


def test_accumulation_in_sixteen_bits():
    """300 gradients of 1, added up in bfloat16, would end at 256; weights of 1000 overflow none."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del key
        return jnp.sum(params * batch).astype(jnp.float32) * 1000, 1000.0, state

    optimizer = optax.sgd(1.0)
    for dtype in (jnp.bfloat16, jnp.float16):
        step = jaxnn.training.train_step(loss, optimizer, accumulate=300)
        got = jaxnn.training.train_state(jnp.zeros((), dtype), optimizer, KEY, accumulate=300)
        assert got.accumulated.gradients.dtype == jnp.float32
        for _ in range(300):
            got, _ = step(got, jnp.ones((), dtype))
        assert got.params.dtype == dtype and float(got.params) == -1.0


def test_a_carried_state_goes_on_while_gradients_accumulate():
    """Truncated BPTT with one update for all chunks: the gradient is that of the sum over them."""
    params = CELL.init(KEY)
    step = jaxnn.training.train_step(chunk_loss, RECORD, accumulate=3)
    state = CELL.initial_state(params, (3,))
    current = jaxnn.training.train_state(params, RECORD, KEY, state, accumulate=3)
    for batch in jaxnn.data.chunks(SERIES, 4):
        current, _ = step(current, batch)
    got: Any = current.opt_state

    def by_hand(params: Any) -> Any:
        state, total = CELL.initial_state(params, (3,)), 0.0
        for at in (0, 4, 8):
            state = jax.tree.map(jax.lax.stop_gradient, state)
            state, ys = CELL.unroll(params, SERIES[at : at + 4, :, :2], state)
            total += jnp.sum((ys - SERIES[at : at + 4, :, 2:]) ** 2)
        return total / 30

    close(got[0].trace, jax.jit(jax.grad(by_hand))(params), 1e-9)
    close(current.state, CELL.unroll(params, SERIES[..., :2])[0], 1e-9)


def test_an_accumulating_step_traces_once_and_donates():
    """The room for the gradients is used again."""
    traces = []

    def loss(*arguments: Any) -> Any:
        traces.append(None)
        return squares(*arguments)

    step = jaxnn.training.train_step(loss, optax.adam(0.1), accumulate=2)
    first = jaxnn.training.train_state(dense_params(), optax.adam(0.1), KEY, accumulate=2)
    current = first
    for _ in range(5):
        current, _ = step(current, batch_of())
    assert len(traces) == 1
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(first.accumulated))


def test_accumulation_is_resumed(tmp_path: Any):
    """Between two updates too, from a file."""
    optimizer, path = optax.adam(0.1), tmp_path / "state.safetensors"
    step, current = accumulating(optimizer)
    for part in parts()[:2]:
        current, _ = step(current, part)
    jaxnn.training.save(path, current)
    like = jax.eval_shape(lambda: accumulating(optimizer)[1])
    resumed = jaxnn.training.load(path, like)
    for part in (*parts()[2:], *parts()):
        current, _ = step(current, part)
        resumed, _ = step(resumed, part)
    assert raw(resumed) == raw(current)


def test_a_train_state_of_another_step():
    """Made with accumulate, and used without, or the other way round; it is not donated."""
    plain, accumulating_one = start(optax.sgd(0.1)), accumulating(optax.sgd(0.1))[1]
    with pytest.raises(
        ValueError, match=r"accumulate=3, but .* made without .*accumulate=3 to train_s"
    ):
        jaxnn.training.train_step(squares, optax.sgd(0.1), accumulate=3)(plain, batch_of())
    with pytest.raises(
        ValueError, match="accumulate=1, but the train_state was made for accumulation"
    ):
        jaxnn.training.train_step(squares, optax.sgd(0.1))(accumulating_one, batch_of())
    assert not plain.step.is_deleted() and not accumulating_one.step.is_deleted()


def test_a_line_search_has_no_loss_of_batches_that_are_gone():
    """It says what to do instead."""
    step, current = accumulating(optax.lbfgs())
    with pytest.raises(ValueError, match=r"calls the loss again \(value_fn.*accumulate=1"):
        step(current, batch_of())


# Further numbers.


@pytest.mark.parametrize("n", [1, 2])
def test_aux(n: int):
    """Any tree of numbers, in float32 at the least, of the call's own batch."""
    seen = []

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        seen.append(None)
        total, weight, state = squares(params, state, batch, key)
        rights = jnp.sum(batch[2].astype(jnp.float16)), jnp.sum(batch[2])
        return total, weight, state, {"pair": rights, "python": 3, "flag": True, "total": total}

    step = jaxnn.training.train_step(loss, optax.sgd(0.1), accumulate=n)
    current = jaxnn.training.train_state(dense_params(), optax.sgd(0.1), KEY, accumulate=n)
    for valid in (4, 6):
        current, metrics = step(current, batch_of(valid=valid))
        aux = metrics.aux
        assert [float(x) for x in (*aux["pair"], aux["python"], aux["flag"])] == [
            valid,
            valid,
            3,
            1,
        ]
        assert {x.dtype for x in jax.tree.leaves(aux)} == {np.dtype("float32")}
        np.testing.assert_allclose(aux["total"] / metrics.weight, metrics.loss, rtol=1e-6)
    assert len(seen) == 1
    assert (
        jaxnn.training.train_step(squares, optax.sgd(0.1))(start(optax.sgd(0.1)), batch_of())[1].aux
        == ()
    )


def test_aux_has_no_say():
    """It has no part in the gradient, and NaN there stops nothing."""

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return *squares(params, state, batch, key), jnp.sum(params.kernel) * jnp.nan

    got, metrics = jaxnn.training.train_step(loss, optax.sgd(0.1))(
        start(optax.sgd(0.1)), batch_of()
    )
    want, _ = jaxnn.training.train_step(squares, optax.sgd(0.1))(start(optax.sgd(0.1)), batch_of())
    assert bool(metrics.finite) and np.isnan(metrics.aux)
    assert raw(got.params) == raw(want.params)
