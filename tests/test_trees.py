"""What reads a tree of parameters, and merges of outputs: wrong ones are refused by name."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

KEY = jax.random.key(0)
READERS: dict[str, Callable[[Any], Any]] = {
    "describe": jaxnn.describe,
    "decay_mask": jaxnn.training.decay_mask,
    "hidden_partition_specs": lambda params: jaxnn.hidden_partition_specs(params, "model"),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ("lstm", "params is no array but str"),
        (None, "params must be a tree of arrays.*got None"),
        (1.0, "params is no array but float"),
        ({"kernel": 1.0}, "kernel is no array but float"),
        ([np.ones(2), "b"], "1 is no array but str"),
        (jaxnn.gru(2, 3), "init is no array but"),
    ],
)
def test_leaves_are_arrays(name: str, wrong: Any, where: str):
    with pytest.raises(TypeError, match=f"^{name}: {where}"):
        READERS[name](wrong)


@pytest.mark.parametrize("name", READERS)
def test_no_parameters_are_parameters(name: str):
    """A layer may have none; shapes without values do as well."""
    nothing = jaxnn.activation(jnp.tanh).init(KEY)
    assert READERS[name](nothing) in ((), jaxnn.describe(()))
    params = jaxnn.gru(2, 3).init(KEY)
    shapes = jax.eval_shape(jaxnn.gru(2, 3).init, KEY)
    assert READERS[name](shapes) == READERS[name](params)


@pytest.mark.parametrize("params", [np.ones(3), (np.ones((2, 2)), np.ones(2)), [[np.ones(1)]]])
def test_decay_needs_names(params: Any):
    """Without any, no weight would decay, and nobody would know."""
    with pytest.raises(ValueError, match="decay_mask: params must have named fields"):
        jaxnn.training.decay_mask(params)
    assert jaxnn.training.decay_mask({"kernel": params})["kernel"] is not None


@pytest.mark.parametrize("axis", [None, 1, ("a", "b"), b"model"])
def test_axis_of_hidden_specs(axis: Any):
    with pytest.raises(
        TypeError, match="hidden_partition_specs: axis must be the name of a mesh axis"
    ):
        jaxnn.hidden_partition_specs(jaxnn.gru(2, 3).init(KEY), axis)


def test_scalars_in_hidden_specs():
    """The error says where."""
    params = {"cell": jaxnn.gru(2, 3).init(KEY), "rate": jnp.ones(())}
    with pytest.raises(ValueError, match=r"hidden_partition_specs: .*a scalar among them, rate"):
        jaxnn.hidden_partition_specs(params, "model")


def raises(*outputs: Any) -> Any:
    raise KeyError("left")


MERGES: dict[str, tuple[Any, type[Exception], str]] = {
    "without time": (lambda a, b: a[-1] + b[-1], ValueError, r"\(5, 2, features\).*\(2, 4\)"),
    "without the batch": (lambda a, b: a[:, 0] + b[:, 0], ValueError, r"got the shape \(5, 4\)"),
    "batch-major": (lambda a, b: (a + b).swapaxes(0, 1), ValueError, r"got the shape \(2, 5, 4\)"),
    "fewer steps": (lambda a, b: a[1:] + b[1:], ValueError, r"got the shape \(4, 2, 4\)"),
    "a scalar": (lambda a, b: jnp.sum(a * b), ValueError, r"got the shape \(\)"),
    "without features": (lambda a, b: jnp.sum(a * b, -1), ValueError, r"got the shape \(5, 2\)"),
    "a number": (lambda a, b: 1.0, TypeError, "must give one array, got float"),
    "None": (lambda a, b: None, TypeError, "must give one array, got NoneType"),
    "both": (lambda a, b: (a, b), TypeError, "must give one array, got tuple"),
    "one argument": (lambda a: a, TypeError, r"failed for outputs float32\[5, 2, 4\], float32"),
    "one that raises": (raises, TypeError, r"failed.*'left'"),
    "an addition that does not fit": (lambda a, b: a + b[..., :3], Exception, "failed"),
}


@pytest.mark.parametrize("what", MERGES)
@pytest.mark.parametrize("kind", ["bidirectional", "parallel"])
def test_merge_functions_keep_the_leading_axes(what: str, kind: str):
    """The error says whose function it is, and what it must give."""
    merge, error, text = MERGES[what]
    if kind == "bidirectional":
        layer: Any = jaxnn.bidirectional(jaxnn.gru(3, 4), merge=merge)
    else:
        layer = jaxnn.parallel(jaxnn.dense(3, 4), jaxnn.dense(3, 4), merge=merge)
    with pytest.raises(error, match=rf"^{kind}\(.*: merge=.*{text}") as caught:
        layer.apply(layer.init(KEY), jnp.ones((5, 2, 3), jnp.float32))
    assert caught.type in (ValueError, TypeError)


def test_merge_functions_that_are_right():
    """Other features, of parts whose features differ, and of whole states."""
    x = jnp.ones((5, 2, 3), jnp.float32)

    def narrow(a: Any, b: Any) -> Any:
        return jnp.concatenate([a[..., :1], b[..., :2]], axis=-1)

    layer = jaxnn.parallel(jaxnn.dense(3, 4), jaxnn.dense(3, 2), merge=narrow)
    assert layer.apply(layer.init(KEY), x).shape == (5, 2, 3)
    states = jaxnn.bidirectional(
        jaxnn.output_state(jaxnn.lstm(3, 4)), merge=lambda a, b: a.cell + b.hidden
    )
    assert states.apply(states.init(KEY), x).shape == (5, 2, 4)


@pytest.mark.parametrize("merge", [None, 1, list, jax.Array])
def test_what_merges(merge: Any):
    for make in (
        lambda: jaxnn.bidirectional(jaxnn.gru(3, 4), merge=merge),
        lambda: jaxnn.parallel(jaxnn.dense(3, 4), merge=merge),
    ):
        with pytest.raises(ValueError, match="merge must be one of 'concat'"):
            make()
