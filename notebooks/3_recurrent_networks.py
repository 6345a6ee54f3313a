# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 3. Recurrent networks
#
# The networks so far take one input and forget it. Nobody reads like that: we understand each word
# from the words before it. We do not throw everything away and begin to think anew; thoughts
# persist. Or take a film in which every moment is to be labelled with what is happening: that
# depends on what happened earlier. A recurrent neural network, RNN (循环神经网络), reads such a
# sequence (序列) step by step, and keeps a state (状态) between the steps.

# %%
import itertools
from typing import NamedTuple

import drawing
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.colors import LogNorm

import jaxnn

keys = iter(jax.random.split(jax.random.key(0), 16))

# %% [markdown]
# ## The loop
#
# $$o_t = g(V s_t), \qquad s_t = f(U x_t + W s_{t-1}).$$
#
# $x_t$ is the input at time $t$, $s_t$ the hidden state (隐藏状态), $o_t$ the output. $U$, $W$ and
# $V$ are weights, and they are the same at every step. Left, the network as it is: a layer whose
# output goes back into it. Right, the same network unrolled (展开) over time, a copy for each step.

# %%
figure, axes = drawing.canvas(12.6, 4.7, scale=0.85)
look = {"size": 11, "at": 0.45}
x = drawing.circle(axes, 1.8, 0.6, "$x$", "input")
s = drawing.circle(axes, 1.8, 2.2, "$s$")
o = drawing.circle(axes, 1.8, 4.1, "$o$", "output")
drawing.arrow(axes, x, s, "$U$", **look)
drawing.arrow(axes, s, o, "$V$", at=0.5, size=11)
drawing.loop(axes, s, "$W$", color=drawing.BLUE)
axes.text(4.2, 2.3, "unrolled", ha="center", va="bottom")
drawing.arrow(axes, (3.5, 2.2), (4.9, 2.2), linewidth=2)
before = (5.2, 2.2)
for i, time in enumerate(("t-1", "t", "t+1")):
    column = 6.8 + 2.1 * i
    x = drawing.circle(axes, column, 0.6, f"$x_{{{time}}}$", "input")
    s = drawing.circle(axes, column, 2.2, f"$s_{{{time}}}$")
    o = drawing.circle(axes, column, 4.1, f"$o_{{{time}}}$", "output")
    drawing.arrow(axes, x, s, "$U$", **look)
    drawing.arrow(axes, s, o, "$V$", at=0.5, size=11)
    drawing.arrow(axes, before, s, "$W$", color=drawing.BLUE, **look)
    before = s
drawing.arrow(axes, before, (12.4, 2.2), "$W$", color=drawing.BLUE, **look)

# %% [markdown]
# Put the second equation into the first, again and again:
#
# $$o_t = g(V f(U x_t + W f(U x_{t-1} + W f(U x_{t-2} + \dots)))).$$
#
# So an output depends on all inputs up to now, through a network that is as deep as the sequence is
# long.
#
# In `jaxnn` the loop is a cell. `elman` is $s = f(x U + s_{-1} W + b)$, with samples as rows, and
# $g(V s)$ is a `dense` layer and an activation on top. The notes write no bias; `bias=False` leaves
# it out. `unroll` runs over a whole sequence, with time first.

# %%
cell = jaxnn.elman(2, 3, bias=False)
model = jaxnn.stack(cell, jaxnn.dense(3, 1, bias=False), jaxnn.activation(jax.nn.sigmoid))
params = model.init(next(keys))
xs = jax.random.normal(next(keys), (5, 2))
_, ys = model.unroll(params, xs)
print(model)
print("unroll:      ", ys[:, 0])

U, W = params[0].input_kernel[:, 0], params[0].recurrent_kernel[:, 0]  # one gate: [:, 0]
V = params[1].kernel
s, by_hand = jnp.zeros(3), []
for x in xs:
    s = jnp.tanh(x @ U + s @ W)
    by_hand.append(jax.nn.sigmoid(s @ V)[0])
print("by hand:     ", jnp.array(by_hand))

state, streamed = model.initial_state(params), []
for x in xs:
    state, y = model.apply(params, state, x)
    streamed.append(y[0])
