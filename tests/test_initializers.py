"""Initialisers handed to cells and layers: by gate, checked, and picklable."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.nn import initializers

import jaxnn

KEY = jax.random.key(0)
SIZE = 128
MAKERS: dict[str, Any] = {
    "lecun_normal": initializers.lecun_normal(),
    "he_normal": initializers.he_normal(),
    "he_uniform": initializers.he_uniform(),
    "glorot_normal": initializers.glorot_normal(),
    "variance_scaling": initializers.variance_scaling(0.5, "fan_out", "uniform"),
    "normal": initializers.normal(0.3),
    "jaxnn.initializers.glorot": jaxnn.initializers.glorot,
    "per_gate": jaxnn.initializers.per_gate(initializers.he_normal()),
}
CELLS: dict[str, Any] = {
    "elman": jaxnn.elman,
    "gru": jaxnn.gru,
    "lstm": jaxnn.lstm,
    "mgu": jaxnn.mgu,
    "conv_lstm": lambda rows, hidden, **options: jaxnn.conv_lstm(
        rows, hidden, (4,), (3,), **options
    ),
}
PUBLIC: dict[str, Any] = {
    "glorot": jaxnn.initializers.glorot,
    "orthogonal": jaxnn.initializers.orthogonal,
    "uniform_hidden": jaxnn.initializers.uniform_hidden,
    "forget_bias": jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES, 2.0),
    "chrono": jaxnn.initializers.chrono(jaxnn.GRU_GATES, 30.0),
    "per_gate": jaxnn.initializers.per_gate(initializers.zeros),
    "per_gate of several": jaxnn.initializers.per_gate(
        initializers.zeros, jaxnn.initializers.orthogonal
    ),
}


def alone(initializer: Any, shape: tuple[int, ...]) -> Any:
    """What an initialiser gives for one gate by itself."""
    if initializer in (
        jaxnn.initializers.glorot,
        MAKERS["per_gate"],
    ):  # of a parameter with one gate
        return initializer(KEY, (*shape[:-1], 1, shape[-1]), jnp.float32)
    return initializer(KEY, shape, jnp.float32)


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("name", MAKERS)
def test_any_initializer_fills_by_gate(cell: str, name: str):
    """Each gate has the spread that the initialiser gives to a matrix of its shape."""
    rows, hidden = SIZE, 2 * SIZE
    maker, window = MAKERS[name], (3,) if cell == "conv_lstm" else ()
    params = CELLS[cell](rows, hidden, kernel_init=maker, recurrent_init=maker).init(KEY)
    for kernel, shape in (
        (params.input_kernel, (*window, rows, hidden)),
        (params.recurrent_kernel, (*window, hidden, hidden)),
    ):
        want = float(alone(maker, shape).std())
        for gate in range(kernel.shape[-2]):
            np.testing.assert_allclose(float(kernel[..., gate, :].std()), want, rtol=0.03)
        if kernel.shape[-2] > 1:
            assert float(jnp.abs(kernel[..., 0, :] - kernel[..., 1, :]).max()) > 0.01 * want


def test_an_initializer_sees_one_gate_at_a_time():
    """Kernels, biases, peepholes, and the peepholes of images, whose gate axis comes first."""
    seen: dict[str, list[tuple[int, ...]]] = {}

    def spy(name: str) -> Callable[..., Any]:
        def init(key: Any, shape: Any, dtype: Any) -> Any:
            seen.setdefault(name, []).append(shape)
            return jnp.full(shape, len(seen[name]), dtype)

        return init

    names = ("kernel_init", "recurrent_init", "bias_init", "peephole_init")
    options: Any = {name: spy(name) for name in names}
    params = jaxnn.lstm(2, 5, peephole=True, **options).init(KEY)
    gates = {"kernel_init": (2, 5), "recurrent_init": (5, 5), "bias_init": (5,)}
    assert seen == {**{k: [v] * 4 for k, v in gates.items()}, "peephole_init": [(5,)] * 3}
    assert params.input_kernel[0, :, 0].tolist() == [1, 2, 3, 4]
    assert params.peephole[:, 0].tolist() == [1, 2, 3]  # pyright: ignore[reportOptionalSubscript]
    seen.clear()
    params = jaxnn.conv_lstm(2, 5, (6, 7), (3, 1), peephole=True, **options).init(KEY)
    assert seen["recurrent_init"] == [(3, 1, 5, 5)] * 4
    assert seen["peephole_init"] == [(6, 7, 5)] * 3
    assert params.peephole.shape == (3, 6, 7, 5)  # pyright: ignore[reportOptionalMemberAccess]
    assert params.peephole[:, 0, 0, 0].tolist() == [1, 2, 3]  # pyright: ignore[reportOptionalSubscript]


@pytest.mark.parametrize(
    ("init", "value"), [(initializers.ones, 1.0), (initializers.constant(0.3), 0.3)]
)
@pytest.mark.parametrize("cell", CELLS)
def test_biases_of_jax(cell: str, init: Any, value: float):
    """Initialisers that have no fans fill biases."""
    bias = CELLS[cell](3, 4, bias_init=init).init(KEY).bias
    np.testing.assert_array_equal(bias, np.full(bias.shape, value, np.float32))


def test_initializers_that_know_of_gates_keep_their_numbers():
    """They are given the whole parameter, as by a call of one's own with the cell's key."""
    fills = (
        jaxnn.initializers.orthogonal,
        jaxnn.initializers.uniform_hidden,
        jaxnn.initializers.chrono(jaxnn.GRU_GATES, 9.0),
    )
    params = jaxnn.gru(3, 4, True, True, *fills).init(KEY)
    keys = jax.random.split(KEY, 3)
    shapes = ((3, 3, 4), (4, 3, 4), (3, 4))
    expected = [f(k, s, jnp.float32) for f, k, s in zip(fills, keys, shapes, strict=True)]
    for ours, want in zip(params, expected, strict=False):
        np.testing.assert_array_equal(ours, want)


def test_per_gate_of_several():
    """One for each gate, in order; jaxnn's own among them."""
    eye = lambda key, shape, dtype: jnp.eye(*shape, dtype=dtype)  # noqa: E731
    init = jaxnn.initializers.per_gate(initializers.zeros, jaxnn.initializers.orthogonal, eye)
    kernel = np.asarray(jaxnn.gru(3, 4, recurrent_init=init).init(KEY).recurrent_kernel)
    np.testing.assert_array_equal(kernel[:, 0], np.zeros((4, 4)))
    np.testing.assert_allclose(kernel[:, 1] @ kernel[:, 1].T, np.eye(4), atol=1e-6)
    assert np.abs(kernel[:, 1] - np.eye(4)).max() > 0.1
    np.testing.assert_array_equal(kernel[:, 2], np.eye(4))
    with pytest.raises(ValueError, match=r"lstm\(3, 4\): recurrent_init .*4 gates.*there are 3"):
        jaxnn.lstm(3, 4, recurrent_init=init).init(KEY)


