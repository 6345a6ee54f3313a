"""Groups of parameters for optimisers: every parameter has its word, and Muon its matrices."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from rows import CELLS, build

import jaxnn
from jaxnn.training import decay_mask, labels, muon_dimensions

KEY = jax.random.key(0)
ALL = slice(None)
OWN = ("own", "leaky", "split")
"""How the rows of cells begin whose parameters are not the library's."""
OTHER = {"skip", "target", "mean"}
"""Names of the library's parameters that belong to no group."""


def _is_leaf(node: Any) -> bool:
    return node is None or isinstance(node, optax.contrib.MuonDimensionNumbers)


def by_path(tree: Any) -> dict[str, Any]:
    leaves = jax.tree_util.tree_leaves_with_path(tree, is_leaf=_is_leaf)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


@pytest.mark.parametrize("row", [row for row in CELLS if not row.startswith(OWN)])
def test_every_parameter_of_a_cell_has_a_word(row: str):
    """The words agree with the mask of decay, and with what Muon takes."""
    params = jax.eval_shape(build(row).init, KEY)
    words, decays = labels(params), decay_mask(params)
    assert jax.tree.structure(words) == jax.tree.structure(params)
    for path, word in by_path(words).items():
        if word is not None:
            assert (word == "other") == (path.rsplit(".", 1)[-1] in OTHER), path
            kernel = word in ("kernel", "recurrent_kernel", "projection")
            assert by_path(decays)[path] is kernel, path
    for path, numbers in by_path(muon_dimensions(params)).items():
        if numbers is not None:
            assert by_path(decays)[path], path


def test_the_words():
    """Each of them, through stacks, both directions and learned initial states, whatever their
    fields are called."""
    lstm = jaxnn.lstm(3, 4, peephole=True, projection_size=2)
    model = jaxnn.serial(
        jaxnn.embedding(5, 3),
        jaxnn.bidirectional(jaxnn.learned_initial_state(lstm)),
        jaxnn.as_layer(jaxnn.stack(jaxnn.lru(4, 4), jaxnn.layer_norm(4), jaxnn.gru(4, 3))),
        names=("table", "start", "rest"),
    )
    words = labels(jax.eval_shape(model.init, KEY))
    cell = ("kernel", "recurrent_kernel", "bias", "peephole", "projection", None)
    start = ("initial_state", "initial_state")
    assert words.table == ("embedding",)
    assert words.start == ((cell, start), (cell, start))
    dynamics, (kernels, skip) = ("dynamics",) * 3, (("kernel", "kernel"), "other")
    assert words.rest == (
        (*dynamics, *kernels, skip),
        ("norm", "bias"),
        ("kernel", "recurrent_kernel", "bias", "bias", None),
    )
    normed = jaxnn.regularizers.weight_norm(jaxnn.gru(3, 4, layer_norm=True))
    words = labels(jax.eval_shape(normed.init, KEY))
    assert words.cell.norm == ("norm", "norm") and {*words.gain.values()} == {"norm"}
    own = {"my_kernel": jnp.ones(1), "bias": {"gain": jnp.ones(1)}, "my_bias": jnp.ones(1)}
    assert labels(own) == {"my_kernel": "kernel", "bias": {"gain": "other"}, "my_bias": "bias"}


def filled(model: Any) -> Any:
    """Parameters that need no program."""
    random = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, KEY)
    return jax.tree.map(lambda x: jnp.asarray(random.standard_normal(x.shape), x.dtype), shapes)


def test_groups_train_at_rates_of_their_own():
    params = filled(jaxnn.learned_initial_state(jaxnn.lru(3, 4)))
    rates = {"dynamics": 0.1, "initial_state": 0.0}
    words = {*jax.tree.leaves(labels(params))}
    optimizer = optax.partition({word: optax.sgd(rates.get(word, 1.0)) for word in words}, labels)
    ones = jax.tree.map(jnp.ones_like, params)
    updates, _ = jax.jit(optimizer.update)(ones, optimizer.init(params), params)
    for path, word in by_path(labels(params)).items():
        np.testing.assert_allclose(by_path(updates)[path], -rates.get(word, 1.0), rtol=1e-6)


MATRICES: dict[str, list[Any]] = {
    # where the matrices of each kernel are
    **{
        f"lstm.{kind}_kernel": [(ALL, gate) for gate in range(4)] for kind in ("input", "recurrent")
    },
    "lstm.projection": [()],
    "dense.kernel": [()],
    "conv.kernel": [()],
    "blocks.input_kernel": [(block, ALL, gate) for block in range(2) for gate in range(2)],
    "images.input_kernel": [(ALL, ALL, gate) for gate in range(4)],
    "images.recurrent_kernel": [(ALL, ALL, gate) for gate in range(4)],
    "learned.cell.input_kernel": [(ALL, 0)],
    "learned.cell.recurrent_kernel": [(ALL, 0)],
}


def test_muon_of_each_gate():
    """The update of a gate is that of Muon on its matrix alone, with decay; the rest is Adam's."""
    models = {
        "lstm": jaxnn.lstm(3, 4, projection_size=3),
        "dense": jaxnn.dense(3, 4),
        "conv": jaxnn.conv(1, 4, (3,)),
        "blocks": jaxnn.rg_lru(8, 2),
        "images": jaxnn.conv_lstm(1, 4, (5,), (3,)),
        "window": jaxnn.causal_conv(3, 4),
        "learned": jaxnn.learned_initial_state(jaxnn.elman(3, 4)),
    }
    params = {name: filled(model) for name, model in models.items()}
    gradients = jax.tree.map(jnp.cos, params)
    muon = functools.partial(optax.contrib.muon, 0.1, weight_decay=0.1)
    update, alone, adam = (
        jax.jit(lambda g, p, optimizer=optimizer: optimizer.update(g, optimizer.init(p), p)[0])
        for optimizer in (
            muon(muon_weight_dimension_numbers=muon_dimensions),
            muon(),
            optax.adamw(0.1, weight_decay=0.0, nesterov=True),
        )
    )
    with jax.numpy_dtype_promotion("standard"):  # optax's own arithmetic under x64
        updates = by_path(update(gradients, params))
        rest = by_path(adam(gradients, params))
        given, olds = by_path(gradients), by_path(params)
        assert MATRICES.keys() <= updates.keys()
        for path, got in updates.items():
            if got is None:
                continue
            if path not in MATRICES:
                np.testing.assert_allclose(got, rest[path], rtol=1e-5)
                continue
            for place in MATRICES[path]:
                one, old, ours = (
                    x[place].reshape(-1, x.shape[-1]) for x in (given[path], olds[path], got)
                )
                np.testing.assert_allclose(ours, alone(one, old), rtol=1e-3, atol=1e-5)


def test_a_training_with_muon():
    """A step of `train_step`, all of whose parameters move."""
    model = jaxnn.gru(3, 4)
    params = filled(model)
    before = jax.tree.map(np.array, params)
    optimizer = optax.contrib.muon(0.1, muon_weight_dimension_numbers=muon_dimensions)

    def loss(params: Any, state: Any, xs: Any, key: Any) -> Any:
        return jnp.sum(jnp.square(model.unroll(params, xs)[1])), jnp.float32(1), state

    with jax.numpy_dtype_promotion("standard"):
        first = jaxnn.training.train_state(params, optimizer, KEY)
        step = jaxnn.training.train_step(loss, optimizer)
        after, metrics = step(first, jnp.ones((5, 2, 3), jnp.float32))
    assert bool(metrics.finite)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), after.params, before)
    assert all(jax.tree.leaves(moved))
