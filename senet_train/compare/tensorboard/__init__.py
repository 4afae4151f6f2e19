"""A comparison for TensorBoard: one run for each arm, with its mean curves and its verdict."""
