"""A page as a list of blocks, written twice: as Markdown and as one HTML file."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import NamedTuple

from stages.report import html, markdown
from stages.report.examples import Example


class Block(NamedTuple):
    """A piece of the page: exactly one of its parts is filled."""

    heading: str = ""
    text: str = ""
    table: tuple[list[str], list[list[str]]] | None = None
    example: Example | None = None


def as_markdown(title: str, lead: str, found: Sequence[Block]) -> str:
    """For a terminal and a pull request."""
    parts = [f"# {title}", lead]
    for block in found:
        if block.heading:
            parts.append(f"## {block.heading}")
        elif block.table:
            parts.append(markdown.table(*block.table))
        else:
            parts.append(markdown.example(block.example) if block.example else block.text)
    return "\n\n".join(parts) + "\n"


def as_html(title: str, lead: str, found: Sequence[Block]) -> str:
    """The same as one self-contained file."""
    parts = []
    for block in found:
        if block.heading:
            parts.append(f"<h2>{escape(block.heading)}</h2>")
        elif block.table:
            head, rows = block.table
            parts.append(html.table(head, [list(map(escape, row)) for row in rows]))
        else:
            parts.append(html.card(block.example) if block.example else f'<p class="soft">{escape(block.text)}</p>')
    return html.document(title, f"<h1>{escape(title)}</h1><p class='lead'>{escape(lead)}</p>{''.join(parts)}")
