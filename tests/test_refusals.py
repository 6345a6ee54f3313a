"""Every wrong call is refused by the library itself, and by name: see refusals.py."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
import pytest
import refusals_own
import right_calls
from refusals import Group, all_groups, verdict
from refusals_models import CELLS, LAYERS, given
from wrong_values import ones

import jaxnn

GROUPS = all_groups()


def refused(group: Group) -> None:
    """Fail with every call of the group that is not refused as it should be."""
    ends = {what: verdict(group, call) for what, call in group.calls().items()}
    bad = [f"{what}: {kind}: {text}" for what, (kind, text) in ends.items() if kind != "ours"]
    assert not bad, f"{len(bad)} of {len(ends)}\n  " + "\n  ".join(bad)


@pytest.mark.parametrize("where", GROUPS)
def test_refused(where: str) -> None:
    refused(GROUPS[where])


@pytest.mark.parametrize("what", refusals_own.RAISING)
def test_what_a_function_of_ones_own_raises_arrives(what: str) -> None:
    with pytest.raises(refusals_own.Own, match="mine"):
        refusals_own.RAISING[what]()


@pytest.mark.oracle
def test_tensors_of_torch_are_refused() -> None:
    """Arrays of another library, with everything that one has."""
    torch = pytest.importorskip("torch")

    def tensors(tree: Any) -> Any:
        return jax.tree.map(lambda leaf: torch.from_numpy(np.array(leaf)), tree)

    xs, mask = ones(2, 2, 3), ones(2, 2, dtype=bool)
    calls: dict[tuple[str, str], Callable[[], Any]] = {}
    for name in ("lstm", "gru", "elman", "cell", "stack"):
        model, params = given(CELLS[name])
        run, step = partial(model.unroll, params), partial(model.apply, params)
        state = model.initial_state(params, (2,))
        calls[name, "xs"] = partial(run, tensors(xs))
        calls[name, "mask"] = partial(run, xs, mask=tensors(mask))
        calls[name, "reset"] = partial(run, xs, reset=tensors(mask))
        calls[name, "params"] = partial(model.unroll, tensors(params), xs)
        calls[name, "x"] = partial(step, state, tensors(xs[0]))
        calls[name, "state"] = partial(step, tensors(state), xs[0])
    for name in ("dense", "conv", "layer_norm", "activation"):
        model, params = given(LAYERS[name][0])
        calls[name, "x"] = partial(model.apply, params, tensors(xs))
    calls["mean_squared_error", "targets"] = partial(
        jaxnn.losses.mean_squared_error, xs, tensors(xs)
    )
    calls["masked_mean", "xs"] = partial(jaxnn.masked_mean, tensors(xs))
    calls["dense", "key"] = partial(jaxnn.dense(2, 3).init, tensors(np.zeros(2, np.uint32)))
    calls["describe", "params"] = partial(jaxnn.describe, tensors(xs))
    ends = {
        where: verdict(Group((where[0], "own_apply"), (where[1],), dict), call)
        for where, call in calls.items()
    }
    bad = [f"{where}: {kind}: {text}" for where, (kind, text) in ends.items() if kind != "ours"]
    assert not bad, "\n  ".join(bad)


def test_there_are_many() -> None:
    assert sum(len(group.calls()) for group in GROUPS.values()) >= 900


@pytest.mark.parametrize("what", right_calls.CALLS)
def test_right(what: str) -> None:
    """What is right stays so, however strict the checks become."""
    right_calls.CALLS[what]()


@pytest.mark.parametrize("what", right_calls.USUAL)
def test_right_under_the_usual_settings(what: str) -> None:
    """Without x64, with numpy's float64 counting as float32."""
    promotion, ranks = jax.numpy_dtype_promotion("standard"), jax.numpy_rank_promotion("allow")
    with jax.enable_x64(False), promotion, ranks:
        right_calls.USUAL[what]()
