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
# # 4. Training through time
#
# A recurrent network (循环神经网络) is trained like any other: a forward pass, an error, the
# derivative of the error with respect to every weight, a step downhill. One thing is new: the same
# weights work at every time step, so the error flows back along the steps. This chapter does that
# by hand for three steps, watches what happens over a hundred, and shows two remedies.
#
# $$s_t = f(\mathrm{net}_t),\qquad \mathrm{net}_t = x_t U + s_{t-1} W + b,\qquad o_t = g(s_t V)$$
#
# The notes write $U x_t + W s_{t-1}$ for columns and leave the bias out; here a vector is a row,
# as in the library, and there is a bias.

# %%
import sys

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxnn
import jaxnn.plot

sys.path.append("notebooks")  # for a kernel that was started in the project's root
import drawing_cells as draw

# %% [markdown]
# ## Backpropagation through time (随时间反向传播)
#
# Unroll the network and it is a deep one, a layer a step, all with the same $U$ and $W$. The error
# term $\delta_k$ (误差项) is the derivative of the error with respect to the *weighted input*
# (加权输入) of step $k$, not to its output:
#
# $$\delta_k = \frac{\partial E}{\partial\,\mathrm{net}_k}$$
#
# It is known at the last step and is handed back from each step to the one before it:
#
# $$\delta_t = \Big(\frac{\partial E}{\partial o_t} V^{\mathsf T}\Big) \circ f'(\mathrm{net}_t)
# \qquad\qquad \delta_{k-1} = (\delta_k W^{\mathsf T}) \circ f'(\mathrm{net}_{k-1})$$
#
# Since every step used the same weights, their gradients are sums over the steps:
#
# $$\frac{\partial E}{\partial W} = \sum_k s_{k-1}^{\mathsf T}\,\delta_k \qquad
# \frac{\partial E}{\partial U} = \sum_k x_k^{\mathsf T}\,\delta_k \qquad
# \frac{\partial E}{\partial b} = \sum_k \delta_k$$

# %%
figure, axes = plt.subplots(figsize=(9, 4), layout="constrained")
draw.backward_through_time(axes, 3)
plt.show()

# %% [markdown]
# Black arrows are the forward pass, dashed ones the way of the error. The arrow from $s_k$ down to
# $x_k$ is what a layer below would receive: $\delta_k U^{\mathsf T}$, times the $f'$ of that
# layer.
#
# Now with numbers: two inputs, three recurrent neurons, one linear output, an error at the third
# step.

# %%
params_key, data_key = jax.random.split(jax.random.key(4))
model = jaxnn.stack(jaxnn.elman(2, 3), jaxnn.dense(3, 1, bias=False))
params = model.init(params_key)
xs = jax.random.normal(data_key, (3, 2))  # (time, features)
target = jnp.array([0.5])


def error(params, xs):
    """E = ½ (o_3 − target)²."""
    _, outputs = model.unroll(params, xs)
    return jaxnn.losses.half_squared_error(outputs[-1:], target[None])[0]


gradients = jax.grad(error)(params, xs)

# %% [markdown]
# By hand, in plain NumPy, line by line as above:

# %%
U, W, b = (np.asarray(p[:, 0] if p.ndim == 3 else p[0], float) for p in params[0][:3])
V, x = np.asarray(params[1].kernel, float), np.asarray(xs, float)

s = [np.zeros(3)]
for k in range(3):
    s.append(np.tanh(x[k] @ U + s[k] @ W + b))
o = s[3] @ V

slope = [1 - s[k] ** 2 for k in range(4)]  # f'(net) of tanh, from its output
delta = {3: ((o - 0.5) @ V.T) * slope[3]}
for k in (3, 2):
    delta[k - 1] = (delta[k] @ W.T) * slope[k - 1]

parts = [np.outer(s[k - 1], delta[k]) for k in (1, 2, 3)]
by_hand = {
    "U": sum(np.outer(x[k - 1], delta[k]) for k in (1, 2, 3)),
    "W": sum(parts),
    "b": sum(delta.values()),
    "V": np.outer(s[3], o - 0.5),
}

