"""Checkpoints: what is written comes back bit for bit, or an error says what is wrong."""

import json
import os
import pathlib
import subprocess
import sys
import threading
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import safetensors.numpy

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
    jaxnn.training.save(path, value)
    assert_same(jaxnn.training.load(path, value), value)
    assert_same(jaxnn.training.load(path, jax.ShapeDtypeStruct(shape, dtype)), value)


@pytest.mark.parametrize(
    "key",
    [KEY, jax.random.key(1, impl="rbg"), jax.random.PRNGKey(2), jax.random.split(KEY, 3)],
    ids=["typed", "rbg", "legacy", "many"],
)
def test_keys(path: pathlib.Path, key: Any):
    """They come back as what they were, and draw the same, also from shapes alone."""
    jaxnn.training.save(path, {"key": key})
    assert_same(jaxnn.training.load(path, {"key": key}), {"key": key})
    assert_same(jaxnn.training.load(path, jax.eval_shape(lambda: {"key": key})), {"key": key})


def test_trees(path: pathlib.Path):
    """Tuples, lists, dictionaries, named fields and None, under readable names."""
    one, two = jnp.ones(1), jnp.arange(2)
    tree = Nest((one, [two, {"a b": one, "c": None}]), Nest(two))
    jaxnn.training.save(path, tree)
    assert_same(jaxnn.training.load(path, tree), tree)
    assert set(header(path)) == {"first.0", "first.1.0", "first.1.1.a b", "second.first"}


def test_transposed_numpy_arrays(path: pathlib.Path):
    """The file's order is that of the indices, not that of the memory."""
    array = np.arange(6, dtype=np.float32).reshape(2, 3).T
    jaxnn.training.save(path, array)
    np.testing.assert_array_equal(jaxnn.training.load(path, array), array)


def header(path: pathlib.Path) -> dict[str, Any]:
    """What a safetensors file says of itself, read by hand."""
    raw = path.read_bytes()
    size = int.from_bytes(raw[:8], "little")
    entries = json.loads(raw[8 : 8 + size])
    assert set(entries.pop("__metadata__")) == {"written_by", "blake2b"}
    ends = [entry["data_offsets"][1] for entry in entries.values()]
    assert 8 + size + max(ends) == len(raw)
    return entries


def test_the_file_is_arrays_alone(path: pathlib.Path):
    """A length, a JSON header and numbers, to the last byte: nothing that could run."""
    params = jaxnn.gru(2, 3).init(KEY)
    jaxnn.training.save(str(path), params)
    entries = header(path)
    assert {name: entry["shape"] for name, entry in entries.items()} == {
        name: list(leaf.shape) for name, leaf in params._asdict().items() if leaf is not None
    }
    assert all(set(entry) == {"dtype", "shape", "data_offsets"} for entry in entries.values())
    assert_same(jaxnn.training.load(str(path), params), params)
    assert os.listdir(path.parent) == [path.name]


def test_all_differences_in_one_error(path: pathlib.Path):
    """Names on both sides, shapes and dtypes, each on its own line."""
    one = jnp.ones(1)
    jaxnn.training.save(path, {"a": one, "b": one, "c": one, "d": one, "same": one})
    like = {"a": jnp.ones(2), "b": jnp.ones(1, "int32"), "d": jnp.ones((), "f"), "e": one}
    with pytest.raises(ValueError, match="does not hold what `like` expects") as caught:
        jaxnn.training.load(path, {**like, "same": one})
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
    jaxnn.training.save(path, old)

    def full(*_: Any) -> None:
        raise OSError(28, "no space left")

    for name in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, name, full)
            with pytest.raises(OSError, match=r"^save: .*no space left") as caught:
                jaxnn.training.save(path, {"a": jnp.zeros(3)})
        assert caught.value.errno == 28
        assert_same(jaxnn.training.load(path, old), old)
    with pytest.raises(TypeError, match="save: b must be an array, got float"):
        jaxnn.training.save(path, {"a": jnp.zeros(3), "b": 0.5})
    assert_same(jaxnn.training.load(path, old), old)
    assert os.listdir(path.parent) == [path.name]
    jaxnn.training.save(path, {"a": jnp.zeros(3)})
    assert not np.any(jaxnn.training.load(path, old)["a"])


def test_files_that_cannot_be_read(path: pathlib.Path):
    """Missing, a folder, empty, of another kind, or cut short: each by its name."""
    like = jnp.ones(3)
    with pytest.raises(FileNotFoundError, match=r"^load: .*params\.safetensors"):
        jaxnn.training.load(path, like)
    with pytest.raises(FileNotFoundError, match=r"^save: there is no folder .*nowhere"):
        jaxnn.training.save(path.parent / "nowhere" / "x", like)
    jaxnn.training.save(path, like)
    whole = path.read_bytes()
    for function in (jaxnn.training.save, jaxnn.training.load):
        with pytest.raises(IsADirectoryError, match=f"^{function.__name__}: "):
            function(path.parent, like)
    for raw in (b"", b"PK\x03\x04 something else entirely", whole[:-1], whole[:20], whole + b"."):
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=r"params\.safetensors is damaged or no safetensors"):
            jaxnn.training.load(path, like)


