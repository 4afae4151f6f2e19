"""Randomness is a pure function of its key and leaves no trace."""

import pytest
import torch
from device.pretended_gpu import Backend, device

from senet_train.keyed import (
    forked_random,
    keyed_generator,
    keyed_permutation,
    keyed_seed,
    seed_draws,
)


def test_keys_are_told_apart() -> None:
    seeds = {keyed_seed(a, b) for a in range(100) for b in range(100)}
    assert len(seeds) == 10_000
    assert keyed_seed("a", 1) != keyed_seed("a/1", "")
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_pure() -> None:
    torch.manual_seed(1)
    first = torch.rand(4, generator=keyed_generator("x", 3)), keyed_permutation(50, "y")
    torch.manual_seed(2)
    second = torch.rand(4, generator=keyed_generator("x", 3)), keyed_permutation(50, "y")
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    assert not torch.equal(keyed_permutation(50, "z"), first[1])


def test_fork_restores_the_global_generator() -> None:
    torch.manual_seed(7)
    expected = torch.rand(5)
    torch.manual_seed(7)
    with forked_random("block", 0):
        inside = torch.rand(5)
    assert torch.equal(torch.rand(5), expected)
    with forked_random("block", 0):
        assert torch.equal(torch.rand(5), inside)


def test_draws_are_seeded_as_torch_seeds_them() -> None:
    seed_draws(torch.device("cpu"), "step", 3, 4)
    drawn = torch.rand(5)
    torch.manual_seed(keyed_seed("step", 3, 4))
    assert torch.equal(torch.rand(5), drawn)


def test_a_device_draws_with_a_generator_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    seeds: list[int] = []
    monkeypatch.setattr(Backend, "manual_seed", staticmethod(seeds.append))
    seed_draws(torch.device("cpu"), "step", 3, 4)
    assert seeds == []
    seed_draws(device(), "step", 3, 4)
    assert seeds == [keyed_seed("step", 3, 4)]
