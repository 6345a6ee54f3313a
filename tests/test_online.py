"""Learning forward in time gives the gradient of backpropagation, or what it is said to give."""

import copy
import operator
import pickle
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxnn

KEY = jax.random.key(0)
FEATURES, BATCH = 3, 2
TOLERANCE = {"float32": 2e-6, "float64": 1e-10}


def indrnn(units: int, dtype: Any = "float32", features: int = FEATURES) -> jaxnn.Cell[Any, Any]:
    """h' = relu(x W + u∘h + b): its recurrence is diagonal."""

    def init(key: jax.Array) -> Any:
        keys = jax.random.split(key, 3)
        return {
            "kernel": jax.random.normal(keys[0], (features, units), dtype),
            "u": jax.random.uniform(keys[1], (units,), dtype, 0.8, 1.0),
            "bias": jax.random.normal(keys[2], (units,), dtype) / 10,
        }

    def combine(params: Any, projected: Any, mixed: Any, h: Any) -> Any:
        bias = jnp.expand_dims(params["bias"], tuple(range(h.ndim - 1)))
        return jax.nn.relu(projected + mixed + bias)

    return jaxnn.split_cell(
        init,
        lambda params, x: x @ params["kernel"],
        lambda params, h: h * jnp.expand_dims(params["u"], tuple(range(h.ndim - 1))),
        combine,
        lambda params, batch=(): jnp.zeros((*batch, units), dtype),
        output=lambda h: h,
    )


def square(y: Any, target: Any) -> Any:
    return jnp.sum(jnp.square(y - target))


class Problem:
    """A cell, its parameters, and a sequence with masks (over NaN) and resets."""

    def __init__(
        self, cell: Any, time: int = 12, batch: tuple[int, ...] = (BATCH,), dtype: Any = "float32"
    ) -> None:
        keys = jax.random.split(jax.random.key(1), 4)
        self.cell, self.params = cell, cell.init(KEY)
        self.mask = jax.random.bernoulli(keys[0], 0.8, (time, *batch))
        self.reset = jax.random.bernoulli(keys[1], 0.1, (time, *batch))
        xs = jax.random.normal(keys[2], (time, *batch, FEATURES), dtype)
        y = jax.eval_shape(cell.unroll, self.params, xs)[1]
        targets = jax.random.normal(keys[3], y.shape, dtype)
        valid = self.mask[..., None]
        self.xs, self.targets = jnp.where(valid, xs, jnp.nan), jnp.where(valid, targets, jnp.nan)
        self.flags = {"mask": self.mask, "reset": self.reset}

    def loss(self, params: Any) -> Any:
        _, ys = self.cell.unroll(params, self.xs, **self.flags)
        valid = self.mask[..., None]
        return jnp.sum(jnp.where(valid, jnp.square(ys - jnp.where(valid, self.targets, 0)), 0))

    def right(self) -> Any:
        """By backpropagation through time."""
        return jax.jit(jax.grad(self.loss))(self.params)

    def learned(self, learner: Any, **more: Any) -> Any:
        return learner.unroll(self.params, self.xs, self.targets, square, **self.flags, **more)


def apart(found: Any, right: Any) -> float:
    """The relative L2 difference."""
    assert jax.tree.structure(found) == jax.tree.structure(right)
    a, b = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(t)]) for t in (found, right))
    assert np.isfinite(a).all() and np.linalg.norm(b) > 0
    return float(np.linalg.norm(a.astype(float) - b) / np.linalg.norm(b.astype(float)))


CELLS: dict[str, Any] = {"elman": jaxnn.elman, "gru": jaxnn.gru, "lstm": jaxnn.lstm}


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("name", CELLS)
def test_exact_is_backpropagation(name: str, dtype: str) -> None:
    problem = Problem(CELLS[name](FEATURES, 16, dtype=dtype), 1600, dtype=dtype)
    learned = problem.learned(jaxnn.online(problem.cell))
    assert apart(learned.gradient, problem.right()) < TOLERANCE[dtype]
    assert apart(learned.loss, problem.loss(problem.params)) < 10 * TOLERANCE[dtype]
    assert int(learned.weight) == int(problem.mask.sum())
    state, _ = problem.cell.unroll(problem.params, problem.xs, **problem.flags)
    assert apart(learned.state, state) < 10 * TOLERANCE[dtype]
    assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(learned.gradient))


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("method", ["unit", "exact"])
def test_a_diagonal_recurrence_loses_nothing(method: Any, dtype: str) -> None:
    problem = Problem(indrnn(16, dtype), 1600, dtype=dtype)
    learned = problem.learned(jaxnn.online(problem.cell, method))
    assert apart(learned.gradient, problem.right()) < TOLERANCE[dtype]


