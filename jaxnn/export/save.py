"""A model, its parameters and what runs them, into one file."""

import datetime
import importlib.metadata
import operator
import os
import sys
from collections.abc import Sequence
from typing import Any

import jax
import jax.export
import numpy as np

from jaxnn.export.border import described, weights_of
from jaxnn.export.container import DTYPES, FORMAT, VERSION, Content, packed
from jaxnn.export.functions import Sizes, exported, functions_of
from jaxnn.internal.checks import check_arguments, check_array, dtype_in_jax, is_array, shape_text
from jaxnn.internal.inputs import leading_of, leaves_of
from jaxnn.internal.options import check_bool, check_size
from jaxnn.internal.parts import MODELS
from jaxnn.training.atomic import write
from jaxnn.training.checkpoint import file_path, told_by
from jaxnn.training.named_arrays import on_host
from jaxnn.types import Cell, Layer, Params, PyTree, SequenceLayer, Shape, facts_of

PLATFORMS = ("cpu", "cuda", "rocm", "tpu")


def save(
    path: str | os.PathLike[str],
    model: Cell | SequenceLayer | Layer,
    params: Params,
    x: PyTree,
    batch_shape: Sequence[int | str] = ("batch",),
    time: int | str = "time",
    mask: bool = False,
    reset: bool = False,
    platforms: Sequence[str] = ("cpu", "cuda", "tpu"),
) -> None:
    """Write a model to one file that runs wherever jax runs, without jaxnn.

    The file holds its functions, as `jax.export` serialises them, with the weights beside them,
    once. What they take and give at the border are arrays and plain dictionaries of arrays by tree
    path, so that nothing has to be imported to call them. They evaluate: there is no dropout, no
    gradient and, as for all that jax exports, no `vmap`.

    Where sizes are given as numbers, the results have the bits of `jit` on the same device. Where
    they are open, jaxnn and the compiler cannot choose by them: few rows are multiplied as many
    are, the method is that for any length (see `explain`), 16 bits are rounded at other places.
    Then the last digits may differ.

    | of a | function | |
    |---|---|---|
    | Cell | `state, ys = sequence(weights, state, xs)` | a whole sequence |
    | | `state, y = step(weights, state, x)` | one step of a stream |
    | | `state = initial_state(weights, x)` | the state before x, whose values do not count |
    | | `state = reset_state(weights, state, reset)` | the first state again where a flag says so |
    | SequenceLayer | `ys = sequence(weights, xs)` | it cannot run step by step |
    | Layer | `y = apply(weights, x)` | |

    jax promises to read what it exported for half a year, so this is a file to ship, not to keep:
    the guide "Ship a model" says for how long, and what to keep.

    Args:
      path: the file, by custom ending in `.jaxnn`. It is written whole or not at all.
      model: a Cell, a SequenceLayer or a Layer.
      params: its parameters.
      x: what it takes at one step, without a batch: an array or a `jax.ShapeDtypeStruct`, of which
        shape and dtype count, or a tree of them. In the file a tree is a dictionary by path.
      batch_shape: the sizes of the batch dimensions: a number where the size is fixed, a name where
        any size from 1 will do; `()` for none.
      time: the number of steps, likewise.
      mask: whether `sequence` (of a Layer: `apply`) takes a mask, `(time, *batch)`, after its xs.
      reset: whether `sequence` takes a reset after that.
      platforms: where it shall run, among "cpu", "cuda", "rocm" and "tpu".

    Raises:
      TypeError, ValueError: for arguments that are none of these; parameters that are not the
        model's; a reset for what has no state; or a model that needs to know a size that has a name
        here (`solve`, `remat` with a budget): give it as a number.
      OSError: where it cannot be written.
      ImportError: without the package flatbuffers, with which jax serialises (in the extra
        `export`).

    >>> import jax, jax.numpy as jnp, jaxnn, tempfile
    >>> cell = jaxnn.gru(3, 4)
    >>> params, xs = cell.init(jax.random.key(0)), jnp.ones((5, 2, 3))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     jaxnn.export.save(folder + "/gru.jaxnn", cell, params, xs[0, 0])
    ...     shipped = jaxnn.export.load(folder + "/gru.jaxnn")
    >>> state, ys = shipped.sequence(shipped.initial_state(xs[0]), xs)
    >>> state["hidden"].shape, bool(jnp.all(ys == cell.unroll(params, xs)[1]))
    ((2, 4), True)
    """
    check_flatbuffers("save")
    file = file_path("save", path)
    if not isinstance(model, MODELS):
        raise TypeError(f"save: model must be a Cell, a SequenceLayer or a Layer, got {model!r}")
    check_bool("save", "mask", mask)
    check_bool("save", "reset", reset)
    if reset and isinstance(model, Layer):
        raise ValueError(f"save: reset is given, but {model} has no state")
    platforms = _platforms(platforms)
    weights = _on_host(params)
    sizes = Sizes(_event(model, x), *_sizes(batch_shape, time), mask, reset)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype_in_jax(leaf)), params)
    functions, described_functions = {}, {}
    for name, function in _told(sizes, "", functions_of, model, shapes, sizes).items():
        functions[name], described_functions[name] = _told(
            sizes, f"{name}: ", exported, name, function, shapes, platforms
        )
    about = {
        "format": FORMAT,
        "format_version": VERSION,
        "model": repr(model),
        "kind": type(model).__name__,
        "written": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "versions": {
            "jaxnn": sys.modules["jaxnn"].__version__,  # the root, which imports this file
            "jax": jax.__version__,
            "jaxlib": importlib.metadata.version("jaxlib"),
        },
        "platforms": platforms,
        "functions": described_functions,
        "weights": described(weights),
    }
    with told_by("save"):
        write(file, packed(Content(about, functions, weights)))


