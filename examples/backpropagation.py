"""Backpropagation, number by number: Matt Mazur's 2-2-2 network of sigmoid neurons, then XOR.

One step is worked out in plain Python, neuron by neuron, beside `jax.grad`. Then 10,000 steps run
in one compiled loop, timed beside the same loop in plain Python.
"""

import argparse
import functools
import math
import random
import timeit
from collections.abc import Callable, Iterable, Sequence
from operator import mul
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import optax

import jaxnn
from jaxnn.types import Array, Key, Layer, Params

STEPS, RATE, SEEDS = 10_000, 0.5, 6
INPUT, TARGET = [0.05, 0.10], [0.01, 0.99]
CODE_TARGET = [0.01, 0.09]  # what the teaching notes' code has, where their text has TARGET
XOR = [([0.0, 0.0], [0.0]), ([0.0, 1.0], [1.0]), ([1.0, 0.0], [1.0]), ([1.0, 1.0], [0.0])]
UNIFORM = jax.nn.initializers.uniform(1.0)  # one object, so that a network is compiled once
Row = Sequence[float]


def network(*sizes: int) -> Layer:
    """Layers of sigmoid neurons, one bias a layer; weights and biases start uniform in [0, 1)."""
    sigmoid, init = jax.nn.sigmoid, UNIFORM
    return jaxnn.mlp(
        sizes, sigmoid, sigmoid, bias="shared", kernel_init=init, bias_init=init, dtype=jnp.float64
    )


def mazur_params() -> Params:
    """Weights w1…w8 and two biases; column j of a kernel holds the weights into neuron j."""
    hidden = jaxnn.DenseParams(jnp.array([[0.15, 0.25], [0.20, 0.30]]), jnp.array(0.35))
    output = jaxnn.DenseParams(jnp.array([[0.40, 0.50], [0.45, 0.55]]), jnp.array(0.60))
    return hidden, output


def labels(params: Params) -> Any:
    """What the optimiser does with a parameter, by its name: the biases stay as they are."""
    kinds = {"kernel": "trained", "bias": "frozen"}
    return jax.tree.map_with_path(lambda path, _: kinds[path[-1].name], params)


# optax.masked alone would not freeze: it hands the gradients of the rest on, to be added.
OPTIMIZER = optax.partition({"trained": optax.sgd(RATE), "frozen": optax.set_to_zero()}, labels)


def error(params: Params, net: Layer, x: Array, target: Array) -> Array:
    """E = ½ Σ (target − output)², over all outputs and samples."""
    outputs, targets = jnp.atleast_2d(net.apply(params, x), target)
    return jaxnn.losses.half_squared_error(outputs, targets)[0]


@functools.partial(jax.jit, static_argnames="net")
def train(params: Params, net: Layer, xs: Array, targets: Array) -> tuple[Params, Any]:
    """One step a sample, in one compiled loop: the parameters, and E before each step."""

    def step(carry: Any, sample: Any) -> tuple[Any, Array]:
        params, state = carry
        e, gradients = jax.value_and_grad(error)(params, net, *sample)
        updates, state = OPTIMIZER.update(gradients, state, params)
        return (optax.apply_updates(params, updates), state), e

    (params, _), errors = jax.lax.scan(step, (params, OPTIMIZER.init(params)), (xs, targets))
    return params, errors


def learn_sample(steps: int = STEPS, target: Row = TARGET) -> tuple[Params, Array]:
    """The 2-2-2 network after some steps on its one sample, and E before each step."""
    xs, targets = (jnp.tile(jnp.array(row), (steps, 1)) for row in (INPUT, target))
    return train(mazur_params(), network(2, 2, 2), xs, targets)


@jax.jit
def learn_xor(key: Key) -> tuple[Params, Array]:
    """A 2-5-1 network after one random sample of XOR a step, and its E over all four."""
    net, (xs, targets) = network(2, 5, 1), map(jnp.array, zip(*XOR, strict=True))
    init_key, order_key = jax.random.split(key)
    order = jax.random.randint(order_key, (STEPS,), 0, len(xs))
    params, _ = train(net.init(init_key), net, xs[order], targets[order])
    return params, error(params, net, xs, targets)


def by_hand(weights: Any, biases: Row, x: Row, target: Row) -> tuple[list[Any], list[Any]]:
    """(net, output, dE/dnet) of each layer, and dE/dw; weights[layer][j] lead into neuron j."""
    hidden, output = weights
    net_h = [sum(map(mul, row, x)) + biases[0] for row in hidden]
    out_h = [1 / (1 + math.exp(-net)) for net in net_h]
    net_o = [sum(map(mul, row, out_h)) + biases[1] for row in output]
    out_o = [1 / (1 + math.exp(-net)) for net in net_o]
    # At an output, dE/dnet = dE/dout · dout/dnet, where E = ½ Σ (target − out)² and out = σ(net).
    delta_o = [(out - t) * out * (1 - out) for out, t in zip(out_o, target, strict=True)]
    # At a hidden neuron, dE/dout is the sum over the neurons it feeds: Σ dE/dnet · w.
    dout_h = [sum(map(mul, delta_o, column)) for column in zip(*output, strict=True)]
    delta_h = [d * out * (1 - out) for d, out in zip(dout_h, out_h, strict=True)]
    # dnet/dw is what comes in through w.
    gradients_h = [[d * value for value in x] for d in delta_h]
    gradients_o = [[d * value for value in out_h] for d in delta_o]
    return [(net_h, out_h, delta_h), (net_o, out_o, delta_o)], [gradients_h, gradients_o]


