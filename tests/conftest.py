"""Strict settings for every test: no silent promotion of dtypes or ranks, exact matmuls, x64."""

import os
import re
from collections.abc import Iterator

import jax
import pytest
from rows import (
    CELLS_AND_MORE,
    COMBINATIONS,
    KINDS,
    LAWS_OF_KINDS,
    LAWS_OF_PARTS,
    LAWS_OF_SIBLINGS,
    SIBLINGS,
    build,
)

import jaxnn
from jaxnn.recurrence import methods
from jaxnn.recurrence.cell import description_of
from jaxnn.recurrence.split import Split

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_default_matmul_precision", "highest")

if jax.__version_info__ < (0, 11):  # a flag that XLA does not know would end the process
    # Nearly all of the tests' time is XLA's, and its older way to lower loops on a CPU takes half
    # of it. Whoever sets XLA_FLAGS, if only to "", has the tests compiled with those.
    QUICK = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", QUICK)


def has_split(tree: jaxnn.Parts) -> bool:
    """Whether a split is among the parts of a model."""
    model = tree.make()
    own = isinstance(model, jaxnn.Cell) and isinstance(description_of(model), Split)
    return own or any(map(has_split, tree.parts.values()))


ROWS = list(CELLS_AND_MORE)
BLOCKS = os.environ.get("JAXNN_BLOCKS") == "1"
ONCE_MORE = BLOCKS or os.environ.get("JAX_CHECK_TRACER_LEAKS") == "1"
"""The laws run in yet another way."""
if BLOCKS:
    # Every sequence that is not differentiated runs in blocks of one step, as only large ones do.
    methods.LARGE, methods.BLOCK = 0, 1
    ROWS = [row for row in ROWS if has_split(jaxnn.parts(build(row)))]


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "oracle: needs another framework; CI runs all of them")
    config.addinivalue_line("markers", "xdist_group: what runs in one process, under xdist -n")
    if getattr(config.option, "dist", "no") == "load":
        config.option.dist = "loadgroup"


def is_of_its_kind(item: pytest.Item) -> bool:
    """Whether it is a law that a row obeys since others of its kind do."""
    row = getattr(getattr(item, "callspec", None), "params", {}).get("row")
    if not item.path.stem.startswith("test_laws"):
        return False
    if row not in KINDS and LAWS_OF_KINDS.search(item.name):
        return True
    if row in COMBINATIONS and row not in KINDS and LAWS_OF_PARTS.search(item.name):
        return True
    if row not in SIBLINGS:
        return False
    return ONCE_MORE or not LAWS_OF_SIBLINGS.search(item.name)


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """All tests of one row of the table run in one process, so that they share programs."""
    if os.environ.get("JAXNN_ALL_LAWS") != "1":
        config.hook.pytest_deselected(items=[item for item in items if is_of_its_kind(item)])
        items[:] = [item for item in items if not is_of_its_kind(item)]
    for item in items:
        params = getattr(getattr(item, "callspec", None), "params", {})
        for name in {"row", "deep", "ours"}.intersection(params):
            item.add_marker(pytest.mark.xdist_group(params[name]))


AS_USERS_HAVE_IT = re.compile(
    # what is read off compiled programs, or how long they take and how much they store
    r"test_(reductions|remat|residuals|rule|benchmarks|blocks|devices)"
    # what runs for longer than it compiles, or promises the same bits of a program elsewhere
    r"|test_(examples.*|vowels|backpropagation|readme|survival|export|pickle)|README"
)
"""Files whose programs are optimised."""


@pytest.fixture(autouse=True)
def few_optimizations(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests compile thousands of programs that run once, most of them as they stand.

    Optimised, as users run them, are the gradient of every row in float32, and the files above.
    """
    optimised = AS_USERS_HAVE_IT.fullmatch(request.path.stem)
    few = optimised is None and "gradient_in_float32" not in request.node.name
    jax.config.update("jax_disable_most_optimizations", few)
    yield
    jax.config.update("jax_disable_most_optimizations", False)


@pytest.fixture(scope="module", params=ROWS)
def row(request: pytest.FixtureRequest) -> str:
    """A row of the table."""
    return request.param