print("step by step:", jnp.array(streamed))
assert jnp.allclose(ys[:, 0], jnp.array(by_hand), atol=1e-6)
assert jnp.allclose(ys[:, 0], jnp.array(streamed), atol=1e-6)

# %% [markdown]
# The three agree. The last form is a stream: each output is there as soon as its input is, from a
# state of fixed size. Since the weights are shared by all steps, their number does not depend on
# how long a sequence is.

# %%
print(jaxnn.describe(params))

# %% [markdown]
# ## The moments of a film, labelled
#
# A film of a room, as simple as can be: at each moment someone enters, someone leaves, a cat walks
# by, or nothing happens. The label (标签) of each moment says whether somebody is in the room.
# Where nothing happens, the picture of that moment alone cannot tell; one has to remember who came
# and went. Two models learn it by plain stochastic gradient descent, `optax.sgd`: one layer that
# sees each moment by itself, and an Elman network.

# %%
NOTHING, CAT, ENTERS, LEAVES = range(4)


def room(key, time=30, count=32):
    """One-hot moments `(time, count, 4)`, and whether somebody is inside `(time, count, 1)`."""
    moves_key, quiet_key = jax.random.split(key)
    moves = jax.random.bernoulli(moves_key, 0.2, (time, count))
    quiet = jnp.where(jax.random.bernoulli(quiet_key, 0.5, (time, count)), NOTHING, CAT)

    def moment(inside, now):
        moves, quiet = now
        event = jnp.where(moves, jnp.where(inside, LEAVES, ENTERS), quiet)
        inside = inside ^ moves
        return inside, (event, inside)

    _, (events, inside) = jax.lax.scan(moment, jnp.zeros(count, bool), (moves, quiet))
    return jax.nn.one_hot(events, 4), inside.astype(int)[..., None]


def descend(model, rate, steps, key):
    """Plain gradient descent, a fresh batch of films a step: the parameters and the losses."""

    def loss(params, state, batch, key):
        xs, labels = room(key)
        return *jaxnn.losses.binary_cross_entropy(model.apply(params, xs), labels), state

    optimizer = optax.sgd(rate)
    step = jaxnn.training.train_step(loss, optimizer)
    first = jaxnn.training.train_state(model.init(key), optimizer, key)
    last, metrics = jax.jit(lambda first: jax.lax.scan(step, first, length=steps))(first)
    return last.params, metrics.loss


watchers = {
    "each moment by itself": jaxnn.dense(4, 1),
    "Elman": jaxnn.serial(jaxnn.as_layer(jaxnn.elman(4, 8)), jaxnn.dense(8, 1)),
}
film_keys = jax.random.split(jax.random.key(3))  # of its own, so that the rest stays as it was
many, many_labels = room(film_keys[0], count=500)
one, one_labels = room(film_keys[1], count=1)
names = ("nothing", "cat", "enters", "leaves")
figure, (above, below) = plt.subplots(
    2, 1, figsize=(10, 4.4), layout="constrained", sharex=True, height_ratios=(1, 1.4)
)
above.imshow(one[:, 0].T, cmap="Greys", aspect="auto", vmax=1.4)
above.set_yticks(range(4), names)
above.set_title("one film: what is seen at each moment")
below.step(range(30), one_labels[:, 0, 0], where="mid", color="black", label="the label")
right_share = {}
for (name, model), color in zip(watchers.items(), (drawing.ORANGE, drawing.BLUE), strict=True):
    params, losses = descend(model, 0.3, 500, jax.random.key(0))
    right, count = jaxnn.losses.binary_accuracy(model.apply(params, many), many_labels)
    right_share[name] = right / count
    print(f"{name}: loss {losses[0]:.3f} -> {losses[-1]:.3f}, {right / count:.1%} of labels right")
    guess = jax.nn.sigmoid(model.apply(params, one))[:, 0, 0]
    below.plot(range(30), guess, "o-", color=color, markersize=4, label=name)
below.set(xlabel="moment", ylabel="P(somebody inside)", ylim=(-0.08, 1.3))
below.legend(frameon=False, ncols=3, loc="upper center")
assert right_share["each moment by itself"] < 0.75 and right_share["Elman"] > 0.98