def _told(sizes: Sizes, where: str, function: Any, *args: Any) -> Any:
    """An error says in which function it is, and what to do where a size was not known."""
    try:
        return function(*args)
    except (TypeError, ValueError, NotImplementedError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        names = [str(size) for size in sizes.time + sizes.batch if not isinstance(size, int)]
        fixed = f" (open: {', '.join(names)}; give one that has to be known as a number)"
        raise kind(f"save: {where}{error}{fixed if names else ''}") from error


def _on_host(params: Params) -> dict[str, np.ndarray]:
    """The weights by path, in the dtypes that jax has for them."""
    leaves = weights_of(params)
    check_arguments("save", params=params)
    for name, leaf in leaves.items():
        check_array("save", f"params, {name},", leaf)
    weights = {name: on_host("save", name, leaf) for name, leaf in leaves.items()}
    for name, array in weights.items():
        if array.dtype.name not in DTYPES:
            raise TypeError(f"save: {name} is {array.dtype}, which the file has no word for")
    return {name: array.astype(dtype_in_jax(array)) for name, array in weights.items()}


def _event(model: Cell | SequenceLayer | Layer, x: PyTree) -> PyTree:
    """What one step takes, without time and batch."""
    for where, leaf in leaves_of("save", "x", x):
        if not is_array(leaf):
            raise TypeError(
                f"save: {where} must be an array or a jax.ShapeDtypeStruct, what one step takes, "
                f"got {shape_text(leaf)}"
            )
        check_array("save", where, leaf)
    event_ndim = facts_of(model).event_ndim
    if event_ndim is not None and (batch := leading_of("save", "x", x, event_ndim, False)):
        raise ValueError(
            f"save: x must be what one step of {model} takes, without time and batch, of the rank "
            f"{event_ndim}; got one that begins with {batch}: the batch is batch_shape"
        )
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, dtype_in_jax(leaf)), x)


def _sizes(batch_shape: Sequence[int | str], time: int | str) -> tuple[Shape, Shape]:
    """Batch and time, with a symbol for each name."""
    if not isinstance(batch_shape, (tuple, list)):
        raise TypeError(
            f"save: batch_shape must be a tuple of sizes and names, such as ('batch',), got "
            f"{batch_shape!r}"
        )
    given = {"time": time, **{f"batch_shape[{i}]": each for i, each in enumerate(batch_shape)}}
    for where, size in given.items():
        if not isinstance(size, str):
            check_size("save", where, size)
        elif not size.isidentifier():
            raise ValueError(
                f"save: {where} must be a size or a name such as 'batch', got {size!r}"
            )
    names = [size for size in given.values() if isinstance(size, str)]
    if len(set(names)) < len(names):
        raise ValueError(f"save: time and batch_shape must have different names, got {names}")
    symbols = iter(jax.export.symbolic_shape(",".join(names)) if names else ())
    every: list[Any] = [
        next(symbols) if isinstance(s, str) else operator.index(s) for s in given.values()
    ]
    return tuple(every[1:]), (every[0],)


def _platforms(platforms: Sequence[str]) -> tuple[str, ...]:
    if isinstance(platforms, str) or not isinstance(platforms, Sequence):
        raise TypeError(f"save: platforms must be a tuple such as ('cpu',), got {platforms!r}")
    unknown = [each for each in platforms if each not in PLATFORMS]
    if unknown or not platforms or len(set(platforms)) < len(platforms):
        raise ValueError(
            f"save: platforms must be some of {', '.join(PLATFORMS)}, each once, got {platforms!r}"
        )
    return tuple(platforms)


def check_flatbuffers(name: str) -> None:
    """Raise ImportError without the package that jax serialises with."""
    try:
        import flatbuffers  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"{name}: jax serialises functions with the package flatbuffers, which is not "
            f"installed: pip install 'jaxnn-cells[export]'"
        ) from error
