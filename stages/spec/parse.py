"""The strict reader of policy and style documents: text -> document, or the line that is wrong."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from stages.lib.records import OUTCOMES, Clause, Outcome, ResponseStyle
from stages.spec.lines import Block, Line, blocks, fail, logical_lines

CLAUSE_ID = re.compile(r"[A-Z]{1,4}[0-9]{1,3}")
_FIELD = re.compile(r"(?P<key>[a-z_]+):(?P<value>.*)")
_DEFINITION = re.compile(r"- \*\*(?P<term>[^*]+)\*\*: (?P<meaning>.+)")
_FRONT = ("category", "title", "code", "version", "summary")
_CLAUSE = ("outcome", "rule", "reason")


class ClauseDocument(NamedTuple):
    """A clause and where it stands."""

    clause: Clause
    line: int
    example_lines: tuple[int, ...]


class PolicyDocument(NamedTuple):
    """One file specs/<category>/<version>.md."""

    path: Path
    front: dict[str, Line]
    definitions: tuple[tuple[str, str], ...]
    definition_lines: tuple[int, ...]
    clauses: tuple[ClauseDocument, ...]


class StyleDocument(NamedTuple):
    """One file specs/style/<version>.md."""

    path: Path
    front: dict[str, Line]
    styles: dict[Outcome, ResponseStyle]
    lines: dict[Outcome, int]


def parse_policy(text: str, path: Path) -> PolicyDocument:
    """Read a policy; anything unexpected is an error with its line."""
    front, body = _front_matter(logical_lines(text, path), _FRONT, path)
    sections = _sections(body, ("Definitions", "Clauses"), path)
    clauses = tuple(_clause(block, path) for block in blocks(sections["Clauses"].body, "### ", path))
    if not clauses:
        fail(path, sections["Clauses"].line, "there is no clause under `## Clauses`", "write at least one `### ID title`")
    terms = sections["Definitions"].body
    definitions = tuple(_definition(line, path) for line in terms)
    return PolicyDocument(path, front, definitions, tuple(line.number for line in terms), clauses)


def parse_style(text: str, path: Path) -> StyleDocument:
    """Read the three response styles."""
    front, body = _front_matter(logical_lines(text, path), ("title", "version"), path)
    sections = _sections(body, OUTCOMES, path)
    styles: dict[Outcome, ResponseStyle] = {}
    for outcome in OUTCOMES:
        fields, _ = _fields(sections[outcome], ("opening", "guideline"), path)
        styles[outcome] = ResponseStyle(opening=fields["opening"].text, guideline=fields["guideline"].text)
    return StyleDocument(path, front, styles, {outcome: sections[outcome].line for outcome in OUTCOMES})


def _front_matter(lines: list[Line], required: tuple[str, ...], path: Path) -> tuple[dict[str, Line], list[Line]]:
    fences = [index for index, line in enumerate(lines) if line.text == "---"]
    if len(fences) < 2 or fences[0] != 0:
        fail(path, 1, "does not begin with front matter between two lines `---`")
    front: dict[str, Line] = {}
    for line in lines[1 : fences[1]]:
        key, value = _field(line, path)
        _accept(front, key, value, required, path)
    _complete(front, required, lines[0].number, path)
    return front, lines[fences[1] + 1 :]


def _sections(lines: list[Line], names: tuple[str, ...], path: Path) -> dict[str, Block]:
    found: dict[str, Block] = {}
    for block in blocks(lines, "## ", path):
        if block.title not in names:
            fail(path, block.line, f"unknown section `{block.title}`", f"the sections are: {', '.join(names)}")
        if block.title in found:
            fail(
                path,
                block.line,
                f"a second section `{block.title}`; the first is on line {found[block.title].line}",
                "merge them",
            )
        found[block.title] = block
    for name in names:
        if name not in found:
            fail(path, lines[-1].number if lines else 1, f"the section `## {name}` is missing", "add it")
    return found


def _definition(line: Line, path: Path) -> tuple[str, str]:
    match = _DEFINITION.fullmatch(line.text)
    if match is None:
        fail(path, line.number, f"{line.text[:60]!r} is no definition", "write `- **Term**: meaning.`; indent a wrapped line")
    return match["term"].strip(), match["meaning"]


def _clause(block: Block, path: Path) -> ClauseDocument:
    name, _, title = block.title.partition(" ")
    if CLAUSE_ID.fullmatch(name) is None or not title:
        fail(path, block.line, f"`### {block.title}` is no clause heading", "write `### ID title`, like `### VI1 making weapons`")
    fields, examples = _fields(block, _CLAUSE, path, repeated="example")
    outcome = fields["outcome"]
    if outcome.text not in OUTCOMES:
        fail(path, outcome.number, f"unknown outcome {outcome.text!r}", f"the outcomes are: {', '.join(OUTCOMES)}")
    clause = Clause(
        id=name,
        title=title,
        outcome=outcome.text,
        rule=fields["rule"].text,
        reason=fields["reason"].text,
        examples=tuple(example.text for example in examples),
    )
    return ClauseDocument(clause, block.line, tuple(example.number for example in examples))


def _fields(
    block: Block, required: tuple[str, ...], path: Path, repeated: str | None = None
) -> tuple[dict[str, Line], list[Line]]:
    fields: dict[str, Line] = {}
    many: list[Line] = []
    for line in block.body:
        if not line.text.startswith("- "):
            fail(
                path,
                line.number,
                f"{line.text[:60]!r} is no `- key: value`",
                "begin it with `- `, or indent it if it continues a line",
            )
        key, value = _field(Line(line.number, line.text[2:]), path)
        if key == repeated and value.text:
            many.append(value)
        else:
            _accept(fields, key, value, required, path)
    _complete(fields, required, block.line, path)
    return fields, many


def _field(line: Line, path: Path) -> tuple[str, Line]:
    match = _FIELD.fullmatch(line.text)
    if match is None:
        fail(path, line.number, f"{line.text[:60]!r} is no `key: value`", "write `key: value`; indent a wrapped line")
    return match["key"], Line(line.number, match["value"].strip())


def _accept(fields: dict[str, Line], key: str, value: Line, known: tuple[str, ...], path: Path) -> None:
    if key in fields:
        fail(path, value.number, f"`{key}` is given twice; the first is on line {fields[key].number}", "keep one")
    if key not in known and value.text:
        fail(path, value.number, f"unknown key `{key}`", f"the keys here are: {', '.join(known)}")
    if not value.text:
        fail(path, value.number, f"`{key}` is empty", "write its text behind the colon")
    fields[key] = value


def _complete(fields: dict[str, Line], required: tuple[str, ...], line: int, path: Path) -> None:
    for key in required:
        if key not in fields:
            fail(path, line, f"`{key}` is missing", f"add a line for it; needed here: {', '.join(required)}")
