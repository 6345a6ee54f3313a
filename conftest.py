"""Docstrings and README run as users run them: with jax's own settings, not the strict ones."""

from collections.abc import Iterator

import jax
import pytest

USUAL = {
    "jax_enable_x64": False,
    "jax_numpy_dtype_promotion": "standard",
    "jax_numpy_rank_promotion": "allow",
}


@pytest.fixture(autouse=True)
def usual_settings(request: pytest.FixtureRequest) -> Iterator[None]:
    """tests/conftest.py is strict for the whole process; an example steps out of it."""
    if not isinstance(request.node, pytest.DoctestItem):
        yield
        return
    strict = {name: getattr(jax.config, name) for name in USUAL}
    for name, value in USUAL.items():
        jax.config.update(name, value)
    yield
    for name, value in strict.items():
        jax.config.update(name, value)
