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
# # 1. From the neuron to the network
#
# A neural network (神经网络) is a function with many numbers inside, and learning means to change
# those numbers until the function does what is wanted. This chapter builds one from its smallest
# part, runs it forward, says what "wrong" means, and goes downhill.
#
# Everything is drawn and computed here: the networks are those of `jaxnn`, the circles and arrows
# come from `drawing.py`, a small helper beside this file.

# %%
import itertools

import drawing
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.colors import to_rgba_array

import jaxnn

keys = iter(jax.random.split(jax.random.key(0), 16))

# %% [markdown]
# ## The neuron
#
# A neuron (神经元) takes some numbers $x_1, \dots, x_n$, multiplies each by a weight (权重) $w_i$
# of its own, adds a bias (偏差) $b$, and sends the sum through an activation function (激活函数)
# $f$:
#
# $$z = \sum_i w_i x_i + b, \qquad a = f(z).$$
#
# $z$ is the weighted input (加权输入), $a$ the activation (激活值), which is the output.

# %%
figure, axes = drawing.canvas(8.6, 4)
total = drawing.circle(axes, 4, 1.8, r"$\Sigma$", fontsize=14)
squash = drawing.circle(axes, 5.8, 1.8, "$f$", fontsize=14)
for i, y in enumerate((3.1, 2.2, 1.3), 1):
    x = drawing.circle(axes, 1.2, y, f"$x_{i}$", "input")
    drawing.arrow(axes, x, total, f"$w_{i}$", at=0.4)
drawing.arrow(axes, drawing.circle(axes, 1.2, 0.4, "1", "bias"), total, "$b$", 0.4, linestyle=":")
drawing.arrow(axes, total, squash, "$z$")
drawing.arrow(axes, squash, (7.4, 1.8), "$a$")
axes.text(1.2, 3.65, "inputs", ha="center")
axes.text(4, 2.3, "weighted sum", ha="center")
axes.text(5.8, 2.3, "activation", ha="center")
_ = axes.text(7.45, 1.8, "output", va="center")

# %% [markdown]
# In `jaxnn` a `dense` layer is the sum, for as many neurons as wanted; here for one. Its parameters
# are a matrix of weights and a vector of biases, given from outside: nothing is stored in the
# layer.

# %%
neuron = jaxnn.dense(3, 1)
params = jaxnn.DenseParams(kernel=jnp.array([[0.5], [-1.0], [2.0]]), bias=jnp.array([0.25]))
x = jnp.array([1.0, 2.0, 0.5])
z = neuron.apply(params, x)
print("z by jaxnn:", z[0], "  by hand:", 0.5 * 1 + -1 * 2 + 2 * 0.5 + 0.25)
print("a:", jax.nn.sigmoid(z)[0])
assert jnp.allclose(z, 0.5 * 1 + -1 * 2 + 2 * 0.5 + 0.25, atol=1e-6)

# %% [markdown]
# What the two kinds of numbers do shows best with one input. The weight makes the neuron's answer
# steep or flat, and turns it round where it is negative. The bias moves it to the left or the
# right: $w x + b = 0$ at $x = -b / w$.

# %%
line = jnp.linspace(-6, 6, 201)
figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), sharey=True, layout="constrained")
for w, style in ((0.5, ":"), (1.0, "-"), (4.0, "--"), (-1.0, "-.")):
    left.plot(line, jax.nn.sigmoid(w * line), style, label=f"w = {w:g}")
for b, style in ((-3.0, ":"), (0.0, "-"), (3.0, "--")):
    right.plot(line, jax.nn.sigmoid(line + b), style, label=f"b = {b:g}")
left.set(title="weight, with b = 0", xlabel="x", ylabel="σ(w x + b)")
right.set(title="bias, with w = 1", xlabel="x")
for axes in (left, right):
    axes.legend(frameon=False)
    axes.grid(alpha=0.3)

