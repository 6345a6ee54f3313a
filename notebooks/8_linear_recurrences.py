# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 8. After the LSTM: linear recurrences
#
# The notes end with the LSTM and its variants. What came after them for long sequences took one
# thing away: the state no longer decides what happens to the state. What is left is a *linear
# recurrence* (线性递归),
#
# $$s_t = a_t \circ s_{t-1} + b_t,$$
#
# with $a_t$ and $b_t$ from the input alone. This chapter shows where it stands inside of the LSTM,
# why it need not wait for one step after the other, how long it remembers, how it chooses what to
# remember, and what it cannot do.

# %%
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxnn

sys.path.append("notebooks")  # for a kernel that was started in the project's root
import drawing

# %% [markdown]
# ## The line inside of the LSTM
#
# The conveyor belt of chapter 5, $c_t = f_t \circ c_{t-1} + i_t \circ g_t$, is such a recurrence,
# once the gates are known. But the gates read $h_{t-1}$, which comes from $c_{t-1}$: so nothing can
# be known before the step before it. Let the gates read $x_t$ only, and all of them are known at
# once. Feng et al. (2024, "Were RNNs all we needed?") did this to the GRU:
#
# $$z_t = \sigma(x_t U_z + b_z) \qquad n_t = x_t U_n + b_n \qquad
# h_t = (1 - z_t) \circ h_{t-1} + z_t \circ n_t$$
#
# By hand, and by the library:

# %%
cell = jaxnn.min_gru(3, 4)
params = cell.init(jax.random.key(8))
xs = jax.random.normal(jax.random.key(9), (6, 3))  # (time, features)

U, b = np.asarray(params.input_kernel, float), np.asarray(params.bias, float)
z = 1 / (1 + np.exp(-(np.asarray(xs) @ U[:, 0] + b[0])))  # for all six steps at once
n = np.asarray(xs) @ U[:, 1] + b[1]
h, by_hand = np.zeros(4), []
for t in range(6):  # the only thing that is left for the loop
    h = (1 - z[t]) * h + z[t] * n[t]
    by_hand.append(h)

_, ys = cell.unroll(params, xs)
print(f"by hand and by min_gru at most {np.abs(np.array(by_hand) - ys).max():.0e} apart")
assert np.abs(np.array(by_hand) - ys).max() < 1e-6
print(jaxnn.explain(cell, xs))

# %% [markdown]
# In the loop of an LSTM stands a matrix product; in this one, a multiplication and an addition for
# each unit.

# %% [markdown]
# ## Two steps are one
#
# Put one step into the next:
#
# $$a_2 \circ (a_1 \circ s + b_1) + b_2 = (a_2 \circ a_1) \circ s + (a_2 \circ b_1 + b_2)$$
#
# Two steps of this kind are again a step of this kind, with $a = a_2 a_1$ and
# $b = a_2 b_1 + b_2$. So steps may be joined in any grouping (结合律): first each with its
# neighbour, then each of these with the one two places before, then four. After three rounds all
# eight are done.

# %%
STEPS = 8
rng = np.random.default_rng(0)
a, b = rng.uniform(0.5, 1, STEPS), rng.normal(size=STEPS)

s, loop = 0.0, []
for t in range(STEPS):
    s = a[t] * s + b[t]
    loop.append(s)

joined_a, joined_b, rounds, reach = a.copy(), b.copy(), 0, 1
while reach < STEPS:
    before_a = np.r_[np.ones(reach), joined_a[:-reach]]  # where nothing stands before: s = 1 s + 0
    before_b = np.r_[np.zeros(reach), joined_b[:-reach]]
    joined_a, joined_b = joined_a * before_a, joined_a * before_b + joined_b
    reach, rounds = 2 * reach, rounds + 1

print(f"{STEPS} steps in a row:", *(f"{value:+.4f}" for value in loop))
print(f"{rounds} rounds:        ", *(f"{value:+.4f}" for value in joined_b))
np.testing.assert_allclose(loop, joined_b)
assert rounds == 3

