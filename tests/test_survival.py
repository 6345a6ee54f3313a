"""Trainings that survive: killed, interrupted, with a damaged checkpoint, on a full disk."""

import ast
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import signal
import subprocess
import sys
import warnings
from collections.abc import Iterator
from typing import Any

import four_devices
import grain.python as grain
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxnn
from jaxnn.training import CheckpointOptions, Fit, load_checkpoint, record
from jaxnn.training.json_values import from_json, to_json

HERE = pathlib.Path(__file__).parent
OPTIMIZER = optax.adam(0.1)
DATA = np.random.default_rng(0).normal(size=(30, 4, 2)).astype(np.float32)


def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """Noise, and a state that is carried: all that could go wrong by a step more or less."""
    noisy = batch + 0.1 * jax.random.normal(key, batch.shape, batch.dtype)
    return jnp.sum((params["kernel"][None] - noisy) ** 2), 4.0, 0.5 * state + jnp.sum(batch)


STEP = jaxnn.training.train_step(loss, OPTIMIZER)


def first(rows: int = 2, key: Any = None) -> jaxnn.training.TrainState:
    """The same each time."""
    params = {"kernel": jnp.zeros(rows, jnp.float32), "none": jnp.zeros((0, 2), jnp.float32)}
    key = jax.random.key(0) if key is None else key
    return jaxnn.training.train_state(params, OPTIMIZER, key, state=jnp.zeros((), jnp.float32))


def batches() -> Any:
    """Without end, and each a function of its number."""
    return jaxnn.data.by_number(lambda n: DATA[n % 30])


def norm(current: jaxnn.training.TrainState) -> jax.Array:
    """Some number, which goes up and down."""
    return jnp.sin(3 * jnp.sum(current.params["kernel"]))


def fit(folder: Any = None, data: Any = None, steps: int | None = 20, **options: Any) -> Fit:
    """A training of twenty steps, kept every four."""
    kept = {name: options.pop(name) for name in ("every", "keep", "replay") if name in options}
    checkpoint = None if folder is None else CheckpointOptions(folder, **{"every": 4, **kept})
    usual = {"evaluate": norm, "evaluate_every": 3, "best": "min", "progress": False}
    return jaxnn.training.fit(
        STEP,
        options.pop("train_state", None) or first(),
        batches() if data is None else data,
        steps,
        checkpoint=checkpoint,
        **{**usual, **options},
    )


def values(result: Fit) -> list[np.ndarray]:
    """All that is to be the same."""
    key = jax.random.key_data(result.train_state.key)
    evaluations = [(step, float(value)) for step, value in result.history.evaluations]
    tree = (result.train_state._replace(key=key), result.best, result.history.loss, evaluations)
    return [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]


def assert_same(got: Fit, want: Fit) -> None:
    """Bit for bit."""
    for a, b in zip(values(got), values(want), strict=True):
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes()


@pytest.fixture(scope="module")
def whole() -> Fit:
    """The training that never stopped, without a checkpoint."""
    return fit()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> pathlib.Path:
    """A folder of a training that came to its end; nobody writes to it."""
    folder = tmp_path_factory.mktemp("finished")
    fit(folder, keep=2)
    return folder


@pytest.fixture
def copied(finished: pathlib.Path, tmp_path: pathlib.Path) -> pathlib.Path:
    """The same, to be damaged."""
    return pathlib.Path(shutil.copytree(finished, tmp_path / "copied"))


def names(folder: pathlib.Path) -> set[str]:
    """What a folder holds."""
    return {path.name for path in folder.iterdir()}


def test_killed_by_the_system(tmp_path: pathlib.Path):
    """By SIGKILL, at random moments, in processes of its own."""
    command = [sys.executable, str(HERE / "survivor.py"), "--kills", "3", "--seed", "5"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600)
    assert not done.returncode, done.stdout + done.stderr
    assert done.stdout.endswith("killed 3 times, and all of it the same, bit for bit\n")


