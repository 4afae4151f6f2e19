"""senet-evaluate: how good a trained run is, on its own test images or on others."""
