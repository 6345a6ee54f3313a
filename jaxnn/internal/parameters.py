"""Whether parameters are those of a layer or cell: what its `init` gives, leaf by leaf.

Without this check a bias of another shape would be broadcast, the weights of another form of a cell
be read as its own, and an ensemble whose `vmap` was forgotten be multiplied as a batch.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from jaxnn.internal.checks import (
    check_init_key,
    dtype_in_jax,
    is_array,
    naming,
    outline_text,
    shape_text,
    told_apart,
    type_text,
)
from jaxnn.types import Key, Params, PyTree, Shaped, appears_as


def check_params(
    name: str, init: Callable[..., Params], params: Params, dtypes: bool = True
) -> None:
    """Raise unless params have the structure, shapes and dtypes that `init(key)` gives.

    Args:
      name: the function that was called, for errors.
      init: takes a key; its shapes are traced once.
      params: what was given.
      dtypes: whether dtypes count too.

    Raises:
      TypeError: for another structure or dtype; it names each leaf that differs.
      ValueError: for another shape.
    """
    expected = _expected(init, dtype_in_jax(_WIDE))
    got, got_structure = jax.tree.flatten(params)
    want, structure = jax.tree.flatten(expected)
    if got_structure == structure and all(
        _fits(leaf, like, dtypes) for leaf, like in zip(got, want, strict=True)
    ):
        return
    raise _difference(name, params, expected, dtypes)


@appears_as("init")
def init_checked(name: str, init: Callable[[Key], Params], key: Key) -> Params:
    """`init`, once the key is one; an error of a part names the whole."""
    check_init_key(name, key)
    with naming(f"{name}.init"):
        return init(key)


def check_kind(name: str, params: Params, kind: type) -> None:
    """Raise TypeError unless params are the NamedTuple of a transformation; its parts are checked
    where they are used."""
    if type(params) is not kind:
        want, got = kind.__name__, outline_text(params)
        if type(params).__name__ == want:
            want, got = f"{kind.__module__}.{want}", type_text(params)
        raise TypeError(f"{name}: params must be {want}, as init gives them; got {got}")


def known_params(init: Callable[..., Params]) -> Params | None:
    """The shapes of what a user's `init` gives, or None where it cannot be traced."""
    try:
        return _expected(init, dtype_in_jax(_WIDE))
    except Exception:  # whatever a user's function raises: what is not known is not checked
        return None


_WIDE = np.float64(0)


@functools.lru_cache(maxsize=4096)
def _expected(init: Callable[..., Params], widest: jnp.dtype) -> Params:
    del widest  # with x64 or without, a user's init may give other dtypes
    return jax.eval_shape(init, jax.eval_shape(lambda: jax.random.key(0)))


def _fits(leaf: PyTree, like: Shaped, dtypes: bool) -> bool:
    if not is_array(leaf):
        # A user's own parameters may be plain numbers.
        return not dtypes and like.shape == () and isinstance(leaf, (bool, int, float, complex))
    same = not dtypes or dtype_in_jax(leaf) == like.dtype
    return same and tuple(leaf.shape) == like.shape


def _difference(name: str, params: Params, expected: Params, dtypes: bool) -> Exception:
    """The error that tells which leaves differ, and what they may come from."""
    kind = type(params) is not type(expected) or (
        isinstance(expected, dict) and params.keys() != expected.keys()
    )
    if kind:
        want, got = told_apart(expected, params)
        return TypeError(
            f"{name}: params must be {want}, as init gives them; got {got}{_layout(params)}"
        )
    got = _leaves(params)
    want = _leaves(expected)
    if got.keys() != want.keys():
        wanted, given = told_apart(expected, params)
        return TypeError(f"{name}: params must be {wanted}, as init gives them; got {given}")
    differ = [
        path
        for path, like in want.items()
        if (like is None) != (got[path] is None)
        or (like is not None and not _fits(got[path], like, dtypes))
    ]
    if not differ:  # the names of fields are equal, the types are not
        wanted, given = told_apart(expected, params)
        return TypeError(f"{name}: params must be {wanted}, as init gives them; got {given}")
    listed = "; ".join(
        f"params{path} must be {_text(want[path])}, got {_text(got[path])}" for path in differ
    )
    shapes = all(
        is_array(got[path])
        and want[path] is not None
        and tuple(got[path].shape) != want[path].shape
        for path in differ
    )
    error = ValueError if shapes else TypeError
    return error(f"{name}: {listed}, as init gives them{_stacked(got, want)}")


def _text(leaf: object) -> str:
    return "None" if leaf is None else shape_text(leaf)


def _leaves(tree: PyTree) -> dict[str, PyTree]:
    """The leaves by path, with None as a leaf."""
    pairs = jax.tree_util.tree_leaves_with_path(tree, is_leaf=lambda leaf: leaf is None)
    return {jax.tree_util.keystr(path): leaf for path, leaf in pairs}


def _stacked(got: dict[str, PyTree], want: dict[str, PyTree]) -> str:
    """Say so where each leaf has one leading axis more, of one length."""
    pairs = [(got[path], like) for path, like in want.items() if like is not None]
    lengths = {
        leaf.shape[0] if is_array(leaf) and leaf.ndim and tuple(leaf.shape[1:]) == like.shape else 0
        for leaf, like in pairs
    }
    if len(lengths) != 1 or 0 in lengths:
        return ""
    return (
        f". These look like {next(iter(lengths))} members of an ensemble, stacked by vmap: run "
        f"them by jax.vmap(function, (0, None))(params, x)"
    )


_LINEN = frozenset(("ii", "if", "ig", "io", "hi", "hf", "hg", "ho", "ir", "iz", "in", "hr", "hz"))
"""What linen's cells call their gates, less two that others use too."""


def _layout(params: Params) -> str:
    """Say so where params look like those of another library."""
    if hasattr(params, "weight_ih") and hasattr(params, "weight_hh"):
        library, module = "a module of equinox or torch", "equinox or .torch"
    elif isinstance(params, dict) and params:
        names = [str(name) for name in params]
        if any(name.startswith(("weight_ih", "weight_hh")) or "." in name for name in names):
            library, module = "a state_dict of torch", "torch"
        elif "params" in names or len(_LINEN.intersection(names)) > 1 or "kernel" in names:
            library, module = "variables of flax", "flax_linen or .flax_nnx"
        elif any("w_i" in name or name in ("w", "w_h") for name in _names(params)):
            library, module = "params of haiku", "haiku"
        else:
            return ""
    elif isinstance(params, list) and params and all(map(is_array, params)):
        library, module = "weights of keras", "keras"
    else:
        return ""
    return f". They look like {library}: jaxnn.interop.{module} makes ours of them"


def _names(tree: dict[object, object]) -> list[str]:
    inner = [name for value in tree.values() if isinstance(value, dict) for name in _names(value)]
    return [*map(str, tree), *inner]
