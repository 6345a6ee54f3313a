"""Looking inside of a recurrence: its gates, and how it runs."""