# %%
figure, axes = drawing.canvas(9, 4.4, 0.9)
places = [[(1 + 0.95 * t, 0.6 + 1.05 * r) for t in range(STEPS)] for r in range(rounds + 1)]
for r in range(rounds):
    for t in range(STEPS):
        axes.plot(
            *zip(places[r][t], places[r + 1][t], strict=True), color=drawing.GREY, lw=1, zorder=0
        )
        if t >= 2**r:
            ends = places[r][t - 2**r], places[r + 1][t]
            axes.plot(*zip(*ends, strict=True), color=drawing.BLUE, lw=1.6, zorder=0)
for r, row in enumerate(places):
    for t, (x, y) in enumerate(row):
        first = max(0, t + 1 - 2**r)
        drawing.circle(axes, x, y, f"{first}–{t}" if first < t else f"{t}", fontsize=8)
    axes.text(0.35, row[0][1], f"round {r}" if r else "steps", ha="right", va="center", fontsize=9)
axes.set_xlim(-0.6, 9)
plt.show()

# %% [markdown]
# Each circle says which steps are joined in it; a blue line brings what is further back. A million
# steps take twenty rounds. The library calls `jax.lax.associative_scan` where hardware does many
# things at once. On a processor of two cores there is nobody to do them, and the rounds do more
# work in all, so there it takes the plain loop: the same numbers by either way.

# %%
long = jax.random.normal(jax.random.key(1), (2, 4096, 4))
rates, inputs = jax.nn.sigmoid(long[0]), long[1]
by_loop = jaxnn.linear_recurrence(rates, inputs, method="scan")[1]
by_rounds = jaxnn.linear_recurrence(rates, inputs, method="associative")[1]
apart = np.abs(by_loop - by_rounds).max() / np.abs(by_loop).max()
print(f"4,096 steps or {int(np.log2(4096))} rounds: {apart:.0e} apart, of the largest state")
assert apart < 1e-6

# %% [markdown]
# ## How long it remembers
#
# With a constant $a$, what came in $k$ steps ago is in the state by $a^k$: it is halved after
# $\ln 2 / (-\ln a)$ steps. A complex $a = r e^{i\theta}$ also turns it, so that a unit can keep
# time: that is the *linear recurrent unit* (Orvieto et al. 2023). Its first values lie on a ring
# just inside of the unit circle, where memories are long.

# %%
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.4), layout="constrained")
impulse = jnp.zeros((200, 1)).at[0].set(1.0)
for rate in (0.5, 0.9, 0.99, 0.999):
    _, states = jaxnn.linear_recurrence(jnp.array([rate]), impulse)
    half = np.log(2) / -np.log(rate)
    left.plot(states[:, 0], label=f"a = {rate}: half after {half:.3g}")
    if half < 199:
        assert states[int(np.ceil(half)), 0] <= 0.5 <= states[int(np.floor(half)), 0]
left.set(xlabel="steps", title="what is left of an input")
left.legend(fontsize=8)
for angle in (0.05, 0.2):
    turn = jaxnn.Pair(jnp.array([0.985 * np.cos(angle)]), jnp.array([0.985 * np.sin(angle)]))
    _, states = jaxnn.linear_recurrence(turn, jaxnn.Pair(impulse, 0 * impulse))
    middle.plot(states.real[:, 0], label=f"r = 0.985, θ = {angle}")
middle.set(xlabel="steps", title="the real part, where a turns")
middle.legend(fontsize=8)
ring = jaxnn.lru(4, 64, r_min=0.9, r_max=0.999)
made = ring.init(jax.random.key(3))
radius, phase = np.exp(-np.exp(made.log_decay)), np.exp(made.log_phase)
circle = np.exp(1j * np.linspace(0, 2 * np.pi, 200))
right.plot(circle.real, circle.imag, color=drawing.GREY, lw=1, zorder=0)
right.plot(radius * np.cos(phase), radius * np.sin(phase), ".", color=drawing.ORANGE)
right.set(aspect=1, title="the 64 a of a new lru")
plt.show()
assert np.all((radius > 0.9) & (radius < 0.999))

