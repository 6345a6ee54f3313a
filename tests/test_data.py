"""Padding, batches and chunks: nothing lost, nothing doubled, and what does not fit is named."""

import itertools
import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import jaxnn

EPOCHS = settings(derandomize=True, deadline=None, max_examples=60)
LENGTHS = st.lists(st.integers(0, 7), min_size=1, max_size=12)
SIZES = st.integers(1, 5)


def sequences_of(lengths: list[int]) -> list[np.ndarray]:
    """Sequence i, step t holds 100 i + t + 1: never zero, as the padding is, and never twice."""
    return [
        np.float32(100 * i + 1) + np.arange(2 * n, dtype=np.float32).reshape(n, 2) / 2
        for i, n in enumerate(lengths)
    ]


def check_sample(batch: jaxnn.data.Batch, column: int, sequence: np.ndarray) -> None:
    """One column of a batch is its sequence, then zeros, and the mask says which."""
    length = len(sequence)
    np.testing.assert_array_equal(batch.xs[:length, column], sequence)
    assert not batch.xs[length:, column].any()
    np.testing.assert_array_equal(batch.mask[:, column], np.arange(len(batch.mask)) < length)


@EPOCHS
@given(
    LENGTHS, SIZES, st.none() | st.integers(0, 9), st.sampled_from([None, [2, 4, 7], [7], [3, 9]])
)
def test_an_epoch(lengths: list[int], size: int, seed: int | None, boundaries: Any):
    """Each sample is there once and whole; the rest is masked zeros; shapes are few."""
    sequences = sequences_of(lengths)
    targets = [10 * i for i in range(len(lengths))]
    epoch = list(jaxnn.data.batches(sequences, targets, size, seed, boundaries))
    seen = []
    for batch in epoch:
        time = len(batch.mask)
        assert batch.xs.shape == (time, size, 2) and batch.xs.dtype == np.float32
        assert batch.mask.dtype == batch.valid.dtype == bool
        np.testing.assert_array_equal(batch.valid, batch.sample >= 0)
        for column, i in enumerate(batch.sample):
            if i < 0:
                check_sample(batch, column, sequences[0][:0])
                assert batch.targets[column] == 0
                continue
            seen.append(i)
            check_sample(batch, column, sequences[i])
            assert batch.targets[column] == 10 * i
            limits = [max(lengths)] if boundaries is None else boundaries
            assert time == min(limit for limit in limits if limit >= lengths[i])
    assert sorted(seen) == list(range(len(lengths)))
    times = [len(batch.mask) for batch in epoch]
    assert len(set(times)) <= (1 if boundaries is None else len(boundaries))
    # at most one batch of each shape is filled up
    for time in set(times):
        assert sum(not b.valid.all() for b in epoch if len(b.mask) == time) <= 1
    if seed is None and boundaries is None:
        assert seen == list(range(len(lengths)))


@EPOCHS
@given(LENGTHS, SIZES, st.integers(0, 9))
def test_targets_at_each_step(lengths: list[int], size: int, seed: int):
    """They are cut and padded as their sequences are."""
    sequences = sequences_of(lengths)
    targets = [sequence[:, 0].astype(np.int32) for sequence in sequences]
    for batch in jaxnn.data.batches(sequences, targets, size, seed, each_step=True):
        assert batch.targets.shape == batch.mask.shape and batch.targets.dtype == np.int32
        np.testing.assert_array_equal(batch.targets, batch.xs[..., 0].astype(np.int32))


@pytest.mark.parametrize("boundaries", [None, [2, 5]])
def test_the_seed_is_the_order(boundaries: Any):
    """The same seed, the same order; another one, or None, another."""
    sequences = sequences_of([3, 1, 5, 2] * 5)

    def order(seed: Any) -> list[list[int]]:
        epoch = jaxnn.data.batches(sequences, [0] * 20, 3, seed, boundaries)
        return [batch.sample.tolist() for batch in epoch]

    for seed in (4, (4, 1), None):
        assert order(seed) == order(seed)
    orders = [order(seed) for seed in (None, 4, 5, (4, 1), (4, 2))]
    assert all(a != b for n, a in enumerate(orders) for b in orders[:n])
    # batches are shuffled too: the filled-up one is not always the last
    assert len({[-1 in sample for sample in order(seed)].index(True) for seed in range(9)}) > 1


