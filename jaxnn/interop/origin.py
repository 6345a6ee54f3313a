"""Which library weights come from, by their names."""

import re
from collections.abc import Iterable

_SIGNS = (
    ("jaxnn.load", r"(^|[./])input_kernel$"),
    ("jaxnn.interop.torch", r"(^|\.)(weight|bias)_(ih|hh)_l\d+(_reverse)?$"),
    ("jaxnn.interop.torch", r"(^|\.)bias_(ih|hh)$"),
    ("jaxnn.interop.equinox", r"(^|\.)weight_(ih|hh)$"),
    ("jaxnn.interop.keras", r"(^|/)recurrent_kernel(:0)?$"),
    ("jaxnn.interop.flax_nnx", r"(^|/)(dense_[ih]|if_)/kernel$"),
    ("jaxnn.interop.flax_linen", r"(^|/)([ih][ifgorzn]|h)/kernel$"),
    ("jaxnn.interop.haiku", r"(^|/)(w_[ih]|(linear|vanilla_rnn|lstm)(_\d+)?/w)$"),
    ("jaxnn.interop.onnx", r"(^|[./])W$"),
    ("jaxnn.interop.keras", r"(^|/)(gamma|embeddings)(:0)?$"),
    ("jaxnn.interop.torch", r"(^|\.)(weight|running_mean)$"),
)
"""Converters, and a name that only weights of theirs have; the surest come first."""


def origin(names: Iterable[str]) -> str | None:
    """The converter that weights of such names are for, or None."""
    every = list(names)
    for converter, pattern in _SIGNS:
        if any(re.search(pattern, name) for name in every):
            return converter
    return None
