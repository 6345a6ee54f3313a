"""What a single part of a model is elsewhere: a cell, or a layer without a state."""

from typing import Any

from jaxnn.internal.parts import Parts
from jaxnn.interop.codec import Codec, NoHomeError
from jaxnn.interop.layouts import Layout, Plain, layouts_of, plain_of
from jaxnn.interop.recurrent import to_ours, to_theirs
from jaxnn.types import Params

RECURRENT = ("elman", "lstm", "gru")


def recurrent_rows(library: str, tree: Parts) -> list[Layout]:
    """The rows of the table that have a place for a cell of these options.

    Raises:
      NoHomeError: where there is none; it says why.
    """
    rows = layouts_of(library, tree.kind)
    if not rows:
        raise NoHomeError(f"{tree}: {library} has no layer for it")
    reasons = [_unfit(row, tree.options) for row in rows]
    fitting = [row for row, reason in zip(rows, reasons, strict=True) if not reason]
    if not fitting:
        raise NoHomeError(f"{tree}: {next(filter(None, reasons))}")
    return fitting


def recurrent_codec(row: Layout, tree: Parts) -> Codec:
    """A cell by a row of the table."""
    biased = tree.options["bias"]
    return Codec(lambda params: to_theirs(row, params), lambda arrays: to_ours(row, arrays, biased))


def plain_codec(library: str, tree: Parts) -> Codec:
    """A layer without a state.

    Raises:
      NoHomeError: where there is no conversion, or the library has no such bias.
    """
    row = plain_of(library, tree.kind)
    if row is None:
        raise NoHomeError(f"{tree}: there is no conversion for {library}")
    bias = tree.options.get("bias", True)
    if isinstance(bias, str):
        raise NoHomeError(f"{tree}: {library} has no bias of one number for a whole layer")
    names = row.names if bias else row.names[:1]
    axes = _Axes(row, tree.options)

    def write(params: Params) -> dict[str, Any]:
        return dict(zip(names, axes.to_theirs(*list(params)[: len(names)]), strict=True))

    def read(arrays: Any) -> Any:
        return tuple(axes.to_ours(*(arrays[name] for name in names)))

    return Codec(write, read)


class _Axes:
    """Where the axes of a kernel and its bias stand in a library."""

    def __init__(self, row: Plain, options: dict[str, Any]) -> None:
        self._row, self._groups = row, options.get("groups", 1)
        self._spatial = len(options["window"]) if "window" in options else 0

    def to_theirs(self, kernel: Any, *bias: Any) -> list[Any]:
        n, form = self._spatial, self._row.kernel
        if form == "out in":
            kernel = kernel.transpose(n + 1, n, *range(n))
        elif form == "out in last":
            kernel = kernel.swapaxes(n, n + 1)
        elif form == "in out flipped":
            kernel = self._flipped(kernel)
        elif form == "in out first":
            parts = kernel.reshape(*kernel.shape[:-1], self._groups, -1)
            parts = parts.transpose(n + 1, n, n + 2, *range(n))
            kernel = parts.reshape(-1, *parts.shape[2:])
        return [kernel, *(each.reshape(-1, *self._ones()) for each in bias)]

    def to_ours(self, kernel: Any, *bias: Any) -> list[Any]:
        n, form = self._spatial, self._row.kernel
        if form == "out in":
            kernel = kernel.transpose(*range(2, n + 2), 1, 0)
        elif form == "out in last":
            kernel = kernel.swapaxes(n, n + 1)
        elif form == "in out flipped":
            kernel = self._flipped(kernel)
        elif form == "in out first":
            parts = kernel.reshape(self._groups, -1, *kernel.shape[1:])
            parts = parts.transpose(*range(3, n + 3), 1, 0, 2)
            kernel = parts.reshape(*parts.shape[:-2], -1)
        return [kernel, *(each.reshape(-1) for each in bias)]

    def _flipped(self, kernel: Any) -> Any:
        return kernel[(slice(None, None, -1),) * self._spatial]

    def _ones(self) -> tuple[int, ...]:
        return (1,) * self._spatial if self._row.bias_axes else ()


def _unfit(row: Layout, options: dict[str, Any]) -> str:
    """Why a layer cannot have these options; nothing where it can."""
    whose = f"{row.library}'s {row.layer}"
    if options.get("coupled", False) != row.coupled:
        return f"{whose} has no coupled gates"
    if options.get("peephole", False) and not row.peephole:
        return f"{whose} has no peepholes"
    if options.get("layer_norm", False):
        return f"{whose} has no layer norm inside"
    if options.get("projection_size") is not None and not row.projection:
        return f"{whose} has no projection of h"
    if options.get("reset_after") != row.reset_after:
        where = "after" if row.reset_after else "before"
        made = f"reset_after={row.reset_after}"
        return f"{whose} resets {where} the recurrent product: make the cell with {made}"
    if row.activations is not None:
        for option, allowed in (("activation", row.activations), ("gate_activation", ("sigmoid",))):
            function = options.get(option)
            name = getattr(function, "__name__", repr(function))
            if function is not None and name not in allowed:
                listed = " or ".join(allowed)
                return f"{whose} has {listed} for its {option}, not {name}"
    return ""