def test_per_gate_of_per_gate():
    """The inner one adds nothing: a row is never taken for a gate."""
    maker = initializers.he_normal()
    once, twice = (
        jaxnn.initializers.per_gate(maker),
        jaxnn.initializers.per_gate(jaxnn.initializers.per_gate(maker)),
    )
    arguments = (KEY, (5, 3, 4), jnp.float32)
    np.testing.assert_array_equal(once(*arguments), twice(*arguments))


def test_layers_without_gates_take_the_inside_of_per_gate():
    """Dense and convolution have no gate axis, and none of theirs is taken for one."""
    for layer, shape in (
        (jaxnn.dense(40, 60, kernel_init=jaxnn.initializers.glorot), (40, 60)),
        (jaxnn.conv(40, 60, (5,), kernel_init=jaxnn.initializers.glorot), (5, 40, 60)),
    ):
        kernel = layer.init(KEY).kernel
        bound = np.sqrt(6 / (np.prod(shape[:-2]) * 100))
        assert kernel.shape == shape
        assert 0.99 * bound < float(jnp.abs(kernel).max()) <= bound
    with pytest.raises(ValueError, match=r"dense\(3, 4\): bias_init is forget_bias.*no.*\(4,\)"):
        jaxnn.dense(3, 4, bias_init=jaxnn.initializers.forget_bias(("f",))).init(KEY)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("init", [initializers.orthogonal(), jaxnn.initializers.orthogonal])
def test_orthogonal_in_16_bits(dtype: Any, init: Any):
    """QR has no 16-bit form: kernels are worked out in float32, in cells and in layers."""
    for kernel in (
        jaxnn.lstm(4, 4, kernel_init=init, param_dtype=dtype).init(KEY).input_kernel[:, 1],
        jaxnn.dense(4, 4, kernel_init=init, param_dtype=dtype).init(KEY).kernel,
    ):
        assert kernel.dtype == dtype
        w = np.asarray(kernel, np.float32)
        np.testing.assert_allclose(w @ w.T, np.eye(4), atol=0.02)


def equations(jaxpr: Any) -> Iterator[Any]:
    """Every equation, also of the jaxprs inside of one."""
    for equation in jaxpr.eqns:
        yield equation
        for value in jax.tree.leaves(list(equation.params.values())):
            inner = getattr(value, "jaxpr", value)
            if hasattr(inner, "eqns"):
                yield from equations(inner)


@pytest.mark.parametrize("init", [initializers.orthogonal(), jaxnn.initializers.orthogonal])
@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.dense])
def test_no_batch_of_qr_under_vmap(make: Any, init: Any):
    """Batched QRs can wait for each other for ever, so that each network has its own."""
    cell = make(4, 4, kernel_init=init)
    traced = jax.make_jaxpr(jax.vmap(cell.init))(jax.random.split(KEY, 3))
    found = [e for e in equations(traced.jaxpr) if e.primitive.name in ("qr", "geqrf")]
    assert found and all(e.invars[0].aval.ndim == 2 for e in found)


@pytest.mark.parametrize("name", PUBLIC)
def test_pickled(name: str):
    """And copied: the same object, so that the same cell is built."""
    init = PUBLIC[name]
    for again in (pickle.loads(pickle.dumps(init)), copy.deepcopy(init), copy.copy(init)):
        assert again is init
    assert jaxnn.lstm(2, 3, bias_init=init) is jaxnn.lstm(
        2, 3, bias_init=pickle.loads(pickle.dumps(init))
    )


def test_pickled_defaults_of_layers():
    """What fills layers by default has a name that pickle finds."""
    from jaxnn.layers import dense, embedding

    for init in (dense.lecun, embedding.normal):
        assert pickle.loads(pickle.dumps(init)) is init


def gives(value: Any) -> Callable[..., Any]:
    """An initialiser that gives a value, whatever it is asked for."""
    return lambda key, shape, dtype: value


def fails(key: Any, shape: Any, dtype: Any) -> Any:
    raise LookupError("no file")


def whole(key: Any, shape: Any, dtype: Any) -> Any:
    return jnp.ones(shape, jnp.int32)


