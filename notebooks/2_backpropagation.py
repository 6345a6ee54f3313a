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
# # 2. Backpropagation
#
# Gradient descent needs the derivative of the error with respect to every weight. Backpropagation
# (反向传播) gets all of them in one walk from the output back to the input. This chapter takes one
# small network, does every derivative by hand, and has `jax.grad` beside it. The numbers are those
# of Matt Mazur's well-known example, so that they can be compared digit by digit; for that it
# computes in float64.

# %%
import functools
import math

import drawing
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import jaxnn

jax.config.update("jax_enable_x64", True)
sigmoid = jax.nn.sigmoid

# %% [markdown]
# ## The network
#
# Two inputs, two hidden neurons, two outputs, all of them sigmoid neurons, and one bias for each
# layer. Weights stand on the edges, the biases on the dotted ones.

# %%
i1, i2 = 0.05, 0.10
w1, w2, w3, w4 = 0.15, 0.20, 0.25, 0.30
w5, w6, w7, w8 = 0.40, 0.45, 0.50, 0.55
b1, b2 = 0.35, 0.60
t1, t2 = 0.01, 0.99

figure, axes = drawing.canvas(8.8, 4.2)
names = [["$i_1$\n0.05", "$i_2$\n0.10"], ["$h_1$", "$h_2$"], ["$o_1$", "$o_2$"]]
weights = [
    [[f"$w_1$ {w1:.2f}", f"$w_3$ {w3:.2f}"], [f"$w_2$ {w2:.2f}", f"$w_4$ {w4:.2f}"]],
    [[f"$w_5$ {w5:.2f}", f"$w_7$ {w7:.2f}"], [f"$w_6$ {w6:.2f}", f"$w_8$ {w8:.2f}"]],
]
biases = [f"$b_1$ {b1:.2f}", f"$b_2$ {b2:.2f}"]
layout = {"width": 3.2, "gap": 1.8, "origin": (0.7, 0.7)}
rows = drawing.network(axes, names, weights, biases, **layout)
for output, goal in zip(rows[-1], (t1, t2), strict=True):
    axes.text(output.x + 0.45, output.y, f"target\n{goal}", va="center")

# %% [markdown]
# In `jaxnn` it is an `mlp` with shared biases. Column $j$ of a kernel holds the weights that lead
# into neuron $j$.

# %%
mlp = functools.partial(
    jaxnn.mlp,
    activation=sigmoid,
    output_activation=sigmoid,
    bias="shared",
    kernel_init=jax.nn.initializers.uniform(1.0),
    bias_init=jax.nn.initializers.uniform(1.0),
    dtype=jnp.float64,
)
network = mlp((2, 2, 2))
params = (
    jaxnn.DenseParams(jnp.array([[w1, w3], [w2, w4]]), jnp.array(b1)),
    jaxnn.DenseParams(jnp.array([[w5, w7], [w6, w8]]), jnp.array(b2)),
)
x, target = jnp.array([i1, i2]), jnp.array([t1, t2])

# %% [markdown]
# ## Forward
#
# Each neuron has a net input, $net$, and an output, $out = \sigma(net)$:
#
# $$net_{h1} = w_1 i_1 + w_2 i_2 + b_1, \qquad net_{o1} = w_5\, out_{h1} + w_6\, out_{h2} + b_2,$$
#
# and $h_2$, $o_2$ likewise. The error is $E = \tfrac12 \sum (target - out)^2$.


# %%
def logistic(z):
    return 1 / (1 + math.exp(-z))


net_h1, net_h2 = w1 * i1 + w2 * i2 + b1, w3 * i1 + w4 * i2 + b1
out_h1, out_h2 = logistic(net_h1), logistic(net_h2)
net_o1, net_o2 = w5 * out_h1 + w6 * out_h2 + b2, w7 * out_h1 + w8 * out_h2 + b2
out_o1, out_o2 = logistic(net_o1), logistic(net_o2)
E = (t1 - out_o1) ** 2 / 2 + (t2 - out_o2) ** 2 / 2
print(f"by hand  {out_o1:.9f} {out_o2:.9f}  E = {E:.9f}")


def error(params, x, target):
    """E of the network: one sample, or the sum over several."""
    return jaxnn.half_squared_error(*jnp.atleast_2d(network_of(params).apply(params, x), target))[0]


def network_of(params):
    """The network that has parameters of these sizes (the same sizes give the same object)."""
    return mlp((params[0].kernel.shape[0], *(layer.kernel.shape[1] for layer in params)))


by_jaxnn = network.apply(params, x)
print(f"by jaxnn {by_jaxnn[0]:.9f} {by_jaxnn[1]:.9f}  E = {error(params, x, target):.9f}")

