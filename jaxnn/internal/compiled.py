"""What XLA says of a program before it runs."""

from collections.abc import Callable
from typing import Any

import jax

from jaxnn.types import PyTree


def memory_of(name: str, function: Callable[..., PyTree], *arguments: PyTree) -> Any:
    """What a function of arrays takes, compiled for their shapes on the default backend.

    Raises:
      ValueError: where the backend does not tell.
    """
    compiled = jax.jit(function, keep_unused=True).lower(*arguments).compile()
    found = compiled.memory_analysis()
    if found is None:
        raise ValueError(f"{name}: {jax.default_backend()} does not tell what a program takes")
    return found


def bytes_text(count: int) -> str:
    """A number of bytes to read: '117.5 MB', where 1 MB is 10⁶ bytes."""
    for power, unit in ((9, "GB"), (6, "MB"), (3, "kB")):
        if count >= 10**power:
            return f"{count / 10**power:.4g} {unit}"
    return f"{count} bytes"
