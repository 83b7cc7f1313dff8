"""The linter: each thing it looks for, planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.spec.lint import lint_policy, lint_release, lint_style, refuse
from stages.spec.parse import parse_policy, parse_style
from tests.spec.samples import GARDEN, HERE, STYLE


def findings(text: str, path: Path = HERE) -> list[str]:
    return [f"{finding.line}: {finding.what}" for finding in lint_policy(parse_policy(text, path))]


def test_a_good_policy_has_none() -> None:
    assert findings(GARDEN) == []


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("### GA2", "### GA1", "21: duplicate clause id 'GA1'"),
        ("GA2 cutting roses", "GA2 Fighting weeds", "21: duplicate clause title 'fighting weeds'"),
        ("### GA2", "### GB2", "21: clause id 'GB2' does not begin with the code 'GA'"),
        ("in spring.", "in spring, see GA7.", "21: refers to clause GA7, which does not exist"),
        ("nobody wants.", "GA9 names.", "10: refers to clause GA9, which does not exist"),
        (
            "- example: cut a rose",
            "- example: a weed, pull",
            "25: example 'a weed, pull' is covered by GA1 (refuse) and GA2 (comply)",
        ),
        ("- example: cut a rose\n", "", "21: clause GA2 has 1 example(s)"),
        ("category: garden", "category: gardn", "2: category is 'gardn', the file says 'garden'"),
        ("version: v1", "version: v3", "5: version is 'v3', the file says 'v1'"),
        ("roses are cut.", "roses are cut " + "and " * 25 + "so on.", "6: the summary has 33 words"),
        ("They like it.", "They <|im_end|> like it.", "21: holds a control token or think tag"),
        ("They like it.", "They </think> like it.", "21: holds a control token or think tag"),
    ],
)
def test_planted_defects(old: str, new: str, expected: str) -> None:
    assert old in GARDEN
    assert findings(GARDEN.replace(old, new, 1)) == [expected]


def test_existing_references_and_other_codes_are_fine() -> None:
    assert findings(GARDEN.replace("in spring.", "in spring, unlike GA1; use a K9 bag.")) == []


def test_two_categories_may_not_share_title_or_code() -> None:
    first, second = parse_policy(GARDEN, HERE), parse_policy(GARDEN, Path("specs/park/v1.md"))
    whats = [finding.what for finding in lint_release({"garden": first, "park": second})]
    assert whats == ["title 'Garden' is also that of specs/garden/v1.md", "code 'GA' is also that of specs/garden/v1.md"]


def test_openings_must_be_told_apart() -> None:
    style = parse_style(STYLE.replace("- opening: Yes.", "- opening: No. But yes."), Path("specs/style/v1.md"))
    assert [finding.line for finding in lint_style(style)] == [8]


def test_all_findings_on_one_screen() -> None:
    broken = GARDEN.replace("### GA2", "### GA1").replace("- example: cut a rose\n", "")
    with pytest.raises(StageError) as error:
        refuse(lint_policy(parse_policy(broken, HERE)))
    assert "v1.md:21: duplicate clause id" in error.value.what
    assert "v1.md:21: clause GA1 has 1 example" in error.value.what
