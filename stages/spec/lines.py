"""A policy document as numbered logical lines: comments gone, wrapped lines joined, whitespace collapsed.

What this module drops is exactly what a cosmetic edit may change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, NoReturn

from stages.lib.errors import StageError

_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
GUIDE = "mend that line; specs/README.md shows the form"


class Line(NamedTuple):
    """A logical line and the number of the physical line it starts on."""

    number: int
    text: str


class Block(NamedTuple):
    """A heading and the lines under it."""

    title: str
    line: int
    body: list[Line]


def fail(path: Path, line: int, what: str, remedy: str = GUIDE) -> NoReturn:
    """Raise the error of a malformed document."""
    raise StageError(f"{path}:{line}: {what}", remedy)


def logical_lines(text: str, path: Path) -> list[Line]:
    """The document's lines; an indented line continues the one before it."""
    found: list[Line] = []
    for number, raw in enumerate(_without_comments(text, path).splitlines(), start=1):
        words = " ".join(raw.split())
        if not words:
            continue
        if raw[0] in " \t":
            found[-1:] = [_joined(found, number, words, path)]
        else:
            found.append(Line(number, words))
    return found


def blocks(lines: list[Line], marker: str, path: Path) -> Iterator[Block]:
    """The lines grouped under their headings of one level, like `## ` or `### `."""
    block: Block | None = None
    for line in lines:
        if line.text.startswith(marker):
            if block is not None:
                yield block
            block = Block(line.text.removeprefix(marker), line.number, [])
        elif block is None:
            fail(path, line.number, f"found {line.text[:60]!r} where a heading `{marker}...` belongs")
        else:
            block.body.append(line)
    if block is not None:
        yield block


def _without_comments(text: str, path: Path) -> str:
    plain = _COMMENT.sub(lambda match: "\n" * match.group().count("\n"), text)  # keeps the line numbers
    if "<!--" in plain:
        fail(
            path, plain[: plain.index("<!--")].count("\n") + 1, "a comment is opened here and never closed", "close it with `-->`"
        )
    return plain


def _joined(found: list[Line], number: int, words: str, path: Path) -> Line:
    if not found or found[-1].text.startswith(("#", "---")):
        fail(
            path, number, "an indented line continues nothing here", "remove the indentation: only a wrapped sentence is indented"
        )
    return Line(found[-1].number, f"{found[-1].text} {words}")
