"""Networks around a backbone: segmenters and detectors, of our backbones or torchvision's own."""