# %% [markdown]
# ## What an output depends on
#
# The derivative of $o_t$ with respect to $x_k$ says how much the output at $t$ would move if the
# input at $k$ did. `jax.jacrev` gives it for every pair at once. Left, a network as it was
# initialised: an output depends on its own input and on all before it, and on nothing that comes
# later (grey: exactly zero). Right, the same after it has learned to repeat what it heard three
# steps ago, $o_t = x_{t-3}$: of all that it could look at, it looks at one thing.


# %%
def train(model, sample, steps, key):
    """Adam on a fresh batch a step, `sample(key) -> xs, targets, mask`: parameters and losses."""

    def loss(params, state, batch, key):
        xs, targets, mask = sample(key)
        return *jaxnn.losses.mean_squared_error(model.apply(params, xs), targets, mask), state

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    step = jaxnn.training.train_step(loss, optimizer)
    init_key, key = jax.random.split(key)
    first = jaxnn.training.train_state(model.init(init_key), optimizer, key)
    last, metrics = jax.jit(lambda first: jax.lax.scan(step, first, length=steps))(first)
    return last.params, metrics.loss


def heat(axes, values, title, smallest=1e-3):
    """|values| on a logarithmic scale from `smallest` to 1; exact zeros are grey."""
    cmap = plt.get_cmap("viridis").copy()
    cmap.set_bad("0.8")
    values = np.abs(np.asarray(values))
    shown = np.ma.masked_where(values == 0, np.clip(values, smallest, None))
    picture = axes.imshow(shown, cmap=cmap, norm=LogNorm(smallest, 1))
    axes.set_title(title, fontsize=10)
    return picture


TIME, BATCH, HIDDEN, DELAY = 16, 64, 16, 3


def repeat_after_three(key):
    xs = jax.random.normal(key, (TIME, BATCH, 1))
    targets = jnp.pad(xs, ((DELAY, 0), (0, 0), (0, 0)))[:TIME]
    mask = jnp.broadcast_to(jnp.arange(TIME)[:, None] >= DELAY, (TIME, BATCH))
    return xs, targets, mask


def dependence(model, params, xs):
    """|∂o_t/∂x_k| `(time, time)` for one sequence `(time, 1)`."""
    return jax.jit(jax.jacrev(lambda xs: model.apply(params, xs)))(xs)[:, 0, :, 0]


elman = jaxnn.serial(jaxnn.as_layer(jaxnn.elman(1, HIDDEN)), jaxnn.dense(HIDDEN, 1))
untrained = elman.init(next(keys))
trained, losses = train(elman, repeat_after_three, 1000, next(keys))
print(f"mean squared error {losses[0]:.3f} -> {losses[-1]:.4f}")
assert losses[-1] < 0.01

some = 0.3 * jax.random.normal(next(keys), (TIME, 1))
before, after = (dependence(elman, params, some) for params in (untrained, trained))
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
heat(panels[0], before, "untrained")
picture = heat(panels[1], after, "trained to give $x_{t-3}$")
for axes in panels:
    axes.set(xlabel="k, the input's time", ylabel="t, the output's time")
_ = figure.colorbar(picture, ax=panels, label=r"$|\partial o_t / \partial x_k|$", extend="min")
for matrix in (before, after):
    assert not matrix[np.triu_indices(TIME, 1)].any()  # nothing that comes later
