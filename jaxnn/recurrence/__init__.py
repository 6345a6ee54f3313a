"""How a cell runs, and what is made of cells."""
