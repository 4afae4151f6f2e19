"""Data sets, splits, augmentation and batches. Importing the package imports no torch."""
