"""Cells on eight devices: under shard_map, and with parameters along the hidden axis.

Run by test_devices.py in a process of its own, which has eight CPU devices.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from collectives import collectives
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P

import jaxnn

HIDDEN = {
    "elman relu": jaxnn.elman(3, 16, jax.nn.relu),  # whose derivative is a rule of its own
    "lstm": jaxnn.lstm(3, 16),
    "lstm peephole coupled": jaxnn.lstm(3, 16, peephole=True, coupled=True),
    "gru": jaxnn.gru(3, 16),
}


def own_apply(params: Any, state: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    state = jnp.tanh(x @ params + state)
    return state, jnp.sin(state)


CELLS = HIDDEN | {
    "gru reset before": jaxnn.gru(3, 16, reset_after=False),
    "mgu": jaxnn.mgu(3, 16),
    "learned in stack": jaxnn.stack(
        jaxnn.learned_initial_state(jaxnn.lstm(3, 8)), jaxnn.dense(8, 4)
    ),
    "remat": jaxnn.remat(jaxnn.lstm(3, 8), 2),
    "own": jaxnn.cell(
        lambda key: jax.random.normal(key, (3, 5), jnp.float32),
        own_apply,
        lambda params, batch_shape=(): jnp.zeros((*batch_shape, 5), jnp.float32),
    ),
}


def inputs(batch: int = 16) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    xs = jnp.asarray(rng.normal(size=(5, batch, 3)), jnp.float32)
    return xs, jnp.asarray(rng.random((5, batch)) < 0.7), jnp.asarray(rng.random((5, batch)) < 0.3)


def loss(unroll: Any, params: Any, xs: Any, mask: Any, reset: Any) -> jax.Array:
    return jnp.sum(unroll(params, xs, mask=mask, reset=reset)[1] ** 2)


def assert_equal(got: Any, want: Any) -> None:
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        scale = np.abs(b).max() + 1e-6
        np.testing.assert_allclose(np.asarray(a) / scale, np.asarray(b) / scale, rtol=0, atol=2e-6)


@pytest.mark.parametrize("name", CELLS)
def test_unroll_under_shard_map_with_its_default_checks(name: str) -> None:
    cell, mesh = CELLS[name], jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    params, (xs, mask, reset) = cell.init(jax.random.key(0)), inputs()

    def local(params: Any, *arrays: Any) -> Any:
        descend = jax.value_and_grad(lambda p, x: loss(cell.unroll, p, x, *arrays[1:]), (0, 1))
        value, gradients = descend(params, arrays[0])
        return jax.lax.psum(value, "batch"), gradients

    split = P(None, "batch")
    specs = (P(), split, split, split)
    step = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=(P(), (P(), split)))
    whole = jax.value_and_grad(lambda p, x: loss(cell.unroll, p, x, mask, reset), (0, 1))
    assert_equal(jax.jit(step)(params, xs, mask, reset), whole(params, xs))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("name", HIDDEN)
def test_hidden_axis_over_devices(name: str, kind: AxisType) -> None:
    """One all-gather a step of the forward loop, one all-reduce a step of the backward loop."""
    cell, mesh = HIDDEN[name], jax.make_mesh((8,), ("model",), axis_types=(kind,))
    params, (xs, mask, reset) = cell.init(jax.random.key(0)), inputs()
    descend = jax.value_and_grad(lambda p, *arrays: loss(cell.unroll, p, *arrays))
    want = descend(params, xs, mask, reset)
    specs = jaxnn.hidden_partition_specs(params, "model")
    placed = jax.device_put(params, on(mesh, specs))
    arrays = jax.device_put((xs, mask, reset), NamedSharding(mesh, P()))
    with jax.set_mesh(mesh):
        compiled = jax.jit(descend).lower(placed, *arrays).compile()
    got = compiled(placed, *arrays)
    assert_equal(got, want)
    assert got[1].recurrent_kernel.sharding.spec == specs.recurrent_kernel
    assert sorted(collectives(compiled.as_text()).in_loops) == ["all-gather", "all-reduce"]


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=["auto", "explicit"])
@pytest.mark.parametrize("name", HIDDEN)
def test_batch_over_devices_by_the_compiler(name: str, kind: AxisType) -> None:
    """Without a shard_map too the weights' gradients are added up outside of the loops."""
    cell, mesh = HIDDEN[name], jax.make_mesh((8,), ("batch",), axis_types=(kind,))
    params, arrays = cell.init(jax.random.key(0)), inputs()
    descend = jax.value_and_grad(lambda p, *arrays: loss(cell.unroll, p, *arrays))
    want = descend(params, *arrays)
    split = jax.device_put(arrays, NamedSharding(mesh, P(None, "batch")))
    everywhere = jax.device_put(params, NamedSharding(mesh, P()))
    compiled = jax.jit(descend).lower(everywhere, *split).compile()
    assert_equal(compiled(everywhere, *split), want)
    found = collectives(compiled.as_text())
    assert found.in_loops == [] and "all-reduce" in found.once


@pytest.mark.parametrize("peephole", [False, True])
def test_conv_lstm_with_its_batch_over_an_explicit_mesh(peephole: bool) -> None:
    """Values and gradients, with masks and resets; the batch stays split."""
    cell = jaxnn.conv_lstm(2, 3, (4, 5), (3, 3), peephole=peephole)
    params, (_, mask, reset) = cell.init(jax.random.key(0)), inputs()
    xs = jax.random.normal(jax.random.key(1), (*mask.shape, 4, 5, 2), jnp.float32)
    descend = jax.value_and_grad(lambda p, *arrays: loss(cell.unroll, p, *arrays), (0, 1))
    want = descend(params, xs, mask, reset)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Explicit,))
    split = jax.device_put((xs, mask, reset), NamedSharding(mesh, P(None, "batch")))
    with jax.set_mesh(mesh):
        got = jax.jit(descend)(jax.device_put(params, NamedSharding(mesh, P())), *split)
    assert_equal(got, want)
    assert got[1][1].sharding.spec[1] == "batch"


def on(mesh: Mesh, specs: Any) -> Any:
    return jax.tree.map(lambda spec: NamedSharding(mesh, spec), specs)