figure, axes = drawing.canvas(8.8, 4.2)
values = [[0.05, 0.10], [out_h1, out_h2], [out_o1, out_o2]]
values = [[f"{value:.3f}" for value in row] for row in values]
kernels, shared = [layer.kernel for layer in params], [layer.bias for layer in params]
rows = drawing.network(axes, values, kernels, shared, **layout)
_ = axes.text(rows[-1][0].x + 0.6, 2.6, f"E = {E:.4f}", va="center")

# %% [markdown]
# ## Backward, at the output
#
# $w_5$ acts on the error only through $net_{o1}$, and that only through $out_{o1}$. The chain rule
# (链式法则) multiplies along the way:
#
# $$\frac{\partial E}{\partial w_5} = \frac{\partial E}{\partial out_{o1}} \cdot
# \frac{\partial out_{o1}}{\partial net_{o1}} \cdot \frac{\partial net_{o1}}{\partial w_5}
# = \underbrace{-(target_{o1} - out_{o1}) \cdot out_{o1} (1 - out_{o1})}_{\delta_{o1}} \cdot
# out_{h1}.$$
#
# $\delta_{o1} = \partial E / \partial net_{o1}$ is the neuron's own error (误差项). Every weight
# into $o_1$ uses it, and so does everything before it: that is what makes backpropagation fast.

# %%
dE_dout_o1, dE_dout_o2 = -(t1 - out_o1), -(t2 - out_o2)
dout_dnet_o1, dout_dnet_o2 = out_o1 * (1 - out_o1), out_o2 * (1 - out_o2)
delta_o1, delta_o2 = dE_dout_o1 * dout_dnet_o1, dE_dout_o2 * dout_dnet_o2
dE_dw5, dE_dw6 = delta_o1 * out_h1, delta_o1 * out_h2
dE_dw7, dE_dw8 = delta_o2 * out_h1, delta_o2 * out_h2
dE_db2 = delta_o1 + delta_o2  # one bias for both neurons: the sum

# %% [markdown]
# ## Backward, at a hidden neuron
#
# $h_1$ acts on the error through *both* outputs, so what comes back along both edges is added:
#
# $$\frac{\partial E}{\partial out_{h1}} = \delta_{o1} w_5 + \delta_{o2} w_7, \qquad
# \delta_{h1} = \frac{\partial E}{\partial out_{h1}} \cdot out_{h1} (1 - out_{h1}), \qquad
# \frac{\partial E}{\partial w_1} = \delta_{h1} \, i_1.$$

# %%
dE_dout_h1 = delta_o1 * w5 + delta_o2 * w7
dE_dout_h2 = delta_o1 * w6 + delta_o2 * w8
dout_dnet_h1, dout_dnet_h2 = out_h1 * (1 - out_h1), out_h2 * (1 - out_h2)
delta_h1, delta_h2 = dE_dout_h1 * dout_dnet_h1, dE_dout_h2 * dout_dnet_h2
dE_dw1, dE_dw2 = delta_h1 * i1, delta_h1 * i2
dE_dw3, dE_dw4 = delta_h2 * i1, delta_h2 * i2
dE_db1 = delta_h1 + delta_h2

# %% [markdown]
# ## Every partial derivative beside jax.grad
#
# `jax.grad` gives the derivatives with respect to the parameters. It gives the ones in between too,
# once the network is written as a function of what is in between: of the outputs, of $net_o$, of
# $out_h$, of $net_h$.


# %%
def from_out_o(out_o):
    return jaxnn.half_squared_error(out_o[None], target[None])[0]


def from_net_o(net_o):
    return from_out_o(sigmoid(net_o))


def from_out_h(out_h):
    return from_net_o(out_h @ params[1].kernel + params[1].bias)


def from_net_h(net_h):
    return from_out_h(sigmoid(net_h))


net_h, net_o = jnp.array([net_h1, net_h2]), jnp.array([net_o1, net_o2])
slope = jax.vmap(jax.grad(sigmoid))
gradient = jax.grad(error)(params, x, target)
table = [
    ("dE/dout_o", (dE_dout_o1, dE_dout_o2), jax.grad(from_out_o)(sigmoid(net_o))),
    ("dout_o/dnet_o", (dout_dnet_o1, dout_dnet_o2), slope(net_o)),
    ("delta_o", (delta_o1, delta_o2), jax.grad(from_net_o)(net_o)),
    ("dE/dout_h", (dE_dout_h1, dE_dout_h2), jax.grad(from_out_h)(sigmoid(net_h))),
    ("dout_h/dnet_h", (dout_dnet_h1, dout_dnet_h2), slope(net_h)),
    ("delta_h", (delta_h1, delta_h2), jax.grad(from_net_h)(net_h)),
    ("dE/dw1…w4", (dE_dw1, dE_dw2, dE_dw3, dE_dw4), gradient[0].kernel.T.ravel()),
    ("dE/dw5…w8", (dE_dw5, dE_dw6, dE_dw7, dE_dw8), gradient[1].kernel.T.ravel()),
    ("dE/db1, b2", (dE_db1, dE_db2), jnp.array([layer.bias for layer in gradient])),
]
for name, by_hand, by_jax in table:
    for one, other in zip(by_hand, by_jax, strict=True):
        print(f"{name:14} by hand {one:12.9f}   jax.grad {other:12.9f}")
        assert math.isclose(one, other, rel_tol=1e-12)

