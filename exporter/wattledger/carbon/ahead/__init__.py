"""What the grid will do: forecast means, best windows and the signal."""
