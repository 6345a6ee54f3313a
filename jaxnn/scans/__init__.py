"""Loops over time for any step; they know no cell."""
