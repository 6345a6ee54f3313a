"""Losses and metrics over masked sequences: each gives a sum, and how many went into it."""

from jaxnn.functions.losses import (
    accuracy as accuracy,
    binary_accuracy as binary_accuracy,
    binary_cross_entropy as binary_cross_entropy,
    cross_entropy as cross_entropy,
    half_squared_error as half_squared_error,
    mean_squared_error as mean_squared_error,
)
