"""One file: it runs without jaxnn, with the bits of jit, and damage is an error."""

import functools
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import zipfile
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn
from jaxnn.export import container
from jaxnn.export.__main__ import main

KEY = jax.random.key(0)
PAGE = pathlib.Path(__file__).parents[1] / "docs/guides/ship_a_model.md"
TIME, BATCH = 4, 3  # fewer rows than features are multiplied in another way, if jaxnn knows


class Kind(NamedTuple):
    """A model, what one step takes, and how it is saved."""

    model: Any
    x: Any
    options: dict[str, Any]


def leaky(params: Any, state: Any, x: Any) -> Any:
    state = state + params * (jnp.tanh(x) - state)
    return state, {"slow": state, "fast": x}


FLOATS, TOKEN = jnp.ones(3, jnp.float32), jnp.zeros((), jnp.int32)
PLAIN = jaxnn.cell(
    init=lambda key: jnp.float32(0.5),
    apply=leaky,
    initial_state=lambda params, batch_shape=(): jnp.full((*batch_shape, 3), 0.25, jnp.float32),
)
CLASSIFIER = jaxnn.serial(
    jaxnn.bidirectional(jaxnn.lstm(3, 4)), jaxnn.pool_over_time("mean"), jaxnn.dense(8, 2)
)
FLAGS = {"mask": True, "reset": True}
KINDS = {
    "cell": Kind(jaxnn.lstm(3, 4, peephole=True), FLOATS, FLAGS),
    "no batch": Kind(PLAIN, FLOATS, {"batch_shape": (), "reset": True}),
    "learned": Kind(
        jaxnn.learned_initial_state(jaxnn.elman(3, 4, dtype="float64")),
        jnp.ones(3),
        {"reset": True},
    ),
    "stack": Kind(
        jaxnn.stack(
            jaxnn.embedding(5, 3), jaxnn.gru(3, 4), jaxnn.dense(4, 5), names=("in_", "core", "out")
        ),
        TOKEN,
        {"mask": True, "batch_shape": ["rows"]},
    ),
    "one row": Kind(jaxnn.min_gru(3, 4), FLOATS, {"batch_shape": (1,), "time": TIME}),
    "fixed": Kind(
        jaxnn.with_method(jaxnn.min_gru(3, 4, dtype="bfloat16"), "associative"),
        FLOATS.astype(jnp.bfloat16),
        {"batch_shape": (BATCH,), "time": TIME},
    ),
    "bidirectional": Kind(jaxnn.bidirectional(jaxnn.gru(3, 4)), FLOATS, FLAGS),
    "final states": Kind(
        jaxnn.final_state(jaxnn.bidirectional(jaxnn.lstm(3, 4, projection_size=2))), FLOATS, {}
    ),
    "pooled": Kind(CLASSIFIER, FLOATS, {"mask": True}),
    "layer": Kind(jaxnn.dense(3, 2), FLOATS, {}),
    "layer without parameters": Kind(jaxnn.activation(jnp.tanh), FLOATS, {"mask": True}),
}


@functools.cache
def params_of(name: str) -> Any:
    return KINDS[name].model.init(KEY)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    return tmp_path_factory.mktemp("shipped")


@pytest.fixture(scope="module")
def file(folder: pathlib.Path) -> Any:
    """A function that gives the file of a kind, written once."""

    @functools.cache
    def write(name: str) -> pathlib.Path:
        path, (model, x, options) = folder / f"{name}.jaxnn", KINDS[name]
        jaxnn.export.save(path, model, params_of(name), x, **options)
        return path

    return write


@pytest.fixture(scope="module")
def load(file: Any) -> Any:
    return functools.cache(lambda name: jaxnn.export.load(file(name)))


def drawn(x: Any, *leading: int) -> Any:
    """Data of a step, of so many sequences or steps."""
    shape = *leading, *x.shape
    if jnp.issubdtype(x.dtype, jnp.integer):
        return jax.random.randint(KEY, shape, 0, 5, x.dtype)
    return jax.random.normal(KEY, shape, x.dtype)


def given_to(name: str) -> tuple[Any, Any, dict[str, Any]]:
    """x, xs and flags, with the batch that a kind has."""
    _, x, options = KINDS[name]
    named = options.get("batch_shape", ("batch",))
    batch = tuple(BATCH if isinstance(size, str) else size for size in named)
    flags = jax.random.bernoulli(KEY, 0.5, (TIME, *batch))
    shown = {"mask": ~flags, "reset": flags}
    return (
        drawn(x, *batch),
        drawn(x, TIME, *batch),
        {flag: value for flag, value in shown.items() if options.get(flag)},
    )


