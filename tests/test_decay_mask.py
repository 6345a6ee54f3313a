"""What weight decay acts on: kernels, in every layer and cell, and nothing else."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY = jax.random.key(0)

PLAIN = {
    "elman": (jaxnn.elman(2, 3), {"input_kernel", "recurrent_kernel"}),
    "lstm": (jaxnn.lstm(2, 3, peephole=True), {"input_kernel", "recurrent_kernel"}),
    "lstm coupled": (jaxnn.lstm(2, 3, coupled=True), {"input_kernel", "recurrent_kernel"}),
    "lstm without bias": (jaxnn.lstm(2, 3, bias=False), {"input_kernel", "recurrent_kernel"}),
    "gru": (jaxnn.gru(2, 3), {"input_kernel", "recurrent_kernel"}),
    "gru before": (jaxnn.gru(2, 3, reset_after=False), {"input_kernel", "recurrent_kernel"}),
    "dense": (jaxnn.dense(2, 3), {"kernel"}),
    "dense shared": (jaxnn.dense(2, 3, bias="shared"), {"kernel"}),
    "embedding": (jaxnn.embedding(4, 3), set()),
    "layer_norm": (jaxnn.layer_norm(3), set()),
    "learned": (
        jaxnn.learned_initial_state(jaxnn.lstm(2, 3)),
        {"cell.input_kernel", "cell.recurrent_kernel"},
    ),
    "stack": (
        jaxnn.stack(jaxnn.dense(2, 3), jaxnn.gru(3, 3), jaxnn.layer_norm(3)),
        {"0.kernel", "1.input_kernel", "1.recurrent_kernel"},
    ),
    "bidirectional": (
        jaxnn.bidirectional(jaxnn.elman(2, 3)),
        {
            f"{way}.{which}_kernel"
            for way in ("forward", "backward")
            for which in ("input", "recurrent")
        },
    ),
}


@pytest.mark.parametrize("name", PLAIN)
def test_decay_mask_is_kernels(name: str):
    """Kernels and nothing else, in a tree of the same structure, and adamw takes it."""
    layer, kernels = PLAIN[name]
    params = layer.init(KEY)
    mask = jaxnn.training.decay_mask(params)
    assert jax.tree.structure(mask) == jax.tree.structure(params)
    paths = jax.tree_util.tree_leaves_with_path(mask)
    text = {jax.tree_util.keystr(path, simple=True, separator="."): value for path, value in paths}
    assert {path for path, value in text.items() if value} == kernels


def test_decay_mask_in_adamw():
    """Where every gradient is zero, kernels shrink and all else stays."""
    layer = jaxnn.learned_initial_state(jaxnn.gru(2, 3))
    params = jax.tree.map(lambda leaf: leaf + 1, layer.init(KEY))
    optimizer = optax.adamw(0.1, weight_decay=0.5, mask=jaxnn.training.decay_mask)
    step = jaxnn.training.train_step(
        lambda p, s, batch, key: (0 * p.start.hidden[0], 1.0, s), optimizer
    )
    after, _ = step(jaxnn.training.train_state(params, optimizer, KEY), None)
    jax.tree.map(
        lambda kernel, new, old: np.testing.assert_allclose(
            new, old * (0.95 if kernel else 1), rtol=1e-6
        ),
        jaxnn.training.decay_mask(params),
        after.params,
        params,
    )


def test_decay_mask_of_dictionaries():
    """Names count by their last word, and only the last name of a path does."""
    one = jnp.ones(1)
    params = {
        "kernel": {"bias": one},
        "a": [{"kernel": one, "my_kernel": one}],
        "kernels": one,
        "mykernel": one,
    }
    assert jaxnn.training.decay_mask(params) == {
        "kernel": {"bias": False},
        "a": [{"kernel": True, "my_kernel": True}],
        "kernels": False,
        "mykernel": False,
    }


def test_what_has_no_parameters():
    """None, and leaves that are no arrays; shapes alone are enough, and a layer may have none."""
    with pytest.raises(TypeError, match=r"^decay_mask: params must be a tree .*got None"):
        jaxnn.training.decay_mask(None)
    for leaf, kind in (("a", "str"), (np.ones, "function")):
        with pytest.raises(TypeError, match=rf"^decay_mask: w is no array but {kind}"):
            jaxnn.training.decay_mask({"w": leaf})
    shapes = jax.eval_shape(jaxnn.dense(2, 3).init, KEY)
    assert jaxnn.training.decay_mask(shapes).kernel and not jaxnn.training.decay_mask(shapes).bias
    assert jaxnn.training.decay_mask(()) == ()
