"""The worked example of backpropagation gives the published numbers, and quickly."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

PATH = Path(__file__).parents[1] / "examples" / "backpropagation.py"
spec = importlib.util.spec_from_file_location("backpropagation", PATH)
assert spec is not None and spec.loader is not None
example = importlib.util.module_from_spec(spec)
spec.loader.exec_module(example)

OTHER_TARGET = [0.01, 0.09]


def output_and_error(params, target=example.TARGET):
    net, x = example.network(2, 2, 2), jnp.array(example.INPUT)
    return net.apply(params, x), example.error(params, net, x, jnp.array(target))


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-12)


def test_forward():
    output, error = output_and_error(example.mazur_params())
    assert output.dtype == error.dtype == jnp.float64
    close(output, [0.7513650695523157, 0.7729284653214625])
    close(error, 0.2983711087600027)


def test_one_step():
    params, errors = example.learn_sample(1)
    hidden, output = example.plain(params)[0]
    close(hidden[0], [0.1497807161327628, 0.19956143226552567])
    close(hidden[1], [0.24975114363236958, 0.29950228726473915])
    close(output[0], [0.35891647971788465, 0.4086661860762334])
    close(output[1], [0.5113012702387375, 0.5613701211079891])
    close(errors, [0.2983711087600027])
    close(output_and_error(params)[1], 0.29102777369359933)


def test_ten_thousand_steps():
    params, errors = example.learn_sample(10_000)
    output, error = output_and_error(params)
    close(output, [0.01591362044355068, 0.9840642735146238])
    np.testing.assert_allclose(error, 3.510187782978859e-05, rtol=1e-10)
    assert errors.shape == (10_000,)
    assert bool(jnp.all(jnp.diff(errors) < 0))


def test_other_target():
    """Published to nine places after one step, and to five digits after 10,000."""
    params, _ = example.learn_sample(1, OTHER_TARGET)
    assert f"{output_and_error(params, OTHER_TARGET)[1]:.9f}" == "0.496045683"
    params, _ = example.learn_sample(10_000, OTHER_TARGET)
    assert f"{output_and_error(params, OTHER_TARGET)[1]:.4e}" == "1.8102e-05"


def test_biases_are_frozen_though_they_have_gradients():
    start = example.mazur_params()
    net, x, target = example.network(2, 2, 2), jnp.array(example.INPUT), jnp.array(example.TARGET)
    gradients = jax.grad(example.error)(start, net, x, target)
    learned, _ = example.learn_sample(100)
    for before, gradient, after in zip(start, gradients, learned, strict=True):
        assert gradient.bias != 0
        assert after.bias == before.bias
        assert bool(jnp.all(after.kernel != before.kernel))


@pytest.mark.parametrize("sizes", [(2, 2, 2), (2, 5, 1), (4, 3, 6)])
def test_by_hand_equals_jax_grad(sizes):
    net = example.network(*sizes)
    params = net.init(jax.random.key(0))
    x, target = jnp.linspace(-1.0, 1.0, sizes[0]), jnp.linspace(0.1, 0.9, sizes[-1])
    layers, kernels = example.by_hand(*example.plain(params), x.tolist(), target.tolist())
    gradients = jax.grad(example.error)(params, net, x, target)
    for gradient, kernel, (_, _, delta) in zip(gradients, kernels, layers, strict=True):
        close(gradient.kernel.T, kernel)
        # Each neuron adds the shared bias to its net input, so its derivative is Σ delta.
        close(gradient.bias, sum(delta))
    close(net.apply(params, x), layers[-1][1])


def test_plain_python_learns_the_same():
    learned, _ = example.learn_sample(1000)
    weights = example.train_plain(example.mazur_params(), [(example.INPUT, example.TARGET)] * 1000)
    for kernel, by_hand in zip(example.plain(learned)[0], weights, strict=True):
        close(kernel, by_hand)


@pytest.mark.parametrize("seed", range(6))
def test_xor(seed):
    params, total = example.learn_xor(jax.random.key(seed))
    assert 0.006 < total < 0.05
    inputs, targets = map(jnp.array, zip(*example.XOR, strict=True))
    outputs = example.network(2, 5, 1).apply(params, inputs)
    np.testing.assert_array_equal(outputs > 0.5, targets > 0.5)
    initial = example.network(2, 5, 1).init(jax.random.split(jax.random.key(seed))[0])
    for before, after in zip(initial, params, strict=True):
        assert after.bias == before.bias
        assert bool(jnp.all((before.kernel >= 0) & (before.kernel < 1)))


def test_compiled_steps_are_faster_than_plain_python():
    if jax.default_backend() != "cpu":
        pytest.skip("a loop over a few numbers is no work for an accelerator")
    sample = [(example.INPUT, example.TARGET)] * example.STEPS
    example.learn_sample()  # compiles
    plain = example.seconds(lambda: example.train_plain(example.mazur_params(), sample))
    assert example.seconds(example.learn_sample) < plain


def test_picture(tmp_path):
    pytest.importorskip("matplotlib")
    params, _ = example.learn_xor(jax.random.key(0))
    example.picture(tmp_path / "new", example.learn_sample()[1], params)
    assert (tmp_path / "new" / "backpropagation.png").stat().st_size > 10_000
