"""The derivative rule of a recurrence: `rule` is the door."""
