"""The table of layouts: every row there and back, torch and ONNX as oracles of what it says."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from compare import assert_close, oracle, random_like

import jaxnn
from jaxnn.interop.layouts import LAYOUTS, Layout, layouts_of
from jaxnn.interop.recurrent import to_ours, to_theirs

TIME, BATCH, INPUT, HIDDEN = 4, 2, 3, 5


def cell_of(layout: Layout, biased: bool = True, **further: Any) -> Any:
    """The cell that a row is for."""
    options: dict[str, Any] = {"bias": biased, "dtype": "float64", **further}
    if layout.kind == "gru":
        options["reset_after"] = layout.reset_after
    if layout.kind == "lstm":
        options |= {"coupled": layout.coupled, "peephole": bool(layout.peephole)}
    return getattr(jaxnn, layout.kind)(INPUT, HIDDEN, **options)


def params_of(layout: Layout, biased: bool = True) -> Any:
    """Random parameters that the row has a place for."""
    cell = cell_of(layout, biased)
    params = random_like(jax.eval_shape(cell.init, jax.random.key(0)), 1)
    params = jax.tree.map(np.asarray, params)
    if layout.library == "flax.nnx" and layout.kind == "gru" and biased:
        params = params._replace(recurrent_bias=np.zeros(HIDDEN))
    return params


@pytest.mark.parametrize("biased", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda row: f"{row.library} {row.layer}")
def test_there_and_back(layout: Layout, biased: bool) -> None:
    """The same bits; where the library adds a forget bias, the same to rounding."""
    params = params_of(layout, biased)
    arrays = to_theirs(layout, params)
    assert all(type(array) is np.ndarray and array.dtype == np.float64 for array in arrays.values())
    again = to_ours(layout, arrays, biased)
    assert_close(again, params, 1e-15 if layout.forget_bias else 0)


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda row: f"{row.library} {row.layer}")
def test_there_is_the_same_when_traced(layout: Layout) -> None:
    params = params_of(layout)
    traced = jax.jit(lambda params: to_theirs(layout, params))(params)
    assert_close(traced, {k: jnp.asarray(v) for k, v in to_theirs(layout, params).items()}, 0)
    again = jax.jit(lambda arrays: to_ours(layout, arrays, True))(traced)
    assert_close(again, params, 1e-15)


def test_a_row_is_found_by_its_names() -> None:
    assert len({(row.library, row.layer) for row in LAYOUTS}) == len(LAYOUTS)
    assert [row.layer for row in layouts_of("keras", "gru")] == ["GRU", "GRU(reset_after=False)"]


def test_what_would_be_lost_is_refused() -> None:
    (nnx,) = layouts_of("flax.nnx", "gru")
    params = params_of(nnx)._replace(recurrent_bias=np.ones(HIDDEN))
    with pytest.raises(ValueError, match="recurrent_bias, which is not zero"):
        to_theirs(nnx, params)
    (linen,) = layouts_of("flax.linen", "lstm")
    with pytest.raises(ValueError, match="make it with bias=True"):
        to_ours(linen, to_theirs(linen, params_of(linen)), False)


@pytest.mark.oracle
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no_bias"])
@pytest.mark.parametrize("kind", ["elman", "lstm", "gru"])
def test_torch_rows(kind: str, bias: bool) -> None:
    """Outputs and final states of torch's own layers, both ways."""
    torch = oracle("torch")
    (layout,) = layouts_of("torch", kind)
    module = getattr(torch.nn, layout.layer)(INPUT, HIDDEN, bias=bias, dtype=torch.float64)
    weights = {name: value.detach().numpy() for name, value in module.named_parameters()}
    xs = np.random.default_rng(0).standard_normal((TIME, BATCH, INPUT))
    expected, finals = module(torch.tensor(xs))
    finals = finals if isinstance(finals, tuple) else (finals,)
    arrays = {name.removesuffix("_l0"): value for name, value in weights.items()}
    cell, params = cell_of(layout, bias), to_ours(layout, arrays, bias)
    state, ys = cell.unroll(jax.tree.map(jnp.asarray, params), xs)
    assert_close(np.asarray(ys), expected.detach().numpy(), 1e-12)
    for name, final in zip(layout.state, finals, strict=True):
        assert_close(np.asarray(getattr(state, name)), final[0].detach().numpy(), 1e-12)
    back = {f"{name}_l0": torch.tensor(v) for name, v in to_theirs(layout, params).items()}
    module.load_state_dict(back)
    assert_close(module(torch.tensor(xs))[0].detach().numpy(), expected.detach().numpy(), 1e-12)
