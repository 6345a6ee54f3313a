"""A sequence from a cell that reads its own output: step by step, or by beams."""