def test_a_stack_as_one_is_exact() -> None:
    problem = Problem(jaxnn.stack(jaxnn.gru(FEATURES, 4), indrnn(5, features=4), jaxnn.dense(5, 2)))
    assert apart(problem.learned(jaxnn.online(problem.cell)).gradient, problem.right()) < 2e-6


@pytest.mark.parametrize("method", ["exact", "unit"])
def test_a_stack_by_layer_is_exact_at_the_top(method: Any) -> None:
    """From the readout down to the first recurrent layer; below, something is left out."""
    cell = jaxnn.stack(
        jaxnn.dense(FEATURES, 4), jaxnn.gru(4, 4), indrnn(5, features=4), jaxnn.dense(5, 2)
    )
    problem = Problem(cell, 30)
    found = problem.learned(jaxnn.online(cell, method, by_layer=True)).gradient
    differences = [apart(a, b) for a, b in zip(found, problem.right(), strict=True)]
    assert max(differences[2:]) < 2e-6
    assert min(differences[:2]) > 1e-3 and max(differences[:2]) < 1


@pytest.mark.parametrize("around", ["learned_initial_state", "residual", "output_state"])
def test_what_stands_around_a_cell(around: str) -> None:
    """A learned start gets its gradient; an input that goes past the cell has none to get."""
    problem = Problem(getattr(jaxnn, around)(indrnn(FEATURES)))
    right = problem.right()
    for method in ("exact", "unit"):
        assert apart(problem.learned(jaxnn.online(problem.cell, method)).gradient, right) < 2e-6
    if around == "learned_initial_state":
        assert float(jnp.abs(right.start).sum()) > 0


def test_a_stack_with_residuals_by_layer() -> None:
    cells = [indrnn(FEATURES) for _ in range(2)]
    problem = Problem(jaxnn.stack(*cells, residual=True))
    found = problem.learned(jaxnn.online(problem.cell, by_layer=True)).gradient
    assert apart(found[1], problem.right()[1]) < 2e-6


def test_tokens() -> None:
    cell = jaxnn.stack(jaxnn.embedding(5, FEATURES), jaxnn.gru(FEATURES, 4), jaxnn.dense(4, 2))
    params, tokens = cell.init(KEY), jax.random.randint(jax.random.key(1), (9, BATCH), 0, 5)
    targets = jnp.ones((9, BATCH, 2), jnp.float32)
    right = jax.grad(lambda params: square(cell.unroll(params, tokens)[1], targets))(params)
    for by_layer in (False, True):
        learned = jaxnn.online(cell, by_layer=by_layer).unroll(params, tokens, targets, square)
        first = 0 if not by_layer else 1
        assert apart(learned.gradient[first:], right[first:]) < 2e-6


# What SnAp-1 leaves out ---------------------------------------------------------------------------


