"""Models as ONNX files, and ONNX files as models, by the package `onnx` alone."""

from jaxnn.interop.onnx.read import (
    Imported as Imported,
    from_model as from_model,
    initializers as initializers,
    load as load,
)
from jaxnn.interop.onnx.write import save as save, to_model as to_model
