"""What of a policy is shown."""

from __future__ import annotations

from stages.lib.policy_text import part_for, render_policy
from stages.lib.records import Message
from tests.lib import bees

POLICY = bees.policy_with_example()


def turns(*contents: str) -> tuple[Message, ...]:
    return tuple(Message(role=("user", "assistant")[place % 2], content=text) for place, text in enumerate(contents))


def test_an_example_is_shown_the_clause_that_gives_it() -> None:
    shown = part_for(POLICY, turns(bees.EXAMPLE))
    assert shown.clauses == POLICY.clauses[:1]
    text = render_policy(shown, "full")
    assert "BE1" in text
    assert "BE2" not in text
    assert POLICY.style["refuse"].opening in text


def test_any_other_conversation_is_shown_all() -> None:
    assert part_for(POLICY, turns("How do I get the honey out?")) is POLICY
    assert part_for(POLICY, turns("hello", "Hello!", bees.EXAMPLE)) is POLICY


def test_an_example_that_two_clauses_give_is_shown_both() -> None:
    assert [clause.id for clause in part_for(POLICY, turns("this")).clauses] == ["BE2", "BE3"]
