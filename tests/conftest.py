"""Strict settings for every test: no silent promotion of dtypes or ranks, exact matmuls, x64."""

import jax
import pytest
from rows import CELLS_AND_MORE

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracle: needs another framework; CI runs all of them")
    config.addinivalue_line("markers", "xdist_group: what runs in one process, under xdist -n")
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadgroup"


@pytest.fixture(
    scope="module",
    params=[pytest.param(row, marks=pytest.mark.xdist_group(row)) for row in CELLS_AND_MORE],
)
def row(request: pytest.FixtureRequest) -> str:
    """A row of the table; its laws run in turn, in one process, so that they share programs."""
    return request.param