def test_it_goes_on_and_says_so(
    whole: Fit, tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]
):
    """Seven steps, then all; then a call after the end, which takes none."""
    told: list[int] = []
    folder = tmp_path / "new" / "run"
    assert fit(folder, steps=7, on_step=lambda n, _: told.append(n)).resumed == 0
    assert capsys.readouterr().err == ""
    result = fit(folder, on_step=lambda n, _: told.append(n))
    assert (result.resumed, result.stopped) == (7, "done")
    assert capsys.readouterr().err == f"fit: goes on after step 7, from {folder}/step_7\n"
    # An evaluation more: the one after the last step of the first call.
    assert [step for step, _ in result.history.evaluations] == [3, 6, 7, 9, 12, 15, 18, 20]
    del result.history.evaluations[2]
    assert_same(result, whole)
    assert told == list(range(1, 21))
    again = fit(folder, data=jaxnn.data.by_number(lambda n: 1 / 0))
    assert (again.resumed, len(again.history.loss)) == (20, 20)
    np.testing.assert_array_equal(again.train_state.params["kernel"], values(whole)[0])


def test_the_bar_goes_on(tmp_path: pathlib.Path, capsys: pytest.CaptureFixture[str]):
    """At the step that it had come to."""
    fit(tmp_path, steps=8)
    fit(tmp_path, steps=10, progress=True)
    printed = capsys.readouterr().err
    assert "fit: goes on after step 8" in printed and "10/10" in printed and "1/10 " not in printed


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_interrupted(name: str, whole: Fit, tmp_path: pathlib.Path):
    """What Ctrl-C ends, or a queue that gives notice, goes on as if nothing had been."""

    def press(number: int, _: Any) -> None:
        if number == 10:  # a step without a checkpoint
            signal.raise_signal(signal.Signals[name])

    handlers = {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGTERM: lambda *_: signal.raise_signal(signal.SIGINT),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    result = fit(tmp_path, on_step=press)
    for number, handler in before.items():
        signal.signal(number, handler)
    assert result.stopped == "interrupted" and 10 <= len(result.history.loss) <= 14
    assert load_checkpoint(tmp_path, first()).resumed == len(result.history.loss)
    assert_same(fit(tmp_path), whole)


def test_one_that_was_not_finite(tmp_path: pathlib.Path):
    """It has no checkpoint of that step; the next call goes on before it, and ends there again."""
    data = [*DATA[:10], np.float32(np.nan) * DATA[0], *DATA[:9]]
    for resumed in (0, 8):
        with pytest.warns(RuntimeWarning, match="not finite at step 11"):
            result = fit(tmp_path, data)
        assert result.resumed == resumed and int(result.train_state.step) == 11
        assert names(tmp_path) == {".lock", "step_4", "step_8"}
    assert_same(fit(tmp_path, [*DATA[:10], *DATA[10:20]]), fit(None, list(DATA[:20])))


def test_every_checkpoint_is_of_its_step(tmp_path: pathlib.Path):
    """The arrays are copied before the next step donates them, and the best ones too."""
    seen: dict[int, np.ndarray] = {}

    def evaluate(current: jaxnn.training.TrainState) -> float:
        seen[int(current.step)] = np.array(current.params["kernel"])
        return float(norm(current))

    fit(tmp_path, every=1, keep=99, evaluate=evaluate, evaluate_every=1)
    assert names(tmp_path) == {".lock", *(f"step_{n}" for n in range(1, 21))}
    for step in range(20, 0, -4):
        kept = load_checkpoint(tmp_path, first())
        assert kept.resumed == step == int(kept.train_state.step)
        np.testing.assert_array_equal(kept.train_state.params["kernel"], seen[step])
        evaluated = dict(kept.history.evaluations)
        assert len(evaluated) == step and kept.best is not None
        assert kept.best.value == min(evaluated.values()) == evaluated[kept.best.step]
        np.testing.assert_array_equal(kept.best.params["kernel"], seen[kept.best.step])
        for n in range(step - 3, step + 1):
            shutil.rmtree(tmp_path / f"step_{n}")


def test_the_last_ones_are_kept_and_the_best(whole: Fit, finished: pathlib.Path):
    """The best is of a step whose checkpoint is gone, and the latest is there."""
    assert names(finished) == {".lock", "step_16", "step_20"}
    assert whole.best is not None and whole.best.step < 16
    assert_same(load_checkpoint(finished, first()), whole)


KINDS = "bool int4 uint8 int64 float8_e4m3fn bfloat16 float16 float32 float64 complex64 complex128"


def test_arrays_of_every_kind(tmp_path: pathlib.Path):
    """Carried states of all dtypes, scalars, empty ones, and keys."""
    kinds = {kind: jnp.arange(6).reshape(2, 3).astype(kind) for kind in KINDS.split()}
    more = {
        "scalar": jnp.int8(3),
        "empty": jnp.zeros((0, 2)),
        "keys": jax.random.split(first().key),
    }
    state = {"kinds": kinds, "a/b": [more], "none": None}

    def carry(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return jnp.sum(params**2), 1.0, state

    def start() -> jaxnn.training.TrainState:
        params = jnp.ones(2, jnp.float32)
        return jaxnn.training.train_state(params, OPTIMIZER, jax.random.PRNGKey(3), state)

    step, checkpoint = jaxnn.training.train_step(carry, OPTIMIZER), CheckpointOptions(tmp_path)
    result = jaxnn.training.fit(step, start(), [0.0], progress=False, checkpoint=checkpoint)
    got, want = load_checkpoint(tmp_path, start()).train_state, result.train_state
    assert jax.tree.structure(got) == jax.tree.structure(want)
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(want), strict=True):
        assert (a.dtype, a.shape) == (b.dtype, b.shape)
        if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
            a, b = jax.random.key_data(a), jax.random.key_data(b)
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_batches_that_end(whole: Fit, tmp_path: pathlib.Path):
    """The last evaluation is kept too, where the last step had its checkpoint before it."""
    data = [DATA[n] for n in range(20)]
    fit(tmp_path, data, None)
    assert names(tmp_path) == {".lock", "step_12", "step_16", "step_20_again"}
    result = fit(tmp_path, data, None)
    assert result.resumed == 20
    assert_same(result, whole)


# What may happen to a checkpoint ------------------------------------------------------------------


def flipped(data: bytes) -> bytes:
    """One bit of it."""
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 4]) + data[at + 1 :]


