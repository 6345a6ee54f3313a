"""A train step, a loop with progress, checkpoints, and the devices that a step runs on."""

from jaxnn.functions.params import decay_mask as decay_mask
from jaxnn.training.checkpoint import load as load, save as save
from jaxnn.training.checkpoint_options import CheckpointOptions as CheckpointOptions
from jaxnn.training.course import Best as Best, Fit as Fit, History as History
from jaxnn.training.devices import cpu_mesh as cpu_mesh
from jaxnn.training.labels import labels as labels, muon_dimensions as muon_dimensions
from jaxnn.training.load_checkpoint import load_checkpoint as load_checkpoint
from jaxnn.training.loop import fit as fit
from jaxnn.training.state import (
    Metrics as Metrics,
    TrainState as TrainState,
    train_state as train_state,
)
from jaxnn.training.step import train_step as train_step
