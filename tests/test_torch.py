"""torch as an oracle, in float64: values, final states and every gradient."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle

import jaxnn
from jaxnn.interop import from_states, to_states
from jaxnn.interop.torch import from_state_dict

torch = oracle("torch")
pytestmark = pytest.mark.oracle

TIME, BATCH, INPUT, HIDDEN = 6, 4, 3, 5
LENGTHS = (6, 3, 1, 4)
TOLERANCE = 1e-12
Weights = dict[str, jax.Array]


def random(seed: int, *shape: int) -> np.ndarray:
    """Normal numbers in float64."""
    return np.random.default_rng(seed).standard_normal(shape)


def leaf(value: Any) -> Any:
    """A torch tensor that gets a gradient."""
    return torch.tensor(np.asarray(value), dtype=torch.float64, requires_grad=True)


def torch_vjp(outputs: list[Any], inputs: dict[str, Any], cotangents: list[Any]) -> dict[str, Any]:
    """The outputs' cotangents pulled back to each of the inputs."""
    gradients = torch.autograd.grad(
        outputs, list(inputs.values()), [torch.tensor(np.asarray(c)) for c in cotangents]
    )
    return {name: g.numpy() for name, g in zip(inputs, gradients, strict=True)}


class Kind(NamedTuple):
    """A cell here and in torch, and of how many arrays its state is."""

    cell: Callable[[int, int], jaxnn.Cell]
    module: Callable[..., Any]
    states: int = 1


FLOAT64 = jnp.float64
KINDS = {
    "elman": Kind(lambda i, h: jaxnn.elman(i, h, dtype=FLOAT64), torch.nn.RNN),
    "elman_relu": Kind(
        lambda i, h: jaxnn.elman(i, h, activation=jax.nn.relu, dtype=FLOAT64),
        lambda *sizes, **options: torch.nn.RNN(*sizes, nonlinearity="relu", **options),
    ),
    "lstm": Kind(
        lambda i, h: jaxnn.lstm(i, h, dtype=FLOAT64),
        torch.nn.LSTM,
        states=2,
    ),
    "gru": Kind(lambda i, h: jaxnn.gru(i, h, dtype=FLOAT64), torch.nn.GRU),
}
# Each case compiles anew: of all combinations, those that the others do not imply.
FORMS = {
    "one": (1, False, False),
    "one_packed": (1, False, True),
    "one_bidirectional": (1, True, False),
    "two": (2, False, False),
    "two_bidirectional_packed": (2, True, True),
}
CASES = [
    pytest.param(name, *form, id=f"{name}-{label}")
    for name in KINDS
    for label, form in FORMS.items()
    if name != "elman_relu" or label == "one"
]
FACTORIES = {
    "elman": (jaxnn.elman, torch.nn.RNN),
    "lstm": (jaxnn.lstm, torch.nn.LSTM),
    "gru": (jaxnn.gru, torch.nn.GRU),
}


def run_torch(
    kind: Kind, layers: int, bidirectional: bool, packed: bool, inputs: dict[str, np.ndarray]
) -> tuple[list[np.ndarray], dict[str, np.ndarray], list[np.ndarray]]:
    """The outputs (ys, then the final states), the gradients of all inputs, the cotangents used."""
    module = kind.module(
        INPUT, HIDDEN, num_layers=layers, bidirectional=bidirectional, dtype=torch.float64
    )
    leaves = {name: leaf(value) for name, value in inputs.items()}
    weights = {name: leaves[name] for name, _ in module.named_parameters()}
    xs = leaves["xs"]
    states = tuple(leaves[f"state_{index}"] for index in range(kind.states))
    arguments = (
        torch.nn.utils.rnn.pack_padded_sequence(xs, LENGTHS, enforce_sorted=False)
        if packed
        else xs,
        states if kind.states > 1 else states[0],
    )
    ys, finals = torch.func.functional_call(module, weights, arguments)
    if packed:
        ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, total_length=TIME)
    outputs = [ys, *(finals if kind.states > 1 else [finals])]
    cotangents = [random(50 + index, *y.shape) for index, y in enumerate(outputs)]
    gradients = torch_vjp(outputs, leaves, cotangents)
    return [y.detach().numpy() for y in outputs], gradients, cotangents


def run_jaxnn(
    kind: Kind, layers: int, bidirectional: bool, packed: bool, inputs: Weights
) -> list[jax.Array]:
    """The same outputs, in torch's layout, from the same inputs."""
    sizes = [INPUT, *[(2 if bidirectional else 1) * HIDDEN] * (layers - 1)]
    cells = [kind.cell(size, HIDDEN) for size in sizes]
    if bidirectional:
        model: Any = jaxnn.serial(*map(jaxnn.bidirectional, cells))
    else:
        model = jaxnn.stack(*cells) if layers > 1 else cells[0]
    params = from_state_dict(model, {name: a for name, a in inputs.items() if "_l" in name})
    first = from_states("torch", model, [inputs[f"state_{s}"] for s in range(kind.states)])
    mask = jaxnn.lengths_to_mask(jnp.array(LENGTHS), TIME) if packed else None
    last, ys = model.unroll(params, inputs["xs"], first, mask)
    return [ys, *jax.tree.leaves(to_states("torch", model, last))]


