"""A train step, a loop with progress, batches of ragged sequences, checkpoints."""