WRONG: dict[str, tuple[Any, type[Exception], str]] = {
    "another shape": (gives(jnp.ones((2, 2), jnp.float32)), ValueError, r"got float32\[2, 2\]"),
    "another dtype": (whole, TypeError, r"got int32\[.*dtype that it is given"),
    "float64": (lambda k, s, d: np.ones(s), TypeError, r"got float64\["),
    "a number": (gives(1.0), TypeError, "got float"),
    "a scalar": (gives(jnp.float32(1)), ValueError, r"got float32\[\]"),
    "a list": (gives([[1.0]]), TypeError, "got list"),
    "None": (gives(None), TypeError, "got NoneType"),
    "one that raises": (fails, TypeError, "no file"),
    "two arguments": (lambda key, shape: 0, TypeError, "could not give"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_initializers_give_is_checked(what: str):
    """The error names who asked and for what, and what came."""
    init, kind, text = WRONG[what]
    makes: dict[str, Callable[[], Any]] = {
        r"lstm\(3, 5\): kernel_init .*": lambda: jaxnn.lstm(3, 5, kernel_init=init),
        r"gru\(3, 5\): recurrent_init .*": lambda: jaxnn.gru(3, 5, recurrent_init=init),
        r"elman\(3, 5\): bias_init .*": lambda: jaxnn.elman(3, 5, bias_init=init),
        r"lstm\(3, 5, peephole=True\): peephole_init .*": lambda: jaxnn.lstm(
            3, 5, True, peephole_init=init
        ),
        r"conv_lstm\(3, 5, \(4,\), \(3,\), peephole=True\): peephole_init .*": lambda: (
            jaxnn.conv_lstm(3, 5, (4,), (3,), peephole=True, peephole_init=init)
        ),
        r"dense\(3, 5\): kernel_init .*": lambda: jaxnn.dense(3, 5, kernel_init=init),
        r"dense\(3, 5\): bias_init .*": lambda: jaxnn.dense(3, 5, bias_init=init),
        r"conv\(3, 5, \(3,\)\): bias_init .*": lambda: jaxnn.conv(3, 5, (3,), bias_init=init),
        r"embedding\(3, 5\): table_init .*": lambda: jaxnn.embedding(3, 5, init),
    }
    for owner, make in makes.items():
        with pytest.raises(kind, match=owner + text) as caught:
            make().init(KEY)
        assert caught.type is kind


def test_values_of_initializers_are_not_checked():
    """NaN is a value, also where a parameter is of numpy's."""
    fill: Any = lambda k, s, d: np.full(s, np.nan, d)  # noqa: E731
    cell = jaxnn.gru(3, 4, kernel_init=fill)
    kernel = cell.init(KEY).input_kernel
    assert isinstance(kernel, jax.Array) and bool(jnp.isnan(kernel).all())


def test_float64_of_numpy_without_x64():
    """It counts as float32, as everywhere in jax."""
    fill: Any = lambda k, s, d: np.ones(s)  # noqa: E731
    with jax.enable_x64(False):
        kernel = jaxnn.dense(3, 4, kernel_init=fill).init(KEY).kernel
    assert kernel.dtype == jnp.float32


@pytest.mark.parametrize("make", [jaxnn.lstm, jaxnn.conv_lstm])
def test_fans_of_a_bias(make: Any):
    """There are none, and the error says what to use."""
    arguments = (3, 4) if make is jaxnn.lstm else (3, 4, (5,), (3,))
    for init in (initializers.lecun_normal(), jaxnn.initializers.glorot, initializers.orthogonal()):
        with pytest.raises(ValueError, match=r"bias_init could not give float32\[4\].*constant"):
            make(*arguments, bias_init=init).init(KEY)


OPTIONS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a value that is nan": (
        lambda: jaxnn.initializers.forget_bias(("f",), float("nan")),
        ValueError,
        "forget_bias: value must be a finite number, got nan",
    ),
    "a value that is text": (
        lambda: jaxnn.initializers.forget_bias(("f",), "1"),  # type: ignore[arg-type]
        TypeError,
        "forget_bias: value must be a number",
    ),
    "a value beyond float16": (
        lambda: jaxnn.initializers.forget_bias(("f",), 1e5)(KEY, (1, 2), jnp.float16),
        ValueError,
        r"100000\.0 is beyond the largest float16",
    ),
    "gates that are text": (
        lambda: jaxnn.initializers.forget_bias("ifgo"),  # type: ignore[arg-type]
        TypeError,
        "forget_bias: gates must be a tuple of names",
    ),
    "gates that are numbers": (
        lambda: jaxnn.initializers.chrono((1, 2), 9.0),  # type: ignore[arg-type]
        TypeError,
        "chrono: gates must be a tuple of names",
    ),
    "longest that is nan": (
        lambda: jaxnn.initializers.chrono(jaxnn.LSTM_GATES, float("nan")),
        ValueError,
        "chrono: longest must be a finite number, got nan",
    ),
    "longest beyond float32": (
        lambda: jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 1e300),
        ValueError,
        "chrono: longest must be at least 2 time steps, and a float32",
    ),
    "a filler of biases for a kernel": (
        lambda: jaxnn.lstm(
            3, 4, recurrent_init=jaxnn.initializers.forget_bias(jaxnn.LSTM_GATES)
        ).init(KEY),
        ValueError,
        r"lstm\(3, 4\): recurrent_init .*forget_bias: it fills a bias",
    ),
    "chrono for a kernel": (
        lambda: jaxnn.lstm(3, 4, kernel_init=jaxnn.initializers.chrono(jaxnn.LSTM_GATES, 9.0)).init(
            KEY
        ),
        ValueError,
        r"lstm\(3, 4\): kernel_init .*chrono: it fills a bias",
    ),
    "nothing by gate": (
        lambda: jaxnn.initializers.per_gate(),
        ValueError,
        "per_gate: .*at least one",
    ),
    "text by gate": (
        lambda: jaxnn.initializers.per_gate("glorot"),  # type: ignore[arg-type]
        TypeError,
        "per_gate: initializers must be functions",
    ),
    "a filler of all gates by gate": (
        lambda: jaxnn.initializers.per_gate(jaxnn.initializers.forget_bias(("f",))),
        ValueError,
        "per_gate: an initializer must fill one gate",
    ),
    "no gate axis": (
        lambda: jaxnn.initializers.glorot(KEY, (3,), jnp.float32),
        ValueError,
        r"per_gate: .*\(\.\.\., gates, hidden\), not the shape \(3,\)",
    ),
    "no axis at all": (
        lambda: jaxnn.initializers.uniform_hidden(KEY, ()),
        ValueError,
        "uniform_hidden: shape",
    ),
}