@pytest.mark.parametrize(("name", "layers", "bidirectional", "packed"), CASES)
def test_values_and_gradients_are_those_of_torch(
    name: str, layers: int, bidirectional: bool, packed: bool
) -> None:
    """Outputs, final states and the gradients of all weights, xs and first states."""
    kind = KINDS[name]
    module = kind.module(INPUT, HIDDEN, num_layers=layers, bidirectional=bidirectional)
    shapes = {weight: tuple(value.shape) for weight, value in module.named_parameters()}
    rows = layers * (2 if bidirectional else 1)
    shapes |= {f"state_{index}": (rows, BATCH, HIDDEN) for index in range(kind.states)}
    shapes |= {"xs": (TIME, BATCH, INPUT)}
    inputs = {key: 0.5 * random(seed, *shape) for seed, (key, shape) in enumerate(shapes.items())}
    if packed:
        # Both must not look there, nor put it into a gradient.
        inputs["xs"][np.arange(TIME)[:, None] >= np.array(LENGTHS)] = np.nan

    expected, expected_gradients, cotangents = run_torch(
        kind, layers, bidirectional, packed, inputs
    )

    @jax.jit
    def value_and_vjp(inputs: Weights, cotangents: Any) -> Any:
        outputs, vjp = jax.vjp(
            lambda inputs: run_jaxnn(kind, layers, bidirectional, packed, inputs), inputs
        )
        return outputs, vjp(cotangents)[0]

    ours, gradients = value_and_vjp(jax.tree.map(jnp.asarray, inputs), cotangents)
    assert_close(ours, expected, TOLERANCE)
    assert gradients.keys() == shapes.keys()
    assert all(gradient.any() for gradient in expected_gradients.values())
    assert_close(gradients, expected_gradients, TOLERANCE)


def assert_layer_equal(
    layer: jaxnn.Layer, module: Any, weights: dict[str, Any], inputs: dict[str, Any]
) -> None:
    """A layer, whose params are made of torch's weights, has torch's values and gradients.

    Inputs are x alone, differentiated where it is floating.
    """
    floating = np.issubdtype(inputs["x"].dtype, np.floating)
    leaves = {name: leaf(value) for name, value in weights.items()}
    x = leaf(inputs["x"]) if floating else torch.tensor(inputs["x"])
    expected = torch.func.functional_call(module, leaves, (x,))
    cotangent = random(60, *expected.shape)
    wanted = leaves | ({"x": x} if floating else {})
    expected_gradients = torch_vjp([expected], wanted, [cotangent])

    def run(variables: Weights) -> jax.Array:
        params = from_state_dict(layer, {name: variables[name] for name in weights})
        return layer.apply(params, variables.get("x", jnp.asarray(inputs["x"])))

    variables = weights | (inputs if floating else {})
    y, vjp = jax.vjp(run, jax.tree.map(jnp.asarray, variables))
    assert_close(y, expected.detach().numpy(), TOLERANCE)
    assert_close(vjp(jnp.asarray(cotangent))[0], expected_gradients, TOLERANCE)


@pytest.mark.parametrize("bias", [True, False])
def test_dense_is_linear(bias: bool) -> None:
    """torch keeps the weight as (out, in)."""
    weights = {"weight": random(0, HIDDEN, INPUT)} | ({"bias": random(1, HIDDEN)} if bias else {})
    assert_layer_equal(
        jaxnn.dense(INPUT, HIDDEN, bias=bias, dtype=FLOAT64),
        torch.nn.Linear(INPUT, HIDDEN, bias=bias, dtype=torch.float64),
        weights,
        {"x": random(2, TIME, BATCH, INPUT)},
    )


@pytest.mark.parametrize("epsilon", [None, 0.1])
def test_layer_norm_is_layer_norm(epsilon: float | None) -> None:
    """The default ε is torch's too; another one is added to the variance likewise."""
    options: dict[str, Any] = {} if epsilon is None else {"epsilon": epsilon}
    torch_options = {} if epsilon is None else {"eps": epsilon}
    assert_layer_equal(
        jaxnn.layer_norm(HIDDEN, dtype=FLOAT64, **options),
        torch.nn.LayerNorm(HIDDEN, dtype=torch.float64, **torch_options),
        {"weight": random(0, HIDDEN), "bias": random(1, HIDDEN)},
        {"x": 0.1 * random(2, TIME, BATCH, HIDDEN) + 1},
    )


def test_embedding_is_embedding() -> None:
    """Tokens that occur more than once add up in the gradient; one that does not has none."""
    x = np.array([[3, 1, 3], [0, 6, 3]])
    assert_layer_equal(
        jaxnn.embedding(7, HIDDEN, dtype=FLOAT64),
        torch.nn.Embedding(7, HIDDEN, dtype=torch.float64),
        {"weight": random(0, 7, HIDDEN)},
        {"x": x},
    )


@pytest.mark.parametrize(("factory", "module"), FACTORIES.values(), ids=FACTORIES)
def test_uniform_hidden_has_the_bounds_of_torch(factory: Any, module: Any) -> None:
    """Of thousands of numbers, the extremes lie within a hundredth of the bound, and inside it."""
    hidden = 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = [value.detach().numpy() for value in module(32, hidden).parameters()]
    fill = jaxnn.initializers.uniform_hidden
    cell = factory(32, hidden, kernel_init=fill, recurrent_init=fill, bias_init=fill)
    params = cell.init(jax.random.key(0))
    ours = [np.asarray(p) for p in (params.input_kernel, params.recurrent_kernel, params.bias)]
    for values in ours + theirs:
        bound = np.float32(1 / 8)
        assert -bound <= values.min() and values.max() <= bound
        slack = 0.01 if values.size > 1000 else 0.2
        assert values.min() < -(1 - slack) * bound and values.max() > (1 - slack) * bound
