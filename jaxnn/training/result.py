"""What a loss gives: sum, weight, state and further numbers, checked where it is traced."""

import jax
import jax.numpy as jnp
from jax.tree_util import KeyPath

from jaxnn.internal.checks import is_array, shape_text, state_dtype
from jaxnn.types import Array, PyTree, State


def check_result(result: object, state: State) -> tuple[Array, Array, State, PyTree]:
    """Sum, weight, state and aux; the numbers in float32 at the least, where large weights are
    exact."""
    if not isinstance(result, tuple) or len(result) not in (3, 4):
        got = f"tuple of {len(result)}" if isinstance(result, tuple) else shape_text(result)
        raise TypeError(
            f"train_step: loss must give (sum, weight, state) or (sum, weight, state, aux), got "
            f"{got}"
        )
    total, weight, after, *more = result
    total = _scalar("sum", total)
    if not jnp.issubdtype(total.dtype, jnp.floating):
        raise TypeError(f"train_step: the sum that loss gives must be floating, got {total.dtype}")
    dtype = state_dtype(total.dtype)
    weight = _scalar("weight", _as_array(weight))
    if not _is_real(weight):
        raise TypeError(f"train_step: the weight that loss gives must be real, got {weight.dtype}")
    if _outline(after) != _outline(state):
        raise TypeError(
            f"train_step: loss must give a state like the one it was given, {_outline(state)}; "
            f"got {_outline(after)}"
        )
    aux = _aux(more[0], dtype) if more else ()
    return total.astype(dtype), jax.lax.stop_gradient(weight.astype(dtype)), after, aux


def _aux(aux: PyTree, dtype: jnp.dtype) -> PyTree:
    """Sums over samples, which are added up over devices as the loss is, hence as floats."""

    def wide(path: KeyPath, leaf: PyTree) -> Array:
        where = f"aux{jax.tree_util.keystr(path)}"
        value = _scalar(where, _as_array(leaf), ": a sum over the samples (or steps) of the batch")
        if not _is_real(value):
            raise TypeError(
                f"train_step: the {where} that loss gives must be real, got {value.dtype}"
            )
        floating = jnp.issubdtype(value.dtype, jnp.floating)
        return value.astype(state_dtype(value.dtype) if floating else dtype)

    return jax.tree_util.tree_map_with_path(wide, aux)


def _as_array(value: PyTree) -> PyTree:
    return jnp.asarray(value) if isinstance(value, (bool, int, float)) else value


def _scalar(what: str, value: PyTree, hint: str = "") -> Array:
    if not is_array(value) or value.shape:
        raise TypeError(
            f"train_step: the {what} that loss gives must be a scalar{hint}, got "
            f"{shape_text(value)}"
        )
    return value


def _is_real(value: Array) -> bool:
    kinds = (jnp.floating, jnp.integer, jnp.bool_)
    return any(jnp.issubdtype(value.dtype, kind) for kind in kinds)


def _outline(tree: PyTree) -> str:
    leaves, structure = jax.tree.flatten(tree)
    return f"{structure} of {', '.join(map(shape_text, leaves)) or 'nothing'}"
