"""One seed in params.yaml; every use derives its own."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 31-bit seed for one named use, the same on every machine and independent of every other use."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1
