"""Attention put into trained networks: what it changes at first, as a Markdown table.

    uv run scripts/insert_into_trained.py ARM_FOLDER [--data-root DIR]

For every finished run of the arm: top-1 on its test images, in percent; then the same network with
attention in every slot (ratio 16, `standard`), top-1 and the largest difference of any logit. First
with identity=True, which must change nothing; then with identity=False, which must. Float32.
"""

import argparse
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from senet_train.attention import ATTENTIONS
from senet_train.commands.evaluate.predictions import batches
from senet_train.data.images import Images
from senet_train.networks.insertion import insert
from senet_train.networks.weights.arm import find_arm
from senet_train.runs.trained.forward import Forward
from senet_train.runs.trained.load import load_run
from senet_train.runs.trained.own_data import find_own_data, test_images_of

KINDS = {"se": {"ratio": 16}, "eca": {}, "cbam": {"ratio": 16}}


def main() -> None:
    """Print a row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("arm", metavar="ARM_FOLDER", help="of an arm without attention")
    parser.add_argument("--data-root", metavar="DIR", help="where its images are by now")
    arguments = parser.parse_args()
    headings = [f"{kind}, {way}" for way in ("identity", "not") for kind in KINDS]
    print(f"| seed | trained | {' | '.join(headings)} |")
    print(f"|{' --: |' * (2 + len(headings))}", flush=True)
    for seed, file in sorted(find_arm(arguments.arm).files.items()):
        print(f"| {seed} | {row(file, arguments.data_root)} |", flush=True)


def row(file: Path, root: str | None) -> str:
    """`44.50 | 44.50, 0.0 | ...`."""
    run = load_run(file)
    images = test_images_of(find_own_data(run, root), run.config.data)
    forward = Forward.of(run)
    trained = logits_of(forward, images)
    cells = [top1(trained, images)]
    for identity in (True, False):
        for kind, options in KINDS.items():
            insert(run.model, partial(ATTENTIONS[kind], identity=identity, **options))
            run.model.to(forward.device).eval()
            logits = logits_of(forward, images)
            difference = float((logits - trained).abs().max())
            cells.append(f"{top1(logits, images)}, {difference:.2g}")
    return " | ".join(cells)


def logits_of(forward: Forward, images: Images) -> Tensor:
    """(N, K), in the order of the images."""
    parts = [(forward(pixels), indices) for pixels, indices in batches(images, forward.batch_size)]
    logits, indices = (torch.cat(part) for part in zip(*parts, strict=True))
    return logits[indices.argsort()]


def top1(logits: Tensor, images: Images) -> str:
    """Percent."""
    return f"{100 * (logits.argmax(1) == images.labels).double().mean().item():.2f}"


if __name__ == "__main__":
    main()