@pytest.mark.parametrize("what", OPTIONS)
def test_options_of_initializers(what: str):
    call, kind, text = OPTIONS[what]
    with pytest.raises(kind, match=text) as caught:
        call()
    assert caught.type is kind


def test_pickled_with_an_initializer_of_jax():
    """jax makes its initialisers inside of functions; they are pickled by what made them."""
    init = jaxnn.initializers.per_gate(
        initializers.he_normal(), jaxnn.initializers.glorot, initializers.constant(2.0)
    )
    again = pickle.loads(pickle.dumps(init))
    arguments = (KEY, (4, 3, 5), jnp.float32)
    np.testing.assert_array_equal(again(*arguments), init(*arguments))
    cell = jaxnn.gru(4, 5, kernel_init=init)
    first, second = cell.init(KEY), pickle.loads(pickle.dumps(cell)).init(KEY)
    jax.tree.map(np.testing.assert_array_equal, first, second)


@pytest.mark.parametrize("wrong", ["glorot", 1.0, initializers, jax.Array])
def test_what_is_no_initializer(wrong: Any):
    """Refused where the cell is built."""
    for make in (
        lambda: jaxnn.lstm(3, 4, kernel_init=wrong),
        lambda: jaxnn.gru(3, 4, recurrent_init=wrong),
        lambda: jaxnn.dense(3, 4, bias_init=wrong),
        lambda: jaxnn.embedding(3, 4, wrong),
    ):
        with pytest.raises(TypeError, match=r"\w+: \w+_init must be an initialiser, got"):
            make()
