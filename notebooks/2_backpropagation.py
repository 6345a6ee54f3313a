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
# and $h_2$, $o_2$ likewise. Each output has an error of its own, and the error of the network is
# their sum:
#
# $$E_{o1} = \tfrac12 (target_{o1} - out_{o1})^2, \qquad
# E_{o2} = \tfrac12 (target_{o2} - out_{o2})^2, \qquad E = E_{o1} + E_{o2}.$$


# %%
def logistic(z):
    return 1 / (1 + math.exp(-z))


net_h1, net_h2 = w1 * i1 + w2 * i2 + b1, w3 * i1 + w4 * i2 + b1
out_h1, out_h2 = logistic(net_h1), logistic(net_h2)
net_o1, net_o2 = w5 * out_h1 + w6 * out_h2 + b2, w7 * out_h1 + w8 * out_h2 + b2
out_o1, out_o2 = logistic(net_o1), logistic(net_o2)
E_o1, E_o2 = (t1 - out_o1) ** 2 / 2, (t2 - out_o2) ** 2 / 2
E = E_o1 + E_o2
print(f"by hand  {out_o1:.9f} {out_o2:.9f}  E = {E_o1:.9f} + {E_o2:.9f} = {E:.9f}")


def error(params, x, target):
    """E of the network: one sample, or the sum over several."""
    return jaxnn.losses.half_squared_error(
        *jnp.atleast_2d(network_of(params).apply(params, x), target)
    )[0]


def network_of(params):
    """The network that has parameters of these sizes (the same sizes give the same object)."""
    return mlp((params[0].kernel.shape[0], *(layer.kernel.shape[1] for layer in params)))


by_jaxnn = network.apply(params, x)
print(f"by jaxnn {by_jaxnn[0]:.9f} {by_jaxnn[1]:.9f}  E = {error(params, x, target):.9f}")
assert math.isclose(E, error(params, x, target), rel_tol=1e-12)
assert f"{E_o1:.9f} {E_o2:.9f} {E:.9f}" == "0.274811083 0.023560026 0.298371109"

figure, axes = drawing.canvas(8.8, 4.2)
values = [[0.05, 0.10], [out_h1, out_h2], [out_o1, out_o2]]
values = [[f"{value:.3f}" for value in row] for row in values]
kernels, shared = [layer.kernel for layer in params], [layer.bias for layer in params]
rows = drawing.network(axes, values, kernels, shared, **layout)
for output, name, value in zip(rows[-1], ("o1", "o2"), (E_o1, E_o2), strict=True):
    axes.text(output.x + 0.5, output.y, f"$E_{{{name}}}$ = {value:.4f}", va="center")
_ = axes.text(rows[-1][0].x + 0.5, 2.6, f"$E$ = {E:.4f}", va="center")

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
# The same chain, drawn. The neuron $o_1$ is taken apart into its net input and its output. Black
# arrows are the forward pass; under them, in orange, stands the factor that each link of the chain
# gives to the product. $E_{o2}$ does not depend on $w_5$, so it has no part in it.


# %%
def factor(axes, start, end, text, y):
    """The way back under a link of the chain, with the derivative that belongs to it."""
    drawing.arrow(axes, (end, y), (start, y), color=drawing.ORANGE)
    axes.text((start + end) / 2, y - 0.2, text, ha="center", va="top", color=drawing.ORANGE)


figure, axes = drawing.canvas(11.6, 4.2)
out_h1_at = drawing.circle(axes, 0.8, 3.5, "$out_{h1}$", "hidden", fontsize=8)
out_h2_at = drawing.circle(axes, 0.8, 2.3, "$out_{h2}$", "hidden", fontsize=8)
one = drawing.circle(axes, 2.2, 1.5, "1", "bias")
net_at = drawing.box(axes, 4.1, 2.9, "$net_{o1}$", "output")
out_at = drawing.box(axes, 6.8, 2.9, "$out_{o1}$", "output")
part_at = drawing.box(axes, 9.0, 2.9, "$E_{o1}$")
whole_at = drawing.box(axes, 10.9, 2.9, "$E$")
drawing.arrow(axes, out_h1_at, net_at, "$w_5$", 0.45, size=11)
drawing.arrow(axes, out_h2_at, net_at, "$w_6$", 0.45, size=11)
drawing.arrow(axes, one, net_at, "$b_2$", 0.4, size=11, linestyle=":")
drawing.arrow(axes, net_at, out_at, "$\\sigma$", size=11)
drawing.arrow(axes, out_at, part_at)
drawing.arrow(axes, part_at, whole_at)
other_at = drawing.box(axes, 9.0, 3.8, "$E_{o2}$")
drawing.arrow(axes, other_at, whole_at)
links = [
    (1.6, 3.9, r"$\partial net_{o1} / \partial w_5$" + f"\n$= out_{{h1}}$ = {out_h1:.9f}", 0.85),
    (4.2, 6.7, r"$\partial out_{o1} / \partial net_{o1}$" + f"\n= {dout_dnet_o1:.9f}", 2.2),
    (6.9, 10.8, r"$\partial E / \partial out_{o1}$" + f"\n= {dE_dout_o1:.9f}", 2.2),
]
for link in links:
    factor(axes, *link)
