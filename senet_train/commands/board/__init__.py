"""TensorBoard over a folder of runs, for this machine alone."""