def own_unit_alone(problem: Problem) -> Any:
    """SnAp-1 as its paper defines it, from dense Jacobians: of the influence that is carried what a
    parameter does to its own unit. The step of the loss itself is not cut."""
    cell, params = problem.cell, problem.params
    leaves, structure = jax.tree.flatten(params)
    states = jax.tree.structure(cell.initial_state(params))

    def step(leaves: Any, state: Any, x: Any) -> Any:
        new, _ = cell.apply(structure.unflatten(leaves), states.unflatten(state), x)
        return jax.tree.leaves(new)

    derivatives = jax.jit(jax.jacrev(step, argnums=(0, 1)))
    state = jax.tree.leaves(cell.initial_state(params))
    influence = [[jnp.zeros((leaf.size, *p.shape), p.dtype) for p in leaves] for leaf in state]
    found = [jnp.zeros_like(p) for p in leaves]
    for x, target in zip(problem.xs, problem.targets, strict=True):
        rows = derivatives(leaves, state, x)
        state = step(leaves, state, x)
        whole = [
            [
                immediate[p]
                + sum(
                    jnp.tensordot(by, old[p], 1)
                    for by, old in zip(jacobian, influence, strict=True)
                )
                for p in range(len(leaves))
            ]
            for immediate, jacobian in rows
        ]
        y_bar = 2 * (state[0] - target)  # the output of these cells is the first leaf of the state
        found = [old + jnp.tensordot(y_bar, by, 1) for old, by in zip(found, whole[0], strict=True)]
        influence = [[own_unit(by) for by in row] for row in whole]
    return structure.unflatten(found)


def own_unit(influence: Any) -> Any:
    eye = jnp.eye(len(influence), dtype=influence.dtype)
    return influence * jnp.broadcast_to(
        jnp.expand_dims(eye, tuple(range(1, influence.ndim - 1))), influence.shape
    )


@pytest.mark.parametrize(
    "cell",
    [
        jaxnn.elman(FEATURES, 4),
        jaxnn.gru(FEATURES, 4),
        jaxnn.lstm(FEATURES, 4, peephole=True),
        jaxnn.lstm(FEATURES, 3, coupled=True),
        jaxnn.gru(FEATURES, 1),
    ],
    ids=repr,
)
def test_unit_keeps_a_parameters_own_unit(cell: Any) -> None:
    problem = Problem(cell, 8, ())
    problem.flags = {}
    problem.xs, problem.targets = (jnp.nan_to_num(part) for part in (problem.xs, problem.targets))
    found = problem.learned(jaxnn.online(cell, "unit")).gradient
    assert apart(found, own_unit_alone(problem)) < 2e-6


def mixing(combine: Any, mix: Any = lambda w, h: h * w[0], last: int = 4) -> Any:
    """A cell of four units, one of whose functions does what it should not."""
    return jaxnn.split_cell(
        lambda key: jnp.full((FEATURES, last), 0.5, jnp.float32),
        lambda w, x: x @ w,
        mix,
        combine,
        lambda w, batch=(): jnp.zeros((*batch, 4), jnp.float32),
        output=lambda h: h,
    )


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (jaxnn.gru(FEATURES, 4, reset_after=False), "dot_general of"),
        (jaxnn.mgu(FEATURES, 4), "dot_general of"),
        (jaxnn.conv_lstm(FEATURES, 4, (5,), (3,)), "a vector of units"),
        (
            mixing(lambda w, p, m, h: jnp.tanh((p + m) - jnp.mean(p + m, -1, keepdims=True))),
            "units",
        ),
        (mixing(lambda w, p, m, h: jnp.tanh(jnp.flip(p, -1) + m)), "rev of"),
        (mixing(lambda w, p, m, h: jnp.tanh(jnp.roll(p, 1, -1) + m)), "slice of"),
        (mixing(lambda w, p, m, h: jnp.cumsum(p + m, -1)), "cumsum of"),
        (mixing(lambda w, p, m, h: jax.nn.softmax(p + m)), "units apart"),
        (
            mixing(lambda w, p, m, h: p[..., :4] * p[..., 4:] + h, lambda w, h: h, last=8),
            "the unit as their last axis",
        ),
        (jaxnn.learned_initial_state(jaxnn.stack(indrnn(4), jaxnn.dense(4, 2))), "last axis"),
        (jaxnn.stack(indrnn(4), jaxnn.mgu(4, 4)), "part 1, mgu(4, 4)"),
    ],
    ids=str,
)
def test_unit_refuses_what_it_is_not_for(cell: Any, words: str) -> None:
    learner, params = jaxnn.online(cell, "unit"), cell.init(KEY)
    shape = (5, FEATURES) if "conv" in str(cell) else (FEATURES,)
    with pytest.raises(ValueError, match=r"'unit' is for cells") as caught:
        trace = learner.init(params)
        learner.apply(params, cell.initial_state(params), trace, jnp.ones(shape, jnp.float32))
    assert words in str(caught.value) and "online(" in str(caught.value)