# %% [markdown]
# Beside it `jax.grad`. There is no $\delta$ in its answer, but it can be asked for: in a cell
# whose input kernel is the identity, the input is part of the weighted input itself, so the
# derivative with respect to the input *is* $\delta$.

# %%
wide = jaxnn.stack(jaxnn.elman(3, 3), jaxnn.dense(3, 1, bias=False))
identity = params[0]._replace(input_kernel=jnp.eye(3)[:, None], bias=jnp.zeros((1, 3)))


def error_of_weighted_inputs(inputs):
    _, outputs = wide.unroll((identity, params[1]), inputs)
    return jaxnn.losses.half_squared_error(outputs[-1:], target[None])[0]


delta_of_jax = jax.grad(error_of_weighted_inputs)(jnp.asarray(x @ U + b, jnp.float32))

print("k   δ by hand                  δ by jax.grad")
for k in (3, 2, 1):
    row, other = delta[k], np.asarray(delta_of_jax[k - 1])
    print(k, " ", *(f"{d:+.5f}" for d in row), "  ", *(f"{d:+.5f}" for d in other))
    np.testing.assert_allclose(row, other, atol=1e-6)

of_jax = {
    "U": gradients[0].input_kernel[:, 0],
    "W": gradients[0].recurrent_kernel[:, 0],
    "b": gradients[0].bias[0],
    "V": gradients[1].kernel,
}
for name, value in by_hand.items():
    apart = np.abs(value - of_jax[name]).max()
    print(f"dE/d{name}: by hand and by jax.grad at most {apart:.0e} apart")
    assert apart < 1e-6

# %% [markdown]
# The gradient of $W$ as the sum of what each step adds. The first step adds nothing: it starts
# from $s_0 = 0$.

# %%
shown = {
    "step 1": parts[0],
    "step 2": parts[1],
    "step 3": parts[2],
    "sum": by_hand["W"],
    "jax.grad": of_jax["W"],
}
largest = max(np.abs(value).max() for value in shown.values())
figure, row = plt.subplots(1, 5, figsize=(11, 2.6), layout="constrained")
for axes, (name, value) in zip(row, shown.items(), strict=True):
    image = axes.imshow(value, cmap="PuOr", vmin=-largest, vmax=largest)
    axes.set(title=name, xticks=[], yticks=[])
figure.colorbar(image, ax=row, label="dE/dW")
plt.show()

# %% [markdown]
# Now downhill, by plain gradient descent (`optax.sgd`): every step takes $\eta$ times these
# derivatives off the weights. The first step is done by hand too.

# %%
RATE = 0.2
optimizer = optax.sgd(RATE)


def loss(params, state, batch, key):
    return error(params, batch), 1.0, state


step = jaxnn.training.train_step(loss, optimizer)
first = jaxnn.training.train_state(params, optimizer, jax.random.key(0))
once, _ = step(jax.tree.map(jnp.copy, first), xs)  # a step donates what it is given
after_by_hand = W - RATE * by_hand["W"]
np.testing.assert_allclose(once.params[0].recurrent_kernel[:, 0], after_by_hand, atol=1e-6)
last, metrics = jax.jit(lambda first: jax.lax.scan(step, first, jnp.tile(xs, (50, 1, 1))))(first)
_, outputs = model.unroll(last.params, xs)
print(f"E {metrics.loss[0]:.6f} -> {metrics.loss[-1]:.2e} in 50 steps, ", end="")
print(f"output {outputs[-1, 0]:.5f}, target {target[0]}")
assert metrics.loss[-1] < 1e-6 < metrics.loss[0] == metrics.loss.max()

# %% [markdown]
# ## A hundred steps: it vanishes, explodes, or stays
#
# Apply the rule $n$ times, and $\delta$ has been multiplied $n$ times by $W^{\mathsf T}$ and by
# $f'$:
#
# $$\|\delta_{t-n}\| \le (\beta_W\,\beta_f)^n\,\|\delta_t\|$$
#
# with $\beta_W$ the norm of $W$ and $\beta_f$ the largest slope of $f$. Below one, it vanishes
# (梯度消失) exponentially; where the product is above one, it can explode (梯度爆炸). A sigmoid's
# slope is at most ¼. Along the belt of an LSTM, the next chapter's, the factor is the forget gate:
#
# $$\frac{\partial c_t}{\partial c_{t-1}} = f_t \quad\text{(the direct way)}$$
#
# To measure it, a zero is added to the state before each step, and `jax.grad` says how much the
# last output would feel it: `jaxnn.diagnostics.gradient_norms` does so for all distances in one
# backward pass.