def paths(tree: Any) -> list[str]:
    """Those of its leaves."""
    found = jax.tree_util.tree_leaves_with_path(tree)
    return [jax.tree_util.keystr(path, simple=True, separator=".") for path, _ in found]


def assert_same_bits(got: Any, want: Any) -> None:
    """Of plain trees, and of those of a model."""
    named = dict(zip(paths(want), jax.tree.leaves(want), strict=True))
    got = got if isinstance(got, dict) else {"": got}
    assert set(got) == set(named)
    for name, other in named.items():
        one = got[name]
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
        assert np.asarray(one).tobytes() == np.asarray(other).tobytes()


def inside(name: str, state: Any) -> Any:
    """A plain state as the model has it."""
    like = KINDS[name].model.initial_state(params_of(name))
    plain = state if isinstance(state, dict) else {"": state}
    return jax.tree.unflatten(jax.tree.structure(like), [plain[path] for path in paths(like)])


CELLS = [name for name, kind in KINDS.items() if isinstance(kind.model, jaxnn.Cell)]


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_has_the_bits_of_jit(name: str, load: Any):
    shipped, cell, params = load(name), KINDS[name].model, params_of(name)
    x, xs, flags = given_to(name)
    state = shipped.initial_state(x)
    batch = x.shape[:-1] if name != "stack" else x.shape
    assert_same_bits(state, cell.initial_state(params, batch))

    state, ys = shipped.sequence(state, xs, *flags.values())
    want, want_ys = jax.jit(cell.unroll)(params, xs, **flags)
    assert_same_bits(state, want)
    assert_same_bits(ys, want_ys)

    after, y = shipped.step(state, x)
    want, want_y = jax.jit(cell.apply)(params, inside(name, state), x)
    assert_same_bits(after, want)
    assert_same_bits(y, want_y)

    reset = jnp.arange(math.prod(batch)).reshape(batch) == 0
    want = jax.jit(jaxnn.reset_state, static_argnums=0)(cell, params, inside(name, after), reset)
    assert_same_bits(shipped.reset_state(after, reset), want)
    assert shipped.apply is None


@pytest.mark.parametrize("name", ["bidirectional", "pooled", "final states"])
def test_a_sequence_layer_has_the_bits_of_jit(name: str, load: Any):
    shipped, layer = load(name), KINDS[name].model
    _, xs, flags = given_to(name)
    ys = jax.jit(layer.unroll)(params_of(name), xs, **flags)[1]
    assert_same_bits(shipped.sequence(xs, *flags.values()), ys)
    assert shipped.step is shipped.initial_state is shipped.reset_state is shipped.apply is None


@pytest.mark.parametrize("name", ["layer", "layer without parameters"])
def test_a_layer_has_the_bits_of_jit(name: str, load: Any):
    x, _, flags = given_to(name)
    mask = {flag: value[0] for flag, value in flags.items()}
    want = jax.jit(KINDS[name].model.apply)(params_of(name), x, **mask)
    assert_same_bits(load(name).apply(x, *mask.values()), want)
    assert load(name).sequence is None


def test_any_time_and_batch(load: Any):
    time, batch = 1, 3
    shipped, (cell, x, _) = load("stack"), KINDS["stack"]
    xs, mask = drawn(x, time, batch), jnp.ones((time, batch), bool)
    state, ys = shipped.sequence(shipped.initial_state(xs[0]), xs, mask)
    want, want_ys = jax.jit(cell.unroll)(params_of("stack"), xs, mask=mask)
    assert_same_bits(state, want)
    assert_same_bits(ys, want_ys)


