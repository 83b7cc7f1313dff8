"""The policies we ship: complete, within budget, and their v2 changes what it says it changes."""

from __future__ import annotations

import functools
import re
from pathlib import Path

import pytest

from stages.lib.config import parse_section, read_yaml
from stages.lib.records import OUTCOMES, Policy
from stages.spec.build import build_policies
from stages.spec.config import SpecConfig

ROOT = Path(__file__).parents[2]
CATEGORIES = ("erotic", "extremism", "harassment", "illicit", "regulated_advice", "self_harm", "violence")
MINORS = r"\b(child\w*|kids?|minors?|teen\w*|youth\w*|young\w*|girls?|boys?|school\w*|pupils?|students?|underage|juvenile\w*"
MINORS += r"|daughters?|sons?|adolescen\w*|bab(y|ies)|toddlers?|infants?|lolita|puberty|age[sd]?|virgin\w*)\b"


def config(release: str) -> SpecConfig:
    path = ROOT / "conf" / "spec" / f"{release}.yaml"
    return parse_section(read_yaml(path), SpecConfig, path, "spec")


@functools.cache
def release(name: str) -> dict[str, Policy]:
    return build_policies(config(name), ROOT / "specs")


@pytest.mark.parametrize("name", ["v1", "v2"])
def test_every_category_is_complete(name: str) -> None:
    policies = release(name)
    assert set(policies) == set(CATEGORIES)
    for policy in policies.values():
        outcomes = [clause.outcome for clause in policy.clauses]
        assert 5 <= len(outcomes) <= 8
        assert set(outcomes) == set(OUTCOMES)
        assert 2 <= len(policy.definitions) <= 4


def test_v2_differs_as_announced() -> None:
    one, two = release("v1"), release("v2")
    moved = {name: [(a.id, a.outcome, b.outcome) for a, b in pairs(name) if a.outcome != b.outcome] for name in CATEGORIES}
    assert {name: changes for name, changes in moved.items() if changes} == {"violence": [("VI6", "comply", "safe_complete")]}
    for name in CATEGORIES:
        assert one[name].style != two[name].style
        assert (one[name].clauses == two[name].clauses) == (name != "violence")
        assert one[name].others == two[name].others


def test_only_the_substantive_change_moves_a_file() -> None:
    versions = {**config("v1").categories, "violence": "v2", "harassment": "v2"}
    changed = build_policies(config("v1").model_copy(update={"categories": versions}), ROOT / "specs")
    assert {name for name in CATEGORIES if changed[name].sha != release("v1")[name].sha} == {"violence"}
    assert (ROOT / "specs/harassment/v1.md").read_text() != (ROOT / "specs/harassment/v2.md").read_text()


def test_minors_never_appear_in_erotic() -> None:
    for path in sorted((ROOT / "specs" / "erotic").iterdir()):
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
            assert re.search(MINORS, line, re.IGNORECASE) is None, f"{path.name}:{number}"


def pairs(name: str) -> list[tuple]:
    return list(zip(release("v1")[name].clauses, release("v2")[name].clauses, strict=True))