# %%
TIME, BATCH, HIDDEN = 100, 16, 64


def norms_by_distance(cell, params, xs):
    """The norm of d(last output · direction)/d(state), 1, 2, 3, … steps back; batch's median."""
    return jnp.median(jaxnn.diagnostics.gradient_norms(cell, params, xs, felt), axis=1)


def felt(last_output):
    """The last output in one direction."""
    return jnp.sum(last_output * direction)


lasting = jaxnn.initializers.chrono(jaxnn.LSTM_GATES, float(TIME))
cells = {
    "sigmoid": jaxnn.elman(8, HIDDEN, activation=jax.nn.sigmoid),
    "tanh": jaxnn.elman(8, HIDDEN),
    "ReLU": jaxnn.elman(8, HIDDEN, activation=jax.nn.relu),
    "LSTM, forget bias 1": jaxnn.lstm(8, HIDDEN),
    "LSTM, lasting biases": jaxnn.lstm(8, HIDDEN, bias_init=lasting),
}
init_key, xs_key, direction_key = jax.random.split(jax.random.key(0), 3)
long_xs = jax.random.normal(xs_key, (TIME, BATCH, 8))
direction = jax.random.normal(direction_key, (BATCH, HIDDEN)) / HIDDEN**0.5
starts = {name: cell.init(init_key) for name, cell in cells.items()}
as_made = {name: norms_by_distance(cell, starts[name], long_xs) for name, cell in cells.items()}


def stretched(name, factor):
    """The same Elman network with its W times a factor."""
    params = starts[name]
    params = params._replace(recurrent_kernel=factor * params.recurrent_kernel)
    return norms_by_distance(cells[name], params, long_xs)


scaled = {
    f"{name}, {factor} W": stretched(name, factor)
    for name in ("tanh", "ReLU")
    for factor in (0.8, 1.0, 1.6)
}

# %%
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained", sharey=True)
jaxnn.plot.gradient_norm(left, as_made)
left.set(title="as initialised: W orthogonal", ylim=(1e-30, 1e14))
jaxnn.plot.gradient_norm(right, scaled)
right.set(title="the same W, made smaller or larger", ylabel="")
plt.show()
for name, norms in (as_made | scaled).items():
    print(f"{name:22s} 100 steps back: {float(norms[-1]):.1e} of {float(norms[0]):.1e}")
remaining = {name: float(norms[-1] / norms[0]) for name, norms in (as_made | scaled).items()}
assert remaining["sigmoid"] < 1e-30 < remaining["tanh"] < 1e-6 and remaining["ReLU"] < 1e-6
assert 1e-6 < remaining["LSTM, forget bias 1"] < 1e-3 and remaining["LSTM, lasting biases"] > 0.05
assert (
    remaining["tanh, 0.8 W"] < remaining["tanh, 1.0 W"] < 1e-6
    and 0.1 < remaining["tanh, 1.6 W"] < 1e3
)
assert remaining["ReLU, 0.8 W"] < remaining["ReLU, 1.0 W"] < 1e-6 and remaining["ReLU, 1.6 W"] > 1e6
gate = float(jax.nn.sigmoid(1.0))
print(f"a forget gate at σ(1) = {gate:.2f} throughout: {gate**100:.1e} after 100 steps")
assert 1e-14 < gate**100 < 1e-13