def plain(params: Params) -> tuple[list[Any], list[float]]:
    """The weights and the biases as plain Python numbers, a row of weights for each neuron."""
    return [layer.kernel.T.tolist() for layer in params], [float(layer.bias) for layer in params]


def train_plain(params: Params, samples: Iterable[Any]) -> list[Any]:
    """What `train` does, in plain Python: the weights."""
    weights, biases = plain(params)
    for x, target in samples:
        _, gradients = by_hand(weights, biases, x, target)
        for layer, layer_gradients in zip(weights, gradients, strict=True):
            for row, row_gradients in zip(layer, layer_gradients, strict=True):
                for i, gradient in enumerate(row_gradients):
                    row[i] -= RATE * gradient
    return weights


def show_step() -> None:
    """Print every number of one step."""
    params, net, x, target = mazur_params(), network(2, 2, 2), jnp.array(INPUT), jnp.array(TARGET)
    neurons, gradients = by_hand(*plain(params), INPUT, TARGET)
    stepped, _ = learn_sample(1)
    print("neuron   net input       output  delta = dE/dnet")
    for name, layer in zip("ho", neurons, strict=True):
        for j, numbers in enumerate(zip(*layer, strict=True), 1):
            print(f"{name}{j}    " + "".join(f"{number:13.9f}" for number in numbers))
    print("\nweight      before      by hand     jax.grad        after")
    grad = plain(jax.grad(error)(params, net, x, target))[0]
    columns = map(jax.tree.leaves, (plain(params)[0], gradients, grad, plain(stepped)[0]))
    for i, numbers in enumerate(zip(*columns, strict=True), 1):
        print(f"w{i}    " + "".join(f"{number:13.9f}" for number in numbers))
    before, after = (error(p, net, x, target) for p in (params, stepped))
    print(f"\nerror before the step {before:.9f}, after it {after:.9f}\n")


def seconds(run: Callable[[], Any], repeat: int = 3) -> float:
    """The shortest of a few runs."""
    return min(timeit.repeat(lambda: jax.block_until_ready(run()), number=1, repeat=repeat))


def race(name: str, compiled: Callable[[], Any], in_python: Callable[[], Any]) -> None:
    """Print how long both take."""
    first, ours, theirs = seconds(compiled, 1), seconds(compiled), seconds(in_python)
    print(f"{name}: {STEPS:,} steps compile in {first:.2f} s, then take {ours * 1e3:.2f} ms;")
    print(f"in plain Python they take {theirs * 1e3:.0f} ms, {theirs / ours:.0f} times as long")


def picture(path: Path, errors: Array, xor: Params) -> None:
    """The error over the steps, and the output of the XOR network over its input plane."""
    from matplotlib.figure import Figure  # only who draws needs it

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    left.loglog(range(1, STEPS), errors[1:])
    left.set(title="2-2-2 network, one sample", xlabel="steps taken", ylabel="error E")
    left.grid(alpha=0.3)
    line = jnp.linspace(-0.25, 1.25, 121)
    surface = network(2, 5, 1).apply(xor, jnp.stack(jnp.meshgrid(line, line), axis=-1))[..., 0]
    filled = right.contourf(line, line, surface, jnp.linspace(0, 1, 21), cmap="RdBu_r")
    right.contour(line, line, surface, [0.5], colors="black")
    for (a, b), (target,) in XOR:
        right.text(a, b, f"{target:.0f}", ha="center", va="center", bbox={"fc": "white"})
    right.set(title="2-5-1 network, XOR", xlabel="first input", ylabel="second input", aspect=1)
    figure.colorbar(filled, label="output", ticks=[0, 0.25, 0.5, 0.75, 1])
    path.mkdir(parents=True, exist_ok=True)
    figure.savefig(path / "backpropagation.png", dpi=150)


def main() -> None:
    """Show one step, learn the sample and XOR, and draw."""
    parser = argparse.ArgumentParser(description="Backpropagation, number by number, then XOR.")
    parser.add_argument(
        "--out", type=Path, help="folder for the picture; without it, none is drawn"
    )
    args = parser.parse_args()
    jax.config.update("jax_enable_x64", True)  # the published digits need float64
    show_step()
    race("2-2-2", learn_sample, lambda: train_plain(mazur_params(), [(INPUT, TARGET)] * STEPS))
    learned, errors = learn_sample()
    net, x = network(2, 2, 2), jnp.array(INPUT)
    output, last = net.apply(learned, x), error(learned, net, x, jnp.array(TARGET))
    print(f"output {output[0]:.9f} {output[1]:.9f}, target {TARGET},")
    print(f"error after {STEPS:,} steps {last:.9e}")
    other, _ = learn_sample(target=CODE_TARGET)
    last = error(other, net, x, jnp.array(CODE_TARGET))
    print(f"error after {STEPS:,} steps towards {CODE_TARGET} {last:.9e}\n")

    keys = [jax.random.key(seed) for seed in range(SEEDS)]
    start = network(2, 5, 1).init(keys[0])
    order = random.Random(0).choices(XOR, k=STEPS)
    race("XOR", lambda: learn_xor(keys[0]), lambda: train_plain(start, order))
    networks, totals = zip(*map(learn_xor, keys), strict=True)
    print("total error by seed:", *(f"{total:.4f}" for total in totals))
    if args.out:
        picture(args.out, errors, networks[0])


if __name__ == "__main__":
    main()
