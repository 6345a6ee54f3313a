"""The train step on eight CPU devices; test_devices.py runs this file in a process of its own."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from collectives import Collectives, collectives
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from rows import assert_close

import jaxnn

COUNT = 8
MESH = Mesh(np.array(jax.devices("cpu")), ("batch",))
F64 = jnp.float64
MODEL = jaxnn.stack(jaxnn.elman(3, 4, dtype=F64), jaxnn.dense(4, 5, dtype=F64))
INIT = MODEL.init(jax.random.key(0))
KEY = jax.random.key(0)
EACH_STEP = jaxnn.data.Batch._make((1, 1, 1, 0, 0))


def loss(params: Any, state: Any, batch: jaxnn.data.Batch, key: Any) -> Any:
    """One label for each sequence."""
    _, ys = MODEL.unroll(params, batch.xs, mask=batch.mask, key=key)
    scores = jaxnn.masked_mean(ys, batch.mask)
    return *jaxnn.losses.cross_entropy(scores, batch.targets, batch.valid), state


def loss_of_steps(params: Any, state: Any, batch: jaxnn.data.Batch, key: Any) -> Any:
    """One label for each step; the weights of the devices are as unequal as the lengths."""
    _, ys = MODEL.unroll(params, batch.xs, mask=batch.mask, key=key)
    return *jaxnn.losses.cross_entropy(ys, batch.targets, batch.mask), state


def batches(size: int, each_step: bool = False, count: int = 2) -> list[jaxnn.data.Batch]:
    """Of lengths 0 to 6, the short ones first, so that some devices hold few valid steps."""
    rng = np.random.default_rng(size)
    lengths = np.sort(rng.integers(0, 7, size * count))
    lengths[-1] = 6
    xs = [rng.normal(size=(length, 3)) for length in lengths]
    labels: Any = rng.integers(0, 5, len(xs))
    if each_step:
        labels = [rng.integers(0, 5, length) for length in lengths]
    return list(jaxnn.data.batches(xs, labels, size, boundaries=(6,), each_step=each_step))


def start(optimizer: Any, state: Any = ()) -> jaxnn.training.TrainState:
    return jaxnn.training.train_state(INIT, optimizer, jax.random.key(1), state)


def train(step: Any, optimizer: Any, data: Any, state: Any = ()) -> Any:
    """Where two rounds over the data lead, and what each step told."""
    current, told = start(optimizer, state), []
    for batch in list(data) * 2:
        current, metrics = step(current, batch)
        told.append(metrics)
    return current._replace(key=()), told


def plain(leaf: Any) -> np.ndarray:
    """The numbers of an array, or of a key."""
    typed = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    return np.asarray(jax.random.key_data(leaf) if typed else leaf)


def assert_equal(optimizer: Any, loss: Any, data: Any, state: Any = (), **options: Any) -> None:
    """A mesh and one device lead to the same."""
    options.setdefault("mesh", MESH)
    got = train(jaxnn.training.train_step(loss, optimizer, **options), optimizer, data, state)
    want = train(jaxnn.training.train_step(loss, optimizer), optimizer, data, state)
    assert {bool(metrics.finite) for metrics in got[1]} == {True}
    numbers = jax.tree.map(plain, (got, want))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10), *numbers)


@pytest.mark.parametrize("size", [16, 10, 1])
def test_law_many_devices_are_one(size: int) -> None:
    """Whatever the lengths, and also where the batch does not divide."""
    assert_equal(optax.adamw(0.01), loss, batches(size))


@pytest.mark.parametrize("size", [16, 6])  # a batch of 6 is as large as there are steps
def test_law_many_devices_are_one_for_each_step(size: int) -> None:
    data = batches(size, each_step=True)
    assert_equal(optax.sgd(0.1), loss_of_steps, data, batch_axis=EACH_STEP)


OPTIMIZERS = {
    "clip": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.adam(0.01)),
    "plateau": lambda: optax.chain(optax.sgd(0.1), optax.contrib.reduce_on_plateau()),
    "polyak": lambda: optax.polyak_sgd(0.5),
    "lbfgs": lambda: optax.lbfgs(),
    "noise": lambda: optax.chain(optax.add_noise(0.01, 0.5, key=0), optax.sgd(0.1)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_law_any_optimizer(name: str) -> None:
    """Those that ask for the loss, and call it again, get that of the whole batch."""
    assert_equal(OPTIMIZERS[name](), loss, batches(10, count=1))


@pytest.mark.parametrize("of", ["several axes", "explicit axes", "two of them"])
def test_any_mesh(of: str) -> None:
    devices = np.array(jax.devices("cpu"))
    mesh = {
        "several axes": lambda: Mesh(devices.reshape(4, 2), ("a", "b")),
        "explicit axes": lambda: jax.make_mesh((8,), ("data",), devices=list(devices)),
        "two of them": lambda: Mesh(devices[2:4], ("x",)),
    }[of]()
    assert_equal(optax.sgd(0.1), loss, batches(10), mesh=mesh)


def chunk_loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
    (xs, ys), mask = batch
    state, guesses = MODEL.unroll(params, xs, state, mask, key=key)
    return *jaxnn.losses.mean_squared_error(guesses, ys, mask), state


def series(size: int) -> list[Any]:
    rng = np.random.default_rng(2)
    return list(
        jaxnn.data.chunks((rng.normal(size=(10, size, 3)), rng.normal(size=(10, size, 5))), 4)
    )


def test_law_a_carried_state_is_split_too() -> None:
    state = MODEL.initial_state(INIT, (16,))
    assert_equal(optax.sgd(0.1), chunk_loss, series(16), state, batch_axis=1)
    step = jaxnn.training.train_step(chunk_loss, optax.sgd(0.1), MESH, batch_axis=1)
    after, _ = step(start(optax.sgd(0.1), state), series(16)[0])
    for leaf in jax.tree.leaves(after.state):
        assert {shard.data.shape[0] for shard in leaf.addressable_shards} == {2}


def test_what_every_device_gets_whole() -> None:
    """None in batch_axis; it is no matter of samples."""

    def scaled(params: Any, state: Any, batch: Any, key: Any) -> Any:
        xs, factor = batch
        assert factor.shape == (3,)
        return *loss(params, (), xs._replace(xs=xs.xs * factor[None, None]), key)[:2], state

    axes = jaxnn.data.Batch._make((1, 0, 1, 0, 0))
    data = [(batch, np.arange(3.0)) for batch in batches(16)]
    assert_equal(optax.sgd(0.1), scaled, data, batch_axis=(axes, None))


def test_law_reduced_precision() -> None:
    """The sum of float16 gradients would overflow before it is divided."""
    data = np.full((16, 1), 8192.0, np.float16), np.zeros(16, bool)

    def large(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del key
        each = params * batch[0][:, 0]
        return jnp.sum(each, dtype=jnp.float32), 1.0 * len(each), state

    optimizer = optax.sgd(2.0**-14)
    for mesh in (None, MESH):
        step = jaxnn.training.train_step(large, optimizer, mesh, batch_axis=0)
        first = jaxnn.training.train_state(jnp.ones((), jnp.float16), optimizer, KEY)
        after, metrics = step(first, data)
        assert float(metrics.gradient_norm) == 8192 and bool(metrics.finite)
        assert after.params.dtype == jnp.float16
        assert float(after.params) == 0.5


@pytest.mark.parametrize("bad", [None, 0, 1], ids=["all", "not finite", "no valid sample"])
def test_law_accumulated_batches_on_many_devices(bad: int | None) -> None:
    """One device that takes all of them at once gets to the same, whatever their weights."""
    optimizer, data = optax.adamw(0.01), batches(16, each_step=True, count=3)
    if bad is not None:
        xs, mask = data[1].xs, data[1].mask
        kept = data[1]._replace(mask=np.zeros_like(mask))
        nan = data[1]._replace(xs=np.where(np.arange(16)[None, :, None] == 15, np.nan, xs))
        data[1] = nan if bad == 0 else kept
    step = jaxnn.training.train_step(
        loss_of_steps, optimizer, MESH, batch_axis=EACH_STEP, accumulate=3
    )
    got = jaxnn.training.train_state(INIT, optimizer, KEY, accumulate=3)
    whole, want = jaxnn.training.train_step(loss_of_steps, optimizer), start(optimizer)
    good = data if bad is None else [data[0], data[2]]
    together = jaxnn.data.Batch._make(
        np.concatenate(parts, axis)
        for parts, axis in zip(zip(*good, strict=True), EACH_STEP, strict=True)
    )
    for _ in range(2):
        for number, batch in enumerate(data):
            got, metrics = step(got, batch)
            assert bool(metrics.updated) == (number == 2)
            assert bool(metrics.finite) == (bad != 0 or number != 1)
            assert float(metrics.weight) == batch.mask.sum()
        want, _ = whole(want, together)
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-8, atol=1e-10), got[:2], want[:2]
    )
    assert {len(each) for each in shards(got._replace(key=()))} == {1}


@pytest.mark.parametrize("n", [1, 2])
def test_law_aux_is_summed_over_devices(n: int) -> None:
    """Numbers and pairs, with the filling left out by the loss; the metrics of one device."""

    def told(params: Any, state: Any, batch: jaxnn.data.Batch, key: Any) -> Any:
        _, ys = MODEL.unroll(params, batch.xs, mask=batch.mask, key=key)
        scores = jaxnn.masked_mean(ys, batch.mask)
        right = jaxnn.losses.accuracy(scores, batch.targets, batch.valid)
        samples = jnp.sum(batch.valid)
        total, weight, state = loss(params, state, batch, key)
        return total, weight, state, {"right": right, "samples": samples, "total": total}

    steps = [
        jaxnn.training.train_step(told, optax.sgd(0.1), mesh, accumulate=n) for mesh in (MESH, None)
    ]
    for batch in batches(10):
        first = [jaxnn.training.train_state(INIT, optax.sgd(0.1), KEY, accumulate=n) for _ in steps]
        got, want = (step(state, batch)[1] for step, state in zip(steps, first, strict=True))
        jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-8), got, want)
        assert float(got.aux["samples"]) == batch.valid.sum()
        np.testing.assert_allclose(got.aux["total"], got.loss * got.weight, rtol=1e-8)


def test_steps_taken_too_early_on_a_mesh_change_nothing() -> None:
    """As on one device: fit reads the metrics late, and ends where each had been waited for."""
    optimizer, data = optax.adam(0.01), batches(16)
    bad = data[0]._replace(xs=np.full_like(data[0].xs, np.nan))
    step, waited = jaxnn.training.train_step(loss, optimizer, MESH), start(optimizer)
    for batch in (*data, bad):
        waited, _ = step(waited, batch)
    with pytest.warns(RuntimeWarning, match="not finite at step 3"):
        result = jaxnn.training.fit(step, start(optimizer), [*data, bad, *data * 3], progress=False)
    assert shards(result.train_state._replace(key=())) == shards(waited._replace(key=()))


def shards(tree: Any) -> list[set[bytes]]:
    """The different bytes that the devices hold of each leaf."""
    return [
        {np.asarray(shard.data).tobytes() for shard in leaf.addressable_shards}
        for leaf in jax.tree.leaves(tree)
    ]


@pytest.mark.parametrize("where", [0, 7, 15])
def test_not_finite_on_one_device_keeps_all(where: int) -> None:
    """No device moves, and all hold the same, bit for bit."""
    optimizer = optax.adam(0.1)
    step, current = jaxnn.training.train_step(loss, optimizer, MESH), start(optimizer)
    good = batches(16)[1]
    current, _ = step(current, good)
    before = shards(current[:2])
    xs = good.xs.copy()
    at = int(np.flatnonzero(good.mask[:, where])[0])
    xs[at, where] = np.nan
    current, metrics = step(current, good._replace(xs=xs))
    assert not bool(metrics.finite)
    assert shards(current[:2]) == before and {len(each) for each in before} == {1}
    current, metrics = step(current, good)
    assert bool(metrics.finite)
    after = shards(current[:2])
    assert after != before and {len(each) for each in after} == {1}


def test_no_valid_sample_on_any_device() -> None:
    optimizer = optax.adamw(0.1)
    step, current = jaxnn.training.train_step(loss, optimizer, MESH), start(optimizer)
    batch = batches(16)[0]
    before = shards(current[:2])
    current, metrics = step(current, batch._replace(valid=np.zeros(16, bool)))
    assert bool(metrics.finite) and float(metrics.weight) == 0 and shards(current[:2]) == before


def test_each_device_has_its_own_key() -> None:
    """Step n of device d draws from fold_in(fold_in(key, n), d), again and again the same."""

    def draw(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return jnp.sum(params * batch), 1.0 * len(batch), jax.random.uniform(key, state.shape)

    step = jaxnn.training.train_step(draw, optax.sgd(0.1), MESH, batch_axis=0)
    for _ in range(2):
        first = jaxnn.training.train_state(jnp.ones(()), optax.sgd(0.1), KEY, jnp.zeros(8))
        current, _ = step(first, np.ones(8))
        current, _ = step(current, np.ones(8))
        keys = [jax.random.fold_in(jax.random.fold_in(KEY, 1), device) for device in range(8)]
        want = [float(jax.random.uniform(key, (1,))[0]) for key in keys]
        np.testing.assert_array_equal(current.state, want)
        assert len(set(want)) == 8


def test_a_mesh_of_one_device_is_none() -> None:
    """With the same keys, bit for bit."""
    model = jaxnn.serial(jaxnn.dropout(0.5), jaxnn.dense(3, 5, dtype=F64))

    def noisy(params: Any, state: Any, batch: Any, key: Any) -> Any:
        scores = model.apply(params, batch.xs[-1], None, key)
        return *jaxnn.losses.cross_entropy(scores, batch.targets, batch.valid), state

    results = []
    for mesh in (None, Mesh(np.array(jax.devices("cpu")[:1]), ("batch",))):
        step = jaxnn.training.train_step(noisy, optax.sgd(0.1), mesh)
        first = jaxnn.training.train_state(model.init(KEY), optax.sgd(0.1), KEY)
        results.append(shards(step(first, batches(10)[1])[0].params))
    assert results[0] == results[1]


def test_one_trace_and_donation() -> None:
    """A train state of `train_state` and one that a step gave are the same program."""
    traces = []

    def counted(*arguments: Any) -> Any:
        traces.append(None)
        return loss(*arguments)

    step, first = jaxnn.training.train_step(counted, optax.adam(0.1), MESH), start(optax.adam(0.1))
    data = batches(16)
    second, _ = step(first, data[0])
    traced = len(traces)
    third, _ = step(second, data[1])
    step(third, jax.tree.map(jnp.asarray, data[0]))
    assert len(traces) == traced
    for gone in (first, second):
        with pytest.raises(ValueError, match="go on with the one that the step returned"):
            step(gone, data[0])


def test_fit(tmp_path: Any) -> None:
    """The loop takes such a step as any other; what it reaches can be saved."""
    optimizer, data = optax.adam(0.01), batches(10)
    steps = [jaxnn.training.train_step(loss, optimizer, mesh) for mesh in (MESH, None)]
    results = [
        jaxnn.training.fit(
            step,
            start(optimizer),
            data * 3,
            evaluate=lambda current: float(optax.tree.norm(current.params)),
            evaluate_every=2,
            progress=False,
        )
        for step in steps
    ]
    assert results[0].stopped == "done" and len(results[0].history.loss) == 6
    for a, b in zip(results[0].history[:2], results[1].history[:2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-8)
    params = results[0].train_state.params
    jaxnn.training.save(tmp_path / "params.safetensors", params)
    assert_close(jaxnn.training.load(tmp_path / "params.safetensors", like=params), params)
    bad = data[1]._replace(xs=np.full_like(data[1].xs, np.nan))
    with pytest.warns(RuntimeWarning, match="not finite at step 1"):
        jaxnn.training.fit(steps[0], start(optimizer), [bad], progress=False)


# What is exchanged.


def program(function: Any, *arguments: Any) -> str:
    """What XLA makes of a function."""
    return jax.jit(function).lower(*arguments).compile().as_text() or ""


def deep(layers: int, time: int) -> tuple[Any, Any, Any]:
    """A model, a loss and a batch."""
    cells = [jaxnn.lstm(3 if n == 0 else 4, 4, dtype=F64) for n in range(layers)]
    model = jaxnn.stack(*cells, jaxnn.dense(4, 5, dtype=F64))

    def loss(params: Any, state: Any, batch: jaxnn.data.Batch, key: Any) -> Any:
        _, ys = model.unroll(params, batch.xs, mask=batch.mask, key=key)
        scores = jaxnn.masked_mean(ys, batch.mask)
        result = *jaxnn.losses.cross_entropy(scores, batch.targets, batch.valid), state
        return *result, {"right": jaxnn.losses.accuracy(scores, batch.targets, batch.valid)}

    xs = np.ones((16, time, 3))
    return model, loss, next(jaxnn.data.batches(xs, np.zeros(16, int), 16))


@pytest.mark.parametrize(
    "layers, time, optimizer, n",
    [
        (1, 5, optax.sgd(0.1), 1),
        (1, 50, optax.sgd(0.1), 1),
        (3, 5, optax.sgd(0.1), 1),
        (3, 50, optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1)), 1),
        (1, 5, optax.adamw(0.1), 4),
    ],
    ids=["short", "long", "deep", "long and deep, adamw", "accumulated"],
)
def test_law_one_all_reduce_a_step(layers: int, time: int, optimizer: Any, n: int) -> None:
    """However long the sequences and deep the network; and none of anything else."""
    model, loss, batch = deep(layers, time)
    step = jaxnn.training.train_step(loss, optimizer, MESH, accumulate=n)
    current = jaxnn.training.train_state(model.init(KEY), optimizer, KEY, accumulate=n)
    current, _ = step(current, batch)
    split = [1, 0, 1, 0, 0]
    placed = [
        jax.device_put(leaf, NamedSharding(MESH, PartitionSpec(*[None] * axis, "batch")))
        for leaf, axis in zip(batch, split, strict=True)
    ]
    text = program(step, current, jaxnn.data.Batch(*placed))
    assert "while" in text
    assert collectives(text) == Collectives(["all-reduce"], [])


def test_the_count_of_collectives_counts() -> None:
    """Where XLA splits a loop over time by itself, it puts the exchange into the loop."""
    model, _, batch = deep(1, 5)
    split = NamedSharding(MESH, PartitionSpec(None, "batch"))
    xs = jax.device_put(batch.xs, split)

    def total(params: Any, xs: Any) -> Any:
        def body(state: Any, x: Any) -> Any:
            state, y = model.apply(params, state, x)
            return state, jnp.sum(y)

        return jnp.sum(jax.lax.scan(body, model.initial_state(params, (16,)), xs)[1])

    def meeting(params: Any, xs: Any) -> Any:
        del params
        share = jax.lax.scan(lambda c, x: (jax.lax.psum(c + jnp.sum(x), "batch"), ()), 0.0, xs)[0]
        return jax.lax.psum(share, "batch")

    met = jax.shard_map(
        meeting,
        mesh=MESH,
        in_specs=(PartitionSpec(), split.spec),
        out_specs=PartitionSpec(),
        check_vma=False,
    )
    params = model.init(KEY)
    by_xla, by_hand = program(jax.grad(total), params, xs), program(met, params, xs)
    assert collectives(by_xla).in_loops
    assert collectives(by_hand) == Collectives(["all-reduce"], ["all-reduce"])


# What is refused.


def small(params: Any, state: Any, batch: Any, key: Any) -> Any:
    """A loss of a tuple; the state is carried as it is."""
    del key
    xs, ys = batch
    return *jaxnn.losses.mean_squared_error(xs * params, ys), state


XS = np.ones((16, 3))
BATCH = batches(16)[0]
WRONG_BATCHES = {
    "no axis": (ValueError, (XS, XS), None, (), r"say which axis .* batch_axis=.*got tuple"),
    "another size": (ValueError, (XS, XS[:8]), 0, (), r"batch\[0\] has 16, batch\[1\] has 8"),
    "axis too large": (ValueError, (XS, XS), (0, 2), (), r"batch\[1\] .*float64\[16, 3\].*axis 2"),
    "negative": (ValueError, (XS, XS), -1, (), "batch_axis must be .* got -1"),
    "no integer": (TypeError, (XS, XS), (0, 1.0), (), r"batch_axis must be .* got 1\.0"),
    "a boolean": (TypeError, (XS, XS), True, (), "batch_axis must be .* got True"),
    "structure": (ValueError, (XS, XS), (0, 0, 0), (), "batch_axis must have the structure"),
    "nothing": (ValueError, (), 0, (), "no array of the batch is split"),
    "nothing split": (ValueError, (XS, XS), (None, None), (), "no array of the batch is split"),
    "no array": (TypeError, (XS, 1.0), 0, (), r"batch\[1\] must be an array, got float"),
    "remainder": (ValueError, (XS[:10], XS[:10]), 0, (), "10 samples .* 8 devices.*multiple of 8"),
    "state": (
        ValueError,
        (XS, XS),
        0,
        np.ones(8),
        r"state must be \(batch, \.\.\.\), .* 16.*\[8\]",
    ),
    "scalar state": (ValueError, (XS, XS), 0, np.ones(()), r"state must be \(batch"),
}


@pytest.mark.parametrize("name", WRONG_BATCHES)
def test_wrong_batches(name: str) -> None:
    """The error comes before the train state is donated."""
    error, batch, axis, state, message = WRONG_BATCHES[name]
    first = jaxnn.training.train_state(jnp.ones((1, 3)), optax.sgd(0.1), KEY, state)
    with pytest.raises(error, match=f"(?s)train_step: .*{message}"):
        jaxnn.training.train_step(small, optax.sgd(0.1), MESH, batch_axis=axis)(first, batch)
    assert not first.params.is_deleted()


def test_a_batch_whose_targets_may_be_anything() -> None:
    """(16, 6) may be one vector a sample or one target a step: it is never guessed."""
    step = jaxnn.training.train_step(loss_of_steps, optax.sgd(0.1), MESH)
    with pytest.raises(ValueError, match=r"batch_axis=Batch\(1, 1, 1, 0, 0\).*\(1, 0, 1, 0, 0\)"):
        step(start(optax.sgd(0.1)), batches(16, each_step=True)[0])


def test_a_state_and_a_remainder() -> None:
    def carried(params: Any, state: Any, batch: Any, key: Any) -> Any:
        return *loss(params, (), batch, key)[:2], state

    step = jaxnn.training.train_step(carried, optax.sgd(0.1), MESH)
    with pytest.raises(ValueError, match=r"10 samples .* 8 devices.* state .*multiple of 8"):
        step(start(optax.sgd(0.1), jnp.ones(10)), batches(10)[0])


def test_a_loss_that_counts_the_filling() -> None:
    """It ignores valid, which changes nothing until a batch is filled up."""

    def blind(params: Any, state: Any, batch: Any, key: Any) -> Any:
        _, ys = MODEL.unroll(params, batch.xs, key=key)
        return *jaxnn.losses.cross_entropy(ys[-1], batch.targets), state

    step, current = jaxnn.training.train_step(blind, optax.sgd(0.1), MESH), start(optax.sgd(0.1))
    current, metrics = step(current, BATCH)
    assert float(metrics.weight) == 16
    with pytest.raises(ValueError, match=r"10 samples .*neither batch\.mask nor batch\.valid"):
        step(current, batches(10)[0])


MEANS = {
    "a number": lambda xs: 1.0,
    "an array": lambda xs: jnp.ones(()),
    "computed": lambda xs: jnp.sqrt(jnp.array(4.0)),
    "within a jit": lambda xs: jax.jit(lambda xs: jnp.ones((), xs.dtype))(xs),
}


@pytest.mark.parametrize("name", MEANS)
def test_a_mean_is_no_sum(name: str) -> None:
    """A loss whose weight does not grow with the batch would be descended eightfold."""

    def mean(params: Any, state: Any, batch: Any, key: Any) -> Any:
        del key
        return jnp.mean((batch[0] * params) ** 2), MEANS[name](batch[0]), state

    first = jaxnn.training.train_state(jnp.ones((1, 3)), optax.sgd(0.1), KEY)
    step = jaxnn.training.train_step(mean, optax.sgd(0.1), MESH, batch_axis=0)
    with pytest.raises(ValueError, match=r"the weight .* same for 2 samples as for 16"):
        step(first, (XS, XS))


def test_a_mesh_that_is_none() -> None:
    for mesh in (8, "batch", jax.devices("cpu")):
        with pytest.raises(TypeError, match=r"mesh must be a jax\.sharding\.Mesh"):
            jaxnn.training.train_step(loss, optax.sgd(0.1), mesh)  # pyright: ignore[reportArgumentType]


def test_the_devices_are_as_they_are() -> None:
    """Once the CPU has its devices, another number cannot be had."""
    mesh = jaxnn.training.cpu_mesh(COUNT)
    assert (mesh.size, mesh.axis_names) == (COUNT, ("batch",))
    with pytest.raises(RuntimeError, match=r"has 8 devices already, .*the first use of jax"):
        jaxnn.training.cpu_mesh(3)
    with pytest.raises(ValueError, match="cores must be a positive integer, got 0"):
        jaxnn.training.cpu_mesh(0)


def test_many_steps_in_a_row_do_not_lock_up() -> None:
    """Nobody waits for a step here, and the batch lies on its devices already."""
    cell, optimizer = jaxnn.lstm(16, 16, dtype=F64), optax.sgd(0.01)

    def loss(params: Any, state: Any, batch: Any, key: Any) -> Any:
        ys = cell.unroll(params, batch)[1]
        return jnp.sum(ys**2), jnp.asarray(ys.size, F64), state

    step = jaxnn.training.train_step(loss, optimizer, MESH, batch_axis=1)
    split = NamedSharding(MESH, PartitionSpec(None, "batch"))
    batch = jax.device_put(jnp.ones((100, 64, 16), F64), split)
    current = jaxnn.training.train_state(cell.init(KEY), optimizer, KEY)
    for _ in range(300):
        current, _ = step(current, batch)
    assert int(current.step) == 300
