"""Gated Channel Transformation: channels compete through the norm of their embeddings.

    s_c = alpha_c |x_c|_2,    s^_c = s_c / sqrt(mean_c(s^2) + eps)
    y = (1 + tanh(gamma s^ + beta)) * x

Yang et al., "Gated Channel Transformation", https://arxiv.org/abs/1909.11519, equations 1-5.
The paper puts one before every convolution; here it goes into the same slots as the others.
Parameters: 3 C.

Shapes: B batch, C channels, H height, W width.
"""

import torch
from torch import Tensor, nn

EPSILON = 1e-5


class GatedChannelTransformation(nn.Module):
    """`x * (1 + tanh(gamma * normalised embedding + beta))`; at first the identity.

    Raises ValueError for `identity=False`: it has no other start.
    """

    def __init__(self, channels: int, *, identity: bool = True) -> None:
        super().__init__()
        if not identity:
            raise ValueError(
                "attention.identity=false is not for gct: it always starts as the identity, "
                "leave it out"
            )
        self.alpha = nn.Parameter(torch.ones(channels))
        self.gamma = nn.Parameter(torch.zeros(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        energy = x.square().sum((2, 3))  # (B, C, H, W) -> (B, C)
        s = self.alpha * (energy + EPSILON).sqrt()
        s = s * (s.square().mean(1, keepdim=True) + EPSILON).rsqrt()
        gate = 1 + torch.tanh(self.gamma * s + self.beta)
        return x * gate.to(x.dtype)[:, :, None, None]
