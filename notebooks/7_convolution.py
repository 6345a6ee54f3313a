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
# # 7. Convolution
#
# The notes stop at the heading "CNN". This chapter is what could stand there: what a convolution
# (卷积) is, what it can see, a convolutional neural network, CNN (卷积神经网络), on real images,
# and how convolution and recurrence compare, and join.

# %%
import itertools
from typing import Any

import drawing
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax
from matplotlib.patches import Rectangle
from sklearn.datasets import load_digits, load_sample_image

import jaxnn
from jaxnn import plot

keys = iter(jax.random.split(jax.random.key(0), 64))
pixels, labels = (np.asarray(array) for array in load_digits(return_X_y=True))
images = pixels.reshape(-1, 8, 8, 1).astype(np.float32) / 16
print("images", images.shape, "from", images.min(), "to", images.max())

# %% [markdown]
# The images are 1,797 handwritten digits of 8 × 8 pixels, from scikit-learn. Their shape is
# (count, height, width, channels): channels last.
#
# ## What a filter sees
#
# A dense layer looks at all pixels at once, with a weight for each. A filter (滤波器), also called
# a kernel (卷积核), looks at a small window (窗口), and slides over the image. At every place it
# takes the weighted sum of what is under it:
#
# $$y_{n,m} = \sum_{i,j} x_{n+i,\,m+j}\, w_{i,j} + b.$$
#
# The same few weights are used everywhere: weight sharing (权值共享). (What mathematicians call
# convolution turns the filter round first, $x_{n-i,\,m-j}$. Where the weights are learned that
# makes no difference, and no library does it.)
#
# This filter compares right with left: it answers where dark and light meet along a vertical edge
# (边缘).

# %%
image = images[0, ..., 0]
w = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
rows, columns = image.shape
by_hand = np.zeros((rows - 2, columns - 2))
for n in range(rows - 2):
    for m in range(columns - 2):
        by_hand[n, m] = np.sum(image[n : n + 3, m : m + 3] * w)

layer = jaxnn.conv(1, 1, (3, 3), bias=False)
params = jaxnn.ConvParams(kernel=jnp.asarray(w)[:, :, None, None], bias=None)
y = layer.apply(params, jnp.asarray(image)[..., None])[..., 0]
print(f"jaxnn.conv and the loops: at most {np.abs(y - by_hand).max():.0e} apart")
assert np.allclose(y, by_hand, atol=1e-5)

# %%
place = 2, 3


def numbers(axes, values, form, **style):
    for (i, j), value in np.ndenumerate(values):
        text = format(value, form).replace("-", "−")
        axes.text(j, i, text, ha="center", va="center", fontsize=8, **style)


def frame(axes, row, column, size):
    box = Rectangle((column - 0.5, row - 0.5), size, size)
    box.set(fill=False, edgecolor=drawing.ORANGE, linewidth=3)
    axes.add_patch(box)


figure, (left, middle, right) = plt.subplots(1, 3, figsize=(11, 4.2), layout="constrained")
left.imshow(image, cmap="gray_r", vmax=1.6)
numbers(left, 16 * image, ".0f")
frame(left, *place, 3)
middle.imshow(w, cmap="PuOr", vmin=-4, vmax=4)
numbers(middle, w, ".0f")
middle.set(xlim=(-2.5, 4.5), ylim=(4.5, -2.5))
right.imshow(y, cmap="PuOr", vmin=-5, vmax=5)
numbers(right, 16 * y, ".0f")
frame(right, *place, 1)
for axes, title in (
    (left, "image x (in sixteenths)"),
    (middle, "filter w"),
    (right, "answer y (in sixteenths)"),
):
    axes.set_title(title)
    axes.axis("off")

# %% [markdown]
# The framed number on the right is the sum, weight times pixel, over the frame on the left. The
# answer is 6 × 6, since a 3 × 3 window has 6 places along 8 pixels.
#
# On a photograph, filters show what they are for: this one finds vertical edges, its transpose
# horizontal ones, equal weights blur, and the last one, whose weights add up to 0, keeps what
# differs from its surroundings. Nobody chose the filters of a trained network. They are learned, as
# all weights are, and the first ones often look like these.

# %%
photo = np.float32(load_sample_image("china.jpg")[40:360:2, 100:580:2]).mean(-1) / 255
filters = {
    "vertical edges": w / 4,
    "horizontal edges": w.T / 4,
    "blur": np.full((3, 3), 1 / 9, np.float32),
    "what stands out": np.array([[-1, -1, -1], [-1, 8, -1], [-1, -1, -1]], np.float32) / 4,
}
bank = jaxnn.conv(1, len(filters), (3, 3), bias=False)
kernel = jnp.stack([jnp.asarray(f) for f in filters.values()], axis=-1)[:, :, None]
answers = bank.apply(jaxnn.ConvParams(kernel, None), jnp.asarray(photo)[..., None])
print("image", photo.shape, " kernel", kernel.shape, " answers", answers.shape)

figure, grid = plt.subplots(1, 5, figsize=(14, 2.4), layout="constrained")
grid[0].imshow(photo, cmap="gray")
grid[0].set_title("photograph", fontsize=10)
for k, (name, axes) in enumerate(zip(filters, grid[1:], strict=True)):
    edges = name != "blur"
    limits = {"cmap": "PuOr", "vmin": -0.6, "vmax": 0.6} if edges else {"cmap": "gray"}
    axes.imshow(answers[..., k], **limits)
    axes.set_title(name, fontsize=10)
for axes in grid:
    axes.axis("off")

# %% [markdown]
# ## Channels
#
# Four filters give four images: the channels (通道) of the next layer's input. (A colour photograph
# has three from the start.) A filter of the next layer sees all channels of its input, so its
# weights have the shape (height, width, channels in), and the kernel of a layer is
#
# $$W \in \mathbb{R}^{\,k \times k \times \text{in} \times \text{out}}.$$
#
# Their number does not depend on the size of the image. A dense layer from one image of 8 × 8 × 16
# to another needs four hundred times as many:

# %%
sizes = []
for layer_of_16 in (jaxnn.conv(16, 16, (3, 3)), jaxnn.dense(8 * 8 * 16, 8 * 8 * 16)):
    shapes = jax.eval_shape(layer_of_16.init, jax.random.key(0))  # nothing is computed
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    sizes.append(count)
    print(f"{layer_of_16!r:20} {count:9,} parameters")
assert 400 < sizes[1] / sizes[0] < 500

# %% [markdown]
# The other half of the bargain: **what moves in the image moves in the answer**, by as much. A
# dense layer has to learn a digit at every place where it may stand; a filter that knows it at one
# place knows it everywhere. This is called equivariance (等变性).

# %%
canvas = jnp.zeros((20, 20, 1)).at[3:11, 3:11].set(images[5])
shifted = jnp.roll(canvas, (6, 7), (0, 1))
moved_after = jnp.roll(layer.apply(params, canvas), (6, 7), (0, 1))
moved_before = layer.apply(params, shifted)
apart = jnp.abs(moved_after - moved_before).max()
print(f"filter, then move, and move, then filter: at most {apart:.0e} apart")
assert apart < 1e-5

# %% [markdown]
# ## Stride, padding, dilation
#
# Four numbers say where the window goes. Along each axis:
#
# - the window's size $k$;
# - the stride (步幅) $s$: how far it jumps from one place to the next;
# - the padding (填充) $p_\text{low}, p_\text{high}$: how many zeros are put before and after;
# - the dilation (空洞) $d$: how far apart the places are that it looks at.
#
# From $N$ places they make
#
# $$M = \left\lfloor \frac{N + p_\text{low} + p_\text{high} - d\,(k - 1) - 1}{s}
# \right\rfloor + 1.$$
#
# "valid" means no padding. "same" pads so that with stride 1 nothing shrinks. "causal" (因果) puts
# all padding before, so that no answer sees anything to its right: for sequences, the future.
#
# The pictures ask the library: a line joins an input $x$ (below) and an answer $y$ (above) where
# the derivative of $y$ by $x$ is not zero. The thick ones lead to one answer.


# %%
def seen(layer, params, length):
    """Which inputs each output depends on, (outputs, inputs), for one axis and one channel."""
    jacobian = jax.jacobian(lambda x: layer.apply(params, x[:, None])[:, 0])(jnp.ones(length))
    return np.asarray(jacobian != 0)


def wires(axes, seen, places, title, length):
    for n, m in np.argwhere(seen):
        thick = n == len(seen) // 2
        color = drawing.ORANGE if thick else drawing.GREY
        axes.plot(
            [m, places[n]], [0, 1], color=color, linewidth=2.5 if thick else 0.8, zorder=thick
        )
    axes.scatter(range(length), [0] * length, s=70, color=drawing.BLUE, zorder=3)
    axes.scatter(places, [1] * len(places), s=70, color="black", zorder=3)
    axes.set(title=title, xlim=(-1, length), ylim=(-0.3, 1.3), yticks=[0, 1])
    axes.set_yticklabels(["x", "y"])
    axes.tick_params(length=0)
    axes.set_xticks([])
    axes.spines[:].set_visible(False)


LENGTH = 12
options: list[dict[str, Any]] = [
    {"padding": "valid"},
    {"padding": "same"},
    {"padding": "causal"},
    {"padding": "same", "stride": 2},
    {"padding": "valid", "stride": 3},
    {"padding": "causal", "dilation": 3},
]
figure, grid = plt.subplots(2, 3, figsize=(12, 4.4), layout="constrained")
for axes, option in zip(grid.flat, options, strict=True):
    slides = jaxnn.conv(1, 1, (3,), **option, kernel_init=jax.nn.initializers.ones)
    matrix = seen(slides, slides.init(next(keys)), LENGTH)
    # Above the middle of its window, a causal one above its end.
    pick = np.max if option["padding"] == "causal" else np.mean
    whole = int(np.argmax(matrix.sum(1)))
    steps = option.get("stride", 1) * (np.arange(len(matrix)) - whole)
    centres = steps + pick(np.flatnonzero(matrix[whole]))
    text = ", ".join(f"{name} {value}" for name, value in option.items())
    wires(axes, matrix, centres, f"window 3, {text}: {LENGTH} → {len(matrix)}", LENGTH)

# %% [markdown]
# ## The receptive field
#
# One layer sees its window. The next sees a window of windows: the receptive field (感受野) grows
# with depth. With windows $k_l$, dilations $d_l$ and strides $s_l$ it is
#
# $$r = 1 + \sum_l d_l\,(k_l - 1) \prod_{i<l} s_i,$$
#
# so depth adds, while stride and pooling multiply. Below: the derivative of one answer in the
# middle with respect to every pixel, its size averaged over 100 random networks. What lies in the
# receptive field does not all count alike: more ways lead from the middle to the answer than from
# the rim (Luo et al. 2016, arXiv 1701.04128).


# %%
def receptive_field(windows, strides, dilations):
    jumps = itertools.accumulate(strides[:-1], lambda a, b: a * b, initial=1)
    return 1 + sum(d * (k - 1) * j for k, d, j in zip(windows, dilations, jumps, strict=True))


SIZE = 33
deep = {
    "one layer": ([3], [1], [1]),
    "three layers": ([3] * 3, [1] * 3, [1] * 3),
    "six layers": ([3] * 6, [1] * 6, [1] * 6),
    "three layers, stride 2": ([3] * 3, [2] * 3, [1] * 3),
    "three layers, dilation 1, 2, 4": ([3] * 3, [1] * 3, [1, 2, 4]),
}
figure, panels = plt.subplots(1, 5, figsize=(15, 3.5), layout="constrained")
for axes, (name, (windows, strides, dilations)) in zip(panels, deep.items(), strict=True):
    layers, features = [], 1
    for k, s, d in zip(windows, strides, dilations, strict=True):
        layers.append(jaxnn.conv(features, 8, (k, k), stride=s, dilation=d, padding="same"))
        layers.append(jaxnn.activation(jnp.tanh))
        features = 8
    model = jaxnn.serial(*layers)

    def middle_answer(x, params, model=model):
        y = model.apply(params, x)
        return y[y.shape[0] // 2, y.shape[1] // 2, 0]

    networks = jax.vmap(model.init)(jax.random.split(next(keys), 100))
    noise = jax.random.normal(next(keys), (100, SIZE, SIZE, 1))
    slopes = jax.lax.map(lambda pair, f=middle_answer: jax.grad(f)(*pair), (noise, networks))
    field = jnp.mean(jnp.abs(slopes[..., 0]), axis=0)
    r = receptive_field(windows, strides, dilations)
    extent = int((field > 0).any(axis=0).sum())
    print(f"{name}: by the formula {r}, by the derivative {extent}")
    assert r == extent
    axes.imshow(jnp.where(field > 0, field / field.max(), jnp.nan), cmap="viridis", vmin=0, vmax=1)
    axes.set_facecolor("lightgrey")
    axes.set(title=f"{name}\n{r} × {r}", xticks=[], yticks=[])

# %% [markdown]
# ## Pooling
#
# Pooling (池化) makes an image smaller without weights: of each window it keeps the largest number
# (max pooling, 最大池化) or the mean (average pooling, 平均池化). It tells *that* an edge was found
# in a region, and forgets where in it. Global average pooling (全局平均池化) forgets the place
# altogether.

# %%
edges = jax.nn.relu(bank.apply(jaxnn.ConvParams(kernel, None), jnp.asarray(photo)[..., None]))
edges = edges[..., :1]
pools = {
    "edges found": edges,
    "max_pool((4, 4))": jaxnn.max_pool((4, 4)).apply((), edges),
    "average_pool((4, 4))": jaxnn.average_pool((4, 4)).apply((), edges),
    "max_pool((16, 16))": jaxnn.max_pool((16, 16)).apply((), edges),
}
figure, grid = plt.subplots(1, 4, figsize=(14, 2.8), layout="constrained")
for axes, (name, pooled) in zip(grid, pools.items(), strict=True):
    axes.imshow(pooled[..., 0], cmap="Greys")
    axes.set_title(f"{name}: {pooled.shape[0]} × {pooled.shape[1]}", fontsize=10)
    axes.axis("off")

# %% [markdown]
# So an answer changes little where the image moves a little. Each digit is moved by one pixel to
# the right; the table has the similarity (the cosine) of what a random filter bank finds before and
# after, for all digits.

# %%
spread = jnp.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
find = jaxnn.serial(
    jaxnn.conv(1, 16, (3, 3), padding="same"),
    jaxnn.activation(jax.nn.relu),
)
found_params = find.init(next(keys))
pairs = [find.apply(found_params, x) for x in (spread, jnp.roll(spread, 1, axis=2))]
ways = {
    "no pooling": jaxnn.max_pool((1, 1)),
    "max_pool((2, 2))": jaxnn.max_pool((2, 2)),
    "max_pool((4, 4))": jaxnn.max_pool((4, 4)),
    "global_average_pool": jaxnn.global_average_pool(3),
}
cosines = []
for name, way in ways.items():
    a, b = (way.apply((), pair).reshape(len(images), -1) for pair in pairs)
    cosine = (a * b).sum(-1) / jnp.linalg.norm(a, axis=-1) / jnp.linalg.norm(b, axis=-1)
    cosines.append(float(cosine.mean()))
    print(f"{name:20} {cosines[-1]:.3f}")
assert cosines == sorted(cosines) and cosines[0] < 0.8 < cosines[-1]

# %% [markdown]
# ## A small network on real images
#
# Convolution, activation, pooling, once more the same with more channels, then a dense layer: this
# is the shape of most CNNs since LeCun's (1989). Height and width shrink, channels grow, and at the
# end stands one number for each class. Beside it, a multi-layer perceptron with about as many
# parameters. A fifth of the digits is kept for the test, and looked at once, after training.

# %%
order = np.random.default_rng(0).permutation(len(images))
test, training = order[:360], order[360:]
relu = jaxnn.activation(jax.nn.relu)
cnn = jaxnn.serial(
    jaxnn.conv(1, 16, (3, 3), padding="same"),
    relu,
    jaxnn.max_pool((2, 2)),
    jaxnn.conv(16, 32, (3, 3), padding="same"),
    relu,
    jaxnn.max_pool((2, 2)),
    jaxnn.flatten(3),
    jaxnn.dropout(0.3),
    jaxnn.dense(2 * 2 * 32, 10),
)
mlp = jaxnn.serial(
    jaxnn.flatten(3), jaxnn.dense(64, 80), relu, jaxnn.dropout(0.3), jaxnn.dense(80, 10)
)
print(jaxnn.describe(cnn.init(jax.random.key(0))))


# %%
def train(model, steps, key, learning_rate=3e-3):
    init_key, key = jax.random.split(key)
    optimizer = optax.adam(optax.schedules.cosine_decay_schedule(learning_rate, steps))

    def loss(params, state, batch, key):
        x, targets = batch
        return *jaxnn.losses.cross_entropy(model.apply(params, x, key=key), targets), state

    rng = np.random.default_rng(0)
    batches = (training[rng.integers(len(training), size=64)] for _ in itertools.count())
    return jaxnn.training.fit(
        jaxnn.training.train_step(loss, optimizer),
        jaxnn.training.train_state(model.init(init_key), optimizer, key),
        ((images[rows], labels[rows]) for rows in batches),
        steps,
        progress=False,
    )


def logits_of(model, fit, x):
    return np.asarray(model.apply(fit.train_state.params, x))


def move(x, down, right):
    """Each image moved by some pixels; zeros come in."""
    padded = np.pad(x, ((0, 0), (2, 2), (2, 2), (0, 0)))
    return padded[:, 2 - down : 10 - down, 2 - right : 10 - right]


fits, shares = {}, {}
moves = list(itertools.product((-1, 0, 1), repeat=2))
for name, model in (("CNN", cnn), ("MLP", mlp)):
    fits[name] = train(model, 800, next(keys))
    count = sum(leaf.size for leaf in jax.tree.leaves(fits[name].train_state.params))
    right_at = {
        at: float(
            np.mean(
                logits_of(model, fits[name], move(images[test], *at)).argmax(-1) == labels[test]
            )
        )
        for at in moves
    }
    others = np.mean([value for at, value in right_at.items() if at != (0, 0)])
    shares[name] = right_at[0, 0], others
    print(
        f"{name}: {count} parameters, {round(360 * (1 - right_at[0, 0]))} of 360 wrong; right when "
        f"moved by one pixel {others:.1%}"
    )
assert min(shares["CNN"][0], shares["MLP"][0]) > 0.96
assert shares["MLP"][1] < shares["CNN"][1] - 0.1 and shares["CNN"][1] < 0.75

# %% [markdown]
# On the digits as they are, both are good, and only a few mistakes apart. Moved by one pixel, as no
# digit of the training set was, both lose much, the CNN less: a filter finds its stroke wherever it
# is. That the CNN loses at all is due to its last layer, which is dense and knows places. (Training
# on images that are moved at random is the usual cure: `examples/images.py` does it.)

# %%
fit = fits["CNN"]
logits = logits_of(cnn, fit, images[test])
guesses = logits.argmax(-1)
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), layout="constrained")
plot.learning_curve(left, fit.history.loss)
left.set_title("training loss (nats)")
plot.confusion_matrix(right, labels[test], guesses)
_ = right.set_title("360 test images")

# %% [markdown]
# **Its mistakes**, every one, with the probability that it gave to its guess and to the truth. At 8
# × 8 pixels some of them are hard for us too.

# %%
chances = np.asarray(jax.nn.softmax(logits))
wrong = np.flatnonzero(guesses != labels[test])[:8]
figure, panels = plt.subplots(1, 8, figsize=(14, 2.5), layout="constrained")
for axes, k in itertools.zip_longest(panels, wrong):
    axes.axis("off")
    if k is None:
        continue
    truth, guess = labels[test][k], guesses[k]
    axes.imshow(images[test][k, ..., 0], cmap="gray_r")
    said = (
        f"{what} {c}: {100 * chances[k, c]:.0f} %"
        for what, c in (("guess", guess), ("truth", truth))
    )
    axes.set_title("\n".join(said), fontsize=9)

# %% [markdown]
# **Its filters.** Above, the 16 filters of the first layer (purple positive, orange negative);
# below, what each finds in one digit. They were random numbers. Several now compare one side with
# the other, as the edge filters above do, in several directions; not each has a name.

# %%
first = fit.train_state.params[0]
found = relu.apply((), jaxnn.conv(1, 16, (3, 3), padding="same").apply(first, images[test][3]))
figure, grid = plt.subplots(2, 17, figsize=(15, 2.4), layout="constrained")
grid[0, 0].axis("off")
grid[1, 0].imshow(images[test][3, ..., 0], cmap="gray_r")
limit = float(jnp.abs(first.kernel).max())
for k in range(16):
    grid[0, k + 1].imshow(first.kernel[:, :, 0, k], cmap="PuOr", vmin=-limit, vmax=limit)
    grid[1, k + 1].imshow(found[..., k], cmap="Greys")
for axes in grid.flat:
    axes.set(xticks=[], yticks=[])

# %% [markdown]
# ## Along time: convolution against recurrence
#
# A sequence is an image with one axis. `along_time(conv(...))` slides along the leading axis of a
# time-major sequence, (time, batch, features). With padding "causal" no answer reads the future,
# and a stack with dilations 1, 2, 4, 8 sees far with few layers: a temporal convolutional network
# (Bai et al. 2018, arXiv 1803.01271). Side by side with a GRU (chapter 6), what depends on what:


# %%
def convolutions(dilations, features=16):
    layers, inputs = [], 2
    for d in dilations:
        window = jaxnn.conv(inputs, features, (3,), padding="causal", dilation=d)
        layers += [jaxnn.along_time(window), jaxnn.activation(jax.nn.relu)]
        inputs = features
    return jaxnn.serial(*layers, jaxnn.dense(features, 1))


TIME, BATCH = 100, 64
along = {
    "4 convolutions": convolutions((1, 1, 1, 1)),
    "4 convolutions, dilated": convolutions((1, 2, 4, 8)),
    "GRU": jaxnn.serial(jaxnn.as_layer(jaxnn.gru(2, 16)), jaxnn.dense(16, 1)),
}
fields = {"4 convolutions": 9, "4 convolutions, dilated": 31}
some = jax.random.normal(next(keys), (40, 2))
figure, panels = plt.subplots(1, 3, figsize=(11, 3.7), layout="constrained")
for axes, (name, model) in zip(panels, along.items(), strict=True):
    params = model.init(next(keys))
    jacobian = jax.jit(jax.jacobian(lambda x, m=model, p=params: m.apply(p, x)[:, 0]))(some)
    size = np.abs(jacobian).sum(-1)
    shown = np.where(size > 0, np.log10(np.maximum(size, 1e-6)), np.nan)
    axes.imshow(shown, vmin=-6, vmax=0)
    axes.set_facecolor("lightgrey")
    axes.set(title=name, xlabel="k, the input's time", ylabel="t, the output's time")
    print(f"{name}: o_39 depends on {int((size[39] > 0).sum())} inputs")
    assert (size[39] > 0).sum() == fields.get(name, 40)
_ = figure.colorbar(
    panels[0].images[0], ax=panels, label=r"$\log_{10} |\partial o_t / \partial x_k|$"
)

# %% [markdown]
# Grey is exactly zero. A convolution sees so far and no further. A GRU sees everything, but what is
# far fades.
#
# Does it matter? Here is a question about the past: a value, now and then, is marked by a flag, and
# at every step the network must tell the sign of the last marked one. All other values are noise.
# How long ago it was is what makes it hard.


# %%
def last_marked(key):
    value_key, flag_key = jax.random.split(key)
    values = jax.random.normal(value_key, (TIME, BATCH))
    flags = jax.random.bernoulli(flag_key, 0.04, (TIME, BATCH))
    steps = jnp.broadcast_to(jnp.arange(TIME)[:, None], flags.shape)
    last = jax.lax.cummax(jnp.where(flags, steps, -1))
    targets = jnp.take_along_axis(values, jnp.maximum(last, 0), axis=0) > 0
    xs = jnp.stack([values, flags.astype(values.dtype)], axis=-1)
    return xs, targets[..., None].astype(jnp.int32), last >= 0, steps - last


def train_along(model, steps, key):
    init_key, key = jax.random.split(key)
    optimizer = optax.chain(
        optax.clip_by_global_norm(1.0),
        optax.adam(optax.schedules.cosine_decay_schedule(1e-2, steps)),
    )

    def loss(params, state, batch, key):
        xs, targets, known, _ = last_marked(batch)
        return *jaxnn.losses.binary_cross_entropy(model.apply(params, xs), targets, known), state

    first = jaxnn.training.train_state(model.init(init_key), optimizer, key)
    batches = iter(jax.random.split(key, steps))
    step = jaxnn.training.train_step(loss, optimizer)
    return jaxnn.training.fit(step, first, batches, progress=False).train_state.params


figure, axes = plt.subplots(figsize=(8, 3.8), layout="constrained")
xs, targets, known, ago = last_marked(next(keys))
for _ in range(7):
    more = last_marked(next(keys))
    xs, targets, known, ago = (
        jnp.concatenate(pair, axis=1) for pair in zip((xs, targets, known, ago), more, strict=True)
    )
looks = ((drawing.GREEN, "-."), (drawing.ORANGE, "--"), (drawing.BLUE, "-"))
bins = np.arange(0, 70, 3)
for (name, model), (color, style) in zip(along.items(), looks, strict=True):
    params = train_along(model, 500, next(keys))
    right = np.asarray((model.apply(params, xs) > 0) == (targets > 0))[..., 0]
    inside = [np.asarray(known & (ago >= a) & (ago < a + 3)) for a in bins]
    shares = [100 * right[where].mean() for where in inside]
    axes.plot(bins + 1, shares, style, color=color, label=name)
    if name in fields:
        axes.axvline(fields[name] - 1, color=color, linestyle=":", linewidth=1)
    near, far = (right[np.asarray(known & where)].mean() for where in (ago < 9, ago >= 31))
    count = sum(leaf.size for leaf in jax.tree.leaves(params))
    print(f"{name}: {count} parameters; right, up to 8 steps ago {near:.3f}, over 30 {far:.3f}")
    assert near > 0.9 and (0.4 < far < 0.6 if name in fields else far > 0.9)
axes.set(xlabel="steps since the marked value", ylabel="right answers (%)", ylim=(40, 103))
axes.legend(frameon=False)
axes.grid(alpha=0.3)

# %% [markdown]
# Dotted: where the receptive field ends. Up to there a convolution is as good as a recurrence;
# beyond, it can only guess. The GRU keeps the value as long as needed: its state has room for it,
# and its gates learn to leave it alone.
#
# What speaks for convolution is how it runs. All steps are computed at once, while a recurrence has
# to wait for the step before; no gradient has to come back through many steps; and how far it sees
# is known. What speaks for recurrence: its memory has no fixed end, and to go on by one step it
# needs its state alone, where a convolution has to keep the inputs that it will see again.
#
# ## Frames of a film: both at once
#
# The notes speak of the frames (帧) of a film. Each frame is an image, and they follow each other
# in time. The convolutional LSTM (Shi et al. 2015, arXiv 1506.04214) is an LSTM at every pixel,
# whose products with matrices are convolutions:
#
# $$\begin{aligned}
# i, f, o &= \sigma(x_t * U_{i,f,o} + h_{t-1} * W_{i,f,o} + b_{i,f,o}), &
# g &= \tanh(x_t * U_g + h_{t-1} * W_g + b_g), \\
# c_t &= f \circ c_{t-1} + i \circ g, & h_t &= o \circ \tanh(c_t).
# \end{aligned}$$
#
# Its state is an image. What it remembers of a place stands at that place, and one step later its
# neighbours can read it.
#
# The film: a digit in a field of 16 × 16 pixels moves by −1, 0 or 1 pixel a frame in both
# directions, and bounces off the edges. Five frames are shown; the next five must be predicted. No
# single frame tells the direction, so a network without a memory cannot know it. The digits of the
# test films are in none of the training films.

# %%
FIELD, SHOWN, AHEAD = 16, 5, 5


def films(key, pictures, count):
    """(time, count, height, width, 1), each a digit that moves and bounces."""
    which_key, start_key, speed_key = jax.random.split(key, 3)
    room = FIELD - 8
    start = jax.random.randint(start_key, (count, 2), 0, room + 1)
    speed = jax.random.randint(speed_key, (count, 2), -1, 2)
    straight = start + jnp.arange(SHOWN + AHEAD)[:, None, None] * speed
    places = room - jnp.abs(straight % (2 * room) - room)  # a zigzag between 0 and room
    chosen = jnp.asarray(pictures)[jax.random.randint(which_key, (count,), 0, len(pictures))]

    def put(picture, place):
        blank = jnp.zeros((FIELD, FIELD, 1))
        return jax.lax.dynamic_update_slice(blank, picture, (place[0], place[1], 0))

    return jax.vmap(jax.vmap(put), (None, 0))(chosen, places)


# %% [markdown]
# The whole model is a cell: a `conv_lstm`, and a convolution that makes an image of its hidden
# state. It unrolls over the frames that are shown. Then it goes on with what it predicts: each of
# its answers is its next input. `jaxnn.decode` does that, and the gradient goes through it.

# %%
film_model = jaxnn.stack(
    jaxnn.conv_lstm(1, 16, (FIELD, FIELD), (3, 3)),
    jaxnn.conv(16, 1, (3, 3), padding="same"),
)


def as_it_is(logits, key):
    return logits


def predict(params, shown):
    """The logits of frames 2 to SHOWN + AHEAD, of which the first SHOWN alone are given."""
    state, known = film_model.unroll(params, shown)
    further = jaxnn.decode(
        film_model, params, state, known[-1], AHEAD - 1, as_it_is, feed=jax.nn.sigmoid
    )
    return jnp.concatenate([known, further.tokens])


def film_loss(params, state, batch, key):
    film = films(batch, images[training], 8)
    loss = optax.sigmoid_binary_cross_entropy(predict(params, film[:SHOWN]), film[1:])
    return loss.sum(), loss.size, state


STEPS = 200
optimizer = optax.chain(
    optax.clip_by_global_norm(1.0),
    optax.adam(optax.schedules.cosine_decay_schedule(5e-3, STEPS)),
)
film_fit = jaxnn.training.fit(
    jaxnn.training.train_step(film_loss, optimizer),
    jaxnn.training.train_state(film_model.init(next(keys)), optimizer, next(keys)),
    iter(jax.random.split(next(keys), STEPS)),
    progress=False,
)
print(
    f"loss of the first step {film_fit.history.loss[0]:.3f}, last {film_fit.history.loss[-1]:.3f}"
)

# %%
film = films(next(keys), images[test], 200)
predicted = jax.nn.sigmoid(jax.jit(predict)(film_fit.train_state.params, film[:SHOWN]))
guess = predicted[SHOWN - 1 :]
truth = film[SHOWN:]
stands = jnp.broadcast_to(film[SHOWN - 1], truth.shape)
errors = {}
for name, answer in (("conv_lstm", guess), ("the last frame stays", stands)):
    errors[name] = jnp.mean((answer - truth) ** 2, axis=(1, 2, 3, 4))
    text = ", ".join(f"{value:.4f}" for value in errors[name])
    print(f"{name}: mean squared error, 1 to {AHEAD} frames ahead: {text}")
