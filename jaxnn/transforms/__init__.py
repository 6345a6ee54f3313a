"""What is made of cells: deep, in both directions, with another first state or output."""