# %% [markdown]
# Left, networks as they are made here, with an orthogonal $W$, whose norm is 1: what vanishes does
# so because of $f'$. The sigmoid's ¼ is the worst by far. Right, the same weights times a factor:
# a ReLU with a large $W$ explodes; a tanh saturates, which keeps its gradient in bounds. Only one
# factor in between would be right, and training moves it away.
#
# The LSTM's gradient vanishes too, if slowly, when its forget gates start around $\sigma(1) \approx
# 0.73$: by four to five orders of magnitude in a hundred steps. (Gates at exactly 0.73 would make
# it nearly fourteen; the norm is that of the units whose gates are open widest.) With biases that
# spread the gates' time constants over the length of the sequence (`jaxnn.initializers.chrono`,
# Tallec & Ollivier 2018) it stays. "The LSTM cures vanishing gradients" means that it *can* hold
# its gates open, not that it does so at once.
#
# One direction of one output does not tell everything. The singular values of
# $\partial s_t / \partial s_{t-n}$ say by how much *any* gradient is stretched or shrunk over $n$
# steps, the largest and the smallest of them. Their logarithms, divided by $n$, tend to the
# Lyapunov exponents (李雅普诺夫指数): below zero, what the state was is forgotten at this rate,
# and gradients vanish at it; above zero, they explode.

# %%
GAPS = (1, 5, 20, 50, 100)
look = jaxnn.diagnostics
figure, row = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained", sharey=True)
shown = {
    "tanh": (cells["tanh"], starts["tanh"]),
    "ReLU, 1.6 W": (
        cells["ReLU"],
        starts["ReLU"]._replace(recurrent_kernel=1.6 * starts["ReLU"].recurrent_kernel),
    ),
    "LSTM, lasting biases": (cells["LSTM, lasting biases"], starts["LSTM, lasting biases"]),
}
exponent = {}
for axes, (name, (cell, params)) in zip(row, shown.items(), strict=True):
    values = {gap: look.gap_singular_values(cell, params, long_xs[:, 0], gap) for gap in GAPS}
    jaxnn.plot.singular_values(axes, values)
    axes.set(title=name, ylim=(1e-20, 1e16))
    found = look.lyapunov_exponents(cell, params, long_xs, warmup=20)
    exponent[name] = float(jnp.median(found.exponents))
    largest = float(jnp.max(values[100]))
    print(
        f"{name:20s} largest singular value over 100 steps {largest:.0e}, "
        f"largest exponent {exponent[name]:+.3f}: e^(100 λ) = {np.exp(100 * exponent[name]):.0e}"
    )
for axes in row[1:]:
    axes.set_ylabel("")
plt.show()
assert exponent["tanh"] < -0.1 and exponent["ReLU, 1.6 W"] > 0.1
assert -0.05 < exponent["LSTM, lasting biases"] < 0.0
assert 0.3 < largest < 1.5 and jnp.median(values[100]) == 0  # of the LSTM, the last in the loop

# %% [markdown]
# Drawn is what can be told from rounding: in numbers of 32 bits, what lies less than some five
# orders of magnitude below the largest. The tanh forgets in every direction, in the slowest one at
# the rate of its exponent; the ReLU with the large $W$ has an exponent above zero. In the LSTM with
# lasting biases the largest value is still near 1 after a hundred steps (0.6 when this was
# written), while more than half of the others have gone: a few directions of the state are kept.
# That its gradient does not vanish is a matter of these.
#
# ## Clipping (梯度裁剪)
#
# Where gradients explode, the error has cliffs. One neuron, one weight, one bias, 25 steps show
# one (the picture is that of Pascanu, Mikolov & Bengio 2013):
#
# $$s_t = \sigma(w\,s_{t-1} + b),\qquad s_0 = ½,\qquad E = (s_{25} - 0.7)^2$$
#
# One step at the cliff throws the weights far away. Clipping keeps the direction and bounds the
# length:
#
# $$\mathbf g \leftarrow \mathbf g \cdot \min\!\Big(1,\ \frac{\theta}{\|\mathbf g\|}\Big)$$

# %%
neuron = jaxnn.elman(1, 1, activation=jax.nn.sigmoid)
nothing = jnp.zeros((25, 1))


def cliff(point):
    """E at (w, b)."""
    w, b = point
    params = jaxnn.ElmanParams(jnp.zeros((1, 1, 1)), w.reshape(1, 1, 1), b.reshape(1, 1))
    state, _ = neuron.unroll(params, nothing, jaxnn.ElmanState(jnp.array([0.5])))
    return jnp.sum((state.hidden - 0.7) ** 2)


slope_of_cliff = jax.jit(jax.value_and_grad(cliff))


