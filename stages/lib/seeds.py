"""One seed in params.yaml; every use derives its own."""

from __future__ import annotations

import hashlib


def derive(seed: int, *names: str | int) -> int:
    """A 31-bit seed for one named use, the same on every machine and independent of every other use."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def order_of_sample(seed: int, number: int) -> int | None:
    """The order of the clauses under which sample `number` of a prompt is written: the document's, then another for each.

    What a small model reads depends on where it stands, so that greedy samples, too, come apart.
    """
    return derive(seed, "order of sample", number) if number else None
