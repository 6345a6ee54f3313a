"""Initialisers that fill the parameters of a cell gate by gate."""

from jaxnn.functions.initializers import (
    chrono as chrono,
    forget_bias as forget_bias,
    glorot as glorot,
    orthogonal as orthogonal,
    per_gate as per_gate,
    uniform_hidden as uniform_hidden,
)
