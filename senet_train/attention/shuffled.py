"""Control: Squeeze-and-Excitation whose gate is computed from another image of the batch.

    y_i = s(x_j) * x_i,    j = i - 1 modulo the batch

Same parameters, same arithmetic, same distribution of gates as SE; only the tie between an image
and its own gate is cut. Batches come in a random order, in evaluation too, so the other image is
any image: with K classes one in K shares the class. Where slots follow each other the gates of
earlier ones came from other images, so an image's own trace returns after a whole round of the
batch: nothing to speak of from about 8 images on. Parameters: 2 C R, and C + R more with bias.

Shapes: B batch, C channels, R = C // ratio hidden channels, H height, W width.
"""

from torch import Tensor

from senet_train.attention.squeeze_excite import SqueezeExcite


class ShuffledSqueezeExcite(SqueezeExcite):
    """SE with its neighbour's gate; a batch of one image has no other, and uses its own."""

    mixes_images = True  # so that the whole batch must be in one process

    def excite(self, z: Tensor) -> Tensor:
        """Means (B, C) -> the factors (B, C) of the image before."""
        return super().excite(z).roll(1, 0)
