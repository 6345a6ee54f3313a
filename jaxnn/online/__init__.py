"""Learning forward in time: gradients at every step, without storing the past."""
