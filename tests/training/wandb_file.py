"""Reads a file that W&B writes offline: LevelDB's log of W&B's own messages."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7  # bytes; at the start of the file W&B puts 7 of its own
LAST_PART = (1, 4)  # a whole record, or the end of one


def records(file: Path) -> Iterator[Any]:
    """Every record, as W&B's message."""
    from wandb.proto.wandb_internal_pb2 import Record

    data = file.read_bytes()
    assert data[:4] == b":W&B"
    position, whole = HEADER, b""
    while position + HEADER <= len(data):
        left = BLOCK - position % BLOCK
        if left < HEADER:
            position += left
            continue
        _, length, kind = struct.unpack_from("<IHB", data, position)
        whole += data[position + HEADER : position + HEADER + length]
        position += HEADER + length
        if kind in LAST_PART:
            yield Record.FromString(whole)
            whole = b""


def items(message: Any) -> dict[str, Any]:
    """The keys and values of a part of the history, of the summary or of the configuration."""
    return {one.key or "/".join(one.nested_key): json.loads(one.value_json) for one in message}
