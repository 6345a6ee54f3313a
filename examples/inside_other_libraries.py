"""A jaxnn cell inside a flax.nnx module, an equinox module and a haiku transform, trained there.

Speakers are told apart, as in japanese_vowels.py, by a GRU and a dense layer of the other library.
jaxnn brings two pure functions, `init` and `unroll`; the parameters are held the library's way.
"""

import importlib.util
import time
from collections.abc import Iterable
from typing import Any

import drawing
import jax
import numpy as np
import optax
import spread
import vowels
from command_line import training_parser
from japanese_vowels import LONGEST, SPEAKERS, normalised
from tqdm.auto import tqdm

import jaxnn
from jaxnn.data import Batch
from jaxnn.types import Array, Key

HIDDEN = 64
CELL, OPTIMIZER = jaxnn.gru(12, HIDDEN), optax.adam(5e-3)
Trained = tuple[list[Array], Array]  # the loss of every step, and the logits of the test set


def features(params: Any, batch: Batch) -> Array:
    """The mean of the GRU's outputs over the frames of each utterance."""
    _, ys = CELL.unroll(params, batch.xs, mask=batch.mask)
    return jaxnn.masked_mean(ys, batch.mask)


def cost(logits: Array, batch: Batch) -> Array:
    """The mean cross-entropy."""
    return jaxnn.losses.cross_entropy(logits, batch.targets)[0] / len(batch.targets)


def in_flax(key: Key, batch: Batch, test: Batch, steps: Iterable) -> Trained:
    """The parameters are nnx.Params of a Module, which an nnx.Optimizer updates in place."""
    from flax import nnx

    class Classifier(nnx.Module):
        def __init__(self, rngs: nnx.Rngs) -> None:
            self.gru = nnx.data(jax.tree.map(nnx.Param, CELL.init(rngs.params())))
            self.head = nnx.Linear(HIDDEN, SPEAKERS, rngs=rngs)

        def __call__(self, batch: Batch) -> Array:
            params = jax.tree.map(
                lambda param: param[...], self.gru, is_leaf=lambda node: isinstance(node, nnx.Param)
            )
            return self.head(features(params, batch))

    model = Classifier(nnx.Rngs(key))
    optimizer = nnx.Optimizer(model, OPTIMIZER, wrt=nnx.Param)

    @nnx.jit
    def step(model: Classifier, optimizer: nnx.Optimizer) -> Array:
        loss, gradients = nnx.value_and_grad(lambda m: cost(m(batch), batch))(model)
        optimizer.update(model, gradients)
        return loss

    return [step(model, optimizer) for _ in steps], model(test)


def in_equinox(key: Key, batch: Batch, test: Batch, steps: Iterable) -> Trained:
    """The parameters are a field of a Module; filtered transformations see the arrays in it."""
    import equinox as eqx

    class Classifier(eqx.Module):
        gru: jaxnn.GRUParams
        head: eqx.nn.Linear

        def __call__(self, batch: Batch) -> Array:
            return jax.vmap(self.head)(features(self.gru, batch))

    gru_key, head_key = jax.random.split(key)
    model = Classifier(CELL.init(gru_key), eqx.nn.Linear(HIDDEN, SPEAKERS, key=head_key))
    state = OPTIMIZER.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def update(model: Classifier, state: Any) -> tuple[Array, Classifier, Any]:
        loss, gradients = eqx.filter_value_and_grad(lambda m: cost(m(batch), batch))(model)
        updates, state = OPTIMIZER.update(gradients, state, eqx.filter(model, eqx.is_array))
        return loss, eqx.apply_updates(model, updates), state

    losses = []
    for _ in steps:
        loss, model, state = update(model, state)
        losses.append(loss)
    return losses, model(test)


def in_haiku(key: Key, batch: Batch, test: Batch, steps: Iterable) -> Trained:
    """The parameters are asked for by name; after init, what CELL.init gives counts no more."""
    import haiku as hk

    def classify(batch: Batch) -> Array:
        fresh = CELL.init(hk.next_rng_key() if hk.running_init() else key)
        params = fresh._make(
            None
            if leaf is None
            else hk.get_parameter(name, leaf.shape, leaf.dtype, init=lambda *_, leaf=leaf: leaf)
            for name, leaf in fresh._asdict().items()
        )
        return hk.Linear(SPEAKERS)(features(params, batch))

    network = hk.without_apply_rng(hk.transform(classify))
    params = network.init(key, batch)
    state = OPTIMIZER.init(params)

    @jax.jit
    def update(params: Any, state: Any) -> tuple[Array, Any, Any]:
        loss, gradients = jax.value_and_grad(lambda p: cost(network.apply(p, batch), batch))(params)
        updates, state = OPTIMIZER.update(gradients, state, params)
        return loss, optax.apply_updates(params, updates), state

    losses = []
    for _ in steps:
        loss, params, state = update(params, state)
        losses.append(loss)
    return losses, network.apply(params, test)


def main() -> None:
    """Train with each library that is installed, test, draw."""
    args = training_parser(__doc__, steps=150, seeds=3).parse_args()
    data = normalised(*vowels.load())
    batch, test = (next(jaxnn.data.batches(x, y, len(x), boundaries=(LONGEST,))) for x, y in data)
    figure, ((axes,),) = spread.grid(1, 1, (7, 4))
    libraries = (("flax", in_flax), ("equinox", in_equinox), ("haiku", in_haiku))
    for (name, learn), color in zip(libraries, spread.COLORS, strict=False):
        if importlib.util.find_spec(name) is None:
            print(f"{name}: left out, it is not installed")
            continue
        began, losses, shares = time.perf_counter(), [], []
        for seed in range(args.seed, args.seed + args.seeds):
            steps = tqdm(range(args.steps), desc=f"{name}, seed {seed}", dynamic_ncols=True)
            course, logits = learn(jax.random.key(seed), batch, test, steps)
            losses.append(np.array(course))
            shares.append(np.mean(np.argmax(logits, axis=-1) == test.targets))
        spread.curves(axes, losses, name, color)
        each, seconds = f"{min(shares):.3f} to {max(shares):.3f}", time.perf_counter() - began
        print(f"{name}: test accuracy {np.mean(shares):.3f}, seeds {each}, {seconds:.0f} s")
    axes.set(title="a jaxnn.gru inside three libraries: every seed and their mean", yscale="log")
    axes.set(xlabel="step", ylabel="training loss (cross-entropy, nats)")
    axes.legend(frameon=False)
    drawing.save(figure, args.out / "inside_other_libraries.png")


if __name__ == "__main__":
    main()