# %% [markdown]
# The same, drawn: $\delta$ in the circles, and on each edge what goes back to its weight. The
# arrows run from the error to the input.

# %%
figure, axes = drawing.canvas(9.2, 4)
deltas = [["", ""], [f"{delta_h1:.4f}", f"{delta_h2:.4f}"], [f"{delta_o1:.4f}", f"{delta_o2:.4f}"]]
deltas = [[text.replace("-", "−") for text in row] for row in deltas]
flows = [[[f"{d:.5f}".replace("-", "−") for d in row] for row in g.kernel] for g in gradient]
rows = drawing.network(
    axes,
    deltas,
    flows,
    width=3,
    gap=2,
    origin=(0.7, 0.7),
    at=0.27,
    color=drawing.ORANGE,
    arrowstyle="<|-",
)
for row, name in zip(rows, ("inputs", r"$\delta_h$", r"$\delta_o$"), strict=True):
    axes.text(row[0].x, 3.35, name, ha="center", fontsize=12)
end = drawing.box(axes, rows[-1][0].x + 1.6, 1.7, "$E$")
for output in rows[-1]:
    drawing.arrow(axes, end, output, color=drawing.ORANGE)

# %% [markdown]
# Short, in matrices, this is all of backpropagation. For a sample as a row,
# $\delta^{(l)} = (\delta^{(l+1)} W^{(l+1)\top}) \circ f'(z^{(l)})$ and
# $\partial E / \partial W^{(l)} = a^{(l-1)\top} \delta^{(l)}$: one product back through the
# weights, one slope, one outer product. Each layer multiplies by $f'$, a quarter at most: here is
# the fading of chapter 1.
#
# ## One step
#
# With the learning rate $\eta = 0.5$, $w \leftarrow w - \eta\, \partial E / \partial w$. In the
# published example the biases are not trained. `optax` says so by partition: some parameters are
# given one optimiser, the rest another, which sets their updates to zero.


# %%
def kinds(params):
    return jax.tree.map_with_path(
        lambda path, _: "frozen" if path[-1].name == "bias" else "trained", params
    )


optimizer = optax.partition({"trained": optax.sgd(0.5), "frozen": optax.set_to_zero()}, kinds)


def loss(params, state, batch, key):
    return error(params, *batch), 1.0, state


step = jaxnn.train_step(loss, optimizer)
first = jaxnn.train_state(params, optimizer, jax.random.key(0))
after, metrics = step(first, (x, target))
print("E before", metrics.loss, " after", error(after.params, x, target))
new = [float(w) for layer in after.params for w in layer.kernel.T.ravel()]
by_hand = [
    w1 - 0.5 * dE_dw1,
    w2 - 0.5 * dE_dw2,
    w3 - 0.5 * dE_dw3,
    w4 - 0.5 * dE_dw4,
    w5 - 0.5 * dE_dw5,
    w6 - 0.5 * dE_dw6,
    w7 - 0.5 * dE_dw7,
    w8 - 0.5 * dE_dw8,
]
for i, (one, other) in enumerate(zip(new, by_hand, strict=True), 1):
    print(f"w{i} after the step: {one:.9f}, by hand {other:.9f}")

# %% [markdown]
# ## Ten thousand steps
#
# A `train_step` takes a state and a batch and gives a state and metrics, which is just what
# `jax.lax.scan` wants: all steps in one compiled loop.


# %%
@jax.jit
def train(current, batches):
    """A step for each batch: the last state, and the error before each step."""
    current, metrics = jax.lax.scan(step, current, batches)
    return current, metrics.loss


STEPS = 10_000
figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
looks = {(0.01, 0.99): (drawing.BLUE, "-"), (0.01, 0.09): (drawing.ORANGE, "--")}
for goal, (color, style) in looks.items():
    batches = jnp.tile(x, (STEPS, 1)), jnp.tile(jnp.array(goal), (STEPS, 1))
    current = jaxnn.train_state(params, optimizer, jax.random.key(0))
    current, errors = train(current, batches)
    output = network.apply(current.params, x)
    last = error(current.params, x, jnp.array(goal))
    axes.loglog(range(1, STEPS), errors[1:], style, color=color, label=f"target {goal}")
    print(f"target {goal}: E {errors[0]:.9f}, after one step {errors[1]:.9f},")
    print(f"  after {STEPS:,} steps {last:.6e}, output {output[0]:.9f} {output[1]:.9f}")
