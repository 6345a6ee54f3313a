"""Plain functions: checks, initialisers, losses, pooling over masked sequences."""
