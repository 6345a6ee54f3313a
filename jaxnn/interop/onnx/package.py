"""The package `onnx`, imported where it is needed, and what the files say of themselves."""

from typing import Any

OPSET = 18
"""The version of the operators: LayerNormalization came with 17, axes as inputs with 18."""
OLDEST = 9
"""The oldest version that is read: before, operators broadcast by other rules."""
IR_VERSION = 8
"""The version of the file format that goes with it, which runtimes from 2022 on can read."""


def needed(name: str) -> Any:
    """The package `onnx`; ImportError that says how to install it."""
    try:
        import onnx
        import onnx.helper
        import onnx.numpy_helper
    except ImportError as error:
        raise ImportError(
            f"{name}: it needs the package onnx: pip install 'jaxnn-cells[onnx]'"
        ) from error
    return onnx


class Refused(ValueError):
    """What has no operator, with the reason and what to do."""
