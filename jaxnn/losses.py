"""Losses and metrics over masked sequences: each gives a sum, and how many went into it."""

from jaxnn.functions.ctc import ctc_loss as ctc_loss
from jaxnn.functions.forecast_losses import (
    mean_absolute_scaled_error as mean_absolute_scaled_error,
    naive_scale as naive_scale,
    quantile_loss as quantile_loss,
)
from jaxnn.functions.losses import (
    accuracy as accuracy,
    binary_accuracy as binary_accuracy,
    binary_cross_entropy as binary_cross_entropy,
    cross_entropy as cross_entropy,
    half_squared_error as half_squared_error,
    mean_squared_error as mean_squared_error,
)