# %% [markdown]
# ## Four activations and their derivatives
#
# $$\sigma(z) = \frac{1}{1 + e^{-z}}, \qquad \tanh z = \frac{e^z - e^{-z}}{e^z + e^{-z}}, \qquad
# \mathrm{ReLU}(z) = \max(0, z), \qquad \mathrm{softmax}(z)_j = \frac{e^{z_j}}{\sum_k e^{z_k}}.$$
#
# The first three look at one number. Softmax looks at all numbers of a layer; the picture moves one
# of three and leaves the other two at 0.
#
# Learning will need the derivatives (dashed). The sigmoid's is $\sigma' = \sigma (1 - \sigma)$, and
# **never above ¼**: that is the largest value of $p (1 - p)$, at $p = \tfrac12$. The slope of tanh
# reaches 1; that of ReLU is 0 or 1. Softmax's own slope, $p (1 - p)$, is the sigmoid's again.
#
# Away from the middle the sigmoid **saturates** (饱和): its output is close to 0 or to 1, and
# hardly moves however far $z$ does. There the slope is nearly nothing, and so is every gradient
# that has to pass it. A saturated neuron hardly learns, even where it is quite wrong. Tanh
# saturates in the same way at −1 and 1; ReLU does on one side only.


# %%
def softmax_of_three(z):
    return jax.nn.softmax(jnp.array([z, 0.0, 0.0]))[0]


activations = {
    "sigmoid": jax.nn.sigmoid,
    "tanh": jnp.tanh,
    "ReLU": jax.nn.relu,
    "softmax of (z, 0, 0)": softmax_of_three,
}
figure, grid = plt.subplots(2, 2, figsize=(9, 5.6), layout="constrained")
z = jnp.linspace(-5, 5, 401)
for axes, (name, f) in zip(grid.flat, activations.items(), strict=True):
    slope = jax.vmap(jax.grad(f))(z)
    axes.plot(z, jax.vmap(f)(z), color=drawing.BLUE, label="f(z)")
    axes.plot(z, slope, "--", color=drawing.ORANGE, label="f′(z)")
    axes.axhline(0.25, color="black", linewidth=0.8, linestyle=":")
    axes.text(-4.9, 0.27, "¼", fontsize=9)
    axes.set(title=name, xlabel="z", ylim=(-1.1 if name == "tanh" else -0.1, 1.25))
    axes.grid(alpha=0.3)
    largest = 1.0 if name in ("tanh", "ReLU") else 0.25
    print(f"{name}: largest slope {slope.max():.4f}")
    assert jnp.isclose(slope.max(), largest, atol=1e-4)
_ = grid[0, 0].legend(frameon=False)
for at in (0.0, 5.0, 10.0):
    p, slope = jax.value_and_grad(jax.nn.sigmoid)(at)
    print(f"sigmoid at z = {at:g}: output {p:.5f}, slope {slope:.5f}")
    assert jnp.isclose(slope, p * (1 - p))

# %% [markdown]
# Why an activation at all? Without one, two layers are one: $(x W_1) W_2 = x (W_1 W_2)$. What a
# network can do beyond a straight line, it can do because of $f$.

# %%
first, second = jaxnn.dense(3, 5), jaxnn.dense(5, 2)
p, q = first.init(next(keys)), second.init(next(keys))
two = second.apply(q, first.apply(p, x))
product = jaxnn.DenseParams(p.kernel @ q.kernel, p.bias @ q.kernel + q.bias)
one = jaxnn.dense(3, 2).apply(product, x)
print("two layers without activation:", two, " one layer:", one)
assert jnp.allclose(two, one, atol=1e-6)

# %% [markdown]
# ## Layers
#
# Neurons that read the same inputs make a layer (层). The numbers that come in are the input layer
# (输入层), what goes out is the output layer (输出层), all between are hidden layers (隐藏层). The
# whole is a multi-layer perceptron, MLP (多层感知器). Every neuron is joined to every neuron of the
# layer before: fully connected (全连接).

# %%
figure, axes = drawing.canvas(9.2, 5.2)
layers = [
    [f"$x_{i}$" for i in (1, 2, 3)],
    [f"$a_{i}^{{(1)}}$" for i in (1, 2, 3, 4)],
    [f"$a_{i}^{{(2)}}$" for i in (1, 2, 3, 4)],
    ["$y_1$", "$y_2$"],
]
rows = drawing.network(axes, layers, width=2.4, origin=(1, 0.5), color=drawing.GREY)
for row, name in zip(rows, ("input", "hidden", "hidden", "output"), strict=True):
    axes.text(row[0].x, 4.7, f"{name} layer", ha="center")

