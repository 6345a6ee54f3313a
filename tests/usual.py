"""jax's own settings, as users run it, in the place of the strict ones of conftest.py."""

import contextlib
from collections.abc import Iterator

import jax


@contextlib.contextmanager
def usual_settings() -> Iterator[None]:
    with (
        jax.enable_x64(False),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield
