"""How each library keeps the weights of its recurrent layers: the one table of that.

A row says what one layer of one library calls its arrays, in which order the gates stand in them,
and how. `recurrent.py` follows a row in both directions; the converters of weights, those of ONNX
graphs and the table of the guide "Bring your weights" read the rows and nothing else.
"""

from typing import NamedTuple

Names = str | tuple[str, ...]
"""One array of all gates, or one for each."""


class Layout(NamedTuple):
    """How a layer of a library keeps the parameters of a cell.

    Attributes:
      library, layer: whose it is, and what it is called there.
      kind: jaxnn's factory.
      gates: in their order, by our letters; "_" is a gate that the layer has and does not read.
      gates_first: whether a kernel is `(gates · hidden, in)`; else it is `(in, gates · hidden)`.
      input, recurrent: the names of U and W; one name for both: x's rows come first, then h's.
      bias: the name of b, beside `input` or `recurrent`.
      second: the name of a second bias of all gates, on the side of h.
      both: "rows" where `bias` holds two, `(2, gates · hidden)`, "halves" where they follow each
        other, `(2 · gates · hidden,)`.
      bias_n: the name of b_h of the gate n, `(hidden,)`.
      always_biased: whether the layer cannot be without biases.
      reset_after: where a GRU's reset stands.
      negated: gates whose sense is the other one: 1 − σ(a) = σ(−a).
      forget_bias: what the library's code adds to b of f.
      coupled: whether i = 1 − f.
      peephole, peephole_gates: the name and the order of p.
      projection: the name of P, `(projection, hidden)`.
      activations: what the layer can have for f in an Elman network, or for tanh; None for any.
      state: the order of what a state consists of, by our names.
    """

    library: str
    layer: str
    kind: str
    gates: str
    gates_first: bool
    input: Names
    recurrent: Names
    bias: Names
    second: str = ""
    both: str = ""
    bias_n: str = ""
    always_biased: bool = False
    reset_after: bool | None = None
    negated: str = ""
    forget_bias: float = 0.0
    coupled: bool = False
    peephole: str = ""
    peephole_gates: str = ""
    projection: str = ""
    activations: tuple[str, ...] | None = ("tanh",)
    state: tuple[str, ...] = ("hidden",)


_HC = ("hidden", "cell")
_CH = ("cell", "hidden")
_TORCH = (True, "weight_ih", "weight_hh", "bias_ih", "bias_hh")
_KERAS = (False, "kernel", "recurrent_kernel", "bias")
_NNX = (False, "dense_i/kernel", "dense_h/kernel")
_ONNX = (True, "W", "R", "B", "", "halves")


def _each(form: str, gates: str) -> tuple[str, ...]:
    return tuple(form.format(gate) for gate in gates)


LAYOUTS: tuple[Layout, ...] = (
    Layout("torch", "RNN", "elman", "s", *_TORCH, activations=("tanh", "relu")),
    Layout("torch", "LSTM", "lstm", "ifgo", *_TORCH, projection="weight_hr", state=_HC),
    Layout("torch", "GRU", "gru", "rzn", *_TORCH, reset_after=True),
    Layout("keras", "SimpleRNN", "elman", "s", *_KERAS, activations=None),
    Layout("keras", "LSTM", "lstm", "ifgo", *_KERAS, activations=None, state=_HC),
    Layout(
        "keras", "GRU", "gru", "zrn", *_KERAS, both="rows", reset_after=True, activations=None
    ),
    Layout(
        "keras", "GRU(reset_after=False)", "gru", "zrn", *_KERAS,
        reset_after=False, activations=None,
    ),
    Layout(
        "flax.linen", "SimpleCell", "elman", "s", False, "i/kernel", "h/kernel", "i/bias",
        always_biased=True, activations=None,
    ),
    Layout(
        "flax.linen", "OptimizedLSTMCell, LSTMCell", "lstm", "ifgo", False,
        _each("i{}/kernel", "ifgo"), _each("h{}/kernel", "ifgo"), _each("h{}/bias", "ifgo"),
        always_biased=True, activations=None, state=_CH,
    ),
    Layout(
        "flax.linen", "GRUCell", "gru", "rzn", False,
        _each("i{}/kernel", "rzn"), _each("h{}/kernel", "rzn"), _each("i{}/bias", "rzn"),
        bias_n="hn/bias", always_biased=True, reset_after=True, activations=None,
    ),
    Layout(
        "flax.nnx", "SimpleCell", "elman", "s", *_NNX, "dense_i/bias",
        always_biased=True, activations=None,
    ),
    Layout(
        "flax.nnx", "OptimizedLSTMCell", "lstm", "ifgo", *_NNX, "dense_h/bias",
        always_biased=True, activations=None, state=_CH,
    ),
    Layout(
        "flax.nnx", "LSTMCell", "lstm", "ifgo", False,
        ("ii/kernel", "if_/kernel", "ig/kernel", "io/kernel"),
        _each("h{}/kernel", "ifgo"), _each("h{}/bias", "ifgo"),
        always_biased=True, activations=None, state=_CH,
    ),
    Layout(
        "flax.nnx", "GRUCell", "gru", "rzn", *_NNX, "dense_i/bias",
        always_biased=True, reset_after=True, activations=None,
    ),
    Layout(
        "haiku", "VanillaRNN", "elman", "s", False, "linear/w", "linear_1/w", "linear/b",
        "linear_1/b", always_biased=True, activations=("relu",),
    ),
    Layout(
        "haiku", "VanillaRNN(double_bias=False)", "elman", "s", False,
        "linear/w", "linear_1/w", "linear/b", always_biased=True, activations=("relu",),
    ),
    Layout(
        "haiku", "LSTM", "lstm", "igfo", False, "linear/w", "linear/w", "linear/b",
        always_biased=True, forget_bias=1.0, state=_HC,
    ),
    Layout(
        "haiku", "GRU", "gru", "zrn", False, "w_i", "w_h", "b",
        always_biased=True, reset_after=False, negated="z",
    ),
    Layout("equinox", "LSTMCell", "lstm", "ifgo", *_TORCH[:3], "bias", state=_HC),
    Layout(
        "equinox", "GRUCell", "gru", "rzn", *_TORCH[:3], "bias", bias_n="bias_n", reset_after=True
    ),
    Layout("onnx", "RNN", "elman", "s", *_ONNX, activations=None),
    Layout(
        "onnx", "LSTM", "lstm", "iofg", *_ONNX,
        peephole="P", peephole_gates="iof", activations=None, state=_HC,
    ),
    Layout(
        "onnx", "LSTM(input_forget=1)", "lstm", "fo_g", *_ONNX, negated="f", coupled=True,
        peephole="P", peephole_gates="fo_", activations=None, state=_HC,
    ),
    Layout(
        "onnx", "GRU(linear_before_reset=1)", "gru", "zrn", *_ONNX,
        reset_after=True, activations=None,
    ),
    Layout("onnx", "GRU", "gru", "zrn", *_ONNX, reset_after=False, activations=None),
)  # fmt: skip


