"""Wrappers: the sentences people put around a request, some in the hope of a different answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from stages.lib import seeds
from stages.lib.config import read_yaml
from stages.lib.errors import StageError
from stages.lib.records import Message

SLOT = "{request}"
FORM = 'write each wrapper as `- id: name` and `text: "... {request} ..."`'
WrapperKind = Literal["harmless", "jailbreak"]
KINDS: tuple[WrapperKind, ...] = ("jailbreak", "harmless")


class Wrapper(NamedTuple):
    """A text with one slot for the request."""

    id: str
    kind: WrapperKind
    text: str

    def around(self, conversation: tuple[Message, ...]) -> tuple[Message, ...]:
        """The conversation with its last turn wrapped."""
        last = conversation[-1]
        return (*conversation[:-1], last.model_copy(update={"content": self.text.replace(SLOT, last.content)}))


def read_wrappers(path: Path) -> list[Wrapper]:
    """The wrappers of one list."""
    if not path.exists():
        raise StageError(f"{path} does not exist", "restore it from git, or write lists `jailbreak` and `harmless`")
    value = read_yaml(path)
    if not isinstance(value, dict) or set(value) != set(KINDS):
        raise StageError(f"{path}: must hold the two lists {' and '.join(KINDS)}, nothing else", FORM)
    wrappers = [
        _wrapper(entry, kind, f"{path}: {kind}[{index}]") for kind in KINDS for index, entry in enumerate(value[kind] or [])
    ]
    refuse_shared(wrappers, (), str(path))
    return wrappers


def from_template(wrapper_id: str, text: str) -> Wrapper:
    """An outside jailbreak template as a wrapper."""
    return _wrapper({"id": wrapper_id, "text": text}, "jailbreak", wrapper_id)


def refuse_shared(wrappers: Sequence[Wrapper], others: Sequence[Wrapper], where: str) -> None:
    """Raise when an id or a text occurs twice, in one list or in both."""
    seen: set[str] = set()
    for wrapper in (*others, *wrappers):
        keys = {f"id {wrapper.id}", f"text {' '.join(wrapper.text.casefold().split())}"}
        if shared := sorted(keys & seen):
            raise StageError(
                f"{where}: wrapper {wrapper.id!r}: {shared[0]!r} occurs twice",
                "train and eval wrappers must differ: change or remove one",
            )
        seen |= keys


def choose(wrappers: Iterable[Wrapper], count: int, seed: int, *names: str) -> list[Wrapper]:
    """`count` wrappers for one use; a wrapper added to the list leaves most choices as they were."""
    return seeds.shuffled(wrappers, lambda wrapper: wrapper.id, seed, *names)[:count]


def _wrapper(entry: Any, kind: WrapperKind, where: str) -> Wrapper:
    if (
        not isinstance(entry, dict)
        or set(entry) != {"id", "text"}
        or not all(isinstance(value, str) and value for value in entry.values())
    ):
        raise StageError(f"{where}: is no wrapper", FORM)
    if entry["text"].count(SLOT) != 1:
        raise StageError(
            f"{where}: wrapper {entry['id']!r} has {entry['text'].count(SLOT)} slots {SLOT}",
            f"put {SLOT} exactly once into its text",
        )
    return Wrapper(entry["id"], kind, entry["text"])