def test_a_process_without_jaxnn_runs_the_lines_of_the_page(file: Any, tmp_path: pathlib.Path):
    """It cannot import jaxnn; what it computes has the same bits."""
    (lines,) = re.findall(
        r"```python\n(import hashlib\n.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    _, xs, flags = given_to("cell")
    np.savez(tmp_path / "given.npz", xs=xs, **flags)
    (tmp_path / "model.jaxnn").write_bytes(file("cell").read_bytes())
    without = (
        "import sys\nsys.modules['jaxnn'] = None\n" + lines + "given = np.load('given.npz')\n"
        "xs = given['xs']\n"
        "state = functions['initial_state'](weights, xs[0])\n"
        "state, ys = functions['sequence'](weights, state, xs, given['mask'], given['reset'])\n"
        "after, y = functions['step'](weights, state, xs[0])\n"
        "assert not any(name.startswith('jaxnn.') for name in sys.modules)\n"
        "np.savez('found.npz', ys=ys, y=y, hidden=state['hidden'], after=after['cell'])\n"
    )
    environment = {**os.environ, "PYTHONPATH": "", "JAX_PLATFORMS": "cpu"}
    run = subprocess.run(
        [sys.executable, "-c", without],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    found, cell, params = np.load(tmp_path / "found.npz"), KINDS["cell"].model, params_of("cell")
    state, ys = jax.jit(cell.unroll)(params, xs, **flags)
    after, y = jax.jit(cell.apply)(params, state, xs[0])
    assert_same_bits(found["ys"], ys)
    assert_same_bits(found["y"], y)
    assert_same_bits(found["hidden"], state.hidden)
    assert_same_bits(found["after"], after.cell)


# The file -----------------------------------------------------------------------------------------


def test_the_weights_in_it_are_a_safetensors_file(file: Any, tmp_path: pathlib.Path):
    for name in ("stack", "fixed", "learned", "no batch"):
        with zipfile.ZipFile(file(name)) as archive:
            path = pathlib.Path(archive.extract("weights.safetensors", tmp_path))
        params = params_of(name)
        jax.tree.map(assert_same_bits, jaxnn.training.load(path, params), params)


def test_equal_models_give_equal_files_without_paths_of_this_machine(file: Any, tmp_path: Any):
    cell, x, options = KINDS["cell"]
    jaxnn.export.save(tmp_path / "again", cell, params_of("cell"), x, **options)
    assert (tmp_path / "again").read_bytes() == file("cell").read_bytes()
    here = str(pathlib.Path(jaxnn.__file__).parent).encode()
    with zipfile.ZipFile(file("cell")) as archive:
        assert all(here not in archive.read(name) for name in archive.namelist())


def test_every_flipped_bit_and_every_cut_is_found(file: Any):
    data = file("layer").read_bytes()
    assert container.unpacked("load", "f", data).about["kind"] == "Layer"
    for place in range(len(data)):
        flipped = bytearray(data)
        flipped[place] ^= 1 << place % 8
        with pytest.raises(ValueError, match=r"load: f .*damaged"):
            container.unpacked("load", "f", bytes(flipped))
    for length in range(len(data)):
        with pytest.raises(ValueError, match=r"load: f .*damaged"):
            container.unpacked("load", "f", data[:length])


@pytest.mark.parametrize("read", [jaxnn.export.load, jaxnn.export.info], ids=["load", "info"])
def test_what_is_no_file_of_ours(read: Any, file: Any, tmp_path: pathlib.Path):
    name, path = read.__name__, tmp_path / "model.jaxnn"
    with pytest.raises(FileNotFoundError, match=rf"^{name}: .*model\.jaxnn"):
        read(path)
    path.write_bytes(b"weights" * 100)
    with pytest.raises(ValueError, match=rf"^{name}: .* is no file of jaxnn\.export\.save"):
        read(path)
    path.write_bytes(file("cell").read_bytes()[:-1])
    with pytest.raises(ValueError, match=rf"^{name}: .* is damaged"):
        read(str(path))


def changed(file: Any, tmp_path: pathlib.Path, **about: Any) -> pathlib.Path:
    """A file with other metadata, and a right checksum."""
    path = tmp_path / "changed.jaxnn"
    content = container.unpacked("load", "f", file("cell").read_bytes())
    path.write_bytes(container.packed(content._replace(about={**content.about, **about})))
    return path


def test_a_file_of_a_later_format(file: Any, tmp_path: pathlib.Path):
    path = changed(file, tmp_path, format_version=2, versions={"jaxnn": "9.1"})
    for read in (jaxnn.export.load, jaxnn.export.info):
        with pytest.raises(ValueError, match=r"has the format jaxnn.export 2, .* jaxnn 9\.1"):
            read(path)


def test_a_function_that_jax_does_not_read_any_more(file: Any, tmp_path: pathlib.Path):
    content = container.unpacked("load", "f", file("cell").read_bytes())
    (tmp_path / "old.jaxnn").write_bytes(
        container.packed(content._replace(functions={**content.functions, "step": b"\0" * 100}))
    )
    with pytest.raises(ValueError, match=r"does not read its function step: .*stay readable"):
        jaxnn.export.load(tmp_path / "old.jaxnn")
    assert "step(weights, state, x)" in jaxnn.export.info(tmp_path / "old.jaxnn")


def test_64_bits_need_x64(file: Any):
    path = file("learned")
    with jax.enable_x64(False), pytest.raises(ValueError, match=r"float64: set jax\.config.update"):
        jaxnn.export.load(path)


def test_info(file: Any, capsys: Any, monkeypatch: Any):
    """The command prints what the function gives, and ends with 1 where it cannot."""
    path = file("stack")
    text = jaxnn.export.info(path)
    assert text.startswith(f"{KINDS['stack'].model}, a Cell for cpu, cuda, tpu\n")
    for line in (
        "state, ys = sequence(weights, state, xs, mask)",
        "  ys                    float32[time, rows, 5]",
        "state, y = step(weights, state, x)",
        "state = reset_state(weights, state, reset)",
        "  out.bias               float32[5]",
    ):
        assert line in text.splitlines()
    monkeypatch.setattr(sys, "argv", ["jaxnn.export", "info", str(path)])
    main()
    assert capsys.readouterr().out == text + "\n"
    monkeypatch.setattr(sys, "argv", ["jaxnn.export", "info", str(path) + "x"])
    with pytest.raises(SystemExit, match=r"info: .*No such file"):
        main()


def test_the_command_is_there(file: Any):
    command = [sys.executable, "-m", "jaxnn.export", "info", str(file("layer"))]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("dense(3, 2), a Layer for cpu, cuda, tpu\n")


def test_the_promise_ends_half_a_year_after_the_day_of_writing(file: Any, tmp_path: pathlib.Path):
    for written, until in {"2026-08-31": "2027-02-28", "2026-11-26": "2027-05-26"}.items():
        text = jaxnn.export.info(changed(file, tmp_path, written=written))
        assert f"so not beyond {until}" in text


def test_metadata_are_json_and_tell_everything(file: Any):
    with zipfile.ZipFile(file("learned")) as archive:
        about = json.loads(archive.read("about.json"))
    assert about["functions"]["step"]["arguments"]["x"] == {
        "dtype": "float64",
        "shape": ["batch", 3],
    }
    assert about["versions"]["jax"] == jax.__version__
    assert about["platforms"] == ["cpu", "cuda", "tpu"]
    assert about["weights"]["start.hidden"] == {"dtype": "float64", "shape": [4]}


# Wrong calls --------------------------------------------------------------------------------------


def test_all_that_does_not_fit_stands_in_one_error(load: Any):
    shipped = load("cell")
    _, xs, flags = given_to("cell")
    state = shipped.initial_state(xs[0])
    with pytest.raises(TypeError, match=r"sequence: it takes \(state, xs, mask, reset\), got 2"):
        shipped.sequence(state, xs)
    with pytest.raises(TypeError, match=r"state must be a dict of .*xs must be float32.*got int32"):
        shipped.sequence(tuple(state), xs.astype(jnp.int32), *flags.values())
    with pytest.raises(ValueError, match=r"where time is 4 and batch is 3, got .*; mask must"):
        shipped.sequence(state, drawn(FLOATS, TIME, 2), flags["mask"][1:], flags["reset"])
    with pytest.raises(ValueError, match=r"xs must be float32\[time, batch, 3\]"):
        shipped.sequence(state, xs[:0], flags["mask"][:0], flags["reset"][:0])
    with pytest.raises(
        TypeError, match=r"state\['cell'\] must be float32\[batch, 4\], got float64"
    ):
        shipped.step({**state, "cell": jnp.zeros((2, 4))}, xs[0])


def test_a_size_that_has_to_be_known(tmp_path: pathlib.Path):
    cell, params = KINDS["fixed"].model, params_of("fixed")
    with pytest.raises(ValueError, match=r"sequence: .*not known.* that has to be known"):
        jaxnn.export.save(tmp_path / "f", cell, params, KINDS["fixed"].x)


def test_a_layer_has_no_reset(tmp_path: pathlib.Path):
    with pytest.raises(ValueError, match=r"reset is given, but dense\(3, 2\) has no state"):
        layer = jaxnn.dense(3, 2)
        jaxnn.export.save(tmp_path / "f", layer, layer.init(KEY), FLOATS, reset=True)


def test_numpys_float64_is_kept_as_jax_takes_it(tmp_path: pathlib.Path):
    layer, kernel = jaxnn.dense(3, 2, bias=False), np.full((3, 2), 0.1)
    params: Any = jaxnn.DenseParams(*[kernel, None])
    large: Any = jaxnn.DenseParams(*[kernel * 1e300, None])
    with jax.enable_x64(False):
        jaxnn.export.save(tmp_path / "f", layer, params, FLOATS)
        shipped = jaxnn.export.load(tmp_path / "f")
        with pytest.raises(ValueError, match="does not fit float32"):
            jaxnn.export.save(tmp_path / "g", layer, large, FLOATS)
    assert shipped.weights["kernel"].dtype == shipped.apply(FLOATS[None]).dtype == jnp.float32


def test_two_leaves_of_one_path(tmp_path: pathlib.Path):
    layer = jaxnn.Layer(lambda key: (), lambda params, x, mask=None, key=None: x)
    with pytest.raises(ValueError, match=r"two leaves have the path a\.b"):
        jaxnn.export.save(tmp_path / "f", layer, {"a": {"b": FLOATS}, "a.b": FLOATS}, FLOATS)
    assert not (tmp_path / "f").exists()