size = jnp.abs(after)[DELAY:]
assert (size.argmax(axis=1) == jnp.arange(TIME - DELAY)).all()  # x_{t-3} it is
last_row = jnp.abs(before[-1])
fading = last_row[: TIME // 2].mean() / last_row[TIME // 2 :].mean()
print(f"untrained, last output: the first eight inputs count {fading:.2f} times the last eight")
assert fading > 0.2

# %% [markdown]
# Along a row of the left one, little fades: $W$ starts as an orthogonal matrix, which keeps
# lengths, and sixteen steps are few. When it fades, and how fast, is the question of chapter 4.
#
# ## Deep
#
# The states of one layer are a sequence again, so another layer can read them: a deep RNN
# (深度循环神经网络),
#
# $$s_t^{(i)} = f(U^{(i)} s_t^{(i-1)} + W^{(i)} s_{t-1}^{(i)}), \qquad s_t^{(0)} = x_t, \qquad
# o_t = g(V s_t^{(I)}).$$

# %%
figure, axes = drawing.canvas(9.6, 6.2, scale=0.85)
previous = [drawing.Part(0.6, 0.6 + 1.25 * layer) for layer in (1, 2, 3)]
for i, time in enumerate(("t-1", "t", "t+1")):
    column = 2.4 + 2.4 * i
    below = drawing.circle(axes, column, 0.6, f"$x_{{{time}}}$", "input")
    for layer in (1, 2, 3):
        s = drawing.circle(axes, column, 0.6 + 1.25 * layer, f"$s^{{({layer})}}_{{{time}}}$")
        drawing.arrow(axes, below, s, f"$U^{{({layer})}}$")
        drawing.arrow(axes, previous[layer - 1], s, f"$W^{{({layer})}}$", color=drawing.BLUE)
        previous[layer - 1] = below = s
    o = drawing.circle(axes, column, 5.6, f"$o_{{{time}}}$", "output")
    drawing.arrow(axes, below, o, "$V$")
for layer, s in enumerate(previous, 1):
    drawing.arrow(axes, s, (9.2, s.y), f"$W^{{({layer})}}$", color=drawing.BLUE)

# %% [markdown]
# `stack` puts cells on top of each other, and is a cell again: its state is a tuple, one entry for
# each layer.

# %%
lower, upper, head = jaxnn.elman(1, 8), jaxnn.elman(8, 8), jaxnn.dense(8, 1)
deep = jaxnn.stack(lower, upper, head)
params = deep.init(next(keys))
xs = jax.random.normal(next(keys), (6, 4, 1))  # 6 steps of 4 sequences
state, ys = deep.unroll(params, xs)
_, s1 = lower.unroll(params[0], xs)
_, s2 = upper.unroll(params[1], s1)
apart = jnp.abs(head.apply(params[2], s2) - ys).max()
print(f"layer by layer and whole: at most {apart:.0e} apart")
assert apart < 1e-5
print("state:", [jax.tree.map(jnp.shape, part) for part in state])

# %% [markdown]
# ## Bidirectional
#
# "I ___ hungry, so I had two bowls." What belongs in the gap is settled by what comes after it. A
# bidirectional RNN (双向循环神经网络) has two states: one comes from the left, one from the right,
# and the output reads both,
#
# $$o_t = g(V s_t + V' s'_t), \qquad s_t = f(U x_t + W s_{t-1}), \qquad
# s'_t = f(U' x_t + W' s'_{t+1}).$$

# %%
figure, axes = drawing.canvas(10.4, 5.6, scale=0.85)
columns = []
for i, time in enumerate(("t-1", "t", "t+1")):
    column = 2.6 + 2.6 * i
    x = drawing.circle(axes, column, 0.6, f"$x_{{{time}}}$", "input")
    s = drawing.circle(axes, column - 0.5, 2.1, f"$s_{{{time}}}$")
    back = drawing.circle(axes, column + 0.5, 3.4, f"$s'_{{{time}}}$", "bias")
    o = drawing.circle(axes, column, 4.9, f"$o_{{{time}}}$", "output")
    drawing.arrow(axes, x, s, "$U$", size=10)
    drawing.arrow(axes, x, back, "$U'$", at=0.35, size=10)
    drawing.arrow(axes, s, o, "$V$", at=0.65, size=10)
    drawing.arrow(axes, back, o, "$V'$", size=10)
    columns.append((s, back))
forward, backward = zip(*columns, strict=True)
for start, end in itertools.pairwise(((0.5, 2.1), *forward, (9.9, 2.1))):
    drawing.arrow(axes, start, end, "$W$", at=0.6, size=10, color=drawing.BLUE)
for end, start in itertools.pairwise(((0.5, 3.4), *backward, (9.9, 3.4))):
    drawing.arrow(axes, start, end, "$W'$", size=10, color=drawing.ORANGE, linestyle="--")

# %% [markdown]
# With more than one layer, this has three readings.
#
# 1. **Two stacks that meet at the output.** The forward layers read forward layers, the backward
#    layers read backward layers. Only the output sees both.
# 2. **Layers that merge before the next.** Each layer of both directions reads both directions of
#    the layer below it. This is what most libraries mean, such as torch by `bidirectional=True`.
# 3. **The notes' formula.** Both directions of layer $i$ read the *forward* $s^{(i-1)}$.
#
# That formula, for the layers $i = 1, \dots, I$, stands here with an index and a prime on
# everything that has a value of its own: the layer's index on the states of the step before and
# after too, and a prime on the $V$ of the backward states. So it is the notes' formula in what it
# says, and not to the letter.
#
# $$s_t^{(i)} = f(U^{(i)} s_t^{(i-1)} + W^{(i)} s_{t-1}^{(i)}), \qquad
# s_t'^{(i)} = f(U'^{(i)} s_t^{(i-1)} + W'^{(i)} s_{t+1}'^{(i)}), \qquad
# o_t = g(V s_t^{(I)} + V' s_t'^{(I)}).$$

# %%
READINGS = {
    "1. two stacks": {"f2": ["f1"], "b2": ["b1"]},
    "2. merged layers": {"f2": ["f1", "b1"], "b2": ["f1", "b1"]},
    "3. the notes' formula": {"f2": ["f1"], "b2": ["f1"]},
}
figure, axes = drawing.canvas(17, 8.6, scale=0.65)
for panel, (name, reads) in enumerate(READINGS.items()):
    axes.text(5.6 * panel + 2.9, 8.2, name, ha="center", fontsize=12)
    parts = {}
    for t in (1, 2):
        column = 5.6 * panel + 1.6 + 2.5 * (t - 1)
        parts["x", t] = drawing.circle(axes, column, 0.5, f"$x_{t}$", "input")
        parts["o", t] = drawing.circle(axes, column, 7.2, f"$o_{t}$", "output")
        for layer, y in ((1, 1.9), (2, 4.5)):
            text = f"$s^{{({layer})}}_{t}$"
            primed = f"$s'^{{({layer})}}_{t}$"
            fill = "plain" if layer == 1 and panel == 2 else "bias"
            parts[f"f{layer}", t] = drawing.circle(axes, column - 0.5, y, text)
            parts[f"b{layer}", t] = drawing.circle(axes, column + 0.5, y + 1.1, primed, fill)
    for t in (1, 2):
        for end, starts in ({"f1": ["x"], "b1": ["x"], "o": ["f2", "b2"]} | reads).items():
            for start in starts:
                drawing.arrow(axes, parts[start, t], parts[end, t])
    for layer in (1, 2):
        drawing.arrow(axes, parts[f"f{layer}", 1], parts[f"f{layer}", 2], color=drawing.BLUE)
        pair = parts[f"b{layer}", 2], parts[f"b{layer}", 1]
        drawing.arrow(axes, *pair, color=drawing.ORANGE, linestyle="--")

# %% [markdown]
# Blue, solid: forward in time. Orange, dashed: backward. In the third, nothing leads from the lower
# backward states (white) to an output.
#
# The first two are `bidirectional` of two stacks, and `serial` of two `bidirectional`s. The third
# is a few lines with `jaxnn`'s cells; a `Layer` is a pair of functions, so it is one like the
# others.


# %%
class NotesParams(NamedTuple):
    """A (forward, backward) pair for each layer, and the output layer's parameters."""

    layers: tuple
    head: jaxnn.DenseParams


def notes_formula(cells, head):
    def init(key):
        *layer_keys, head_key = jax.random.split(key, len(cells) + 1)
        pairs = zip(cells, layer_keys, strict=True)
        layers = tuple(tuple(map(cell.init, jax.random.split(k))) for cell, k in pairs)
        return NotesParams(layers, head.init(head_key))

    def apply(params, x, mask=None, key=None):
        s = back = x  # s^(0)
        for cell, (forward, backward) in zip(cells, params.layers, strict=True):
            _, back = cell.unroll(backward, s, mask=mask, reverse=True)
            _, s = cell.unroll(forward, s, mask=mask)
        return head.apply(params.head, jnp.concatenate([s, back], axis=-1), mask)

    return jaxnn.Layer(init, apply)


lower, upper, wide = jaxnn.elman(1, 16), jaxnn.elman(16, 16), jaxnn.elman(32, 16)
head = jaxnn.dense(32, 1)
readings = {
    "1. two stacks": jaxnn.serial(jaxnn.bidirectional(jaxnn.stack(lower, upper)), head),
    "2. merged layers": jaxnn.serial(jaxnn.bidirectional(lower), jaxnn.bidirectional(wide), head),
    "3. the notes' formula": notes_formula((lower, upper), head),
}

# %% [markdown]
# That the third is the formula above, a loop over its indices shows.

# %%
by_notes = readings["3. the notes' formula"]
params = by_notes.init(next(keys))
some = jax.random.normal(next(keys), (TIME, 1))


def by_the_formula(params, xs):
    """$o_t$ of every step, one state after the other, as the formula has it."""
    s = xs
    for forward, backward in params.layers:
        below, s, back = s, [jnp.zeros(16)], [jnp.zeros(16)]
        for t in range(TIME):  # s_t from s_{t-1}
            U, W = forward.input_kernel[:, 0], forward.recurrent_kernel[:, 0]
            s.append(jnp.tanh(below[t] @ U + s[-1] @ W + forward.bias[0]))
        for t in reversed(range(TIME)):  # s'_t from s'_{t+1}; both read the forward states below
            U, W = backward.input_kernel[:, 0], backward.recurrent_kernel[:, 0]
            back.append(jnp.tanh(below[t] @ U + back[-1] @ W + backward.bias[0]))
        s, back = jnp.stack(s[1:]), jnp.stack(back[:0:-1])
    V, V_primed = params.head.kernel[:16], params.head.kernel[16:]
    return s @ V + back @ V_primed + params.head.bias


apart = jnp.abs(jax.jit(by_the_formula)(params, some) - by_notes.apply(params, some)).max()
print(f"the formula's loop and the layer: at most {apart:.0e} apart")
assert apart < 1e-5

# %% [markdown]
# **It has weights that do nothing.** Since no layer reads a lower layer's backward states,
# their gradient is zero, and they are never learned. Without them it is a forward network with one
# bidirectional layer on top.

# %%
gradient = jax.jit(jax.grad(lambda p: jnp.sum(by_notes.apply(p, some) ** 2)))(params)
for i, pair in enumerate(gradient.layers, 1):
    for direction, part in zip(("forward", "backward"), pair, strict=True):
        print(f"layer {i} {direction:8}: gradient norm {optax.tree.norm(part):.4f}")
        assert (optax.tree.norm(part) == 0) == ((i, direction) == (1, "backward"))

without = jaxnn.serial(jaxnn.as_layer(lower), jaxnn.bidirectional(upper), head)
(forward, _), top = params.layers
same = without.apply((forward, jaxnn.BidirectionalParams(*top), params.head), some)
apart = jnp.abs(same - by_notes.apply(params, some)).max()
print(f"with and without them: at most {apart:.0e} apart")
assert apart < 1e-5

# %% [markdown]
# **What they depend on.** All three see the whole sequence: the heat maps have no grey any more.
# What they can do with it differs. With a linear output layer, the first adds something that it
# knows of the past to something that it knows of the future; no term has both in it. The second
# derivatives $\partial^2 o_t / \partial x_j \partial x_k$ (lower row, for the middle $t$) show it:
# where $j$ lies before $t$ and $k$ after it, they are exactly zero. In the other two a backward
# state reads states that have seen the past.

# %%
middle = TIME // 2
ticks = (0, middle, TIME - 1)
figure, grid = plt.subplots(2, 3, figsize=(11, 7.4), layout="constrained")
for (name, model), (above, under) in zip(readings.items(), grid.T, strict=True):
    params = model.init(jax.random.key(1))
    whole = dependence(model, params, some)
    picture = heat(above, whole, name)
    assert (whole != 0).all()

    def output(xs, model=model, params=params):
        return model.apply(params, xs)[middle, 0]

    second = jax.jit(jax.hessian(output))(some)[:, 0, :, 0]
    past_future = second[:middle, middle + 1 :]
    heat(under, second, f"second derivatives of $o_{middle}$")
    above.set(xlabel="k", ylabel="t")
    under.set(xlabel="k", ylabel="j", xticks=ticks, yticks=ticks)
    print(f"{name}: largest |∂²o/∂x_j∂x_k|, j before and k after: {jnp.abs(past_future).max():.4f}")
    assert past_future.any() != (name == "1. two stacks")
figure.colorbar(picture, ax=grid[0], label=r"$|\partial o_t / \partial x_k|$", extend="min")
second_label = r"$|\partial^2 o_t / \partial x_j\, \partial x_k|$"
_ = figure.colorbar(picture, ax=grid[1], label=second_label, extend="min")

# %% [markdown]
# **Does it matter?** It does for a question that joins the two sides. The inputs are random, with
# mean 0 and variance 1, and the target is the product of what was two steps ago and what will be in
# two steps, $x_{t-2}\, x_{t+2}$. Neither side alone says anything about it. So the first reading
# can do no better than to answer 0, a mean squared error of 1, however long it learns; the other
# two learn it.

# %%
APART = 2


def product_of_both_sides(key):
    xs = 3**0.5 * jax.random.uniform(key, (TIME, BATCH, 1), minval=-1.0, maxval=1.0)
    inner = xs[: -2 * APART] * xs[2 * APART :]
    targets = jnp.pad(inner, ((APART, APART), (0, 0), (0, 0)))
    steps = jnp.arange(TIME)[:, None]
    known = (steps >= APART) & (steps < TIME - APART)
    return xs, targets, jnp.broadcast_to(known, (TIME, BATCH))


figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
looks = ((drawing.BLUE, "-"), (drawing.ORANGE, "--"), (drawing.GREEN, "-."))
key, learned = next(keys), {}
for (name, model), (color, style) in zip(readings.items(), looks, strict=True):
    learned[name], losses = train(model, product_of_both_sides, 600, key)
    smooth = np.convolve(losses, np.full(10, 0.1), mode="valid")
    axes.semilogy(np.arange(10, 601), smooth, style, color=color, label=name)
    print(f"{name}: mean squared error of the last 100 steps {losses[-100:].mean():.4f}")
    assert (losses[-100:].mean() > 0.9) if name == "1. two stacks" else (losses[-100:].mean() < 0.1)
axes.set(xlabel="step", ylabel="mean squared error")
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# And the heat maps of the trained ones: the second and third look mostly two steps back and two
# steps ahead; the first has found next to nothing to look at. In all three, each row is one $t$.

# %%
fresh, _, _ = product_of_both_sides(next(keys))
figure, panels = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
for (name, model), axes in zip(readings.items(), panels, strict=True):
    size = dependence(model, learned[name], fresh[:, 0])
    picture = heat(axes, size, name, smallest=1e-2)
    inner = np.abs(np.asarray(size))[APART:-APART]  # rows with both inputs: row i asks for i, i + 4
    there = np.zeros(inner.shape, bool)
    there[range(len(inner)), range(len(inner))] = True
    there[range(len(inner)), range(2 * APART, TIME)] = True
    share = inner[there].sum() / inner.sum()
    print(f"{name}: {share:.0%} of what an output depends on lies at t − 2 and t + 2; ", end="")
    print(f"largest entry {inner.max():.2f}")
    assert (inner.max() < 0.3) if name == "1. two stacks" else (share > 0.6)
    axes.set(xlabel="k, the input's time", ylabel="t, the output's time")
_ = figure.colorbar(picture, ax=panels, label=r"$|\partial o_t / \partial x_k|$", extend="both")

# %% [markdown]
# A layer with an activation between the two stacks and the output would give the first reading its
# products back. Which reading to take is then a matter of cost: the second has the widest layers,
# and of the third's weights some do nothing.

# %%
counts = {}
for name, model in readings.items():
    count = counts[name] = sum(leaf.size for leaf in jax.tree.leaves(model.init(jax.random.key(0))))
    print(f"{name}: {count} parameters")
assert max(counts, key=counts.get) == "2. merged layers"
