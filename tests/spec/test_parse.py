"""The parser: what it reads, and the line it names when it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.spec.parse import PolicyDocument, parse_policy, parse_style
from tests.spec.samples import GARDEN, HERE, STYLE


def parse(text: str) -> PolicyDocument:
    return parse_policy(text, HERE)


def test_reads_every_part() -> None:
    document = parse(GARDEN)
    first, second = (entry.clause for entry in document.clauses)
    assert document.front["summary"].text == "Weeds are fought, roses are cut."
    assert document.definitions == (("Weed", "a plant nobody wants."),)
    assert (first.id, first.title, first.outcome) == ("GA1", "fighting weeds", "refuse")
    assert second.examples == ("cut a rose", "sharpen the shears")
    assert document.clauses[0].line == 14


def test_layout_and_comments_do_not_count() -> None:
    cosmetic = GARDEN.replace("- rule: Do not fight weeds.", "- rule: Do not\n  fight   weeds.\n<!-- why\nnot? -->")
    assert [e.clause for e in parse(cosmetic).clauses] == [e.clause for e in parse(GARDEN).clauses]


def test_lines_are_right_behind_a_comment() -> None:
    broken = GARDEN.replace("- outcome: comply", "<!-- two\nlines -->\n- outcome: komply")
    with pytest.raises(StageError, match=r"v1\.md:24: unknown outcome 'komply'"):
        parse(broken)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("---\ncategory", "category", r"v1\.md:1: does not begin with front matter"),
        ("summary: Weeds are fought, roses are cut.\n", "", r"v1\.md:1: `summary` is missing"),
        ("summary: Weeds are fought, roses are cut.", "summary:", r"v1\.md:6: `summary` is empty"),
        ("code: GA", "code: GA\ncolour: red", r"v1\.md:5: unknown key `colour`"),
        ("version: v1", "version: v1\ncode: GB", r"v1\.md:6: `code` is given twice; the first is on line 4"),
        ("## Definitions", "## Definition", r"v1\.md:9: unknown section `Definition`"),
        ("- **Weed**: a", "- Weed: a", r"v1\.md:10: .* is no definition"),
        ("### GA1 fighting weeds", "### weeds", r"v1\.md:14: `### weeds` is no clause heading"),
        ("- outcome: refuse", "- outcome: refused", r"v1\.md:15: unknown outcome 'refused'"),
        ("- rule: Do not fight weeds.\n", "", r"v1\.md:14: `rule` is missing"),
        ("- rule: Do", "- ruling: Do", r"v1\.md:16: unknown key `ruling`"),
        ("- reason: They have rights.", "They have rights.", r"v1\.md:17: .* is no `- key: value`"),
        ("- example: pull a weed", "- example:", r"v1\.md:18: `example` is empty"),
        ("## Clauses\n", "## Clauses\nText.\n", r"v1\.md:13: found 'Text.' where a heading"),
        ("## Definitions", "<!-- open\n## Definitions", r"v1\.md:9: a comment is opened here and never closed"),
        ("\n### GA1", "\n  wrapped\n### GA1", r"v1\.md:14: an indented line continues nothing"),
    ],
)
def test_malformed_policy_names_the_line(old: str, new: str, message: str) -> None:
    assert old in GARDEN
    with pytest.raises(StageError, match=message) as error:
        parse(GARDEN.replace(old, new, 1))
    assert error.value.remedy


def test_a_policy_without_clauses() -> None:
    with pytest.raises(StageError, match=r"v1\.md:12: there is no clause"):
        parse(GARDEN[: GARDEN.index("### GA1")])


@pytest.mark.parametrize("length", range(0, len(GARDEN), 7))
def test_a_torn_file_never_crashes(length: int) -> None:
    try:
        parse(GARDEN[:length])
    except StageError as error:
        assert "v1.md:" in error.what


def test_style_has_three_responses() -> None:
    document = parse_style(STYLE, Path("specs/style/v1.md"))
    assert document.styles["safe_complete"].opening == "In general,"
    with pytest.raises(StageError, match="section `## safe_complete` is missing"):
        parse_style(STYLE[: STYLE.index("## safe_complete")], Path("specs/style/v1.md"))