# %% [markdown]
# Nothing explodes here and nothing has to be clipped: $|a| < 1$ is built in, since
# $a = e^{-e^{\nu}}$ is below 1 whatever $\nu$ is. Compare chapter 4, where the product of Jacobians
# decided.

# %% [markdown]
# ## From continuous time
#
# State space models come from control: a system $\dot s = \lambda s + u$ that is looked at every
# $\Delta$ seconds, with $u$ held in between, moves by
#
# $$s_t = e^{\lambda\Delta} s_{t-1} + \frac{e^{\lambda\Delta} - 1}{\lambda}\,u_t$$
#
# (零阶保持, zero-order hold). It is a linear recurrence whose $a$ knows what a second is: look
# twice as often, with half the $\Delta$, and the same states pass by.

# %%
decay, every = -0.7, 0.5


def sampled(delta, held):
    a = jnp.exp(decay * delta)
    return jaxnn.linear_recurrence(a[None], (a - 1) / decay * held[:, None])[1][:, 0]


u = jax.random.normal(jax.random.key(2), (20,))
coarse = sampled(jnp.array(every), u)
fine = sampled(jnp.array(every / 2), jnp.repeat(u, 2))
print(f"20 looks, or 40 with half the step: {np.abs(coarse - fine[1::2]).max():.0e} apart")
np.testing.assert_allclose(coarse, fine[1::2], atol=1e-6)

# %% [markdown]
# `jaxnn.s5` learns a $\lambda$ and a $\Delta$ for each unit. `jaxnn.s6`, the recurrence of Mamba
# (Gu & Dao 2023), computes $\Delta$ from the input, $\Delta = \mathrm{softplus}(x W)$: an input
# may take a long step, which forgets what was, or hardly any, which passes by. For
# $\lambda = -1$ that is an old acquaintance: $e^{-\mathrm{softplus}(v)} = 1 - \sigma(v)$, the
# update gate of the minimal GRU.

# %%
v = jnp.linspace(-5, 5, 101)
np.testing.assert_allclose(jnp.exp(-jax.nn.softplus(v)), 1 - jax.nn.sigmoid(v), atol=1e-6)

# %% [markdown]
# ## To choose what to remember
#
# With $a_t$ from the input a unit can be told when to write. By hand: the first input is a flag,
# the second a number; the gate opens where the flag is up.

# %%
keeper = jaxnn.min_gru(2, 1)
kernel = jnp.array([[20.0, 0.0], [0.0, 1.0]])[:, :, None]  # z sees the flag, n the number
set_by_hand = keeper.init(jax.random.key(0))._replace(
    input_kernel=kernel, bias=jnp.array([[-10.0], [0.0]])
)
flags = np.zeros(60)
flags[[8, 25, 44]] = 1
numbers = np.random.default_rng(4).normal(size=60)
_, kept = keeper.unroll(set_by_hand, jnp.asarray(np.stack([flags, numbers], 1), jnp.float32))

figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
axes.plot(numbers, ".", color=drawing.GREY, label="the numbers that come in")
axes.plot(np.flatnonzero(flags), numbers[flags == 1], "o", color=drawing.ORANGE, label="flagged")
axes.plot(kept[:, 0], color=drawing.BLUE, drawstyle="steps-post", label="the state")
axes.set(xlabel="step")
axes.legend(fontsize=8, ncols=3)
plt.show()
assert np.abs(kept[-1, 0] - numbers[44]) < 0.02

# %% [markdown]
# A constant $a$ cannot: it treats all numbers alike. The same task to be learned, the number that
# was flagged last to be said at the end, by three networks with one recurrent layer and a linear
# readout:

# %%
TIME, BATCH, UPDATES = 40, 32, 400


def flagged(key):
    """Numbers with one flag each among 40, `(time, batch, 2)`, and the flagged ones."""
    number_key, place_key = jax.random.split(key)
    numbers = jax.random.normal(number_key, (TIME, BATCH))
    flags = jax.nn.one_hot(jax.random.randint(place_key, (BATCH,), 0, TIME), TIME).T
    return jnp.stack([flags, numbers], -1), jnp.sum(flags * numbers, 0)[:, None]