axes.set(xlabel="steps taken", ylabel="error E")
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# The digits are the published ones, for both targets: 0.291027774 and 3.5102e-05 for the first,
# 0.496045683 and 1.8102e-05 for the second.
#
# ## XOR, as it is learned
#
# The network learned one sample by heart. XOR needs four at once, and no single neuron can do it
# (chapter 1). A 2-5-1 network starts from weights uniform in $[0, 1)$ and sees one random sample a
# step; its biases are not trained either. Its decision surface (决策面), the output over the whole
# plane of inputs, is drawn as it changes; the black line is where the output is ½.

# %%
corners = jnp.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
truth = jnp.array([[0.0], [1.0], [1.0], [0.0]])
EVERY = 100


@jax.jit
def learn_xor(key):
    """The parameters at the start and after every 100 steps of 10,000."""
    init_key, order_key = jax.random.split(key)
    current = jaxnn.train_state(mlp((2, 5, 1)).init(init_key), optimizer, order_key)
    order = jax.random.randint(order_key, (STEPS // EVERY, EVERY), 0, 4)

    def some_steps(current, order):
        after, _ = jax.lax.scan(step, current, (corners[order], truth[order]))
        return after, current.params

    current, snapshots = jax.lax.scan(some_steps, current, order)
    return jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), snapshots, current.params)


snapshots = learn_xor(jax.random.key(0))
totals = jax.vmap(lambda p: error(p, corners, truth))(snapshots)
learned = jax.tree.map(lambda leaf: leaf[-1], snapshots)
print(f"E over the four samples: {totals[0]:.4f} -> {totals[-1]:.4f}")
for corner, output in zip(corners, mlp((2, 5, 1)).apply(learned, corners), strict=True):
    print(corner, f"-> {output[0]:.3f}")

line = jnp.linspace(-0.25, 1.25, 91)
plane = jnp.stack(jnp.meshgrid(line, line), axis=-1)


def draw_surface(axes, taken):
    now = jax.tree.map(lambda leaf, i=taken // EVERY: leaf[i], snapshots)
    surface = mlp((2, 5, 1)).apply(now, plane)[..., 0]
    filled = axes.contourf(line, line, surface, np.linspace(0, 1, 21), cmap="RdBu_r")
    axes.contour(line, line, surface, [0.5], colors="black")
    for (a, b), (c,) in zip(corners, truth, strict=True):
        axes.text(a, b, f"{c:.0f}", ha="center", va="center", bbox={"facecolor": "white"})
    axes.set(title=f"after {taken:,} steps: E = {totals[taken // EVERY]:.3f}", aspect=1)
    return filled


figure, grid = plt.subplots(2, 3, figsize=(10, 6.4), layout="constrained", sharex=True, sharey=True)
moments = (0, 1000, 2000, 3000, 5000, 10_000)
drawn = [draw_surface(*pair) for pair in zip(grid.flat, moments, strict=True)]
for axes in grid[1]:
    axes.set_xlabel("first input")
for axes in grid[:, 0]:
    axes.set_ylabel("second input")
_ = figure.colorbar(drawn[-1], ax=grid, label="output", ticks=[0, 0.25, 0.5, 0.75, 1])

# %% [markdown]
# For long nothing seems to happen. The output is about ½ everywhere, which costs
# $4 \cdot \tfrac12 \cdot (\tfrac12)^2 = \tfrac12$, and what one sample teaches the next one takes
# back. Then the surface folds: a valley along the diagonal, a hill on either side. Below, the error
# over the steps for six starts, of which one waits on its plateau twice as long, and the network of
# the first start with what it has learned on its edges.

# %%
figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
for seed in range(6):
    course = learn_xor(jax.random.key(seed))
    totals = jax.vmap(lambda p: error(p, corners, truth))(course)
    axes.semilogy(np.arange(0, STEPS + 1, EVERY), totals, label=f"seed {seed}", linewidth=1.2)
    print(f"seed {seed}: E = {totals[-1]:.4f}")
axes.set(xlabel="steps taken", ylabel="error over all four")
axes.legend(frameon=False, ncols=2)
axes.grid(alpha=0.3)

# %%
figure, axes = drawing.canvas(8, 7)
texts = [["$x_1$", "$x_2$"], [f"$h_{i}$" for i in range(1, 6)], ["$y$"]]
kernels, shared = [layer.kernel for layer in learned], [layer.bias for layer in learned]
_ = drawing.network(axes, texts, kernels, shared, width=3.2, gap=(3.6, 1.2, 1.2), at=0.2)
