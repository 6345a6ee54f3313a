"""Which function reads which operator, of those that read a tensor."""

from jaxnn.interop.onnx.activations import OPERATORS
from jaxnn.interop.onnx.given import Read
from jaxnn.interop.onnx.pointwise_in import read_activation, read_clip, read_layer_norm
from jaxnn.interop.onnx.pooling_in import (
    read_gather,
    read_global_average,
    read_pool,
    read_reduction,
)
from jaxnn.interop.onnx.products_in import (
    read_batch_norm,
    read_conv,
    read_conv_transpose,
    read_dense,
)
from jaxnn.layers.pool import average_pool, max_pool

READERS: dict[str, Read] = {
    "MatMul": read_dense,
    "Gemm": read_dense,
    "Conv": read_conv,
    "ConvTranspose": read_conv_transpose,
    "BatchNormalization": read_batch_norm,
    "LayerNormalization": read_layer_norm,
    "MaxPool": read_pool(max_pool),
    "AveragePool": read_pool(average_pool),
    "GlobalAveragePool": read_global_average,
    "Gather": read_gather,
    "Clip": read_clip,
    "ReduceMean": read_reduction("mean"),
    "ReduceMax": read_reduction("max"),
    "ReduceSum": read_reduction("sum"),
    "ReduceProd": read_reduction("product"),
}
READERS |= {operator: read_activation(operator) for operator in OPERATORS}