def test_trees_that_have_no_file(path: pathlib.Path):
    """No leaves, two of one name, and dtypes that the format does not know."""
    for tree in ((), {"a": None}):
        with pytest.raises(ValueError, match="save: the tree holds no arrays"):
            jaxnn.training.save(path, tree)
    with pytest.raises(ValueError, match=r"save: two leaves have the path a\.b"):
        jaxnn.training.save(path, {"a.b": jnp.ones(1), "a": {"b": jnp.ones(1)}})
    with pytest.raises(TypeError, match=r"save: .*int4"):
        jaxnn.training.save(path, jnp.ones(1, "int4"))
    for kind in ("float8_e4m3fn", "float8_e5m2", "uint4", "complex128"):
        with pytest.raises(TypeError, match=f"^save: value is {kind}, which safetensors does not"):
            jaxnn.training.save(path, jnp.ones(1, kind))
    for name in ("__metadata__", "a\ud800"):
        with pytest.raises(
            ValueError, match=r"^save: no safetensors file can hold a leaf of the pa"
        ):
            jaxnn.training.save(path, {name: jnp.ones(1), "b": jnp.ones(1)})
    objects, text = np.array([None]), np.array(["a"])
    for leaf, kind in (
        ("a", "str"),
        (objects, "float|obj|ndarray"),
        (text, "ndarray|<U1"),
        (3, "int"),
    ):
        with pytest.raises(TypeError, match=f"^save: a must be an array, got ({kind})"):
            jaxnn.training.save(path, {"a": leaf})
    with pytest.raises(
        TypeError, match=r"^save: value must be an array with values, got a ShapeDty"
    ):
        jaxnn.training.save(path, jax.ShapeDtypeStruct((2,), "float32"))
    with pytest.raises(TypeError, match=r"^save: value must .*, got a tracer: save outside of jit"):
        jax.jit(lambda x: jaxnn.training.save(path, x))(jnp.ones(1))
    gone = jnp.ones(1)
    gone.delete()
    with pytest.raises(ValueError, match=r"^save: a was donated"):
        jaxnn.training.save(path, {"a": gone})
    assert not path.exists()
    jaxnn.training.save(path, jnp.ones(1))
    with pytest.raises(TypeError, match=r"^load: a must be an array, got str"):
        jaxnn.training.load(path, {"a": "b"})
    with pytest.raises(ValueError, match="load: the tree holds no arrays"):
        jaxnn.training.load(path, ())


def test_without_safetensors(path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """The error says what to install."""
    for module in ("safetensors", "safetensors.numpy"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match="not installed: pip install safetensors"):
        jaxnn.training.save(path, jnp.ones(1))
    with pytest.raises(ImportError, match="not installed: pip install safetensors"):
        jaxnn.training.load(path, jnp.ones(1))


def test_names_that_are_odd(path: pathlib.Path):
    """Whatever a dictionary's keys are, but for those that are refused."""
    tree = {
        name: jnp.ones(n + 1) for n, name in enumerate(['ünï\n"', "__metadata__.a", "\0", "a b"])
    }
    jaxnn.training.save(path, tree)
    assert_same(jaxnn.training.load(path, tree), tree)


def test_byte_order(path: pathlib.Path):
    """That of another machine is turned, in what is saved and in `like`."""
    array = np.arange(3, dtype=">f4")
    jaxnn.training.save(path, array)
    assert_same(jaxnn.training.load(path, array), jnp.arange(3, dtype="float32"))


def test_every_flipped_bit_is_found(path: pathlib.Path):
    """In the header, the checksum and its name, the padding and the numbers; and every cut."""
    tree = {
        "kernel": jnp.arange(6, dtype="float32").reshape(2, 3),
        "b": jnp.arange(2, dtype="int8"),
    }
    jaxnn.training.save(path, tree)
    whole = path.read_bytes()
    damaged = [whole[:cut] for cut in range(len(whole))]
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.append(bytes(flipped))
    for raw in damaged:
        path.write_bytes(raw)
        with pytest.raises(ValueError, match=r"^load: "):
            jaxnn.training.load(path, tree)
    path.write_bytes(whole)
    assert_same(jaxnn.training.load(path, tree), tree)


@pytest.mark.parametrize("metadata", [None, {"format": "pt"}], ids=["none", "of another"])
def test_files_of_other_tools(path: pathlib.Path, metadata: Any):
    """They have no checksum, and are read without."""
    safetensors.numpy.save_file({"a": np.arange(3.0)}, path, metadata)
    assert_same(jaxnn.training.load(path, {"a": jnp.ones(3)}), {"a": jnp.arange(3.0)})


def test_what_float64_needs(path: pathlib.Path):
    """It says so."""
    jaxnn.training.save(path, np.ones(2))
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"expected float32, .*_enable_x64"):
        jaxnn.training.load(path, np.ones(2))


