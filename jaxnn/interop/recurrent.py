"""A cell's parameters from and to the arrays of another library, by a row of the table."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from jaxnn.cells import elman, gru, lstm
from jaxnn.internal.checks import is_traced
from jaxnn.interop.layouts import Layout, Names
from jaxnn.types import Array, Params

Arrays = Mapping[str, Any]
Gates = dict[str, Any]


def gates_of(layout: Layout) -> tuple[str, ...]:
    """The gates of jaxnn's parameters, in their order."""
    if layout.kind == "lstm":
        return lstm.COUPLED_GATES if layout.coupled else lstm.GATES
    return gru.GATES if layout.kind == "gru" else elman.GATES


def to_ours(layout: Layout, arrays: Arrays, biased: bool) -> Params:
    """The parameters of jaxnn's cell from one layer's arrays.

    Args:
      layout: a row of the table.
      arrays: by the names of the row.
      biased: whether the cell has biases; where it has none, those of a layer that always has some
        must be zero.

    Returns:
      ElmanParams, LSTMParams or GRUParams.

    Raises:
      ValueError: for a bias that is not zero and has no place.
    """
    hidden = _hidden(layout, arrays)
    if layout.input == layout.recurrent:
        joint = arrays[str(layout.input)]
        cut = joint.shape[0] - hidden
        parts = joint[:cut], joint[cut:]
    else:
        parts = tuple(_taken(arrays, names) for names in (layout.input, layout.recurrent))
    kernels = [_joined(layout, _kernel(layout, part), 1) for part in parts]
    bias, own = _biases(layout, arrays, biased)
    if layout.kind == "elman":
        return elman.ElmanParams(kernels[0], kernels[1], bias)
    if layout.kind == "gru":
        return gru.GRUParams(kernels[0], kernels[1], bias, own)
    peephole = projection = None
    if layout.peephole in arrays:
        cut = _split(arrays[layout.peephole], layout.peephole_gates)
        order = [gate for gate in gates_of(layout) if gate != "g"]
        peephole = _stack([_signed(layout, gate, cut[gate]) for gate in order], 0)
    if layout.projection in arrays:
        projection = arrays[layout.projection].transpose()
    return lstm.LSTMParams(kernels[0], kernels[1], bias, peephole, projection)


def to_theirs(layout: Layout, params: Any) -> dict[str, Any]:
    """One layer's arrays by name, in the library's order, from the parameters of jaxnn's cell.

    Where the layer has two biases that only add up, the second one is zero.

    Raises:
      ValueError: for a b_h that is not zero and has no place.
    """
    arrays: dict[str, Any] = {}
    order = gates_of(layout)
    kernels = []
    for kernel in (params.input_kernel, params.recurrent_kernel):
        gates = {gate: _signed(layout, gate, kernel[:, k]) for k, gate in enumerate(order)}
        kernels.append(_with_unread(layout.gates, gates))
    if layout.input == layout.recurrent:
        both = {g: _concatenate([k[g] for k in kernels], 0) for g in layout.gates}
        arrays |= _named(layout, layout.input, both)
    else:
        arrays |= _named(layout, layout.input, kernels[0])
        arrays |= _named(layout, layout.recurrent, kernels[1])
    arrays |= _biases_to_theirs(layout, params)
    if getattr(params, "peephole", None) is not None:
        order = [gate for gate in order if gate != "g"]
        p = {g: _signed(layout, g, params.peephole[k]) for k, g in enumerate(order)}
        p = _with_unread(layout.peephole_gates, p)
        arrays[layout.peephole] = _concatenate([p[g] for g in layout.peephole_gates], 0)
    if getattr(params, "projection", None) is not None:
        arrays[layout.projection] = params.projection.transpose()
    return arrays


def must_be_zero(array: Array, why: str) -> None:
    """Raise ValueError where numbers would be lost; values that are traced are let through."""
    if not is_traced(array) and np.asarray(array).any():
        raise ValueError(why)


def _biases(layout: Layout, arrays: Arrays, biased: bool) -> tuple[Any, Any]:
    """b, and b_h of a GRU whose reset comes after."""
    first, second, own = _their_biases(layout, arrays)
    if first is None:
        return None, None
    if layout.forget_bias:
        first["f"] = first["f"] + first["f"].dtype.type(layout.forget_bias)
    if not biased:
        for each in (*first.values(), *(second or {}).values(), own):
            if each is not None:
                must_be_zero(
                    each,
                    f"{_label(layout)} has a bias that is not zero, and the cell was made with "
                    f"bias=False: make it with bias=True",
                )
        return None, None
    if layout.kind == "gru" and layout.reset_after and second is not None:
        own = second.pop("n")
    for gate, value in (second or {}).items():
        first[gate] = first[gate] + value
    if layout.kind == "gru" and layout.reset_after and own is None:
        own = _zeros(first["n"])
    return _joined(layout, first, 0), own


