"""What GPUs, slices and precisions are: specifications with a source and a date for each value."""
