"""The made-up world is large, well-shaped, held out where it says so, and free of everything it must never contain."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from pathlib import Path

import pytest

from stages.lib.grader import read_verdict
from stages.lib.transcript import read_citation, read_reply
from stages.reader.roles import WORDINGS, judge_lesson, reason_lesson
from stages.reader.world import Case, World, draw_rule_set, load_world, split_world

ROOT = Path(__file__).parents[2]
SHINGLE = 7
"""Words in a row that count as copied text: six can be chance ("what do I say to the")."""


@pytest.fixture(scope="module")
def world() -> World:
    return load_world()


def test_the_world_is_large(world: World) -> None:
    rules = [rule for domain in world.domains for rule in domain.rules]
    assert len(world.domains) == len({domain.name for domain in world.domains}) == 308
    assert len(rules) == 500 + 208 * 7
    assert all(len(rule.cases) == 5 for rule in rules)


def test_held_out_domains_and_cases_are_not_trained_on(world: World) -> None:
    train, cases, domains = split_world(world)
    trained = {case for domain in train.domains for rule in domain.rules for case in rule.cases}
    assert len(domains.domains) == 20
    assert not trained & {case for domain in domains.domains for rule in domain.rules for case in rule.cases}
    asked = {case for rule_set in _draw(cases, 50, ask_last=True) for group in rule_set.cases.values() for case in group}
    assert len(asked) > 100
    assert not trained & asked


def test_a_request_is_an_example_of_its_clause_only_where_that_is_wanted(world: World) -> None:
    rng = random.Random(8)
    for rules in _draw(world, 200):
        for clause in rules.policy.clauses:
            assert not {case.phrase for case in rules.cases[clause.id]} & set(clause.examples)
            assert {case.phrase for case in rules.shown[clause.id]} == set(clause.examples)
    for shown, least, most in ((0.0, 0.0, 0.0), (1.0, 0.8, 1.0)):  # a typo hides some
        found = []
        for rules in _draw(world, 200):
            lesson = reason_lesson(rules, world, rng, shown)
            if lesson.clause is not None:
                words = [getattr(case, name) for case in rules.shown[lesson.clause.id] for name in Case._fields]
                found.append(any(text in lesson.request.messages[-1].content for text in words))
        assert least <= sum(found) / len(found) <= most


def test_ids_outcomes_and_styles_are_drawn_anew(world: World) -> None:
    drawn = _draw(world, 100)
    assert len({rules.policy.clauses[0].id for rules in drawn}) > 80
    assert {clause.outcome for rules in drawn for clause in rules.policy.clauses} == {"refuse", "comply", "safe_complete"}
    assert len({rules.policy.style["refuse"].opening for rules in drawn}) > 15


def test_every_lesson_is_read_back_as_it_was_meant(world: World) -> None:
    rng = random.Random(5)
    for rules in _draw(world, 150):
        reason, judge = reason_lesson(rules, world, rng), judge_lesson(rules, world, rng)
        reply = read_reply(reason.target)
        assert reply.finish == "stop"
        assert read_citation(reply.deliberation).clause_id == (reason.clause.id if reason.clause else None)
        assert reply.answer.startswith(rules.policy.style[reason.outcome].opening)
        verdict = read_verdict(judge.target, rules.policy, with_reasoning="reasoning:" in judge.target)
        assert verdict.clause_id == (judge.clause.id if judge.clause else None)
        assert verdict.expected == judge.outcome
        if judge.kind == "right":
            assert set(verdict.grades.values()) == {2}
        else:
            assert 0 in verdict.grades.values()


def test_requests_come_in_all_wordings_and_full_weight_is_on_what_the_rules_decide(world: World) -> None:
    rng = random.Random(6)
    cases = [case for domain in world.domains for rule in domain.rules for case in rule.cases]
    seen: Counter[str] = Counter()
    lessons = [reason_lesson(rules, world, rng) for rules in _draw(world, 300)]
    for lesson in lessons:
        assert lesson.policy is not None
        start, stop = lesson.focus
        decided = lesson.target[start:stop]
        assert decided == lesson.policy.style[lesson.outcome].opening
        asked = lesson.request.messages[-1].content
        seen.update(name for name in ("phrase", "short", "long", "hint") if any(getattr(case, name) in asked for case in cases))
    for wording, share in WORDINGS.items():  # a typo hides some
        assert abs(seen["phrase" if wording == "template" else wording] / len(lessons) - share) < 0.12


def test_a_rule_set_draws_the_wording_of_its_titles(world: World) -> None:
    wordings = {titles for domain in world.domains for titles in (rule.titles for rule in domain.rules)}
    assert all(len(set(titles)) == 2 for titles in wordings)
    drawn = {clause.title for rules in _draw(world, 3 * len(world.domains)) for clause in rules.policy.clauses}
    assert sum(set(titles) <= drawn for titles in wordings) > 0.5 * len(wordings)


def test_no_text_of_specs_and_no_evaluation_prompt_is_in_the_stream(world: World) -> None:
    forbidden = _shingles(_spec_texts())
    rng = random.Random(11)
    stream = [
        text
        for rules in _draw(world, 400)
        for lesson in (reason_lesson(rules, world, rng), judge_lesson(rules, world, rng))
        for text in (*(message.content for message in lesson.request.messages), lesson.target)
    ]
    stream += [
        text
        for path in sorted((ROOT / "stages/reader/world").glob("*.yaml"))
        for text in path.read_text(encoding="utf-8").splitlines()
    ]
    stream += (ROOT / "stages/reader/phrases.yaml").read_text(encoding="utf-8").splitlines()
    assert len(forbidden) > 5000
    assert not _shingles(stream) & forbidden
    openings = {opening for group in world.openings.values() for opening in group}
    styles = re.findall(
        r"opening: (.+)", "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "specs/style").glob("*.md"))
    )
    assert len(styles) == 6
    assert not openings & set(styles)


def _draw(world: World, count: int, ask_last: bool = False):  # type: ignore[no-untyped-def]
    return [draw_rule_set(world, random.Random(number), ask_last) for number in range(count)]


def _spec_texts() -> list[str]:
    texts = [
        path.read_text(encoding="utf-8")
        for path in sorted((ROOT / "specs").glob("*/*.md")) + sorted((ROOT / "specs/wrappers").glob("*.yaml"))
    ]
    for path in sorted((ROOT / "specs").glob("*/*.jsonl")):
        rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        texts += [turn["content"] for row in rows for turn in row["conversation"]]
    return texts


def _shingles(texts: list[str]) -> set[tuple[str, ...]]:
    found = set()
    for text in texts:
        words = re.findall(r"[a-z']+", text.lower())
        found |= {tuple(words[place : place + SHINGLE]) for place in range(len(words) - SHINGLE + 1)}
    return found
