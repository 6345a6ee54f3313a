"""Keep the parameters of the step at which the validation loss was lowest."""

from collections.abc import Callable

import jax
import numpy as np

import jaxnn
from jaxnn.types import Params


class Best:
    """What `fit` takes as `evaluate`: it remembers `params` where `loss` was lowest."""

    def __init__(self, validate: Callable[[Params], tuple[jax.Array, jax.Array]]) -> None:
        """`validate(params)` gives a sum and a weight, as the losses do."""
        self.validate = validate
        self.loss, self.params = np.inf, None

    def __call__(self, current: jaxnn.training.TrainState) -> float:
        params = jax.device_get(current.params)  # a copy: the next step donates the original
        total, weight = self.validate(params)
        loss = float(total / weight)
        if loss < self.loss:
            self.loss, self.params = loss, params
        return loss
