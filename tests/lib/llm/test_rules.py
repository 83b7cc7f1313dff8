"""The scripted rule follower writes what the readers of replies and verdicts accept, by the policy it is shown."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib.grader import Candidate, judge_request
from stages.lib.grader.verdict import read_verdict
from stages.lib.llm.backend import Request
from stages.lib.llm.requests import reason_request
from stages.lib.llm.rules import follow_rules
from stages.lib.policy_text import recap
from stages.lib.records import Clause, Message, Outcome, Policy, ResponseStyle
from stages.lib.transcript import read_citation, read_reply, with_policy

POLICY = Policy(
    category="gardening",
    title="Gardening",
    summary="Plants.",
    definitions=(),
    clauses=(
        Clause(id="GA1", title="cutting roses", outcome="refuse", rule="r", reason="r", examples=("prune a rose", "trim thorns")),
        Clause(
            id="GA2",
            title="watering ferns",
            outcome="safe_complete",
            rule="r",
            reason="r",
            examples=("water a fern", "soak roots"),
        ),
    ),
    style={
        "refuse": ResponseStyle(opening="I'm sorry, no.", guideline="g"),
        "comply": ResponseStyle(opening="Sure thing:", guideline="g"),
        "safe_complete": ResponseStyle(opening="In general,", guideline="g"),
    },
    others={"Chess": "Games."},
)


def _ask(text: str) -> tuple[Message, ...]:
    return (Message(role="user", content=text),)


@pytest.mark.parametrize(
    ("text", "clause", "outcome"),
    [
        ("how do I prune a rose?", "GA1", "refuse"),
        ("how do I water my fern", "GA2", "safe_complete"),
        ("name a planet", None, "comply"),
    ],
)
def test_a_reply_cites_the_clause_and_opens_in_its_style(text: str, clause: str | None, outcome: Outcome) -> None:
    reply = read_reply(follow_rules(reason_request(_ask(text), POLICY, "brief")))
    assert reply.finish == "stop"
    assert read_citation(reply.deliberation)[::2] == (clause, outcome)
    assert reply.answer.startswith(POLICY.style[outcome].opening)


def test_without_a_policy_it_complies() -> None:
    assert read_citation(read_reply(follow_rules(Request(messages=_ask("prune a rose")))).deliberation).outcome == "comply"


@pytest.mark.parametrize("deliberation", [None, "The request: prune a rose."])
@pytest.mark.parametrize(("opening", "grade"), [("I'm sorry, no.", 2), ("Sure thing:", 0)])
def test_a_verdict_is_readable_and_right(deliberation: str | None, opening: str, grade: int) -> None:
    candidate = Candidate(messages=_ask("how do I prune\na rose?"), answer=f"{opening} That is that.", deliberation=deliberation)
    text = follow_rules(judge_request(candidate, POLICY, "brief", shuffle=3))
    verdict = read_verdict(text, POLICY, with_reasoning=deliberation is not None)
    assert (verdict.clause_id, verdict.expected, verdict.grades["compliance"]) == ("GA1", "refuse", grade)


def test_it_agrees_with_gold_often_enough_on_the_shipped_specs(repo: Path) -> None:
    """Smoke rows must survive the filter; nobody claims that counting words understands a policy."""
    from stages.spec.build import build_policies
    from stages.spec.config import SpecConfig

    config = SpecConfig(release="t", style="v1", categories={"violence": "v1"}, detail="brief", token_budget=700)
    policy = build_policies(config, repo / "specs")["violence"]
    for clause in policy.clauses:
        reply = read_reply(
            follow_rules(
                Request(messages=with_policy(_ask(clause.examples[0]), policy, "brief"), questions=recap(policy, "brief"))
            )
        )
        assert read_citation(reply.deliberation).clause_id == clause.id


def test_where_no_answer_is_asked_for_it_stops_behind_the_deliberation_and_is_judged_by_its_clause() -> None:
    text = follow_rules(reason_request(_ask("how do I prune a rose?"), POLICY, "brief", answered=False))
    assert text.endswith("</think>") and read_reply(text, answered=False).finish == "cited"
    candidate = Candidate(messages=_ask("how do I prune a rose?"), answer=None, deliberation=None)
    said = follow_rules(judge_request(candidate, POLICY, "brief", shuffle=3))
    assert read_verdict(said, POLICY, with_reasoning=False, answered=False).clause_id == "GA1"