def descend(optimizer, steps=40):
    """Where gradient descent goes, (w, b) of each step, and the gradient's norms."""
    point = jnp.array([4.8, -2.05])
    state, path, norms = optimizer.init(point), [point], []
    for _ in range(steps):
        _, gradient = slope_of_cliff(point)
        updates, state = optimizer.update(gradient, state)
        point = optax.apply_updates(point, updates)
        path.append(point)
        norms.append(float(jnp.linalg.norm(gradient)))
    return np.array(path), norms


RATE, LIMIT = 0.2, 0.05  # η and θ
plain, plain_norms = descend(optax.sgd(RATE))
clipped, clipped_norms = descend(optax.chain(optax.clip_by_global_norm(LIMIT), optax.sgd(RATE)))

# %%
ws, bs = np.meshgrid(np.linspace(4, 6.2, 161), np.linspace(-3.2, 0.4, 161))
points = jnp.stack([ws.ravel(), bs.ravel()], axis=1).astype(jnp.float32)
surface = np.asarray(jax.jit(jax.vmap(cliff))(points)).reshape(ws.shape)

figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4.2), layout="constrained", width_ratios=[1.2, 1]
)
image = left.pcolormesh(ws, bs, surface, cmap="cividis", rasterized=True)
figure.colorbar(image, ax=left, label="E")
for path, style, name in ((plain, "o--", "plain"), (clipped, "s-", "clipped")):
    color = "#ff9e4a" if name == "plain" else "white"
    left.plot(*path.T, style, color=color, markersize=4, linewidth=1, label=name)
left.plot(*plain[0], "*", color="white", markeredgecolor="black", markersize=16, label="start")
left.set(xlim=(4, 6.2), ylim=(-3.2, 0.4), xlabel="w", ylabel="b", title="E after 25 steps in time")
left.legend(loc="upper left", facecolor="#777777", labelcolor="white")
right.semilogy(plain_norms, "o--", color="#d55e00", markersize=4, label="plain")
right.semilogy(clipped_norms, "s-", color="#0072b2", markersize=4, label="before it is clipped")
right.axhline(LIMIT, color="black", linewidth=0.8, linestyle=":", label="θ")
right.set(xlabel="step of gradient descent", ylabel="norm of the gradient")
right.legend(frameon=False)
plt.show()
for name, path, norms in (("plain", plain, plain_norms), ("clipped", clipped, clipped_norms)):
    w, b = path[-1]
    final = float(cliff(jnp.asarray(path[-1])))
    print(
        f"{name:8s} gradient {norms[0]:.3f} at the start, {max(norms):5.1f} at most; "
        f"ends at w {w:.2f}, b {b:.2f}, E {final:.4f}"
    )
assert max(plain_norms) > 50 * plain_norms[0]
assert float(cliff(jnp.asarray(clipped[-1]))) < 0.1 * float(cliff(jnp.asarray(plain[-1])))

# %% [markdown]
# Both set out the same way, down to the edge, the clipped one more slowly. Where a step of the
# plain one lands on the edge itself, the gradient is many times what it was at the start: it is
# thrown onto a plateau, with next to no gradient to bring it back. The clipped one meets the
# edge too, takes a step of the usual length, and stays. In the library it is one line in front of
# the optimiser, `optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))`, and `train_step`
# reports `metrics.gradient_norm`, as it is before clipping. Clipping is a remedy for explosion
# only: nothing can scale up a gradient that has vanished.
#
# ## Truncated backpropagation through time (截断的随时间反向传播)
#
# A long stream is cut into chunks. The state goes on from chunk to chunk, the gradient does not:
# memory and time for one update no longer grow with the stream. What is lost is credit across a
# border.
#
# The task: every 16 steps a stream shows *A* or *B*, then eleven random distractors, then asks (a
# question mark) which of the two it was. The distance from symbol to question is 12. Each stream
# starts at a phase of its own, so that the borders of chunks fall everywhere.

# %%
PERIOD, GAP, STREAMS = 16, 12, 32
A, B, QUESTION, DISTRACTORS = 0, 1, 2, 4  # symbols; the distractors are 3, 4, 5, 6
SYMBOLS = 3 + DISTRACTORS