def test_paths_that_are_none():
    """A number would be somebody's open file."""
    for path in (None, 1, b"params", ["a"], open):
        for function in (jaxnn.training.save, jaxnn.training.load):
            with pytest.raises(TypeError, match=f"^{function.__name__}: path must be a str or a p"):
                function(path, jnp.ones(1))  # pyright: ignore[reportArgumentType]
    for path in ("", "a\0b"):
        for function in (jaxnn.training.save, jaxnn.training.load):
            with pytest.raises(ValueError, match=f"^{function.__name__}: path must be the name of"):
                function(path, jnp.ones(1))


POSIX = pytest.mark.skipif(os.name == "nt", reason="permissions, links and locks are others there")


@POSIX
def test_permissions_and_links(path: pathlib.Path):
    """An existing file keeps its own, a new one has the usual; a link goes on to point at it."""
    umask = os.umask(0o022)
    try:
        jaxnn.training.save(path, jnp.ones(1))
        assert path.stat().st_mode & 0o777 == 0o644
    finally:
        os.umask(umask)
    path.chmod(0o600)
    link, dangling = path.with_name("link"), path.with_name("dangling")
    link.symlink_to(path.name)
    dangling.symlink_to("new")
    jaxnn.training.save(link, jnp.zeros(1))
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert float(jaxnn.training.load(path, jnp.ones(1))[0]) == 0
    jaxnn.training.save(dangling, jnp.zeros(1))
    assert dangling.is_symlink() and path.with_name("new").is_file()
    loop = path.with_name("loop")
    loop.symlink_to("loop")
    with pytest.raises(OSError, match=r"^save: "):
        jaxnn.training.save(loop, jnp.ones(1))
    os.mkfifo(path.with_name("pipe"))
    with pytest.raises(OSError, match=r"^save: .*pipe is no file"):
        jaxnn.training.save(path.with_name("pipe"), jnp.ones(1))


def test_the_longest_name(tmp_path: pathlib.Path):
    """What stands beside the file must fit too."""
    path = tmp_path / ("x" * 255)
    jaxnn.training.save(path, jnp.ones(1))
    assert os.listdir(tmp_path) == [path.name]


def test_many_threads_save_at_once(path: pathlib.Path):
    """Each file that is read is one of theirs, whole, and nobody trips over another."""
    trees = [{"a": np.full(100_000, k, np.float32)} for k in range(4)]
    jaxnn.training.save(path, trees[0])
    errors: list[BaseException] = []

    def saving(tree: Any) -> None:
        try:
            for _ in range(25):
                jaxnn.training.save(path, tree)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=saving, args=(tree,)) for tree in trees]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        array = np.asarray(jaxnn.training.load(path, trees[0])["a"])
        assert (array == array[0]).all()
    for thread in threads:
        thread.join()
    assert not errors and os.listdir(path.parent) == [path.name]


KILLED = """
import os, signal, sys, numpy, jaxnn
os.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
jaxnn.training.save(sys.argv[1], numpy.zeros(3, "float32"))
"""


@POSIX
def test_what_a_killed_process_left_is_removed(path: pathlib.Path, monkeypatch: Any):
    """By the next save or load; but not what somebody writes just now, or files of other names."""
    old, names = jnp.ones(3, "float32"), []
    jaxnn.training.save(path, old)
    other = path.with_name("other")
    for target in (path, path, other):  # the second one removes what the first one left
        subprocess.run([sys.executable, "-c", KILLED, str(target)], check=False)
    assert len(os.listdir(path.parent)) == 3
    assert_same(jaxnn.training.load(path, old), old)
    assert len(os.listdir(path.parent)) == 2
    replace = os.replace

    def meanwhile(*arguments: Any) -> None:
        names.extend(os.listdir(path.parent))
        with monkeypatch.context() as patch:
            patch.setattr(os, "replace", replace)
            jaxnn.training.save(other, old)
            thread = threading.Thread(target=jaxnn.training.save, args=(path, old))
            thread.start()
            thread.join()
        replace(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", meanwhile)
        jaxnn.training.save(path, 2 * old)
    assert len(names) == 3  # ours was there, and was let be
    assert_same(jaxnn.training.load(path, old), 2 * old)
    assert set(os.listdir(path.parent)) == {path.name, "other"}


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

    def begin() -> jaxnn.training.TrainState:
        params = cell.init(KEY)
        return jaxnn.training.train_state(params, optimizer, key, cell.initial_state(params, (5,)))

    step = jaxnn.training.train_step(loss, optimizer)
    current = begin()
    for chunk in xs:
        current, _ = step(current, chunk)
    part = begin()
    for chunk in xs[:3]:
        part, _ = step(part, chunk)
    jaxnn.training.save(path, part)
    resumed = jaxnn.training.load(path, jax.eval_shape(begin))
    assert_same(resumed, part)
    for chunk in xs[3:]:
        resumed, _ = step(resumed, chunk)
    assert_same(resumed, current)
    assert len(traces) == 1
