"""Checkpoints: what is written comes back bit for bit, or an error says what is wrong."""

import json
import os
import pathlib
import sys
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn

KEY = jax.random.key(0)
DTYPES = ["bfloat16", "float16", "float32", "float64", "int32", "uint8", "int64", "bool"]


class Nest(NamedTuple):
    """Everything that a tree may be made of."""

    first: Any
    second: Any = None


def data(leaf: Any) -> np.ndarray:
    """A leaf in numpy, a typed key as its data."""
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if typed else leaf)


def assert_same(got: Any, want: Any) -> None:
    """Structure, dtypes, shapes and bytes."""
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert isinstance(a, jax.Array)
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        assert data(a).tobytes() == data(b).tobytes()


@pytest.fixture
def path(tmp_path: pathlib.Path) -> pathlib.Path:
    """A file that is not there yet."""
    return tmp_path / "params.safetensors"


@pytest.mark.parametrize("shape", [(), (0, 3), (2, 3)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes_and_shapes(path: pathlib.Path, dtype: str, shape: tuple[int, ...]):
    """Each dtype, scalars and empty arrays included."""
    value = (jnp.arange(np.prod(shape), dtype=float).reshape(shape) * 0.7).astype(dtype)
    jaxnn.save(path, value)
    assert_same(jaxnn.load(path, value), value)
    assert_same(jaxnn.load(path, jax.ShapeDtypeStruct(shape, dtype)), value)


@pytest.mark.parametrize(
    "key",
    [KEY, jax.random.key(1, impl="rbg"), jax.random.PRNGKey(2), jax.random.split(KEY, 3)],
    ids=["typed", "rbg", "legacy", "many"],
)
def test_keys(path: pathlib.Path, key: Any):
    """They come back as what they were, and draw the same, also from shapes alone."""
    jaxnn.save(path, {"key": key})
    assert_same(jaxnn.load(path, {"key": key}), {"key": key})
    assert_same(jaxnn.load(path, jax.eval_shape(lambda: {"key": key})), {"key": key})


def test_trees(path: pathlib.Path):
    """Tuples, lists, dictionaries, named fields and None, under readable names."""
    one, two = jnp.ones(1), jnp.arange(2)
    tree = Nest((one, [two, {"a b": one, "c": None}]), Nest(two))
    jaxnn.save(path, tree)
    assert_same(jaxnn.load(path, tree), tree)
    assert set(header(path)) == {"first.0", "first.1.0", "first.1.1.a b", "second.first"}


def test_transposed_numpy_arrays(path: pathlib.Path):
    """The file's order is that of the indices, not that of the memory."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    jaxnn.save(path, array)
    np.testing.assert_array_equal(jaxnn.load(path, array), array)


def header(path: pathlib.Path) -> dict[str, Any]:
    """What a safetensors file says of itself, read by hand."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + size])
    ends = [entry["data_offsets"][1] for entry in entries.values()]
    assert 8 + size + max(ends) == len(raw)
    return entries


def test_the_file_is_arrays_alone(path: pathlib.Path):
    """A length, a JSON header and numbers, to the last byte: nothing that could run."""
    params = jaxnn.gru(2, 3).init(KEY)
    jaxnn.save(str(path), params)
    entries = header(path)
    assert {name: entry["shape"] for name, entry in entries.items()} == {
        name: list(leaf.shape) for name, leaf in params._asdict().items()
    }
    assert all(set(entry) == {"dtype", "shape", "data_offsets"} for entry in entries.values())
    assert_same(jaxnn.load(str(path), params), params)
    assert os.listdir(path.parent) == [path.name]


def test_all_differences_in_one_error(path: pathlib.Path):
    """Names on both sides, shapes and dtypes, each on its own line."""
    one = jnp.ones(1)
    jaxnn.save(path, {"a": one, "b": one, "c": one, "d": one, "same": one})
    like = {"a": jnp.ones(2), "b": jnp.ones(1, "int32"), "d": jnp.ones((), "f"), "e": one}
    with pytest.raises(ValueError, match="does not hold what `like` expects") as caught:
        jaxnn.load(path, {**like, "same": one})
    assert set(str(caught.value).splitlines()[1:]) == {
        "  a: expected the shape (2,), got (1,)",
        "  b: expected int32, got float64",
        "  c: in the file only",
        "  d: expected the shape (), got (1,)",
        "  d: expected float32, got float64",
        "  e: missing from the file",
    }
    assert str(path) in str(caught.value)


def test_a_failing_save_leaves_the_old_file(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Be it the tree, the disk in the middle of writing, or the last move that fails."""
    old = {"a": jnp.ones(3)}
    jaxnn.save(path, old)

    def full(self: pathlib.Path, raw: bytes) -> None:
        with open(self, "wb") as file:
            file.write(raw[: len(raw) // 2])
        raise OSError("no space left")

    def stuck(*_: Any) -> None:
        raise OSError("no space left")

    for where, name, fail in ((pathlib.Path, "write_bytes", full), (os, "replace", stuck)):
        with monkeypatch.context() as patch:
            patch.setattr(where, name, fail)
            with pytest.raises(OSError, match="no space left"):
                jaxnn.save(path, {"a": jnp.zeros(3)})
        assert_same(jaxnn.load(path, old), old)
    with pytest.raises(TypeError, match="save: b must be an array, got float"):
        jaxnn.save(path, {"a": jnp.zeros(3), "b": 0.5})
    assert_same(jaxnn.load(path, old), old)
    assert os.listdir(path.parent) == [path.name]
    jaxnn.save(path, {"a": jnp.zeros(3)})
    assert not np.any(jaxnn.load(path, old)["a"])


def test_files_that_cannot_be_read(path: pathlib.Path):
    """Missing, a folder, empty, of another kind, or cut short: each by its name."""
    like = jnp.ones(3)
    with pytest.raises(FileNotFoundError, match=r"params\.safetensors"):
        jaxnn.load(path, like)
    with pytest.raises(FileNotFoundError, match="nowhere"):
        jaxnn.save(path.parent / "nowhere" / "x", like)
    jaxnn.save(path, like)
    whole = path.read_bytes()
    for raw in (b"", b"PK\x03\x04 something else entirely", whole[:-1], whole[:20], whole + b"."):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=r"params\.safetensors is damaged or no safetensors"):
            jaxnn.load(path, like)


def test_trees_that_have_no_file(path: pathlib.Path):
    """No leaves, two of one name, and dtypes that the format does not know."""
    for tree in ((), {"a": None}):
        with pytest.raises(ValueError, match="save: the tree holds no arrays"):
            jaxnn.save(path, tree)
    with pytest.raises(ValueError, match=r"save: two leaves have the path a\.b"):
        jaxnn.save(path, {"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})
    with pytest.raises(TypeError, match=r"save: .*int4"):
        jaxnn.save(path, jnp.ones(1, "int4"))
    assert not path.exists()
    jaxnn.save(path, jnp.ones(1))
    with pytest.raises(ValueError, match="load: the tree holds no arrays"):
        jaxnn.load(path, ())


def test_without_safetensors(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """The error says what to install."""
    for module in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="needs safetensors"):
        jaxnn.save(path, jnp.ones(1))
    with pytest.raises(ImportError, match="needs safetensors"):
        jaxnn.load(path, jnp.ones(1))


@pytest.mark.parametrize("key", [KEY, jax.random.PRNGKey(0)], ids=["typed", "legacy"])
def test_a_resumed_training_is_the_uninterrupted_one(path: pathlib.Path, key: Any):
    """Bit for bit, with Adam's moments, a carried state and noise from the key."""
    cell = jaxnn.elman(2, 3)
    xs = np.random.default_rng(0).normal(size=(6, 4, 5, 2)).astype(np.float32)
    optimizer = optax.adam(0.01)

    traces = []

    def loss(params: Any, state: Any, xs: Any, key: Any) -> Any:
        traces.append(None)
        noise = jax.random.normal(key, xs.shape, xs.dtype)
        state, ys = cell.unroll(params, xs + noise, state)
        return jnp.sum(ys**2), float(ys.size), state

    def begin() -> jaxnn.TrainState:
        params = cell.init(KEY)
        return jaxnn.train_state(params, optimizer, key, cell.initial_state(params, (5,)))

    step = jaxnn.train_step(loss, optimizer)
    current = begin()
    for chunk in xs:
        current, _ = step(current, chunk)
    part = begin()
    for chunk in xs[:3]:
        part, _ = step(part, chunk)
    jaxnn.save(path, part)
    resumed = jaxnn.load(path, jax.eval_shape(begin))
    assert_same(resumed, part)
    for chunk in xs[3:]:
        resumed, _ = step(resumed, chunk)
    assert_same(resumed, current)
    assert len(traces) == 1
