"""Any convolutional network with attention slots: found in its graph, not written into its code."""