def test_batches_of_targets_that_are_arrays():
    """Targets of any one shape are stacked; every array of the caller stays as it is."""
    sequences, targets = sequences_of([3, 0, 2]), [np.full((2, 2), i + 1.0) for i in range(3)]
    copies = [array.copy() for array in (*sequences, *targets)]
    for batch in jaxnn.data.batches(sequences, targets, 2, seed=0):
        assert batch.targets.shape == (2, 2, 2)
        np.testing.assert_array_equal(batch.targets[:, 0, 0], batch.sample + 1.0)
        for leaf in batch:
            leaf[...] = 1
    for array, copy in zip((*sequences, *targets), copies, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_jax_arrays_and_lists_are_sequences_too():
    """Whatever numpy makes an array of."""
    (batch,) = jaxnn.data.batches([jnp.ones((2, 1)), jnp.ones((1, 1))], jnp.arange(2), 2)
    assert batch.xs[:, :, 0].tolist() == [[1, 1], [1, 0]]
    (batch,) = jaxnn.data.batches([[1, 2], [3, 4]], [0, 1], 2)
    assert batch.xs.tolist() == [[1, 3], [2, 4]]


DATA = sequences_of([3, 1])
WRONG = {
    "empty": (([], [], 2), {}, ValueError, "sequences must hold at least one sequence"),
    "size 0": ((DATA, [0, 1], 0), {}, ValueError, "batch_size must be a positive integer, got 0"),
    "size 2.5": ((DATA, [0, 1], 2.5), {}, TypeError, "batch_size must be a positive integer"),
    "count": ((DATA, [0], 2), {}, ValueError, "one for each of the 2 sequences, got 1"),
    "shapes": ((DATA, [[0], [0, 1]], 1), {}, ValueError, r"target 1 must be int64\[1\].*each_step"),
    "dtypes": ((DATA, [0, 1.5], 1), {}, ValueError, r"target 1 must be int64\[\].*float64\[\]"),
    "steps": (
        (DATA, [[0, 0, 0], [0, 0]], 1),
        {"each_step": True},
        ValueError,
        "target 1 must have 1 steps",
    ),
    "features": (
        (DATA, [np.ones((3, 1)), np.ones((1, 2))], 1),
        {"each_step": True},
        ValueError,
        r"targets must be arrays .* target 1 is float64\[1, 2\], target 0 float64\[3, 1\]",
    ),
    "no steps": ((DATA, [0, 1], 1), {"each_step": True}, ValueError, r"target 0 is int64\[\]"),
    "beyond": (
        (DATA, [0, 1], 2),
        {"boundaries": [1, 2]},
        ValueError,
        "sequence 0 has 3 steps, beyond the last boundary, 2",
    ),
    "falling": ((DATA, [0, 1], 2), {"boundaries": [4, 2]}, ValueError, "rising positive"),
    "double": ((DATA, [0, 1], 2), {"boundaries": [4, 4]}, ValueError, "rising positive"),
    "zero": ((DATA, [0, 1], 2), {"boundaries": [0, 4]}, ValueError, "rising positive"),
    "fraction": ((DATA, [0, 1], 2), {"boundaries": [3.5]}, ValueError, "rising positive"),
    "none": ((DATA, [0, 1], 2), {"boundaries": []}, ValueError, "rising positive"),
    "width": (
        ([np.ones((2, 3)), np.ones((2, 4))], [0, 1], 1),
        {},
        ValueError,
        r"sequence 1 is float64\[2, 4\], sequence 0 float64\[2, 3\]",
    ),
    "mixed": (([np.ones(2), np.ones(2, "f")], [0, 1], 1), {}, ValueError, "1 is float32"),
    "numbers": (([1, 2], [0, 1], 1), {}, ValueError, r"sequence 0 is int64\[\]"),
    "seed": ((DATA, [0, 1], 2), {"seed": -1}, ValueError, "seed must be non-negative, got -1"),
    "seeds": ((DATA, [0, 1], 2), {"seed": (1, -1)}, ValueError, r"non-negative, got \(1, -1\)"),
    "seed 1.5": ((DATA, [0, 1], 2), {"seed": 1.5}, TypeError, r"seed must be an integer.*got 1\.5"),
    "seed str": ((DATA, [0, 1], 2), {"seed": "7"}, TypeError, "seed must be an integer.*got '7'"),
    "seed ()": ((DATA, [0, 1], 2), {"seed": ()}, TypeError, r"seed must be an integer.*got \(\)"),
    "no sequences": ((None, [0, 1], 2), {}, TypeError, "sequences must be a list .* NoneType"),
    "a number": ((3, [0, 1], 2), {}, TypeError, "sequences must be a list .* int"),
    "a scalar": ((np.ones(()), [0], 2), {}, TypeError, r"sequences must be .* float64\[\]"),
    "text": (("abc", [0, 1, 2], 2), {}, TypeError, "sequences must be a list of arrays.* str"),
    "texts": ((["a", "b"], [0, 1], 2), {}, TypeError, "sequence 0 must be of numbers.* <U1"),
    "objects": (([[None], [1]], [0, 1], 2), {}, TypeError, "sequence 0 must be .* got object"),
    "nones": (([None, None], [0, 1], 2), {}, TypeError, "sequence 0 must be .*made of NoneType"),
    "object array": ((np.array([None]), [0], 2), {}, TypeError, "sequence 0 must be of numbers"),
    "dates": ((np.zeros((2, 3), "M8[s]"), [0, 1], 2), {}, TypeError, "must be .* got datetime64"),
    "ragged": (([[[1], [1, 2]]], [0], 2), {}, TypeError, "sequence 0 must be an array, got list: "),
    "a set": (({1, 2}, [0, 1], 2), {}, TypeError, "sequences must be a list .*got set"),
    "a dictionary": (({0: DATA[0]}, [0], 2), {}, TypeError, "sequences must be .*got dict"),
    "a generator": ((iter(DATA), [0, 1], 2), {}, TypeError, "sequences .*iterator: use list of it"),
    "no targets": ((DATA, None, 2), {}, TypeError, "targets must be a list .* NoneType"),
    "target": ((DATA, [None, 1], 2), {}, TypeError, "target 0 must be of numbers"),
    "labels": ((DATA, ["cat", "dog"], 2), {}, TypeError, "target 0 must be of numbers .*<U3"),
    "each_step": (
        (DATA, [0, 1], 2),
        {"each_step": "no"},
        TypeError,
        "each_step must be True or False, got 'no'",
    ),
    "size str": ((DATA, [0, 1], "2"), {}, TypeError, "batch_size must be a positive integer"),
    "size None": ((DATA, [0, 1], None), {}, TypeError, "batch_size must be a positive integer"),
    "size -1": ((DATA, [0, 1], -1), {}, ValueError, "batch_size must be a positive integer"),
    "size huge": ((DATA, [0, 1], 2**62), {}, ValueError, "batch_size must be at most 2147483647"),
    "limit huge": (
        (DATA, [0, 1], 2),
        {"boundaries": [2**62]},
        ValueError,
        "batch_size=2 makes .* larger than any memory",
    ),
    "a limit": ((DATA, [0, 1], 2), {"boundaries": 4}, ValueError, "rising positive"),
    "limit str": ((DATA, [0, 1], 2), {"boundaries": "ab"}, ValueError, "rising positive"),
    "keys": ((DATA, [0, 1], 2), {"boundaries": jax.random.key(0)}, ValueError, "rising positive"),
    "limits": ((DATA, [0, 1], 2), {"boundaries": [[1], [2, 3]]}, ValueError, "rising positive"),
}


@pytest.mark.parametrize("name", WRONG)
def test_batches_errors(name: str):
    """They come with the call, not with the first batch that is taken."""
    arguments, options, error, message = WRONG[name]
    with pytest.raises(error, match=f"^batches: .*{message}"):
        jaxnn.data.batches(*arguments, **options)


def test_numbers_that_jax_cannot_hold():
    """float64 beyond float32 would be infinite in a step; it is refused where it comes in."""
    large, usual = np.full((2, 3, 1), 1e300), np.full((2, 3, 1), 1 / 3)
    with jax.enable_x64(False):
        for sequences in (large, [*usual, large[0]]):
            targets = [0] * len(sequences)
            with pytest.raises(ValueError, match=r"^batches: sequences? ?\d? .*does not"):
                jaxnn.data.batches(sequences, targets, 2)
            with pytest.raises(ValueError, match=r"^pad: sequences? ?\d? .*does not"):
                jaxnn.data.pad(sequences)
            with pytest.raises(ValueError, match=r"^chunks: tree.* .*does not fit float32"):
                jaxnn.data.chunks(list(sequences), 2)
        with pytest.raises(ValueError, match=r"^batches: target 1 .*does not fit int32"):
            jaxnn.data.batches(usual, [0, 2**40], 2)
        assert next(jaxnn.data.batches(usual, [0, 1], 2)).xs.dtype == np.float64
    assert next(jaxnn.data.batches(large, [0, 2**40], 2)).xs.max() == 1e300


def test_one_array_of_equal_lengths():
    """(samples, time, features), as others have it, is a list of sequences; what comes out is
    (time, batch, features)."""
    series = np.arange(5 * 4 * 2, dtype=np.float32).reshape(5, 4, 2)
    for array in (series, jnp.asarray(series)):
        first, last = jaxnn.data.batches(array, np.arange(5), 3)
        np.testing.assert_array_equal(first.xs, jaxnn.time_major(series)[:, :3])
        np.testing.assert_array_equal(last.xs[:, :2], jaxnn.time_major(series)[:, 3:])
        assert first.mask.all() and last.sample.tolist() == [3, 4, -1]
    (batch,) = jaxnn.data.batches(series, series[..., 0], 5, each_step=True)
    np.testing.assert_array_equal(batch.targets, series[..., 0].T)


def test_time_major():
    """The first two axes, of every array of a tree; what it is, it stays; twice is back."""
    xs, mask = np.arange(24).reshape(2, 3, 4), jnp.ones((2, 3), bool)
    got, flags = jaxnn.time_major((xs, mask))
    assert isinstance(got, np.ndarray) and isinstance(flags, jax.Array)
    np.testing.assert_array_equal(got, np.moveaxis(xs, 1, 0))
    assert flags.shape == (3, 2)
    np.testing.assert_array_equal(jaxnn.time_major(got), xs)
    assert jax.jit(jaxnn.time_major)(mask).shape == (3, 2)
    for wrong, error, message in (
        (np.ones(2), ValueError, r"x must be \(batch, time, \.\.\.\), got float64\[2\]"),
        ((xs, np.ones(2)), ValueError, r"x\[1\] must be"),
        (None, TypeError, "x must be an array, or a tree of them, got None"),
        ((), TypeError, r"got \(\)"),
        ("ab", TypeError, "x must be an array, got str"),
        ([[1, 2], [3, 4]], TypeError, r"x\[0\]\[0\] must be an array, got int"),
        (jax.ShapeDtypeStruct((2, 3), "float32"), TypeError, "got a ShapeDtypeStruct"),
    ):
        with pytest.raises(error, match=f"^time_major: .*{message}"):
            jaxnn.time_major(wrong)


def test_pad():
    """Zeros at the end, up to the longest or to `time`; nothing is cut."""
    xs, mask = jaxnn.data.pad(sequences_of([2, 0, 1]))
    assert xs[..., 0].tolist() == [[1, 0, 201], [2, 0, 0]]
    assert mask.tolist() == [[True, False, True], [True, False, False]]
    xs, mask = jaxnn.data.pad(sequences_of([2, 0]), time=4)
    assert xs.shape == (4, 2, 2) and mask.sum() == 2 and not xs[2:].any()
    xs, mask = jaxnn.data.pad([np.ones((0, 3))])
    assert xs.shape == (0, 1, 3) and mask.shape == (0, 1)
    with pytest.raises(ValueError, match="pad: sequence 1 has 3 steps, more than time=2"):
        jaxnn.data.pad(sequences_of([1, 3]), time=2)
    with pytest.raises(ValueError, match="pad: sequences must hold at least one"):
        jaxnn.data.pad([])
    with pytest.raises(ValueError, match=r"pad: .* sequence 1 is float64\[1, 2\]"):
        jaxnn.data.pad([np.ones((1, 1)), np.ones((1, 2))])
    for time in (3.5, "3", True, [3]):
        with pytest.raises(TypeError, match=r"^pad: time must be an integer or None, got"):
            jaxnn.data.pad(DATA, time=time)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^pad: time must be from 0, got -1"):
        jaxnn.data.pad(DATA, time=-1)
    with pytest.raises(ValueError, match=r"^pad: time=.* larger than any memory"):
        jaxnn.data.pad(DATA, time=2**62)
    for wrong in (None, 3, "abc", {1: DATA[0]}):
        with pytest.raises(TypeError, match=r"^pad: sequences must be a list of arrays"):
            jaxnn.data.pad(wrong)  # pyright: ignore[reportArgumentType]


@EPOCHS
@given(st.integers(1, 9), st.integers(1, 5))
def test_chunks(time: int, length: int):
    """Their valid steps, one after the other, are the arrays; all have one shape."""
    tree = {"x": np.arange(1.0, 6 * time + 1).reshape(time, 2, 3), "y": np.ones((time, 2), int)}
    pieces = list(jaxnn.data.chunks(tree, length))
    assert len(pieces) == -(-time // length)
    for piece, mask in pieces:
        assert piece["x"].shape == (length, 2, 3) and mask.shape == (length, 2)
        assert piece["y"].dtype == tree["y"].dtype and mask.dtype == bool
        assert not piece["x"][~mask].any() and not piece["y"][~mask].any()
    for name, array in tree.items():
        valid = [piece[name][mask[:, 0]] for piece, mask in pieces]
        np.testing.assert_array_equal(np.concatenate(valid), array)
        np.testing.assert_array_equal(pieces[0][0][name][:1], array[:1])


def test_chunks_errors():
    """They come with the call: unequal lengths or batches, no batch axis, no steps, no arrays."""
    ones = np.ones
    for tree in ([ones((3, 2)), ones((4, 2))], [ones((3, 2)), ones((3, 1))], ones(3), ones((0, 2))):
        with pytest.raises(ValueError, match=r"chunks: every array must be \(time, batch, ...\)"):
            jaxnn.data.chunks(tree, 2)
    with pytest.raises(ValueError, match=r"chunks: every array .* got \[\]"):
        jaxnn.data.chunks((), 2)
    with pytest.raises(ValueError, match="chunks: length must be a positive integer, got 0"):
        jaxnn.data.chunks(ones((3, 2)), 0)
    with pytest.raises(TypeError, match="chunks: length must be a positive integer"):
        jaxnn.data.chunks(ones((3, 2)), 1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"^chunks: length must be at most 2147483647"):
        jaxnn.data.chunks(ones((3, 2)), 2**62)
    for leaf in ("abc", np.array([[None]]), np.zeros((3, 2), "M8[s]")):
        with pytest.raises(TypeError, match=r"^chunks: tree\['x'\] must be an array, got"):
            jaxnn.data.chunks({"x": leaf}, 2)


def event_of(sequence: np.ndarray) -> dict[str, Any]:
    """A sample of three arrays with one time."""
    return {"x": sequence, "more": (sequence[:, 0].astype(np.int32), sequence[:, :1] > 3)}


def test_samples_that_are_trees() -> None:
    """Each leaf is as it is alone, in the same batches, and targets at every step likewise."""
    sequences = sequences_of([3, 1, 0, 4])
    events = [event_of(sequence) for sequence in sequences]
    for options in ({}, {"seed": 3, "boundaries": [2, 4]}):
        got = jaxnn.data.batches(events, events, 3, each_step=True, **options)
        alone = jaxnn.data.batches(sequences, sequences, 3, each_step=True, **options)
        for batch, want in zip(got, alone, strict=True):
            whole = event_of(np.ones((2, 2), np.float32))
            assert jax.tree.structure(batch.xs) == jax.tree.structure(whole)
            np.testing.assert_array_equal(batch.xs["x"], want.xs)
            np.testing.assert_array_equal(batch.xs["more"][0], want.xs[..., 0].astype(np.int32))
            np.testing.assert_array_equal(batch.xs["more"][1], want.xs[..., :1] > 3)
            np.testing.assert_array_equal(batch.targets["x"], want.targets)
            for one, other in zip(batch[2:], want[2:], strict=True):
                np.testing.assert_array_equal(one, other)
    pair, mask = jaxnn.data.pad([(np.ones((2, 3)), np.ones(2)), (np.ones((1, 3)), np.ones(1))])
    assert pair[0].shape == (2, 2, 3) and pair[1].tolist() == [[1, 1], [1, 0]]
    assert mask.tolist() == [[True, True], [True, False]]
    # What numpy takes for one array stays one.
    assert jaxnn.data.pad([((1.0, 2.0), (3.0, 4.0)), [[5.0, 6.0]]])[0].shape == (2, 2, 2)


ONE = {"a": np.ones(2)}


@pytest.mark.parametrize(
    ("samples", "kind", "text"),
    [
        (
            [{"a": np.ones(2), "b": np.ones(3)}],
            ValueError,
            r"of sequence 0 \['a'\] has 2 steps, and \['b'\] 3",
        ),
        ([ONE, {"b": np.ones(2)}], TypeError, r"sequence 1 must be dict of \(a\), as"),
        ([ONE, np.ones(2)], TypeError, r"sequence 1 must be dict of \(a\), as"),
        ([ONE, {"a": np.ones((2, 1))}], ValueError, r"sequence 1\['a'\] is float64\[2, 1\]"),
        ([{"a": 3.0}], ValueError, r"sequence 0\['a'\] is float64\[\]"),
        ([{"a": ["x"]}], TypeError, r"sequence 0\['a'\]\[0\] must be of numbers"),
        ([{}], TypeError, "sequence 0 must hold arrays, got {}"),
    ],
)
def test_trees_that_do_not_fit(samples: Any, kind: Any, text: str) -> None:
    with pytest.raises(kind, match=text):
        jaxnn.data.pad(samples)


def test_elapsed_is_told_by_hand() -> None:
    """Per feature and per sequence; integers of time count as float32."""
    times = np.array([[0, 1], [2, 1], [5, 4]])
    seen = np.array([[[True], [False]], [[False], [True]], [[False], [False]]])
    found = jaxnn.data.elapsed(times, seen)
    assert found.dtype == np.float32
    assert found[..., 0].tolist() == [[0, 0], [2, 0], [5, 3]]


RAGGED = sequences_of([3, 1, 2, 5, 4, 1, 2])
PLACED = {
    "batches": lambda: jaxnn.data.batches(RAGGED, np.arange(7), 2, seed=1, boundaries=[2, 5]),
    "epochs": lambda: jaxnn.data.batches(RAGGED, np.arange(7), 3, seed=(1, 2), epochs=3),
    "in order": lambda: jaxnn.data.batches(RAGGED, np.arange(7), 3, epochs=2),
    "chunks": lambda: jaxnn.data.chunks((np.ones((7, 2)), np.arange(14).reshape(7, 2)), 3),
    "by number": lambda: jaxnn.data.by_number(lambda n: np.full(2, n), count=4),
}


@pytest.mark.parametrize("what", PLACED)
def test_another_iterator_goes_on_at_its_place(what: str):
    """From every place, the end included, kept as JSON; and one of them goes back."""
    whole = [*PLACED[what]()]
    assert 3 <= len(whole) <= 12
    for taken in range(len(whole) + 1):
        one, other = PLACED[what](), PLACED[what]()
        for _ in range(taken):
            next(one)
        other.set_state(json.loads(json.dumps(one.get_state())))
        for rest in ([*other], [*one]):
            assert len(rest) == len(whole) - taken
            jax.tree.map(np.testing.assert_array_equal, rest, whole[taken:])
    back = PLACED[what]()
    start = back.get_state()
    assert len([*back]) == len(whole)
    back.set_state(start)
    jax.tree.map(np.testing.assert_array_equal, [*back], whole)


@pytest.mark.parametrize("seed", [None, 4, (4, 2)], ids=str)
def test_epochs_are_shuffled_by_their_number(seed: Any):
    """As by a loop of one's own; without a seed they are alike."""
    got = [*jaxnn.data.batches(RAGGED, np.arange(7), 3, seed, epochs=3)]
    parts = () if seed is None else seed if isinstance(seed, tuple) else (seed,)
    want = [
        batch
        for epoch in range(3)
        for batch in jaxnn.data.batches(
            RAGGED, np.arange(7), 3, None if seed is None else (*parts, epoch)
        )
    ]
    jax.tree.map(np.testing.assert_array_equal, got, want)
    orders = {str([b.sample.tolist() for b in got[at : at + 3]]) for at in (0, 3, 6)}
    assert len(orders) == (1 if seed is None else 3)


def test_by_number_without_an_end():
    """It is asked for what is taken, and no more."""
    asked: list[int] = []
    data = jaxnn.data.by_number(lambda n: asked.append(n) or n)
    assert [*itertools.islice(data, 3)] == [0, 1, 2] == asked
    data.set_state({**data.get_state(), "next": 70})
    assert next(data) == 70


def test_the_place_of_something_else():
    """Other data and other options are refused, with both; and what is no place."""
    kept = PLACED["batches"]().get_state()
    others: list[tuple[list[np.ndarray], dict[str, Any]]] = [
        (RAGGED[:6], {}),
        (sequences_of([3, 1, 2, 5, 4, 1, 3]), {}),
        (RAGGED, {"batch_size": 3}),
        (RAGGED, {"seed": 2}),
        (RAGGED, {"boundaries": [3, 5]}),
        (RAGGED, {"epochs": 1}),
    ]
    for sequences, options in others:
        usual: dict[str, Any] = {"batch_size": 2, "seed": 1, "boundaries": [2, 5]}
        other = jaxnn.data.batches(sequences, np.arange(len(sequences)), **(usual | options))
        with pytest.raises(ValueError, match=r"batches: the state is that of other data or opt"):
            other.set_state(kept)
    more = jaxnn.data.batches(RAGGED, np.arange(7), 3, seed=(1, 2), epochs=9)
    more.set_state(PLACED["epochs"]().get_state())  # a training that goes on for longer
    data = PLACED["by number"]()
    with pytest.raises(ValueError, match="by_number: there are 4, got the place 5"):
        data.set_state({**data.get_state(), "next": 5})
    for wrong in (None, 3, {}, {"next": 1}, {**data.get_state(), "more": 1}):
        with pytest.raises(TypeError, match="by_number: state must be what get_state gives"):
            data.set_state(wrong)  # pyright: ignore[reportArgumentType]
    for place in (-1, 1.0, True, "1"):
        with pytest.raises(TypeError, match="by_number: a place must be an integer from 0"):
            data.set_state({**data.get_state(), "next": place})
