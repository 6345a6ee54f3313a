"""The cells: one family a file, its equations and little else."""
