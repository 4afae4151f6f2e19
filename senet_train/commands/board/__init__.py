"""senet-board: TensorBoard over a folder of runs, on this machine alone."""