# %% [markdown]
# With rows for samples, a whole layer is one line, $a^{(l)} = f(a^{(l-1)} W^{(l)} + b^{(l)})$, and
# entry $(i, j)$ of $W^{(l)}$ is the weight from neuron $i$ of one layer to neuron $j$ of the next.
#
# **One bias for a layer.** The notes draw one bias unit a layer: a circle with the constant 1,
# whose one number $b$ all neurons of the layer share. Most libraries, and most papers, give every
# neuron a bias of its own. `dense` and `mlp` do both: `bias="shared"` is the notes' drawing,
# `bias=True` the usual form. A shared bias is fewer numbers, and can do less.

# %%
for bias in ("shared", True):
    network = jaxnn.mlp((2, 3, 1), jax.nn.sigmoid, jax.nn.sigmoid, bias=bias)
    print(f"bias={bias!r}")
    print(jaxnn.describe(network.init(next(keys))), end="\n\n")

# %% [markdown]
# ## The forward pass
#
# To run a network forward (前向传播) is to compute layer after layer. Below, a 2-3-1 network of
# sigmoid neurons with its weights on the edges, its shared biases on the dotted ones, and inside
# each circle what the neuron gives for the input $(1, 0.5)$.

# %%
network = jaxnn.mlp((2, 3, 1), jax.nn.sigmoid, jax.nn.sigmoid, bias="shared")
W1, b1 = jnp.array([[0.8, -0.5, 1.5], [-1.0, 0.6, 0.4]]), jnp.array(0.1)
W2, b2 = jnp.array([[1.2], [-0.7], [0.9]]), jnp.array(-0.4)
x = jnp.array([1.0, 0.5])
a1 = jax.nn.sigmoid(x @ W1 + b1)
a2 = jax.nn.sigmoid(a1 @ W2 + b2)
params = jaxnn.DenseParams(W1, b1), jaxnn.DenseParams(W2, b2)
print("layer by layer:", a2, " network.apply:", network.apply(params, x))
assert jnp.allclose(a2, network.apply(params, x), atol=1e-6)

figure, axes = drawing.canvas(7.4, 5.2)
texts = [[f"{value:.2f}" for value in values] for values in (x, a1, a2)]
_ = drawing.network(axes, texts, (W1, W2), (b1, b2), width=3, gap=1.4, origin=(0.7, 0.6), at=0.22)

# %% [markdown]
# `apply` takes any number of samples at once. A thousand samples are no loop, but one larger matrix
# product.

# %%
print(network.apply(params, jax.random.normal(next(keys), (1000, 2))).shape)

# %% [markdown]
# ## Softmax against sigmoid
#
# Both make probabilities of numbers that a layer gives, its logits. They answer different
# questions.
#
# - **Softmax, many classes**: exactly one class is right. The probabilities compete, and sum to 1.
# - **Sigmoid, two classes, or several independent questions**: each output is yes or no by itself.
#
# With two classes they are the same thing: only the difference of the two logits matters,
#
# $$\mathrm{softmax}(z_1, z_2)_1 = \frac{e^{z_1}}{e^{z_1} + e^{z_2}}
# = \frac{1}{1 + e^{-(z_1 - z_2)}} = \sigma(z_1 - z_2).$$

# %%
logits = jnp.array([2.0, 1.0, -1.0])
print("softmax", jax.nn.softmax(logits), "sum", jax.nn.softmax(logits).sum())
print("sigmoid", jax.nn.sigmoid(logits), "sum", jax.nn.sigmoid(logits).sum())
two_classes = jax.nn.softmax(logits[:2])[0], jax.nn.sigmoid(logits[0] - logits[1])
print("two classes:", *two_classes)
assert jnp.isclose(jax.nn.softmax(logits).sum(), 1.0) and jnp.isclose(*two_classes)

# %% [markdown]
# Below, one layer learns to tell three clouds of points apart by softmax, and one neuron to tell
# two apart by sigmoid. Both minimise the cross-entropy (交叉熵), the mean of $-\log p$ of the class
# that was right. The losses of `jaxnn` take logits, since $\log$ of a softmax is better computed in
# one go, and give a sum and how many samples it is over. `train` is all that training needs; the
# next two sections say what it does.


