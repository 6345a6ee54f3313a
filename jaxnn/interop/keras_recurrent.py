"""keras's recurrent layers as ours."""

from collections.abc import Callable
from typing import Any

import numpy as np

from jaxnn.cells.elman import elman
from jaxnn.cells.gru import gru
from jaxnn.cells.lstm import lstm
from jaxnn.interop.keras_builder import Arrays, Builder, Options, named
from jaxnn.interop.keras_options import backwards, function_of, refuse
from jaxnn.transforms.bidirectional import as_layer, bidirectional
from jaxnn.transforms.final_state import final_state

KINDS = ("SimpleRNN", "LSTM", "GRU")
MERGES = {"concat": "concat", "sum": "sum", "mul": "product", "ave": "mean"}
_NAMES = ("kernel", "recurrent_kernel", "bias")


def recurrent(kind: str) -> Callable[[Builder, Options, Arrays], None]:
    """A layer in one direction."""

    def add(to: Builder, options: Options, arrays: Arrays) -> None:
        name, reverse = str(options["name"]), bool(options.get("go_backwards"))
        ends = not options.get("return_sequences")

        def make(bias: bool) -> Any:
            layer = as_layer(_cell(to, kind, options, arrays, bias), reverse)
            return final_state(layer) if ends else layer

        to.linear_in_x(name, bool(options["use_bias"]), make, named(arrays, _NAMES))
        if reverse and not ends:
            to.plain(f"{name}_backwards", backwards())
        if ends:
            to.axes, to.time = 1, False

    return add


def both_directions(to: Builder, options: Options, arrays: Arrays) -> None:
    """A Bidirectional."""
    refuse(options, merge_mode=tuple(MERGES))
    layers = [options["layer"], options.get("backward_layer") or options["layer"]]
    kinds = [layer["class_name"] for layer in layers]
    configs = [layer["config"] for layer in layers]
    if not set(kinds) <= set(KINDS):
        raise ValueError(f"no counterpart for both directions of {' and '.join(kinds)}")
    refuse(configs[0], go_backwards=(False,))
    half, ends = len(arrays) // 2, not configs[0].get("return_sequences")
    halves = arrays[:half], arrays[half:]

    def make(bias: bool) -> Any:
        every = zip(kinds, configs, halves, strict=True)
        forward, backward = (_cell(to, *each, bias) for each in every)
        layer = bidirectional(forward, backward, MERGES[options["merge_mode"]])
        return final_state(layer) if ends else layer

    both: dict[str, np.ndarray] = {}
    for side, own in zip(("forward_", "backward_"), halves, strict=True):
        both |= {f"{side}/{name}": array for name, array in named(own, _NAMES).items()}
    to.linear_in_x(str(options["name"]), bool(configs[0]["use_bias"]), make, both)
    if ends:
        to.axes, to.time = 1, False


def _cell(to: Builder, kind: str, options: Options, arrays: Arrays, bias: bool) -> Any:
    """A cell, from the config of its layer and its arrays."""
    refuse(options, return_state=(False,), time_major=(False,))
    name = options["name"]
    for option in ("dropout", "recurrent_dropout"):
        if options.get(option):
            to.note(f"{name}: its {option} is left out, since it does something in training only")
    if options.get("stateful"):
        to.note(f"{name}: it is stateful: give each call the state that the last one gave")
    given: dict[str, Any] = {"bias": bias, "dtype": to.dtype_of(arrays)}
    given["activation"] = function_of(options["activation"], to.version)
    sizes = arrays[0].shape[0], options["units"]
    if kind == "SimpleRNN":
        return elman(*sizes, **given)
    given["gate_activation"] = function_of(options["recurrent_activation"], to.version)
    if kind == "LSTM":
        return lstm(*sizes, **given)
    # Keras wrote no reset_after before it had the choice.
    return gru(*sizes, reset_after=bool(options.get("reset_after", False)), **given)
