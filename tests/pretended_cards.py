"""GPUs of given capabilities, as far as torch is asked what is there."""

from collections.abc import Sequence

import pytest
import torch

# Of the wheel of torch 2.15 with CUDA 13.2.
WHEEL = ("sm_75", "sm_80", "sm_86", "sm_90", "sm_100", "sm_120")


def pretend_cards(
    patch: pytest.MonkeyPatch, *capabilities: tuple[int, int], built_for: Sequence[str] = WHEEL
) -> None:
    """From now on this machine has these cards, and PyTorch code for these architectures."""
    patch.setattr(torch.cuda, "is_available", lambda: bool(capabilities))
    patch.setattr(torch.cuda, "device_count", lambda: len(capabilities))
    patch.setattr(torch.cuda, "get_arch_list", lambda: list(built_for))
    patch.setattr(torch.cuda, "get_device_capability", lambda card=0: capabilities[card])
    patch.setattr(torch.cuda, "get_device_name", lambda card=0: f"Card {card}")
    patch.setattr(torch.version, "hip", None)
