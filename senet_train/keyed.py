"""Stateless randomness: every draw is a pure function of a key such as (seed, epoch, index).

Nothing here reads the global generators, so two arms with one seed see the same draws whatever
their model, batch size or number of workers; `seed_draws` alone leaves a trace in them.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def keyed_seed(*key: int | str) -> int:
    """A seed in [0, 2**63), a hash of the key: neighbouring keys give unrelated seeds."""
    digest = hashlib.sha256("/".join(map(str, key)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def keyed_generator(*key: int | str) -> torch.Generator:
    """A fresh CPU generator seeded by the key."""
    return torch.Generator().manual_seed(keyed_seed(*key))


def keyed_permutation(length: int, *key: int | str) -> Tensor:
    """A random order of `length` things, (length,) int64."""
    return torch.randperm(length, generator=keyed_generator(*key))


def seed_draws(device: torch.device, *key: int | str) -> None:
    """Seed the global generators of the CPU and of the device that a run computes on.

    `torch.manual_seed` does it for every kind of device, and writes down a traceback for each
    that this machine does not have: 1 ms a call.
    """
    seed = keyed_seed(*key)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)


@contextmanager
def forked_random(*key: int | str) -> Iterator[None]:
    """Run a block under the global CPU generator seeded by the key, then put its state back.

    For code that can only draw from the global generator: weight initialisers and torchvision's
    transforms. `torch.random.fork_rng` would do the same and costs 100 times more a call.
    """
    state = torch.default_generator.get_state()
    torch.default_generator.manual_seed(keyed_seed(*key))
    try:
        yield
    finally:
        torch.default_generator.set_state(state)
