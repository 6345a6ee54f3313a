"""What is read out of a model that runs."""