class Plain(NamedTuple):
    """What a layer without a state calls the parameters of ours.

    Attributes:
      library, layer: whose it is, and what it is called there.
      kind: jaxnn's factory.
      names: of each field of our parameters, in their order.
      kernel: where the axes of a kernel stand. "in out": as ours, (*window, in, out); "out in":
        (out, in, *window); of a transposed convolution also "in out first": (in, out, *window),
        "out in last": (*window, out, in), and "in out flipped": as ours, the window backwards.
      bias_axes: whether the bias of a convolution has an axis of length 1 for each of the window's.
    """

    library: str
    layer: str
    kind: str
    names: tuple[str, ...]
    kernel: str = ""
    bias_axes: bool = False


_WB, _KB, _SB = ("weight", "bias"), ("kernel", "bias"), ("scale", "bias")
_GB, _SO = ("gamma", "beta"), ("scale", "offset")

PLAIN: tuple[Plain, ...] = (
    Plain("torch", "Linear", "dense", _WB, "out in"),
    Plain("torch", "Conv1d, Conv2d, Conv3d", "conv", _WB, "out in"),
    Plain("torch", "ConvTranspose1d, 2d, 3d", "conv_transpose", _WB, "in out first"),
    Plain("torch", "Embedding", "embedding", ("weight",)),
    Plain("torch", "LayerNorm", "layer_norm", _WB),
    Plain("torch", "GroupNorm", "group_norm", _WB),
    Plain("keras", "Dense", "dense", _KB, "in out"),
    Plain("keras", "Conv1D, Conv2D, Conv3D", "conv", _KB, "in out"),
    Plain("keras", "Conv1DTranspose, 2D, 3D", "conv_transpose", _KB, "out in last"),
    Plain("keras", "Embedding", "embedding", ("embeddings",)),
    Plain("keras", "LayerNormalization", "layer_norm", _GB),
    Plain("keras", "GroupNormalization", "group_norm", _GB),
    Plain("flax.linen", "Dense", "dense", _KB, "in out"),
    Plain("flax.linen", "Conv", "conv", _KB, "in out"),
    Plain("flax.linen", "ConvTranspose", "conv_transpose", _KB, "in out flipped"),
    Plain("flax.linen", "Embed", "embedding", ("embedding",)),
    Plain("flax.linen", "LayerNorm", "layer_norm", _SB),
    Plain("flax.linen", "GroupNorm", "group_norm", _SB),
    Plain("flax.nnx", "Linear", "dense", _KB, "in out"),
    Plain("flax.nnx", "Conv", "conv", _KB, "in out"),
    Plain("flax.nnx", "ConvTranspose", "conv_transpose", _KB, "in out flipped"),
    Plain("flax.nnx", "Embed", "embedding", ("embedding",)),
    Plain("flax.nnx", "LayerNorm", "layer_norm", _SB),
    Plain("flax.nnx", "GroupNorm", "group_norm", _SB),
    Plain("haiku", "Linear", "dense", ("w", "b"), "in out"),
    Plain("haiku", "Conv1D, Conv2D, Conv3D", "conv", ("w", "b"), "in out"),
    Plain("haiku", "Embed", "embedding", ("embeddings",)),
    Plain("haiku", "LayerNorm", "layer_norm", _SO),
    Plain("haiku", "GroupNorm", "group_norm", _SO),
    Plain("equinox", "Linear", "dense", _WB, "out in"),
    Plain("equinox", "Conv1d, Conv2d, Conv3d", "conv", _WB, "out in", True),
    Plain("equinox", "Embedding", "embedding", ("weight",)),
    Plain("equinox", "LayerNorm", "layer_norm", _WB),
    Plain("equinox", "GroupNorm", "group_norm", _WB),
)


def layouts_of(library: str, kind: str) -> tuple[Layout, ...]:
    """The rows of a library for one kind of cell, the usual one first."""
    return tuple(row for row in LAYOUTS if row.library == library and row.kind == kind)


def plain_of(library: str, kind: str) -> Plain | None:
    """The row of a library for a layer without a state, or None."""
    rows = (row for row in PLAIN if row.library == library and row.kind == kind)
    return next(rows, None)