# UORO ---------------------------------------------------------------------------------------------

SEEDS, BOUND = 4096, 4.5


def test_uoro_is_right_on_average() -> None:
    """The mean over seeds lies within BOUND standard errors, in each parameter; a gradient that
    stops at the step does not."""
    cell = jaxnn.learned_initial_state(jaxnn.gru(FEATURES, 3, dtype="float64"))
    problem = Problem(cell, 6, (), "float64")
    params = problem.params
    learner = jaxnn.online(cell, "uoro")

    def one(key: Any) -> Any:
        first = cell.initial_state(params), learner.init(params, (), key)
        return problem.learned(learner, state=first[0], trace=first[1]).gradient

    flat = lambda tree: np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(tree)])  # noqa: E731
    found = jax.jit(jax.vmap(one))(jax.random.split(jax.random.key(5), SEEDS))
    rows = np.concatenate(
        [np.reshape(leaf, (SEEDS, -1)) for leaf in jax.tree.leaves(found)], axis=1
    )
    right = flat(problem.right())
    error = rows.std(axis=0, ddof=1) / SEEDS**0.5
    assert error.min() > 0
    score = (rows.mean(axis=0) - right) / error
    assert np.abs(score).max() < BOUND
    assert np.linalg.norm(error) < 0.1 * np.linalg.norm(right)
    stopped = np.zeros_like(right)
    state, trace = cell.initial_state(params), learner.init(params, (), KEY)
    for x, target, reset, mask in zip(
        problem.xs, problem.targets, problem.reset, problem.mask, strict=True
    ):
        none = trace._replace(params=jax.tree.map(jnp.zeros_like, trace.params))
        state, trace, y, seen = learner.apply(params, state, none, x, None, reset, mask)
        if mask:
            stopped += flat(learner.gradient(params, seen, 2 * (y - target)))
    assert np.abs((stopped - right) / error).max() > 2 * BOUND


# One step, and many -------------------------------------------------------------------------------


@pytest.mark.parametrize(("method", "batch"), [("exact", (2, 1)), ("unit", ()), ("uoro", (BATCH,))])
def test_steps_add_up_to_the_sequence(method: Any, batch: tuple[int, ...]) -> None:
    cell = jaxnn.learned_initial_state(jaxnn.gru(FEATURES, 4))
    problem, learner = Problem(cell, 5, batch), jaxnn.online(cell, method)
    params, key = problem.params, KEY if method == "uoro" else None
    first = cell.initial_state(params, batch), learner.init(params, batch, key)
    state, trace = first
    total = jax.tree.map(jnp.zeros_like, params)
    for x, target, reset, mask in zip(
        problem.xs, problem.targets, problem.reset, problem.mask, strict=True
    ):
        state, trace, y, seen = learner.apply(params, state, trace, x, None, reset, mask)
        y_bar = 2 * (y - target)  # NaN where it is masked
        total = jax.tree.map(operator.add, total, learner.gradient(params, seen, y_bar))
    learned = problem.learned(learner, state=first[0], trace=first[1])
    assert apart(total, learned.gradient) < 1e-5
    assert apart(state, learned.state) < 1e-5
    ours, theirs = (
        [leaf for leaf in jax.tree.leaves(t) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        for t in (trace, learned.trace)
    )
    assert apart(ours, theirs) < 1e-5


@pytest.mark.parametrize("method", ["exact", "unit", "uoro"])
def test_masks_and_resets(method: Any) -> None:
    """A masked step changes nothing; a reset drops what was, NaN included."""
    cell, batch = jaxnn.gru(FEATURES, 4), (3,)
    learner, params = jaxnn.online(cell, method), cell.init(KEY)
    key = KEY if method == "uoro" else None
    first, begun = cell.initial_state(params, batch), learner.init(params, batch, key)
    x = jnp.ones((3, FEATURES), jnp.float32)
    state, trace, _, _ = learner.apply(params, first, begun, x)
    bad = jnp.array([False, True, False])
    spoilt = jax.tree.map(lambda leaf: jnp.where(bad[:, None], jnp.nan, leaf), state)
    mask, reset = jnp.array([True, True, False]), jnp.array([False, True, True])
    x = x.at[2].set(jnp.nan)
    new, after, y, seen = learner.apply(params, spoilt, trace, x, None, reset, mask)
    fresh, _ = cell.apply(params, first, x)
    kept, _ = cell.apply(params, state, x)
    right = np.stack([kept.hidden[0], fresh.hidden[1], state.hidden[2]])
    np.testing.assert_allclose(new.hidden, right, atol=1e-6)
    np.testing.assert_allclose(y, right * np.array([[1], [1], [0]]), atol=1e-6)
    old, now = (
        [leaf[2] for leaf in jax.tree.leaves(t) if jnp.issubdtype(leaf.dtype, jnp.floating)]
        for t in (trace, after)
    )
    assert jax.tree.all(jax.tree.map(np.array_equal, old, now))
    y_bar = jnp.ones_like(y).at[2].set(jnp.nan)
    found = learner.gradient(params, seen, y_bar)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_nothing_is_learned_where_all_is_masked() -> None:
    problem = Problem(jaxnn.gru(FEATURES, 4), 3)
    problem.flags["mask"] = jnp.zeros_like(problem.mask)
    problem.xs, problem.targets = (jnp.full_like(a, jnp.nan) for a in (problem.xs, problem.targets))
    learned = problem.learned(jaxnn.online(problem.cell))
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(learned))