DAMAGES = {
    "flipped": flipped,
    "cut": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "zeros": lambda data: bytes(len(data)),
}  # fmt: skip


@pytest.mark.parametrize("how", DAMAGES)
def test_damage(how: str, whole: Fit, copied: pathlib.Path):
    """Of any file: what was saved, or the one before it and a warning; never something else."""
    files = [path for path in (copied / "step_20").rglob("*") if path.is_file()]
    older = 0
    for path in files:
        data = path.read_bytes()
        path.write_bytes(DAMAGES[how](data))
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            found = load_checkpoint(copied, first())
        if found.resumed == 20:
            assert_same(found, whole)
            assert not caught
        else:
            (warning,) = caught
            assert found.resumed == 16 and issubclass(warning.category, RuntimeWarning)
            text = r"load_checkpoint: step_20 is damaged \(.+\); the last good one is .*step_16$"
            assert re.match(text, str(warning.message))
            older += 1
        path.write_bytes(data)
    assert older >= 3


def test_it_goes_on_from_the_last_good_one(whole: Fit, copied: pathlib.Path):
    """And takes the steps again; the damaged one is put aside."""
    (copied / "step_20" / "record" / "metadata").write_text("{}")
    with pytest.warns(RuntimeWarning, match=r"^fit: step_20 is damaged .*its record is none") as w:
        result = fit(copied, keep=2)
    assert w[0].filename == __file__
    assert result.resumed == 16
    assert_same(result, whole)
    assert names(copied) == {".lock", "step_16", "step_20", "damaged_step_20"}
    assert_same(load_checkpoint(copied, first()), whole)


def test_none_is_good(copied: pathlib.Path):
    """Nothing is begun anew in silence."""
    for name in ("step_16", "step_20"):
        shutil.rmtree(copied / name / "data")
    for call in (lambda: fit(copied), lambda: load_checkpoint(copied, first())):
        with pytest.raises(
            ValueError, match=r"no checkpoint in .* can be read: step_20 is .*16 is"
        ):
            call()
    assert names(copied) == {".lock", "step_16", "step_20"}


