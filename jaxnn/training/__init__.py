"""A train step, a loop with progress, checkpoints, and the devices that a step runs on."""

from jaxnn.functions.params import decay_mask as decay_mask
from jaxnn.training.checkpoint import load as load, save as save
from jaxnn.training.devices import cpu_mesh as cpu_mesh
from jaxnn.training.loop import Best as Best, Fit as Fit, History as History, fit as fit
from jaxnn.training.state import (
    Metrics as Metrics,
    TrainState as TrainState,
    train_state as train_state,
)
from jaxnn.training.step import train_step as train_step