# %%
def train(model, cost, batch, optimizer, steps, key, every=100):
    """Full-batch training: the parameters, the cost of every step, and snapshots on the way."""

    def loss(params, state, batch, key):
        xs, targets = batch
        return *cost(model.apply(params, xs), targets), state

    first = jaxnn.training.train_state(model.init(key), optimizer, key)
    result = jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer),
        first,
        itertools.repeat(batch),
        steps,
        evaluate=lambda current: jax.device_get(current.params),
        evaluate_every=every,
        progress=False,
    )
    return result.train_state.params, result.history.loss, dict(result.history.evaluations)


centres = jnp.array([[-1.5, -0.8], [1.5, -0.8], [0.0, 1.6]])
labels = jnp.arange(150) % 3
points = centres[labels] + 0.7 * jax.random.normal(next(keys), (150, 2))
three, two = jaxnn.dense(2, 3), jaxnn.dense(2, 1)
adam = optax.adam(0.1)
p3, _, _ = train(three, jaxnn.losses.cross_entropy, (points, labels), adam, 300, next(keys))
pair = labels < 2
data = (points[pair], labels[pair][:, None])
p2, _, _ = train(two, jaxnn.losses.binary_cross_entropy, data, adam, 300, next(keys))

COLORS, MARKERS = (drawing.BLUE, drawing.ORANGE, drawing.GREEN), "os^"


def scatter(axes, points, labels):
    for k, (color, marker) in enumerate(zip(COLORS, MARKERS, strict=False)):
        chosen = points[labels == k]
        axes.scatter(*chosen.T, s=18, c=color, marker=marker, edgecolors="white", linewidths=0.5)


