"""Silero VAD (MIT licence), a detector of speech, with the weights that its wheel has."""

import functools
import re
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxnn
from jaxnn.types import Array, Params

PACKAGE, WEIGHTS = "silero-vad==6.2.3", "silero_vad/data/silero_vad_16k_op15.onnx"
CHUNK, CONTEXT = 512, 64
"""New samples of a step, and those before them that it sees again; 16,000 are a second."""


def framed(x: Array) -> Array:
    """576 samples to (640, 1): the last 64 again, mirrored."""
    pad = [(0, 0)] * (x.ndim - 1) + [(0, CONTEXT)]
    return jnp.pad(x, pad, mode="reflect")[..., None]


def magnitude(y: Array) -> Array:
    """Of cosines and sines, which lie side by side."""
    real, imaginary = jnp.split(y, 2, axis=-1)
    return jnp.sqrt(real**2 + imaginary**2)


@functools.cache
def detector() -> Any:
    """The network; y is the logit of speech in the chunk."""
    relu = jaxnn.activation(jax.nn.relu)
    parts: dict[str, Any] = {
        "framed": jaxnn.activation(framed),
        "stft": jaxnn.conv(1, 258, (256,), 128, bias=False),
        "magnitude": jaxnn.activation(magnitude),
    }
    for place, sizes in enumerate(((129, 128, 1), (128, 64, 2), (64, 64, 2), (64, 128, 1))):
        rows, features, stride = sizes
        parts |= {f"conv{place}": jaxnn.conv(rows, features, (3,), stride, 1), f"relu{place}": relu}
    parts |= {"flat": jaxnn.flatten(2), "lstm": jaxnn.lstm(128, 128), "relu": relu}
    parts["head"] = jaxnn.dense(128, 1)
    return jaxnn.stack(*parts.values(), names=tuple(parts))


def renamed(weights: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    """The weights under the names of the parts; the last convolution has a window of one."""
    found = {}
    for name, array in weights.items():
        if name.startswith(prefix):
            short = name.removeprefix(prefix).replace("stft.forward_basis_buffer", "stft.weight")
            short = short.replace("decoder.rnn.", "lstm.").replace("decoder.decoder.2.", "head.")
            short = re.sub(r"encoder\.(\d)\.reparam_conv", r"conv\1", short)
            found[short] = array[..., 0] if short == "head.weight" else array
    return found


def pretrained(file: bytes) -> Params:
    """The parameters from the wheel's graph, whose initialisers have the names of the module."""
    import onnx

    import jaxnn.interop.torch

    graph = onnx.load_model_from_string(file).graph
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in graph.initializer}
    return jaxnn.interop.torch.from_state_dict(detector(), renamed(weights, "model."))


def chunks(sound: np.ndarray) -> np.ndarray:
    """Samples `(..., n)` as `(chunks, ..., 576)`, each with the end of the one before it."""
    count = sound.shape[-1] // CHUNK
    cut = sound[..., : count * CHUNK].reshape(*sound.shape[:-1], count, CHUNK)
    before = np.concatenate([np.zeros_like(cut[..., :1, :]), cut[..., :-1, :]], axis=-2)
    return np.moveaxis(np.concatenate([before[..., -CONTEXT:], cut], axis=-1), -2, 0)
