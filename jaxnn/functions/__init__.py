"""Plain functions: losses, initialisers, masks and pooling over them, tables of parameters."""