product = dE_dout_o1 * dout_dnet_o1 * out_h1
axes.text(
    7.6,
    0.75,
    r"$\partial E / \partial w_5$" + f" = {dE_dout_o1:.9f} · {dout_dnet_o1:.9f} · {out_h1:.9f}"
    f"\n= {product:.9f}",
    ha="center",
    va="center",
)
assert f"{product:.9f}" == f"{dE_dw5:.9f}" == "0.082167041"

# %% [markdown]
# ## Backward, at a hidden neuron
#
# $h_1$ acts on the error through *both* outputs, on $E_{o1}$ along $w_5$ and on $E_{o2}$ along
# $w_7$. What comes back along both edges is added:
#
# $$\frac{\partial E}{\partial out_{h1}} = \frac{\partial E_{o1}}{\partial out_{h1}} +
# \frac{\partial E_{o2}}{\partial out_{h1}} = \delta_{o1} w_5 + \delta_{o2} w_7,$$
#
# $$
# \delta_{h1} = \frac{\partial E}{\partial out_{h1}} \cdot out_{h1} (1 - out_{h1}), \qquad
# \frac{\partial E}{\partial w_1} = \delta_{h1} \, i_1.$$

# %%
dE_o1_dout_h1, dE_o2_dout_h1 = delta_o1 * w5, delta_o2 * w7
dE_dout_h1 = dE_o1_dout_h1 + dE_o2_dout_h1
dE_dout_h2 = delta_o1 * w6 + delta_o2 * w8
dout_dnet_h1, dout_dnet_h2 = out_h1 * (1 - out_h1), out_h2 * (1 - out_h2)
delta_h1, delta_h2 = dE_dout_h1 * dout_dnet_h1, dE_dout_h2 * dout_dnet_h2
dE_dw1, dE_dw2 = delta_h1 * i1, delta_h1 * i2
dE_dw3, dE_dw4 = delta_h2 * i1, delta_h2 * i2
dE_db1 = delta_h1 + delta_h2
print(f"dE/dout_h1 = {dE_o1_dout_h1:.9f} + ({dE_o2_dout_h1:.9f}) = {dE_dout_h1:.9f}")
assert f"{dE_o1_dout_h1:.9f} {dE_o2_dout_h1:.9f}" == "0.055399425 -0.019049118"

# %% [markdown]
# What is summed at $h_1$, drawn: forward, one output goes to two neurons; backward, two derivatives
# come together in it. Then the chain goes on as before, through the slope of $h_1$ to $w_1$.

# %%
figure, axes = drawing.canvas(11.6, 5.2)
in_at = drawing.circle(axes, 0.8, 2.6, "$i_1$", "input")
net_at = drawing.box(axes, 3.0, 2.6, "$net_{h1}$", "hidden")
out_at = drawing.box(axes, 5.4, 2.6, "$out_{h1}$", "hidden")
drawing.arrow(axes, in_at, net_at, "$w_1$", size=11)
drawing.arrow(axes, net_at, out_at, "$\\sigma$", size=11)
for y, name, weight, back in (
    (4.3, "o1", "w_5", dE_o1_dout_h1),
    (0.9, "o2", "w_7", dE_o2_dout_h1),
):
    neuron_at = drawing.circle(axes, 8.2, y, f"${name[0]}_{name[1]}$", "output")
    error_at = drawing.box(axes, 10.0, y, f"$E_{{{name}}}$")
    drawing.arrow(axes, out_at, neuron_at, f"${weight}$", 0.72, size=11)
    drawing.arrow(axes, neuron_at, error_at)
    towards = 0.45 if y > 2.6 else -0.45
    drawing.arrow(
        axes, (7.7, y + towards), (5.6, 2.6 + 1.3 * towards), color=drawing.ORANGE, linestyle="--"
    )
    text = rf"$\partial E_{{{name}}} / \partial out_{{h1}}$ = {back:.9f}".replace("-", "−")
    axes.text(6.2, y + 0.3 * towards / 0.45, text, ha="right", va="center", color=drawing.ORANGE)
