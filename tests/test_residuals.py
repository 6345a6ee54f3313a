"""The minimum cut, against all subsets of small random functions."""

import itertools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import Literal

from jaxnn.derivative.jaxprs import depending, is_in
from jaxnn.derivative.residuals import compute, fewest_residuals

OPERATIONS: list[Any] = [jnp.add, jnp.multiply, jnp.subtract, jnp.tanh, jnp.sin]


def random_jaxpr(seed: int) -> Any:
    """Nine equations on three vectors, the first of which does not move."""
    rng = np.random.default_rng(seed)
    kinds = rng.integers(len(OPERATIONS), size=8)

    def function(*inputs: jax.Array) -> list[jax.Array]:
        values = [*inputs, inputs[1] * inputs[2]]
        for kind in kinds:
            count = 2 if kind < 3 else 1
            chosen = rng.integers(len(values), size=count)
            values.append(OPERATIONS[kind](*(values[n] for n in chosen)))
        return values[3:]

    return jax.make_jaxpr(function)(*[jax.ShapeDtypeStruct((4,), "float64")] * 3)


def is_enough(jaxpr: Any, kept: set[Any], wanted: list[Any]) -> bool:
    """Whether the wanted can be computed from the constant input and what is kept."""
    known = {jaxpr.invars[0], *kept}
    for eqn in jaxpr.eqns:
        if all(isinstance(atom, Literal) or atom in known for atom in eqn.invars):
            known.update(eqn.outvars)
    return set(wanted) <= known


@pytest.mark.parametrize("seed", range(25))
def test_no_set_is_cheaper(seed: int) -> None:
    closed, rng = random_jaxpr(seed), np.random.default_rng(seed)
    jaxpr, given = closed.jaxpr, closed.jaxpr.invars[1:]
    moving = depending(jaxpr, given)
    outs = [var for var in jaxpr.outvars if is_in(moving, var)]
    wanted = outs[-3:]
    free = {outs[rng.integers(len(outs))]}
    found = fewest_residuals(jaxpr, given, wanted, free)
    assert is_enough(jaxpr, set(found), wanted) and set(found) <= moving
    least = min(
        len(set(some) - free)
        for count in range(len(moving) + 1)
        for some in itertools.combinations(moving, count)
        if is_enough(jaxpr, set(some), wanted)
    )
    assert len(set(found) - free) == least

    leaves = [jnp.asarray(rng.normal(size=4)) for _ in range(3)]
    everything = dict(zip(jaxpr.invars, leaves, strict=True))
    want = compute(jaxpr, everything, wanted)
    values = dict(zip(found, compute(jaxpr, everything, found), strict=True))
    got = compute(jaxpr, values | {jaxpr.invars[0]: leaves[0]}, wanted)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_matmul_is_not_done_twice_and_a_flag_is_cheap() -> None:
    def function(x: jax.Array, y: jax.Array, weight: jax.Array) -> list[jax.Array]:
        product = x @ weight
        return [jnp.sin(product), jnp.cos(product), jnp.where(y > 0, 2.0, 3.0)]

    jaxpr = jax.make_jaxpr(function)(*[jax.ShapeDtypeStruct((4, 4), "float32")] * 3).jaxpr
    x, y, _ = jaxpr.invars
    found = fewest_residuals(jaxpr, [x, y], jaxpr.outvars, [x])
    names = [eqn.primitive.name for eqn in jaxpr.eqns if set(found).intersection(eqn.outvars)]
    assert names == ["dot_general", "gt"] and len(found) == 2
