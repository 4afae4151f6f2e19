"""senet-train: an ablation bench for channel attention."""

__version__ = "0.1.0"
