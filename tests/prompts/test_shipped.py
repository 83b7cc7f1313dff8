"""The requests and wrappers we ship: read by the stage's own reader, in the numbers we promise."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from stages.lib.config import read_yaml
from stages.lib.records import Clause, Policy
from stages.prompts.requests import Request, read_extra, read_requests, refuse_duplicates
from stages.prompts.wrappers import read_wrappers, refuse_shared

SPECS = Path(__file__).parents[2] / "specs"
EXTRA = {"more": 24, "subtle": 8}
"""Names of further files, and how many requests of each clause they hold at least."""
CATEGORIES = sorted(read_yaml(SPECS.parent / "conf" / "spec" / "v1.yaml")["categories"])


def stand_in(category: str, version: str = "v1") -> Policy:
    """Just the clause ids and outcomes of a policy document: the spec room's parser is not ours to import."""
    heads = []
    for line in (SPECS / category / f"{version}.md").read_text(encoding="utf-8").splitlines():
        if line.startswith("### "):
            heads.append([line.split()[1], ""])
        elif line.startswith("- outcome:"):
            heads[-1][1] = line.split()[-1]
    clauses = [
        Clause.model_validate({"id": i, "title": i, "outcome": o, "rule": "", "reason": "", "examples": ()}) for i, o in heads
    ]
    plain = {"category": category, "title": "", "summary": "", "definitions": (), "style": {}, "others": {}}
    return Policy.model_validate({**plain, "clauses": clauses})


def requests(category: str) -> list[Request]:
    return read_requests(SPECS / category / "requests.jsonl", None if category == "benign" else stand_in(category))


def extra(name: str, category: str) -> list[Request]:
    return read_extra(SPECS / category / f"{name}.jsonl", None if category == "benign" else stand_in(category))


@pytest.mark.parametrize("category", CATEGORIES)
def test_numbers_of_each_category(category: str) -> None:
    found = requests(category)
    counts = Counter((request.line.clause, request.line.split) for request in found)
    assert {count for (_, split), count in counts.items() if split == "train"} <= set(range(8, 40))
    eval_counts = {clause: count for (clause, split), count in counts.items() if split == "eval"}
    assert all(
        count == (9 if clause == "VI2" else 3) for clause, count in eval_counts.items()
    )  # a change of VI2 is what we measure
    assert {clause for clause, _ in counts} == {clause.id for clause in stand_in(category).clauses}
    assert sum(len(request.line.conversation) > 1 for request in found) >= 9


@pytest.mark.parametrize("category", CATEGORIES)
def test_contrast_pairs_have_one_side_to_comply_with(category: str) -> None:
    outcome = {clause.id: clause.outcome for clause in stand_in(category).clauses}
    pairs: dict[str, list[Request]] = {}
    for request in requests(category):
        if request.line.pair:
            pairs.setdefault(request.line.pair, []).append(request)
    assert len(pairs) >= 10
    assert sum(members[0].line.split == "eval" for members in pairs.values()) >= 4
    for name, members in pairs.items():
        assert sum(outcome[str(member.line.clause)] == "comply" for member in members) == 1, name


def test_no_conversation_twice() -> None:
    ours = [request for category in (*CATEGORIES, "benign") for request in requests(category)]
    others = [request for name in EXTRA for category in (*CATEGORIES, "benign") for request in extra(name, category)]
    refuse_duplicates([*ours, *others])


@pytest.mark.parametrize("category", CATEGORIES)
@pytest.mark.parametrize(("name", "least"), EXTRA.items())
def test_every_clause_has_extra_requests(name: str, least: int, category: str) -> None:
    counts = Counter(request.line.clause for request in extra(name, category))
    assert set(counts) == {clause.id for clause in stand_in(category).clauses}
    assert min(counts.values()) >= least


def test_requests_fit_the_other_versions_too() -> None:
    for category, version in (("violence", "v2"), ("harassment", "v2")):
        read_requests(SPECS / category / "requests.jsonl", stand_in(category, version))


def test_wrapper_lists() -> None:
    train, heldout = (read_wrappers(SPECS / "wrappers" / f"{split}.yaml") for split in ("train", "eval"))
    refuse_shared(heldout, train, "eval.yaml")
    assert len(train) >= 20
    assert len(heldout) >= 16