def learn(model):
    """The squared error of each update."""

    def loss(params, state, batch, key):
        xs, targets = batch
        _, ys = model.unroll(params, xs)
        return *jaxnn.losses.mean_squared_error(ys[-1], targets), state

    optimizer, key = optax.adam(1e-2), jax.random.key(0)
    step = jaxnn.training.train_step(loss, optimizer)
    first = jaxnn.training.train_state(model.init(key), optimizer, key)
    keys = jax.random.split(jax.random.key(1), UPDATES)
    _, metrics = jax.jit(lambda first: jax.lax.scan(step, first, jax.vmap(flagged)(keys)))(first)
    return np.asarray(metrics.loss)


networks = {
    "LSTM": jaxnn.stack(jaxnn.lstm(2, 16), jaxnn.dense(16, 1)),
    "minimal GRU": jaxnn.stack(jaxnn.min_gru(2, 16), jaxnn.dense(16, 1)),
    "linear recurrent unit": jaxnn.stack(jaxnn.lru(2, 16, 0.9, 0.999), jaxnn.dense(2, 1)),
}
figure, axes = plt.subplots(figsize=(8, 3.2), layout="constrained")
last = {}
for name, model in networks.items():
    errors = learn(model)
    last[name] = errors[-50:].mean()
    axes.plot(np.convolve(errors, np.ones(20) / 20, "valid"), label=name)
    print(f"{name}: squared error {last[name]:.3f} in the last 50 of {UPDATES} updates")
axes.set(xlabel="update", ylabel="squared error, mean of 20", yscale="log")
axes.axhline(1, color=drawing.GREY, lw=1, zorder=0)
axes.legend(fontsize=8)
plt.show()
assert last["minimal GRU"] < 0.3 < 0.8 < last["linear recurrent unit"]

# %% [markdown]
# The grey line is the variance of the numbers, the error of whoever always says 0. The linear
# recurrent unit stays there: a filter whose weights do not depend on the input cannot tell the
# flagged number from the others. In deep networks of it, the layers between do the choosing.

# %% [markdown]
# ## What a positive rate cannot do
#
# Whether the number of ones so far is odd (奇偶校验): one bit of state, which every 1 flips. With
# $0 < a < 1$ a state can be kept or shrunk, never flipped: no cell of that kind has the answer for
# all lengths (Merrill et al. 2024; Grazzi et al. 2024). It is not the *linear* that is in the way:
# let $a$ be negative, $a_t = 1 - 2x_t$, and the sign of the state is the answer.

# %%
parity = jaxnn.linear_cell(
    init=lambda key: (),
    coefficients=lambda params, x: (1 - 2 * x, 0 * x),
    initial_state=lambda params, batch_shape=(): jnp.ones((*batch_shape, 1)),
    output=lambda state: (1 - state) / 2,
)
bits = jax.random.bernoulli(jax.random.key(5), shape=(1000, 1)).astype(jnp.float32)
_, odd = parity.unroll((), bits)
print(f"right at {np.mean(odd[:, 0] == np.cumsum(bits[:, 0]) % 2):.0%} of 1,000 steps")
assert np.array_equal(odd[:, 0], np.cumsum(bits[:, 0]) % 2)

# %% [markdown]
# What needs the state to look at itself, such as a counter that wraps, or gates that open when
# something has been *understood*, is still the LSTM's.

# %% [markdown]
# ## The rest stays as it was
#
# A linear recurrence is a cell like every other: it streams by `apply` what it unrolls, takes masks
# and resets, runs backwards, and stacks.

# %%
model = jaxnn.stack(jaxnn.dense(3, 8), jaxnn.lru(8, 16), jaxnn.min_gru(8, 8), jaxnn.dense(8, 1))
params = model.init(jax.random.key(0))
_, whole = model.unroll(params, xs)
state = model.initial_state(params)
for t in range(len(xs)):
    state, y = model.apply(params, state, xs[t])
    np.testing.assert_allclose(y, whole[t], atol=1e-5)
print(f"streamed and unrolled: the same {len(xs)} outputs")
