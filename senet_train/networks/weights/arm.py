"""An arm's runs as pretrained weights: each seed goes on from the network that its own run trained.

An arm is the folder that holds identity.json and seed0/, seed1/, ...; where it lies says nothing
about what goes on from it. Its fingerprint is the sha256 of its identity, equal for all seeds.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from torch import Tensor

from senet_train.errors import InputError
from senet_train.networks.weights.find import Weights, weights_in_file
from senet_train.system.foreign_files import TREE, read_json, refuse_special
from senet_train.system.listing import folders_in

SEED_FOLDER = re.compile(r"seed(\d+)")
BEST = Path("checkpoints", "best.ckpt")
MOST_NAMED = 4  # seeds in a line
SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ArmWeights(Weights):
    """The files of an arm's finished runs, by seed; `of_seeds` gives the weights to load."""

    files: Mapping[int, Path]

    def of_seeds(self, seeds: Sequence[int]) -> Weights:
        """The weights of the first seed. Raises InputError where a seed has no finished run."""
        missing = [seed for seed in seeds if seed not in self.files]
        if missing:
            raise InputError(missing_runs(self.source, missing, sorted(self.files)))
        path = self.files[seeds[0]]
        refuse_special(path)
        found = weights_in_file(str(path), path.absolute())
        sha256 = found.fingerprint.removeprefix("sha256:")
        return replace(found, fingerprint=self.fingerprint, sha256=sha256)


def find_arm(asked: str) -> ArmWeights:
    """The weights of the arm whose folder is `asked`; none is read. Raises InputError."""
    folder = Path(asked).expanduser()
    sha256 = identity_of(asked, folder)
    files = {
        int(match[1]): run / BEST
        for run in folders_in(folder)
        if (match := SEED_FOLDER.fullmatch(run.name)) and is_finished(run)
    }
    return ArmWeights(asked, f"arm:{sha256}", None, partial(refuse_seedless, asked), files=files)


def is_finished(run: Path) -> bool:
    """Whether a run has finished, as result.json says (it is written last), and has its network."""
    return (run / "result.json").is_file() and (run / BEST).is_file()


def identity_of(asked: str, folder: Path) -> str:
    """The sha256 of the arm's identity. Raises InputError for what is no arm to go on from."""
    try:
        content = read_json(folder / "identity.json", TREE)
        sha256, attention = str(content["sha256"]), str(content["attention"]["name"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"model.pretrained={asked} is a folder without an arm's identity.json: give an arm's, "
            "such as outputs/imagenet_subset/torchvision_resnet18-36a65738, or a file of weights"
        ) from error
    if not SHA256.fullmatch(sha256):
        raise InputError(f"{folder / 'identity.json'} is damaged: its sha256 is {sha256[:80]!r}")
    if attention != "none":
        raise InputError(
            f"model.pretrained={asked} was trained with attention={attention}, which would not "
            "come along: give an arm with attention=none"
        )
    return sha256


def missing_runs(asked: str, missing: Sequence[int], there: Sequence[int]) -> str:
    """The line on seeds without a finished run."""
    which, ways = f"seed {missing[0]}", f"train that arm with seed={missing[0]}"
    if len(missing) > 1:
        more = f" and {len(missing) - MOST_NAMED} more" if len(missing) > MOST_NAMED else ""
        which = f"seeds {', '.join(map(str, missing[:MOST_NAMED]))}{more}"
        ways = "train that arm with them"
    if there:
        ways += f", or choose seeds=[{','.join(map(str, there))}]"
    return f"model.pretrained={asked} has no finished run of {which} to go on from: {ways}"


def refuse_seedless(asked: str) -> dict[str, Tensor]:
    """Raises InputError: an arm has as many networks as seeds."""
    raise InputError(
        f"model.pretrained={asked} is an arm, whose networks belong to seeds: give the file "
        "seed<N>/checkpoints/best.ckpt of one of them"
    )
