"""Why a file of weights is not read, and what to do instead, in one line."""

import re
from pathlib import Path

LONGEST_REASON = 200  # characters of another's error, in a line of ours

# How files begin that are often found under the name of weights -> what they are.
BEGINNINGS = {
    b"": "is empty: fetch or save it again",
    b"version https://git-lfs": "is a pointer of Git LFS and not the file itself: git lfs pull",
    b"<": "is a web page and no weights: fetch the file itself",
    b"\x89HDF": "is HDF5, as Keras writes: give weights that torch.save or safetensors wrote",
}
LAYERS = "torch.nn.modules."  # begins the names of what a whole network holds


def refusal(path: Path, error: Exception) -> str:
    """The line for a file that torch or safetensors could not read."""
    with path.open("rb") as file:
        begin = file.read(32).lstrip()
    for start, words in BEGINNINGS.items():
        if begin.startswith(start) and (start or not begin):
            return f"{path} {words}"
    if found := re.search(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)", str(error)):
        return code_refused(path, found[1])
    if begin.startswith(b"PK") and "central directory" in str(error):
        return f"{path} is cut off or damaged: fetch or save it again"
    return (
        f"{path} is no file of plain tensors ({reason(error)}): give what torch.save or "
        "safetensors wrote of a network's state_dict()"
    )


def code_refused(path: Path, name: str) -> str:
    """The line for a file that holds an object, which only code could make."""
    way_out = (
        "in a program that you trust with it, save the weights alone: "
        "torch.save(network.state_dict(), 'weights.pth')"
    )
    if holds_layers(path, name):
        return f"{path} is a whole network ({name}), which only code could make: {way_out}"
    return f"{path} holds a {name} beside its tensors, and only plain data are read: {way_out}"


def holds_layers(path: Path, name: str) -> bool:
    """Whether there are layers in it, and not their tensors alone; its pickle is not run."""
    from torch.serialization import get_unsafe_globals_in_checkpoint

    try:
        names = get_unsafe_globals_in_checkpoint(str(path))
    except ValueError:  # a file of before torch 1.6 is not taken apart
        names = []
    return any(other.startswith(LAYERS) for other in (name, *names))


def reason(error: Exception) -> str:
    """The first line of an error, which may have many, without the colours of a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", str(error)).strip()
    return (plain.splitlines() or [type(error).__name__])[0][:LONGEST_REASON]