text = r"$\partial E / \partial out_{h1}$" + f"\n= {dE_dout_h1:.9f}"
axes.text(6.1, 2.6, text, va="center", color=drawing.ORANGE)
factor(axes, 3.1, 5.3, r"$\partial out_{h1} / \partial net_{h1}$" + f"\n= {dout_dnet_h1:.9f}", 1.95)
factor(axes, 0.9, 2.9, r"$\partial net_{h1} / \partial w_1$" + f"\n$= i_1$ = {i1:.2f}", 1.95)
assert math.isclose(dE_dout_h1 * dout_dnet_h1 * i1, dE_dw1) and f"{dE_dw1:.9f}" == "0.000438568"

# %% [markdown]
# ## Every partial derivative beside jax.grad
#
# `jax.grad` gives the derivatives with respect to the parameters. It gives the ones in between too,
# once the network is written as a function of what is in between: of the outputs, of $net_o$, of
# $out_h$, of $net_h$.


# %%
def from_out_o(out_o):
    return jaxnn.losses.half_squared_error(out_o[None], target[None])[0]


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
# To make the error smaller, each derivative is taken off its weight, multiplied by the learning
# rate (学习率) $\eta$, here 0.5: $w \leftarrow w - \eta\, \partial E / \partial w$. In the
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


step = jaxnn.training.train_step(loss, optimizer)
first = jaxnn.training.train_state(params, optimizer, jax.random.key(0))
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
    assert math.isclose(one, other, rel_tol=1e-12)

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
published = {
    (0.01, 0.99): ("0.291027774", "3.510187783e-05"),
    (0.01, 0.09): ("0.496045683", "1.8102e-05"),
}
for goal, (color, style) in looks.items():
    batches = jnp.tile(x, (STEPS, 1)), jnp.tile(jnp.array(goal), (STEPS, 1))
    current = jaxnn.training.train_state(params, optimizer, jax.random.key(0))
    current, errors = train(current, batches)
    output = network.apply(current.params, x)
    last = error(current.params, x, jnp.array(goal))
    axes.loglog(range(1, STEPS), errors[1:], style, color=color, label=f"target {goal}")
    print(f"target {goal}: E {errors[0]:.9f}, after one step {errors[1]:.9f},")
    print(f"  after {STEPS:,} steps {last:.9e}, output {output[0]:.9f} {output[1]:.9f}")
    places = len(published[goal][1].partition(".")[2].partition("e")[0])
    assert (f"{errors[1]:.9f}", f"{last:.{places}e}") == published[goal]
axes.set(xlabel="steps taken", ylabel="error E")
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# There are two targets because the notes have two: their text works the example through with 0.01
# and 0.99, and their code has 0.09 where the text has 0.99. Both were run here, and both give the
# published digits: an error of 0.291027774 after one step and of 3.510187783e-05 after 10,000 steps
# for the text's target, 0.496045683 and 1.8102e-05 for the code's.
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
    current = jaxnn.training.train_state(mlp((2, 5, 1)).init(init_key), optimizer, order_key)
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
assert totals[-1] < 0.02
for corner, output in zip(corners, mlp((2, 5, 1)).apply(learned, corners), strict=True):
    print(corner, f"-> {output[0]:.3f}")
    assert (output[0] > 0.5) == (corner[0] != corner[1])

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
# For a long time nothing seems to happen. The output is about ½ everywhere, which costs $4 \cdot
# \tfrac12 \cdot (\tfrac12)^2 = \tfrac12$, and what one sample teaches the next one takes back. Then
# the surface folds, and the two corners on each diagonal come out alike. Below, the error over the
# steps for six starts, each with the step at which it leaves its plateau (the first of the recorded
# steps with an error below ¼), and the network of the first start with what it has learned on its
# edges.

# %%
figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
for seed in range(6):
    course = learn_xor(jax.random.key(seed))
    totals = jax.vmap(lambda p: error(p, corners, truth))(course)
    axes.semilogy(np.arange(0, STEPS + 1, EVERY), totals, label=f"seed {seed}", linewidth=1.2)
    print(f"seed {seed}: leaves the plateau at step {EVERY * np.argmax(totals < 0.25)}, ", end="")
    print(f"E = {totals[-1]:.4f} at the end")
    assert 0.006 < totals[-1] < 0.05
axes.set(xlabel="steps taken", ylabel="error over all four")
axes.legend(frameon=False, ncols=2)
axes.grid(alpha=0.3)

# %%
figure, axes = drawing.canvas(8, 7)
texts = [["$x_1$", "$x_2$"], [f"$h_{i}$" for i in range(1, 6)], ["$y$"]]
kernels, shared = [layer.kernel for layer in learned], [layer.bias for layer in learned]
_ = drawing.network(axes, texts, kernels, shared, width=3.2, gap=(3.6, 1.2, 1.2), at=0.2)