def test_what_a_kill_leaves_is_removed(copied: pathlib.Path, whole: Fit):
    """A checkpoint that is half written, and one that is half removed."""
    shutil.copytree(copied / "step_16", copied / "step_24.orbax-checkpoint-tmp")
    shutil.copytree(copied / "step_16", copied / "deleted_step_12")
    assert_same(fit(copied), whole)
    assert names(copied) == {".lock", "step_16", "step_20"}


OTHERS = {
    "another model": (
        {"train_state": lambda: first(3)},
        r"train_state\.params\.kernel: expected the shape \(3,\), got \(2,\)",
    ),
    "another optimizer": (
        {"train_state": lambda: first()._replace(opt_state=())},
        r"train_state\.opt_state\.0\.count: in the checkpoint only",
    ),
    "another kind of key": (
        {"train_state": lambda: first(key=jax.random.PRNGKey(0))},
        r"train_state\.key: expected no typed key, got key<fry>",
    ),
    "another best": ({"best": lambda: "max"}, r"best='min', got best='max'"),
    "no best": ({"best": lambda: None}, r"best='min', got best=None"),
    "batches without a place": (
        {"data": lambda: [DATA[0]] * 9},
        r"is of batches with get_state, those given are without",
    ),
    "other batches": (
        {"data": lambda: jaxnn.data.batches(DATA, range(30), 3, seed=0, epochs=9)},
        r"batches: the state is that of other data or options: expected {'samples': 30",
    ),
}


@pytest.mark.parametrize("what", OTHERS)
def test_of_something_else(what: str, copied: pathlib.Path):
    """It is said what is another; nothing is changed."""
    options, text = OTHERS[what]
    with pytest.raises(ValueError, match=text):
        fit(copied, **{name: value() for name, value in options.items()})
    assert names(copied) == {".lock", "step_16", "step_20"}


def test_kinds_of_keys_of_one_shape(tmp_path: pathlib.Path):
    """Their numbers would fit, and draw something else."""
    fit(tmp_path, steps=1, train_state=first(key=jax.random.key(0, impl="rbg")))
    with pytest.raises(ValueError, match=r"train_state\.key: expected key<urbg>, got key<rbg>"):
        load_checkpoint(tmp_path, first(key=jax.random.key(0, impl="unsafe_rbg")))