def streams(seed, periods):
    """Symbols, answers (0 or 1) and where they are asked for, each (time, streams)."""
    rng = np.random.default_rng(seed)
    symbols = rng.integers(3, SYMBOLS, (periods, PERIOD, STREAMS), np.int32)
    answers = rng.integers(0, 2, (periods, 1, STREAMS), np.int32)
    symbols[:, 0], symbols[:, GAP] = answers[:, 0], QUESTION
    asked = np.broadcast_to(np.arange(PERIOD)[:, None] == GAP, symbols.shape)
    whole = symbols, np.broadcast_to(answers, symbols.shape), asked
    flat = [part.reshape(periods * PERIOD, STREAMS) for part in whole]
    phases = rng.integers(0, PERIOD, STREAMS)
    steps = (np.arange(len(flat[0]) - PERIOD)[:, None] + phases) % len(flat[0])
    symbols, answers, asked = (np.take_along_axis(part, steps, axis=0) for part in flat)
    asked[:GAP] = False  # what was shown before the stream began cannot be known
    return symbols, answers, asked


reader = jaxnn.stack(jaxnn.embedding(SYMBOLS, 8), jaxnn.lstm(8, 32), jaxnn.dense(32, 2))


def truncated_loss(params, state, batch, key):
    """The answers' cross-entropy; the state is handed on to the next chunk."""
    (symbols, answers, asked), mask = batch
    state, logits = reader.unroll(params, symbols, state, mask)
    return *jaxnn.losses.cross_entropy(logits, answers, asked & mask), state


def learn(length, seed=0, periods=800):
    """Train on one long stream in such chunks; the share of right answers on a new stream."""
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-2))
    init_key, key = jax.random.split(jax.random.key(seed))
    params = reader.init(init_key)
    state = reader.initial_state(params, (STREAMS,))
    result = jaxnn.training.fit(
        jaxnn.training.train_step(truncated_loss, optimizer),
        jaxnn.training.train_state(params, optimizer, key, state),
        jaxnn.data.chunks(streams(seed, periods), length),
        progress=False,
    )
    symbols, answers, asked = TEST
    _, logits = reader.unroll(result.train_state.params, symbols)
    right, weight = jaxnn.losses.accuracy(logits, answers, asked)
    return float(right / weight), len(result.history.loss)


TEST = streams(1000, 20)
LENGTHS = (4, 8, 12, 16, 32, 64)
learned = {length: learn(length) for length in LENGTHS}
for length, (share, updates) in learned.items():
    print(f"chunks of {length:2d}: {share:6.1%} of the answers right after {updates} updates")
    assert (share < 0.7) if length <= GAP else (share > 0.9)
together = np.mean([start % 16 + GAP < 16 for start in range(PERIOD)])
print(f"chunks of 16 hold a symbol and its question together in {together:.0%} of the streams")
assert together == 0.25 and round(learned[4][1] / learned[64][1]) == 16

# %%
figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
axes.plot(LENGTHS, [learned[length][0] for length in LENGTHS], "o-", color="#0072b2")
axes.axvline(GAP, color="#d55e00", linestyle="--", label="distance of symbol and question")
axes.axhline(0.5, color="grey", linestyle=":", label="guessing")
axes.set_xscale("log", base=2)
axes.set_xticks(LENGTHS, LENGTHS)
axes.minorticks_off()
axes.set(xlabel="length of a chunk (steps)", ylabel="share of right answers", ylim=(0.4, 1.03))
axes.legend(frameon=False, loc="center right")
plt.show()

# %% [markdown]
# Chunks that are too short to hold symbol and question together hardly do better than guessing,
# however many updates they get (the shortest gets sixteen times as many as the longest), and
# although the state that reaches the question has passed by the symbol. Longer chunks need to hold
# them together only now and then: at 16, in a quarter of the streams. And what has been learned
# works in a stream without end, since only the gradient was cut.
#
# **Notes and papers.** Bengio, Simard & Frasconi 1994 and Hochreiter 1991 for the vanishing
# gradient; Pascanu, Mikolov & Bengio 2013 (arXiv 1211.5063) for the bound, the cliff and clipping;
# Williams & Peng 1990 for truncation. With the notes' columns,
# $U x_t + W s_{t-1}$, every equation of this chapter stands transposed.
