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
# The networks so far take one input and forget it. Words of a sentence or frames of a film come one
# after the other, and what one means depends on the others. A recurrent neural network, RNN
# (循环神经网络), reads such a sequence (序列) step by step, and keeps a state (状态) between the
# steps.

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
# it away. `unroll` runs over a whole sequence, with time first.

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

# %% [markdown]
# The three agree. The last form is a stream: each output is there as soon as its input is, from a
# state of fixed size. Since the weights are shared by all steps, their number does not depend on
# how long a sequence is.

# %%
print(jaxnn.describe(params))

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
        return *jaxnn.mean_squared_error(model.apply(params, xs), targets, mask), state

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    step = jaxnn.train_step(loss, optimizer)
    init_key, key = jax.random.split(key)
    first = jaxnn.train_state(model.init(init_key), optimizer, key)
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


elman = jaxnn.serial(jaxnn.recurrent(jaxnn.elman(1, HIDDEN)), jaxnn.dense(HIDDEN, 1))
untrained = elman.init(next(keys))
trained, losses = train(elman, repeat_after_three, 1000, next(keys))
print(f"mean squared error {losses[0]:.3f} -> {losses[-1]:.4f}")

some = 0.3 * jax.random.normal(next(keys), (TIME, 1))
figure, panels = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
heat(panels[0], dependence(elman, untrained, some), "untrained")
picture = heat(panels[1], dependence(elman, trained, some), "trained to give $x_{t-3}$")
for axes in panels:
    axes.set(xlabel="k, the input's time", ylabel="t, the output's time")
_ = figure.colorbar(picture, ax=panels, label=r"$|\partial o_t / \partial x_k|$", extend="min")

# %% [markdown]
# Along a row of the left one, nothing fades: $W$ starts as an orthogonal matrix, which keeps
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
print("layer by layer gives the same:", bool(jnp.allclose(head.apply(params[2], s2), ys)))
print("state:", [jax.tree.map(jnp.shape, part) for part in state])

# %% [markdown]
# ## Bidirectional
#
# "I ___ hungry, so I had two bowls." What belongs into the gap is settled by what comes after it. A
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
# 3. **The notes' formula to the letter.** Both directions of layer $i$ read the *forward*
#    $s^{(i-1)}$.
#
# That formula is, for the layers $i = 1, \dots, I$,
#
# $$s_t^{(i)} = f(U^{(i)} s_t^{(i-1)} + W^{(i)} s_{t-1}^{(i)}), \qquad
# s_t'^{(i)} = f(U'^{(i)} s_t^{(i-1)} + W'^{(i)} s_{t+1}'^{(i)}), \qquad
# o_t = g(V s_t^{(I)} + V' s_t'^{(I)}).$$

# %%
READINGS = {
    "1. two stacks": {"f2": ["f1"], "b2": ["b1"]},
    "2. merged layers": {"f2": ["f1", "b1"], "b2": ["f1", "b1"]},
    "3. to the letter": {"f2": ["f1"], "b2": ["f1"]},
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
class LetterParams(NamedTuple):
    """A (forward, backward) pair for each layer, and the output layer's parameters."""

    layers: tuple
    head: jaxnn.DenseParams


def to_the_letter(cells, head):
    def init(key):
        *layer_keys, head_key = jax.random.split(key, len(cells) + 1)
        pairs = zip(cells, layer_keys, strict=True)
        layers = tuple(tuple(map(cell.init, jax.random.split(k))) for cell, k in pairs)
        return LetterParams(layers, head.init(head_key))

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
    "3. to the letter": to_the_letter((lower, upper), head),
}

# %% [markdown]
# **The letter has weights that do nothing.** Since no layer reads a lower layer's backward states,
# their gradient is zero, and they are never learned. Without them it is a forward network with one
# bidirectional layer on top.

# %%
letter = readings["3. to the letter"]
params = letter.init(next(keys))
some = jax.random.normal(next(keys), (TIME, 1))
gradient = jax.jit(jax.grad(lambda p: jnp.sum(letter.apply(p, some) ** 2)))(params)
for i, pair in enumerate(gradient.layers, 1):
    for direction, part in zip(("forward", "backward"), pair, strict=True):
        print(f"layer {i} {direction:8}: gradient norm {optax.tree.norm(part):.4f}")

without = jaxnn.serial(jaxnn.recurrent(lower), jaxnn.bidirectional(upper), head)
(forward, _), top = params.layers
same = without.apply((forward, jaxnn.BidirectionalParams(*top), params.head), some)
print("the same without them:", bool(jnp.allclose(same, letter.apply(params, some))))

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
    picture = heat(above, dependence(model, params, some), name)

    def output(xs, model=model, params=params):
        return model.apply(params, xs)[middle, 0]

    second = jax.jit(jax.hessian(output))(some)[:, 0, :, 0]
    past_future = second[:middle, middle + 1 :]
    heat(under, second, f"second derivatives of $o_{middle}$")
    above.set(xlabel="k", ylabel="t")
    under.set(xlabel="k", ylabel="j", xticks=ticks, yticks=ticks)
    print(f"{name}: largest |∂²o/∂x_j∂x_k|, j before and k after: {jnp.abs(past_future).max():.4f}")
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
axes.set(xlabel="step", ylabel="mean squared error")
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# And the heat maps of the trained ones: the second and third look two steps back and two steps
# ahead, and hardly anywhere else; the first has found next to nothing to look at.

# %%
fresh, _, _ = product_of_both_sides(next(keys))
figure, panels = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
for (name, model), axes in zip(readings.items(), panels, strict=True):
    picture = heat(axes, dependence(model, learned[name], fresh[:, 0]), name, smallest=1e-2)
    axes.set(xlabel="k, the input's time", ylabel="t, the output's time")
_ = figure.colorbar(picture, ax=panels, label=r"$|\partial o_t / \partial x_k|$", extend="both")

# %% [markdown]
# A layer with an activation between the two stacks and the output would give the first reading its
# products back. Which reading to take is then a matter of cost: the second has the widest layers,
# and of the third's weights some do nothing.

# %%
for name, model in readings.items():
    count = sum(leaf.size for leaf in jax.tree.leaves(model.init(jax.random.key(0))))
    print(f"{name}: {count} parameters")