def test_of_a_later_version(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """Said, and not taken for damage."""
    with monkeypatch.context() as patch:
        patch.setattr(record, "FORMAT", 2)
        fit(tmp_path, steps=1)
    with pytest.raises(ValueError, match=r"step_1 cannot be gone on with: .*by a later jaxnn"):
        fit(tmp_path)


def test_four_devices_and_one(tmp_path: pathlib.Path):
    """Saved on a mesh of four, with a carried state that is split; one device goes on with it."""
    command = [sys.executable, str(HERE / "four_devices.py"), str(tmp_path)]
    paths = {"PYTHONPATH": os.pathsep.join(sys.path), "JAX_NUM_CPU_DEVICES": "4"}
    done = subprocess.run(command, env={**os.environ, **paths}, capture_output=True, text=True)
    assert not done.returncode, done.stderr
    kept = load_checkpoint(tmp_path, four_devices.first())
    want = ast.literal_eval(done.stdout)
    assert [leaf.tolist() for leaf in jax.tree.leaves(kept.train_state[:3])] == want
    got, one = four_devices.train(str(tmp_path), None, 9), four_devices.train(None, None, 9)
    assert got.resumed == 5
    for a, b in zip(values(got), values(one), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


# The folder ---------------------------------------------------------------------------------------


def test_a_relative_path(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch):
    """It is that of the beginning, wherever the process goes to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    result = fit("run", on_step=lambda n, _: os.chdir(tmp_path / "elsewhere") if n == 2 else None)
    assert names(tmp_path) == {"run", "elsewhere"} and not names(tmp_path / "elsewhere")
    assert_same(load_checkpoint(tmp_path / "run", first()), result)


@contextlib.contextmanager
def small_files() -> Iterator[None]:
    """The system refuses to write the larger ones."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**19, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def large() -> jaxnn.training.TrainState:
    """A megabyte that cannot be compressed."""
    big = jax.random.normal(jax.random.key(2), (2**18,), "f")
    params = {"kernel": jnp.zeros(2, "f"), "big": big}
    state = jnp.zeros((), jnp.float32)
    return jaxnn.training.train_state(params, OPTIMIZER, jax.random.key(0), state)


@pytest.mark.parametrize("every", [4, 100], ids=["on the way", "at the end"])
def test_a_full_disk(every: int, tmp_path: pathlib.Path):
    """What cannot be written in the background is an error of fit; the training is in it."""
    failed = pytest.raises(OSError, match=r"^fit: the checkpoint step_.* not be written")
    with small_files(), failed as caught:
        fit(tmp_path, every=every, train_state=large())
    reached: Fit = caught.value.fit  # pyright: ignore[reportAttributeAccessIssue]
    assert len(reached.history.loss) == {4: 8, 100: 20}[every]
    assert np.isfinite(values(reached)[0]).all()
    assert names(tmp_path) == {".lock"}  # and what was half written is gone


def test_an_error_of_the_batches_is_not_hidden(tmp_path: pathlib.Path):
    """By that of a checkpoint, of which it has a note."""

    def broken(n: int) -> np.ndarray:
        if n == 5:
            raise KeyError("mine")
        return DATA[n]

    with small_files(), pytest.raises(KeyError, match="mine") as caught:
        fit(tmp_path, jaxnn.data.by_number(broken), train_state=large())
    assert any("the checkpoint step_4 could not be" in note for note in caught.value.__notes__)


@pytest.mark.skipif(sys.platform != "linux", reason="the folder of the system's")
def test_a_folder_that_cannot_be_written():
    """Before the first step, also for root."""
    steps: list[int] = []
    for folder in ("/sys", "/sys/new", __file__):
        with pytest.raises(OSError, match=r"^fit: checkpoints cannot be written to") as caught:
            fit(folder, on_step=lambda n, _: steps.append(n))
        assert caught.value.errno
    assert not steps


def test_two_trainings_in_one_folder(tmp_path: pathlib.Path):
    """Would remove each other's; the second one is refused, until the first has ended."""
    code = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); "
    code += "print('locked', flush=True); sys.stdin.read()"
    command, pipe = [sys.executable, "-c", code, str(tmp_path / ".lock")], subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None and other.stdout.readline() == b"locked\n"
        with pytest.raises(BlockingIOError, match="another process has its checkpoints in"):
            fit(tmp_path)
        other.communicate()
    with pytest.raises(BlockingIOError, match="another training of this process has") as caught:
        fit(tmp_path, on_step=lambda n, _: fit(tmp_path))
    assert len(caught.value.fit.history.loss) >= 1  # pyright: ignore[reportAttributeAccessIssue]
    assert fit(tmp_path).resumed == 0


def test_without_orbax(
    finished: pathlib.Path, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """The error says which extra has it."""
    monkeypatch.setitem(sys.modules, "orbax.checkpoint", None)
    for call in (lambda: fit(tmp_path), lambda: load_checkpoint(finished, first())):
        with pytest.raises(ImportError, match=r"pip install 'jaxnn-cells\[checkpoint\]'"):
            call()
    assert not names(tmp_path)


def test_a_folder_without_checkpoints(tmp_path: pathlib.Path):
    """Nothing to read, and nothing is made."""
    for folder in (tmp_path, tmp_path / "none"):
        with pytest.raises(FileNotFoundError, match="load_checkpoint: there is no"):
            load_checkpoint(folder, first())
    assert not names(tmp_path)


# The place in the data ----------------------------------------------------------------------------


class Own:
    """An iterator of one's own, with a place that is hard to keep."""

    def __init__(self) -> None:
        self.random = np.random.Generator(np.random.MT19937(1))

    def __iter__(self) -> "Own":
        return self

    def __next__(self) -> np.ndarray:
        return self.random.normal(size=(4, 2)).astype(np.float32)

    def get_state(self) -> Any:
        return self.random.bit_generator.state

    def set_state(self, state: Any) -> None:
        self.random.bit_generator.state = state


def generated() -> Iterator[np.ndarray]:
    """The same each time, without a place."""
    yield from DATA


class Source:
    """What grain reads from."""

    def __len__(self) -> int:
        return 30

    def __getitem__(self, index: Any) -> Any:
        return DATA[index]


def of_grain() -> Any:
    """Shuffled, and over again."""
    return grain.MapDataset.source(Source()).shuffle(seed=3).repeat(2).to_iter_dataset()


DATA_OF = {
    "batches": lambda: jaxnn.data.batches(DATA, range(30), 4, seed=0, epochs=5),
    "chunks": lambda: jaxnn.data.chunks(DATA, 1),
    "of one's own": Own,
    "grain": of_grain,
    "grain's iterator": lambda: iter(of_grain()),
    "a list": lambda: list(DATA),
    "an array": lambda: DATA,
    "a generator": generated,
}


@pytest.mark.parametrize("what", DATA_OF)
def test_the_place_in_the_data(what: str, tmp_path: pathlib.Path):
    """Whatever says where it is goes on there; a generator is taken anew, if that is asked for."""

    def take_xs(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return loss(params, state, batch[0][0], key)

    nested = what in ("batches", "chunks")
    step = jaxnn.training.train_step(take_xs, OPTIMIZER) if nested else STEP

    def train(folder: Any, steps: int) -> Fit:
        checkpoint = folder and CheckpointOptions(folder, replay=what == "a generator")
        return jaxnn.training.fit(
            step, first(), DATA_OF[what](), steps, progress=False, checkpoint=checkpoint or None
        )

    train(tmp_path, 9)
    result = train(tmp_path, 14)
    assert result.resumed == 9
    assert_same(result, train(None, 14))


def test_batches_without_a_place(tmp_path: pathlib.Path):
    """Refused before the first step; and so are fewer than there were."""
    with pytest.raises(TypeError, match=r"fit: with checkpoint, batches must .*replay=True"):
        fit(tmp_path, generated())
    assert not names(tmp_path)
    fit(tmp_path, generated(), 9, replay=True)
    with pytest.raises(ValueError, match="had taken 9 batches, and there are 5 only"):
        fit(tmp_path, iter(DATA[:5]), replay=True)


def test_what_a_checkpoint_cannot_hold(tmp_path: pathlib.Path):
    """A place or an evaluation that is no data, before the night and not in it."""

    class Strange(Own):
        def get_state(self) -> Any:
            return {"of": self}

    with pytest.raises(TypeError, match=r"^fit: the state of batches must be of .* got Strange"):
        fit(tmp_path, Strange())
    with pytest.raises(TypeError, match=r"^fit: what evaluate gives must be of .* got object"):
        fit(tmp_path, best=None, evaluate=lambda _: object())


def test_values_as_json():
    """They come back as they were."""
    value = {
        "a": [1, -(2**70), 0.1, float("inf"), True, None, "é", b"\0\xff"],
        3: (1, (2.5,), {}, {"array": 1}, {"tuple": [1]}),
        "arrays": [np.arange(6).reshape(2, 3).T, np.zeros((0, 2), "f"), np.array([True])],
        "big end": np.arange(3, dtype=">i4"),
    }
    back = from_json(json.loads(json.dumps(to_json("test", value))))
    assert back[3] == value[3] and back["a"] == value["a"]
    for got, want in zip(back["arrays"], value["arrays"], strict=True):
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(back["big end"], value["big end"])
    half = to_json("test", jnp.full(2, 0.5, jnp.bfloat16))
    assert from_json(half).dtype == jnp.bfloat16 and from_json(half).tolist() == [0.5, 0.5]
    assert from_json(to_json("test", [jnp.float32(0.5), np.int8(3)])) == [0.5, 3]
    for bad in (object(), {1, 2}, jax.random.key(0), np.array(["a"]), 1j):
        with pytest.raises(TypeError, match=r"^test must be of numbers"):
            to_json("test", [bad])
