"""senet-predict: the likeliest classes of images, by a trained run."""
