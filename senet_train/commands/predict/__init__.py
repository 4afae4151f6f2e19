"""senet-predict: what a trained run sees in images."""
