"""`senet-data show`: training images as the network gets them, on one sheet."""
