"""MixUp and CutMix: torchvision's numbers, pairs that no network, batch size or process changes."""

import dataclasses

import pytest
import torch
from support import DATA, OPTIM
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2
from training.fitting import fit

from senet_train.config.schema import Data
from senet_train.data.images import MemoryImages
from senet_train.data.loaders import TrainingBatches
from senet_train.data.mixing import Mixture, cut, draw_mixture
from senet_train.keyed import forked_random
from senet_train.training.distributed.world import World

BOTH = dataclasses.replace(DATA, mixup=0.3, cutmix=1.0, batch_size=8, num_classes=5)
MIXUP, CUTMIX = (dataclasses.replace(BOTH, **{key: "none"}) for key in ("cutmix", "mixup"))
PIXELS = torch.randint(0, 256, (48, 9, 12, 3), dtype=torch.uint8)
IMAGES = MemoryImages(PIXELS, torch.arange(48) % 5, [""] * 48)


def epoch(data: Data, seed: int = 0, number: int = 0, start: int = 0, shard=None) -> list[Tensor]:
    kept = {} if shard is None else {"shard": shard}
    return list(TrainingBatches(IMAGES, data, seed=seed, epoch=number, start=start, **kept))


@pytest.mark.parametrize(("data", "transform"), [(MIXUP, v2.MixUp), (CUTMIX, v2.CutMix)])
def test_it_is_torchvisions_on_equal_draws(data: Data, transform: type[nn.Module]) -> None:
    """Share, box, images and labels, to the bit; two images are partners in both."""
    alpha = data.cutmix if data.mixup == "none" else data.mixup
    images, labels = torch.rand(2, 3, 9, 12), torch.tensor([3, 1])
    shares = []
    for batch in range(20):
        mixture = draw_mixture(data, 9, 12, 0, 0, batch)
        with forked_random("mix", 0, 0, batch):
            theirs, their_labels = transform(alpha=alpha, num_classes=5)(images, labels)
        assert torch.equal(mixture.images(images), theirs)
        assert torch.equal(mixture.labels(labels, 5), their_labels)
        shares.append(mixture.own)
    assert len(set(shares)) > 10


def test_the_partner_is_half_a_batch_further_on() -> None:
    images, labels = torch.arange(6.0)[:, None, None, None].expand(6, 3, 2, 2), torch.arange(6)
    mixed = Mixture(0.75).images(images)[:, 0, 0, 0]
    assert mixed.tolist() == [0.75, 1.75, 2.75, 2.25, 3.25, 4.25]
    assert Mixture(0.75).labels(labels, 6)[1].tolist() == [0, 0.75, 0, 0, 0.25, 0]
    boxed = cut(0.0, 0, 0, 2, 2)
    assert boxed == Mixture(0.75, (0, 1, 0, 1))  # of the box a quarter is in the image
    assert boxed.images(images)[1, 0].tolist() == [[4, 1], [1, 1]]


def test_a_batch_is_mixed_by_its_key_alone() -> None:
    """Whatever was drawn before, and from whichever batch on."""
    whole, state = epoch(BOTH), torch.get_rng_state()
    torch.manual_seed(9)
    for one, other in zip(whole[2:], epoch(BOTH, start=2), strict=True):
        assert all(map(torch.equal, one, other))
    torch.set_rng_state(state)
    plain = epoch(dataclasses.replace(BOTH, mixup="none", cutmix="none"))
    assert torch.equal(torch.cat([b[2] for b in whole]), torch.cat([b[2] for b in plain]))
    assert not any(torch.equal(one[0], other[0]) for one, other in zip(whole, plain, strict=True))
    assert all(torch.allclose(batch[1].sum(1), torch.ones(8)) for batch in whole)
    kinds = {bool(draw_mixture(BOTH, 9, 12, 0, 0, number).box) for number in range(20)}
    assert kinds == {True, False}
    for other in (epoch(BOTH, seed=1), epoch(BOTH, number=1)):
        assert not torch.equal(other[0][1], whole[0][1])


@pytest.mark.parametrize("size", [2, 4])
def test_the_shares_of_several_processes_are_the_mixed_batch(size: int) -> None:
    """Both images of a pair are in one process; of 8 images 4 processes have 2 each."""
    whole = epoch(BOTH)
    parts = [epoch(BOTH, shard=World(rank, size, rank, size).shard) for rank in range(size)]
    for batch, *shares in zip(whole, *parts, strict=True):
        for part, *of_ranks in zip(batch, *shares, strict=True):
            assert torch.equal(part, torch.stack(of_ranks, 1).flatten(0, 1))


def seen(
    monkeypatch: pytest.MonkeyPatch, network: nn.Module, folder
) -> list[tuple[Tensor, Tensor]]:
    """The mixed images and labels that a training of this network is given."""
    given = []
    draw = Mixture.images
    monkeypatch.setattr(
        Mixture, "images", lambda self, x: given.append((self, draw(self, x))) or given[-1][1]
    )
    fit(folder, OPTIM, network, dataclasses.replace(BOTH, num_classes=6))
    monkeypatch.setattr(Mixture, "images", draw)
    return given


def test_both_arms_see_the_same_mixed_pairs(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without attention and with it, which draws other weights and has dropout of its own."""
    from senet_train.attention.squeeze_excite import SqueezeExcite

    def network(attention: nn.Module) -> nn.Module:
        last = nn.Linear(8 * 64, 6)
        return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), attention, nn.Flatten(), last)

    plain = seen(monkeypatch, network(nn.Identity()), tmp_path / "none")
    attended = nn.Sequential(SqueezeExcite(8, ratio=4), nn.Dropout(0.5))
    se = seen(monkeypatch, network(attended), tmp_path / "se")
    assert len(plain) == len(se) == 8
    for (own, images), (other, others) in zip(plain, se, strict=True):
        assert own == other
        assert torch.equal(images, others)


def test_the_loss_and_the_accuracy_of_training_are_of_shares(tmp_path) -> None:
    """At a rate of almost nothing: the means by hand, over the batches that it saw."""
    data = dataclasses.replace(BOTH, num_classes=6)
    optim = dataclasses.replace(OPTIM, lr=1e-12, weight_decay=0.0, label_smoothing=0.1)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 64, 6))
    module, _, loaded = fit(tmp_path, optim, network, data, max_epochs=1)
    losses, hits = [], []
    for images, shares, _ in TrainingBatches(loaded.splits.train, data, seed=0, epoch=0):
        with torch.no_grad():
            logits = network(images)
        soft = 0.9 * shares + 0.1 / 6
        losses.append(-(soft * F.log_softmax(logits, 1)).sum(1))
        hits.append(logits.argmax(1) == shares.argmax(1))
    [row] = module.progress.history
    assert row["train_loss"] == pytest.approx(torch.cat(losses).mean().item(), rel=1e-5)
    assert row["train_top1"] == pytest.approx(torch.cat(hits).float().mean().item())
