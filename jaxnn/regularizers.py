"""Regularisers of recurrence: each takes a cell and gives one."""

from jaxnn.transforms.drop_connect import drop_connect as drop_connect
from jaxnn.transforms.noise import noise as noise
from jaxnn.transforms.recurrent_dropout import recurrent_dropout as recurrent_dropout
from jaxnn.transforms.seeds import SeededState as SeededState
from jaxnn.transforms.spectral_bound import spectral_bound as spectral_bound
from jaxnn.transforms.variational_dropout import variational_dropout as variational_dropout
from jaxnn.transforms.weight_norm import (
    WeightNormParams as WeightNormParams,
    weight_norm as weight_norm,
)
from jaxnn.transforms.zoneout import zoneout as zoneout
