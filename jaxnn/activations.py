"""Activations with numbers of their own, for cells and for `jaxnn.activation`."""

from jaxnn.functions.activations import (
    Clip as Clip,
    Elu as Elu,
    HardSigmoid as HardSigmoid,
    LeakyRelu as LeakyRelu,
    ScaledTanh as ScaledTanh,
    clip as clip,
    elu as elu,
    hard_sigmoid as hard_sigmoid,
    leaky_relu as leaky_relu,
    scaled_tanh as scaled_tanh,
)
from jaxnn.functions.spikes import (
    ArctanSpike as ArctanSpike,
    FastSigmoidSpike as FastSigmoidSpike,
    arctan_spike as arctan_spike,
    fast_sigmoid_spike as fast_sigmoid_spike,
)
