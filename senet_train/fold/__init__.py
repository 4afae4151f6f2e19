"""BatchNorm, a gate, the addition and ReLU as one: the same numbers in fewer passes."""
