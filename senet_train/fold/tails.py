"""The names of the tails of convolutions."""

from senet_train.backbones.tail import Tail, composed
from senet_train.fold.folded import folded
from senet_train.fold.joined import joined

# What `trainer.kernel` may say.
TAILS: dict[str, Tail] = {"folded": folded, "joined": joined, "composed": composed}
