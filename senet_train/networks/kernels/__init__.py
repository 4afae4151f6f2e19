"""BatchNorm, a gate, the addition and ReLU in fewer passes: the same function, gates in float32."""