def test_no_steps() -> None:
    cell = jaxnn.gru(FEATURES, 4)
    learner, params = jaxnn.online(cell), cell.init(KEY)
    nothing = jnp.zeros((0, BATCH, FEATURES)), jnp.zeros((0, BATCH, 4))
    with jax.enable_x64(False):
        learned = learner.unroll(params, *(a.astype("float32") for a in nothing), square)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(learned))


def test_keys_are_those_of_the_step() -> None:
    """Without a batch; each sequence of a batch has a key of its own."""

    def apply(params: Any, state: Any, x: Any, key: Any = None) -> Any:
        noise = 0 if key is None else jax.random.normal(key, state.shape, state.dtype)
        state = jnp.tanh(x @ params + noise + state)
        return state, state

    cell = jaxnn.cell(
        lambda key: jax.random.normal(key, (FEATURES, 4), "float32"),
        apply,
        lambda params, batch=(): jnp.zeros((*batch, 4), "float32"),
    )
    learner, params = jaxnn.online(cell), cell.init(KEY)
    xs = jax.random.normal(KEY, (6, BATCH, FEATURES), "float32")
    targets = jnp.ones((6, BATCH, 4), "float32")

    def loss(params: Any, keys: Any) -> Any:
        def one(xs: Any, keys: Any) -> Any:
            state, total = cell.initial_state(params), jnp.zeros((), "float32")
            for x, key in zip(xs, keys, strict=True):
                state, y = cell.apply(params, state, x, key)
                total += square(y, jnp.ones(4, "float32"))
            return total

        return jnp.sum(jax.vmap(one, in_axes=1)(xs, keys))

    keys = jax.vmap(lambda key: jax.random.split(key, BATCH))(jax.random.split(KEY, 6))
    right = jax.grad(loss)(params, keys)
    learned = learner.unroll(params, xs, targets, square, key=KEY)
    assert apart(learned.gradient, right) < 2e-6
    one = learner.unroll(params, xs[:, 0], targets[:, 0], square, key=KEY)
    right = jax.grad(lambda p: square(cell.unroll(p, xs[:, 0], key=KEY)[1], targets[:, 0]))(params)
    assert apart(one.gradient, right) < 2e-6


# What jax does with it ----------------------------------------------------------------------------


