"""Whole networks of torchvision and timm, woven."""
