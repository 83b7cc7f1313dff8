"""One seed in params.yaml; every use derives its own."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")


def derive(seed: int, *names: str | int) -> int:
    """A 31-bit seed for one named use, the same on every machine and independent of every other use."""
    text = "/".join([str(seed), *map(str, names)])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) >> 1


def shuffled(items: Iterable[T], name: Callable[[T], str], seed: int, *use: str) -> list[T]:
    """The items in an order drawn by the seed for one use, by rendezvous: an item more or less moves no other.

    `name` tells items apart; where two share one, they keep the order they came in.
    """
    return sorted(items, key=lambda item: (derive(seed, *use, name(item)), name(item)))


def drawn(fraction: float, seed: int, *names: str) -> bool:
    """Whether what the names name is among the drawn `fraction` for their use: no other item has a say in it."""
    return derive(seed, *names) < fraction * 2**31


def order_of_sample(seed: int, number: int) -> int | None:
    """The order of the clauses under which sample `number` of a prompt is written: the document's, then another for each.

    What a small model reads depends on where it stands, so that greedy samples, too, come apart.
    """
    return derive(seed, "order of sample", number) if number else None
