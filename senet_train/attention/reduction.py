"""The width of a bottleneck: `channels // ratio`, never rounded."""


def hidden_channels(channels: int, ratio: int) -> int:
    """Exactly `channels // ratio`. Raises ValueError when that leaves no hidden channel.

    No rounding to a multiple of 8: at 64 channels it would make 8, 16 and 32 one network.
    """
    if ratio < 1:
        raise ValueError(f"ratio={ratio} is no reduction ratio: choose ratio >= 1")
    if ratio > channels:
        raise ValueError(
            f"ratio={ratio} leaves no hidden channel for a layer of {channels} channels: "
            f"choose ratio <= {channels}"
        )
    return channels // ratio