def test_the_loss_is_differentiated_like_any_other() -> None:
    """Its gradient is the one that comes with it, and the derivative of that the Hessian's."""
    problem = Problem(jaxnn.gru(FEATURES, 2, dtype="float64"), 4, (), "float64")
    learner, params = jaxnn.online(problem.cell), problem.params
    v = jax.tree.map(jnp.ones_like, params)

    def run(params: Any) -> Any:
        return learner.unroll(params, problem.xs, problem.targets, square, **problem.flags)

    @jax.jit
    def every(params: Any) -> Any:
        by_grad = jax.grad(lambda params: run(params).loss)(params)
        _, twice = jax.jvp(lambda params: run(params).gradient, (params,), (v,))
        _, right = jax.jvp(jax.grad(problem.loss), (params,), (v,))
        return by_grad, run(params).gradient, twice, right

    by_grad, gradient, twice, right = every(params)
    assert apart(by_grad, gradient) < 1e-10 and apart(twice, right) < 1e-10


def test_vmap_is_the_batch() -> None:
    problem = Problem(jaxnn.gru(FEATURES, 4), 5)
    learner = jaxnn.online(problem.cell, "unit")
    whole = problem.learned(learner)

    def run(xs: Any, targets: Any, mask: Any, reset: Any) -> Any:
        return learner.unroll(problem.params, xs, targets, square, mask=mask, reset=reset)

    each = jax.vmap(run, 1, 0)(problem.xs, problem.targets, problem.mask, problem.reset)
    assert apart(jax.tree.map(lambda leaf: jnp.sum(leaf, 0), each.gradient), whole.gradient) < 1e-6
    assert apart(each.trace, whole.trace) < 1e-6


@pytest.mark.parametrize(
    ("method", "cell"), [("exact", "elman"), ("unit", "lstm"), ("uoro", "gru")]
)
def test_memory_does_not_grow_with_time(method: Any, cell: str) -> None:
    """To the byte, in the compiled program; a million steps are compiled and not run."""
    model = CELLS[cell](FEATURES, 16)
    learner, params = jaxnn.online(model, method), jax.eval_shape(model.init, KEY)

    def run(params: Any, key: Any, xs: Any, targets: Any) -> Any:
        key = key if method == "uoro" else None
        first = model.initial_state(params), learner.init(params, (), key)
        return learner.unroll(params, xs, targets, square, *first)

    def temporaries(steps: int) -> int:
        shapes = [jax.ShapeDtypeStruct((steps, size), "float32") for size in (FEATURES, 16)]
        compiled: Any = jax.jit(run).lower(params, KEY, *shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert 0 < temporaries(100) == temporaries(10**6)


def test_export_with_any_time_and_batch() -> None:
    cell = jaxnn.stack(jaxnn.gru(FEATURES, 4), jaxnn.dense(4, 2))
    learner, params = jaxnn.online(cell, "unit"), cell.init(KEY)
    time, batch = jax.export.symbolic_shape("time, batch")
    shapes = [jax.ShapeDtypeStruct((time, batch, size), "float32") for size in (FEATURES, 2)]

    def run(params: Any, xs: Any, targets: Any) -> Any:
        return learner.unroll(params, xs, targets, square).gradient

    exported = jax.export.export(jax.jit(run), platforms=("cpu", "cuda", "tpu"))(params, *shapes)
    problem = Problem(cell, 5)
    problem.flags = {}
    given = [jnp.nan_to_num(part) for part in (problem.xs, problem.targets)]
    assert apart(exported.call(params, *given), run(params, *given)) < 1e-6


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_sixteen_bits(dtype: str) -> None:
    problem = Problem(jaxnn.gru(FEATURES, 4, dtype=dtype), 8, dtype=dtype)
    right = problem.right()
    for method in ("exact", "unit"):
        learned = problem.learned(jaxnn.online(problem.cell, method))
        assert apart(learned.gradient, right) < (0.05 if method == "exact" else 1)
        assert learned.loss.dtype == jnp.float32
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(learned.trace))


def test_it_is_itself_again() -> None:
    learner = jaxnn.online(jaxnn.lstm(3, 4), method="unit")
    assert repr(learner) == "online(lstm(3, 4), method='unit')"
    assert jaxnn.online(jaxnn.lstm(3, 4), "unit") is learner
    assert pickle.loads(pickle.dumps(learner)) is learner is copy.deepcopy(learner)