ratios = errors["conv_lstm"] / errors["the last frame stays"]
print("the ratio of the two:", ", ".join(f"{value:.2f}" for value in ratios))
assert (ratios > 0.4).all() and (ratios < 0.85).all()

figure, grid = plt.subplots(4, SHOWN + AHEAD, figsize=(13, 5.4), layout="constrained")
for k in range(2):
    for t in range(SHOWN + AHEAD):
        true_axes, our_axes = grid[2 * k, t], grid[2 * k + 1, t]
        true_axes.imshow(film[t, k, ..., 0], cmap="gray", vmin=0, vmax=1)
        if t >= SHOWN:
            our_axes.imshow(predicted[t - 1, k, ..., 0], cmap="gray", vmin=0, vmax=1)
        else:
            our_axes.set_visible(False)
        for axes in (true_axes, our_axes):
            axes.set(xticks=[], yticks=[])
    grid[2 * k, 0].set_ylabel("true")
    grid[2 * k + 1, SHOWN].set_ylabel("predicted")
for t, axes in enumerate(grid[0]):
    axes.set_title(f"frame {t + 1}", fontsize=9)

# %% [markdown]
# After so short a training the next frame is in its right place, and blurred; further ahead it
# fades, since a network that is not sure gives the mean of what it thinks possible. At every
# distance its error stays well below that of a film that stands still (the ratios are printed
# above): it has seen where the digit goes.
#
# **Where it remembers.** What is drawn is one channel of the memory $c$ in each frame, the one that
# varies most from place to place within a frame. It travels with the digit: over the 200 test
# films, the middle of what stands out in it follows the middle of the digit.

# %%
(state, _), _ = film_model.unroll(film_fit.train_state.params, film[:SHOWN, 0])
step_by_step = film_model.initial_state(film_fit.train_state.params)
memories = []
for x in film[:SHOWN, 0]:
    step_by_step, _ = film_model.apply(film_fit.train_state.params, step_by_step, x)
    memories.append(step_by_step[0].cell)
apart = jnp.abs(memories[-1] - state.cell).max()
print(f"streamed and unrolled: at most {apart:.0e} apart")
assert apart < 1e-5
memories = jnp.stack(memories)
channel = int(jnp.argmax(jnp.var(memories, axis=(1, 2)).mean(axis=0)))


def middles(weights):
    """The mean place (row, column) in each picture `(…, height, width)`, by these weights."""
    rows, columns = jnp.mgrid[:FIELD, :FIELD]
    total = weights.sum(axis=(-2, -1))
    places = [(weights * axis).sum(axis=(-2, -1)) / total for axis in (rows, columns)]
    return np.asarray(jnp.stack(places, axis=-1))


def memory_of(params, frames):
    """The chosen channel of c after each frame, `(time, films, height, width)`."""

    def step(state, frame):
        state, _ = film_model.apply(params, state, frame)
        return state, state[0].cell[..., channel]

    return jax.lax.scan(step, film_model.initial_state(params, frames.shape[1:2]), frames)[1]


memory = jax.jit(memory_of)(film_fit.train_state.params, film[:SHOWN])
stands_out = (memory - jnp.median(memory, axis=(-2, -1), keepdims=True)) ** 2
remembered, seen_at = middles(stands_out), middles(film[:SHOWN, ..., 0])
pairs = zip(remembered.reshape(-1, 2).T, seen_at.reshape(-1, 2).T, strict=True)
together = [np.corrcoef(one, other)[0, 1] for one, other in pairs]
print(f"correlation of the two middles, rows {together[0]:.2f}, columns {together[1]:.2f}")
assert min(together) > 0.7
figure, grid = plt.subplots(2, SHOWN, figsize=(8, 3.6), layout="constrained")
drawn = memories[..., channel]
drawn = drawn - jnp.median(drawn, axis=(1, 2), keepdims=True)  # its level rises from frame to frame
limit = float(jnp.abs(drawn).max())
for t in range(SHOWN):
    grid[0, t].imshow(film[t, 0, ..., 0], cmap="gray")
    grid[1, t].imshow(drawn[t], cmap="PuOr", vmin=-limit, vmax=limit)
    grid[0, t].set_title(f"frame {t + 1}", fontsize=9)
for axes in grid.flat:
    axes.set(xticks=[], yticks=[])
grid[0, 0].set_ylabel("x")
grid[1, 0].set_ylabel(f"c of channel {channel},\nless its median")
_ = figure.colorbar(grid[1, 0].images[0], ax=grid[1])
