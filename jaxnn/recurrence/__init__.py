"""What a recurrence is, and how it is asked to run."""
