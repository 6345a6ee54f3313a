"""Oracles, random numbers in the shape of a tree, and a measure of how equal two trees are."""

import os
from typing import Any

import jax
import numpy as np
import pytest


def oracle(module: str) -> Any:
    """The framework to compare with; without it the test skips, or fails where JAXNN_ORACLES=1."""
    if os.environ.get("JAXNN_ORACLES") == "1":
        return __import__(module)
    return pytest.importorskip(module, reason=f"{module} is not installed")


def random_like(tree: Any, seed: int, scale: float = 0.5) -> Any:
    """Normal numbers in place of every leaf, biases and peepholes included; their dtypes stay."""
    rng = np.random.default_rng(seed)
    return jax.tree.map(
        lambda leaf: jax.numpy.asarray(scale * rng.standard_normal(leaf.shape), leaf.dtype), tree
    )


def assert_close(ours: Any, expected: Any, tolerance: float) -> None:
    """Equal structures, shapes and dtypes; entries equal relative to the largest of each leaf."""
    assert jax.tree.structure(ours) == jax.tree.structure(expected)
    for (path, a), b in zip(
        jax.tree_util.tree_leaves_with_path(ours), jax.tree.leaves(expected), strict=True
    ):
        where = jax.tree_util.keystr(path)
        a, b = np.asarray(a), np.asarray(b)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), where
        largest = np.abs(b).max()
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * largest, err_msg=where)


def assert_differ(ours: Any, expected: Any) -> None:
    """Some leaf of equal trees differs by a hundredth of its largest entry."""
    pairs = zip(jax.tree.leaves(ours), jax.tree.leaves(expected), strict=True)
    assert any(np.abs(np.asarray(a - b)).max() > 0.01 * np.abs(b).max() for a, b in pairs)
