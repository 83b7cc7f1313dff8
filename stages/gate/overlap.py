"""Whether two bodies of text share words: exactly, or n of them in a row.

The held-out side is indexed and the training side streamed past it, so memory is bounded by what is held out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)?")


class Index:
    """Texts to stay away from, each under an id."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._grams: dict[tuple[str, ...], set[str]] = {}
        self._whole: dict[tuple[str, ...], set[str]] = {}

    def add(self, name: str, text: str, spare: Iterable[str] = ()) -> None:
        """Keep a text, but for runs of words within one of `spare`. Without a letter or digit it overlaps with nothing."""
        said = words(text)
        if said:
            self._whole.setdefault(said, set()).add(name)
        spared = {gram for other in spare for gram in _grams(words(other), self._n)}
        for gram in _grams(said, self._n):
            if gram not in spared:
                self._grams.setdefault(gram, set()).add(name)

    def same(self, text: str) -> set[str]:
        """Ids of texts with the same words."""
        return self._whole.get(words(text), set())

    def near(self, text: str) -> set[str]:
        """Ids of texts that share n words in a row with this one, or are the same."""
        said = words(text)
        found = set(self._whole.get(said, ()))
        for gram in _grams(said, self._n):
            found |= self._grams.get(gram, set())
        return found


def words(text: str) -> tuple[str, ...]:
    """The words of a text in lower case: neither punctuation nor spacing makes two texts differ."""
    return tuple(_WORD.findall(text.casefold()))


def _grams(said: tuple[str, ...], n: int) -> Iterator[tuple[str, ...]]:
    return (said[start : start + n] for start in range(len(said) - n + 1))