span = jnp.linspace(-3.6, 3.6, 121)
plane = jnp.stack(jnp.meshgrid(span, span), axis=-1)
figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained")
left.bar(np.arange(3) - 0.2, jax.nn.softmax(logits), 0.4, label="softmax", color=drawing.BLUE)
left.bar(np.arange(3) + 0.2, jax.nn.sigmoid(logits), 0.4, label="sigmoid", color="#E69F00")
left.set(title="the same three logits", xticks=range(3), ylabel="probability", ylim=(0, 1))
left.set_xticklabels([f"z = {value:g}" for value in logits])
left.legend(frameon=False)
shares = jax.nn.softmax(three.apply(p3, plane))
picture = 1 - 0.6 * np.asarray(shares) @ (1 - to_rgba_array(COLORS)[:, :3])
middle.imshow(picture, origin="lower", extent=(-3.6, 3.6, -3.6, 3.6))
scatter(middle, points, labels)
middle.set(title="softmax: three classes")
surface = jax.nn.sigmoid(two.apply(p2, plane))[..., 0]
filled = right.contourf(span, span, surface, np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
right.contour(span, span, surface, [0.5], colors="black")
scatter(right, points[pair], labels[pair])
right.set(title="sigmoid: two classes", aspect=1)
figure.colorbar(filled, label="P(orange square)", ticks=[0, 0.5, 1])
for axes in (middle, right):
    axes.set(xlabel="$x_1$", ylabel="$x_2$")
right3, count3 = jaxnn.losses.accuracy(three.apply(p3, points), labels)
right2, count2 = jaxnn.losses.binary_accuracy(two.apply(p2, data[0]), data[1])
print(f"right: {right3:.0f} of {count3:.0f} by softmax, {right2:.0f} of {count2:.0f} by sigmoid")

# %% [markdown]
# ## The cost
#
# How wrong is a network on $m$ samples? A cost function (成本函数) says it in one number. For
# numbers to be hit, the mean squared error (均方误差),
#
# $$C = \frac{1}{m} \sum_{k=1}^{m} \lVert y_k - a_k \rVert^2,$$
#
# with $y_k$ the target and $a_k$ the output; for classes the cross-entropy above.
# $\tfrac12 \sum (y - a)^2$, of the next chapter, is the same up to a factor.

# %%
targets, answers = jnp.array([[1.0], [0.0], [2.0]]), jnp.array([[0.8], [0.5], [1.0]])
total, samples = jaxnn.losses.mean_squared_error(answers, targets)
print(f"sum {total:.2f} over {samples:.0f} samples: C = {total / samples:.2f}")
assert jnp.isclose(total / samples, (0.2**2 + 0.5**2 + 1**2) / 3)

# %% [markdown]
# ## Gradient descent
#
# The gradient (梯度) of the cost says in which direction each weight makes it larger. Gradient
# descent (梯度下降) takes a step the other way,
#
# $$w \leftarrow w - \eta \, \frac{\partial C}{\partial w},$$
#
# again and again. $\eta$ is the learning rate (学习率): the factor by which the derivative is
# multiplied before it is taken off the weight, so it says how long a step is. Everything hangs on
# it. The picture shows a neuron with one weight, no bias and no activation, on data that lie near
# $y = 2 x$. Its cost is a parabola of curvature $C'' = \tfrac{2}{m} \sum x^2$. A step of rate
# $\eta$ multiplies the distance to the lowest point by $1 - \eta C''$: slow where $\eta C''$ is
# small, to and fro above 1, and away for ever above 2.

# %%
neuron = jaxnn.dense(1, 1, bias=False)
xs = jnp.linspace(-1.5, 1.5, 20)[:, None]
ys = 2 * xs + 0.3 * jax.random.normal(next(keys), xs.shape)
curvature = 2 * jnp.mean(xs**2)
best = jnp.sum(xs * ys) / jnp.sum(xs**2)
print(f"C'' = {curvature:.3f}, so it diverges above {2 / curvature:.3f}; lowest at w = {best:.3f}")


def cost(w):
    total, samples = jaxnn.losses.mean_squared_error(
        neuron.apply(jaxnn.DenseParams(w, None), xs), ys
    )
    return total / samples


figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
weights = jnp.linspace(-2.5, 6.5, 201)
left.plot(weights, jax.vmap(lambda w: cost(w.reshape(1, 1)))(weights), color="black", linewidth=0.8)
rates = {"too small": (0.02, "o-"), "right": (0.45, "s-"), "diverging": (1.45, "^-")}
for (name, (rate, style)), color in zip(rates.items(), COLORS, strict=True):
    path = [jnp.array([[-1.0]])]
    for _ in range(12):
        path.append(path[-1] - rate * jax.grad(cost)(path[-1]))
    costs = [cost(w) for w in path]
    look = {"color": color, "markersize": 5, "label": f"η = {rate}: {name}"}
    left.plot([float(w[0, 0]) for w in path], costs, style, linewidth=0.8, **look)
    right.semilogy(costs, style, **look)
    print(f"{name}: cost {costs[0]:.3f} -> {costs[-1]:.3f}, w = {path[-1][0, 0]:.3f}")
    left_over = (path[-1][0, 0] - best) / (path[0][0, 0] - best)
    assert jnp.isclose(left_over, (1 - rate * curvature) ** 12, rtol=1e-3, atol=1e-5)
left.set(title="the way down, and up", xlabel="w", ylabel="C", xlim=(-2.5, 6.5), ylim=(-0.5, 22))
right.set(title="the cost after each step", xlabel="step", ylabel="C")
right.legend(frameon=False)
right.grid(alpha=0.3)

# %% [markdown]
# With many weights it is the same in every direction at once: the steepest one sets how large
# $\eta$ may be, the flattest one how long it takes. Optimisers such as Adam, from `optax`, give
# each weight a rate of its own.
#
# ## Why one neuron fails where a layer does not
#
# A neuron says yes where $w \cdot x + b > 0$. That is one side of a straight line (in general of a
# plane), whatever its activation is. XOR already is beyond it: yes at $(0, 1)$ and $(1, 0)$ asks
# for $w_2 + b > 0$ and $w_1 + b > 0$; no at $(0, 0)$ and $(1, 1)$ for $b \le 0$ and
# $w_1 + w_2 + b \le 0$. The first two add up to $w_1 + w_2 + 2 b > 0$, the others to
# $w_1 + w_2 + 2 b \le 0$. (Chapter 2 learns XOR with a layer.)
#
# Here the yes lies in the middle and the no around it. No line can part them. Four hidden neurons
# draw a line each (dashed), and the output neuron asks whether a point is on the inner side of all.
# Three lines are enough to close a region; the fourth is to spare.

# %%
angle, radius = jax.random.uniform(next(keys), (2, 300))
inside = jnp.arange(300) < 150
radius = jnp.where(inside, 0.9 * jnp.sqrt(radius), 1.4 + 0.8 * radius)
angle = 2 * jnp.pi * angle
ring = jnp.stack([radius * jnp.cos(angle), radius * jnp.sin(angle)], axis=-1)
answers = inside[:, None].astype(int)

span = jnp.linspace(-2.5, 2.5, 121)
plane = jnp.stack(jnp.meshgrid(span, span), axis=-1)
key = next(keys)


def separate(axes, name, sizes):
    """Train a network of these sizes and draw what it answers: its parameters, and the colours."""
    model, data = jaxnn.mlp(sizes, jnp.tanh), (ring, answers)
    params, _, _ = train(model, jaxnn.losses.binary_cross_entropy, data, optax.adam(0.1), 500, key)
    surface = jax.nn.sigmoid(model.apply(params, plane))[..., 0]
    filled = axes.contourf(span, span, surface, np.linspace(0, 1, 11), cmap="RdBu_r", alpha=0.7)
    axes.contour(span, span, surface, [0.5], colors="black")
    scatter(axes, ring, inside.astype(int))
    right, count = jaxnn.losses.binary_accuracy(model.apply(params, ring), answers)
    axes.set(title=f"{name}: {right / count:.0%} right", aspect=1, xlabel="$x_1$", ylabel="$x_2$")
    print(f"{name}: {right:.0f} of {count:.0f}")
    return params, filled, right / count


figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
_, _, one_alone = separate(left, "one neuron", (2, 1))
(hidden, _), filled, layer_of_four = separate(right, "four hidden neurons and one more", (2, 4, 1))
assert one_alone < 0.6 and layer_of_four == 1
for (w1, w2), b in zip(hidden.kernel.T, hidden.bias, strict=True):
    right.plot(span, -(w1 * span + b) / w2, "k--", linewidth=0.8)
right.set(xlim=(-2.5, 2.5), ylim=(-2.5, 2.5))
_ = figure.colorbar(filled, ax=(left, right), label="P(inside)", ticks=[0, 0.5, 1])

# %% [markdown]
# ## An unknown function
#
# With enough hidden neurons a network comes as near as wanted to any continuous function on a
# closed interval (Cybenko 1989; Hornik 1991). It does not need to know the function, only samples
# of it. Below, 60 noisy samples of a function that the network never sees itself. It follows the
# samples more and more closely, and says nothing about where there are none: to the right of the
# last sample it goes its own way.


# %%
def unknown(x):
    return jnp.sin(2 * x) + 0.4 * x * jnp.cos(5 * x)


xs = jnp.sort(jax.random.uniform(next(keys), (60, 1), minval=-2.0, maxval=2.0), axis=0)
ys = unknown(xs) + 0.1 * jax.random.normal(next(keys), xs.shape)
model = jaxnn.mlp((1, 32, 32, 1), jnp.tanh)
data, key = (xs, ys), next(keys)
_, costs, snapshots = train(
    model, jaxnn.losses.mean_squared_error, data, optax.adam(5e-3), 3000, key, every=30
)

line = jnp.linspace(-2.0, 2.8, 241)[:, None]
figure, (left, right) = plt.subplots(
    1, 2, figsize=(11, 4), layout="constrained", width_ratios=(1.6, 1)
)
left.plot(line, unknown(line), color="black", linewidth=3, alpha=0.25, label="the function")
left.scatter(xs, ys, s=14, color="black", label="its samples")
for (step, style), color in zip(((30, ":"), (300, "--"), (3000, "-")), COLORS, strict=True):
    left.plot(line, model.apply(snapshots[step], line), style, color=color, label=f"step {step}")
left.axvspan(float(xs[-1, 0]), 2.8, color="black", alpha=0.07, linewidth=0)
left.set(xlabel="x", ylabel="y", xlim=(-2.0, 2.8), ylim=(-2.6, 2.6))
left.legend(frameon=False, ncols=2, fontsize=9)
right.loglog(range(1, len(costs) + 1), costs, color=drawing.BLUE)
right.axhline(0.01, color="black", linestyle=":", linewidth=0.8)
right.text(1.1, 0.0108, "the noise's own variance", fontsize=9)
right.set(xlabel="step", ylabel="C")
right.grid(alpha=0.3)
print(f"C {costs[0]:.3f} -> {costs[-1]:.4f}")
assert costs[-1] < 0.1**2  # below the variance of the noise

# %% [markdown]
# A cost below the variance of the noise means that the network has begun to learn the noise as
# well: overfitting (过拟合). Whether that has done harm is not seen in this cost. Fresh points
# tell: here the distance to the function itself still falls.

# %%
fresh, distances = jnp.linspace(-2.0, 2.0, 200)[:, None], []
for step in (30, 300, 3000):
    total, count = jaxnn.losses.mean_squared_error(
        model.apply(snapshots[step], fresh), unknown(fresh)
    )
    distances.append(total / count)
    print(f"after {step} steps: mean squared distance to the function {distances[-1]:.4f}")
assert distances[0] > distances[1] > distances[2]

# %% [markdown]
# ## The gradient that fades
#
# More layers are not simply better. Going backward through a layer, the gradient is multiplied by
# the layer's weights and by the slope of its activation (the next chapter shows how). A sigmoid's
# slope is at most ¼, so after $n$ layers at most $(¼)^n$ is left of it, unless the weights are
# large: the vanishing gradient (梯度消失). The first layers hardly learn.
#
# Below, networks of 12 layers with 32 neurons each, before any training: the size of the gradient
# of the cost with respect to each layer's weights. Weights start with the variance that fits the
# activation (LeCun's 1/32 for sigmoid and tanh, He's 2/32 for ReLU); the band goes from the
# smallest to the largest of ten starts.

# %%
DEPTH, WIDTH, STARTS = 12, 32, 10
xs, ys = jax.random.normal(next(keys), (2, 64, WIDTH))
choices = {
    "sigmoid": (jax.nn.sigmoid, jax.nn.initializers.lecun_normal(), "o-"),
    "tanh": (jnp.tanh, jax.nn.initializers.lecun_normal(), "s-"),
    "ReLU": (jax.nn.relu, jax.nn.initializers.he_normal(), "^-"),
}


def gradient_norms(model, key):
    """The norm of the gradient of each layer's weights."""

    def cost(params):
        total, samples = jaxnn.losses.mean_squared_error(model.apply(params, xs), ys)
        return total / samples

    return jnp.stack([jnp.linalg.norm(g.kernel) for g in jax.grad(cost)(model.init(key))])


figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
layer_numbers, key = np.arange(1, DEPTH + 1), next(keys)
for (name, (f, init, style)), color in zip(choices.items(), COLORS, strict=True):
    model = jaxnn.mlp((WIDTH,) * (DEPTH + 1), f, kernel_init=init)
    norms = jax.vmap(lambda k, model=model: gradient_norms(model, k))(jax.random.split(key, STARTS))
    axes.semilogy(layer_numbers, jnp.median(norms, axis=0), style, color=color, label=name)
    axes.fill_between(layer_numbers, norms.min(0), norms.max(0), color=color, alpha=0.2)
    if name == "sigmoid":
        quarter = jnp.median(norms[:, -2]) * 0.25 ** np.arange(DEPTH - 2, -1, -1.0)
        axes.semilogy(layer_numbers[:-1], quarter, "k:", label="¼ a layer")
    ratio = jnp.median(norms[:, 0] / norms[:, -2])
    print(f"{name}: first layer's gradient / last hidden layer's = {ratio:.1e}")
    assert (ratio < 0.25 ** (DEPTH - 2)) if name == "sigmoid" else (ratio > 0.1)
axes.set(xlabel="layer, from the input", ylabel="norm of ∂C/∂W", xticks=layer_numbers)
axes.legend(frameon=False, loc="lower right")
axes.grid(alpha=0.3)

# %% [markdown]
# This is one reason why deep networks came to use ReLU and careful initial weights, and it comes
# back with force in recurrent networks, where every time step is one more layer: chapters 3 to 5.
