"""Pretrained weights: found, read, loaded; and SE weights of other libraries."""