def _their_biases(layout: Layout, arrays: Arrays) -> tuple[Gates | None, Gates | None, Any]:
    """The first bias gate by gate, the second one, and that of n on the side of h."""
    names = (layout.bias,) if isinstance(layout.bias, str) else layout.bias
    if not all(name in arrays for name in names):
        return None, None, None
    taken, second = _taken(arrays, layout.bias), None
    if layout.both == "rows":
        taken, second = taken[0], taken[1]
    elif layout.both == "halves":
        half = taken.shape[0] // 2
        taken, second = taken[:half], taken[half:]
    elif layout.second:
        second = arrays[layout.second]
    first = taken if isinstance(taken, list) else _split(taken, layout.gates)
    if isinstance(first, list):
        first = dict(zip(layout.gates, first, strict=True))
    cut = None if second is None else _split(second, layout.gates)
    return first, cut, arrays.get(layout.bias_n)


def _biases_to_theirs(layout: Layout, params: Any) -> dict[str, Any]:
    order = gates_of(layout)
    own = getattr(params, "recurrent_bias", None)
    if params.bias is None:
        if not layout.always_biased:
            return {}
        zero = _zeros(params.input_kernel[0, 0])
        b = dict.fromkeys(order, zero)
        own = zero if layout.bias_n else None
        if layout.forget_bias:
            b["f"] = zero - zero.dtype.type(layout.forget_bias)
    else:
        b = {gate: _signed(layout, gate, params.bias[k]) for k, gate in enumerate(order)}
        if layout.forget_bias:
            b["f"] = b["f"] - b["f"].dtype.type(layout.forget_bias)
    b = _with_unread(layout.gates, b)
    second = {gate: _zeros(b[gate]) for gate in layout.gates}
    if own is not None and (layout.second or layout.both):
        second["n"] = own
    elif own is not None and not layout.bias_n:
        must_be_zero(
            own,
            f"{_label(layout)} has no bias on the side of h for n (our recurrent_bias, which is "
            f"not zero here)",
        )
    first_flat = _concatenate([b[g] for g in layout.gates], 0)
    second_flat = _concatenate([second[g] for g in layout.gates], 0)
    if layout.both == "rows":
        return {str(layout.bias): _stack([first_flat, second_flat], 0)}
    if layout.both == "halves":
        return {str(layout.bias): _concatenate([first_flat, second_flat], 0)}
    if isinstance(layout.bias, tuple):
        arrays = dict(zip(layout.bias, (b[g] for g in layout.gates), strict=True))
    else:
        arrays = {layout.bias: first_flat}
    if layout.second:
        arrays[layout.second] = second_flat
    if layout.bias_n:
        arrays[layout.bias_n] = own
    return arrays


def _label(layout: Layout) -> str:
    return f"{layout.library}'s {layout.layer}"


def _hidden(layout: Layout, arrays: Arrays) -> int:
    names = layout.recurrent
    if isinstance(names, tuple):
        return arrays[names[0]].shape[-1]
    return arrays[names].shape[0 if layout.gates_first else -1] // len(layout.gates)


def _taken(arrays: Arrays, names: Names) -> Any:
    return arrays[names] if isinstance(names, str) else [arrays[name] for name in names]


def _kernel(layout: Layout, taken: Any) -> Gates:
    """One `(rows, hidden)` for each gate."""
    if isinstance(taken, list):
        return dict(zip(layout.gates, taken, strict=True))
    return _split(taken.transpose() if layout.gates_first else taken, layout.gates)


def _named(layout: Layout, names: Names, kernel: Gates) -> dict[str, Any]:
    """The arrays of one kernel, from `(rows, hidden)` of each gate."""
    gates = [kernel[gate] for gate in layout.gates]
    if isinstance(names, tuple):
        return dict(zip(names, gates, strict=True))
    flat = _concatenate(gates, 1)
    return {names: flat.transpose() if layout.gates_first else flat}


def _split(array: Any, gates: str) -> Gates:
    """The last axis, cut into gates."""
    size = array.shape[-1] // len(gates)
    return {gate: array[..., k * size : (k + 1) * size] for k, gate in enumerate(gates)}


def _joined(layout: Layout, gates: Gates, axis: int) -> Any:
    """In our order, with a gate axis, and in our sense."""
    return _stack([_signed(layout, gate, gates[gate]) for gate in gates_of(layout)], axis)


def _signed(layout: Layout, gate: str, value: Any) -> Any:
    return -value if gate in layout.negated else value


def _with_unread(gates: str, values: Gates) -> Gates:
    """Zeros for a gate that is not read."""
    if "_" in gates:
        return {**values, "_": _zeros(next(iter(values.values())))}
    return values


def _numpy(values: list[Any]) -> Any:
    return jnp if any(is_traced(value) for value in values) else np


def _stack(values: list[Any], axis: int) -> Any:
    return _numpy(values).stack(values, axis)


def _concatenate(values: list[Any], axis: int) -> Any:
    return _numpy(values).concatenate(values, axis)


def _zeros(like: Any) -> Any:
    return _numpy([like]).zeros(like.shape, like.dtype)
