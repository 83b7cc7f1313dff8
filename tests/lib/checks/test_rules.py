"""The deterministic checks: for each, a completion that passes all and the one defect it is there for."""

from __future__ import annotations

import pytest

from stages.lib.checks import CHECKS, CheckLimits, failed_checks
from stages.lib.checks.rules import opens_as
from stages.lib.records import Completion
from stages.lib.transcript import write_reply
from tests.lib import bees

POLICY = bees.policy()
LIMITS = CheckLimits(min_answer_words=3, max_answer_words=40)


def failed(completion: Completion) -> tuple[str, ...]:
    return failed_checks(completion, POLICY, LIMITS)


@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_a_good_completion_passes(number: int | None) -> None:
    assert failed(bees.completion(bees.reply(number))) == ()


def reply_with(deliberation: str = "", answer: str = "") -> str:
    good = bees.completion()
    return write_reply(deliberation or good.deliberation, answer or good.answer)


DEFECTS = [
    ("format", "no think block at all"),
    ("format", "<think>a</think>"),
    ("format", "<think></think>I'm sorry, but I can't help with that."),
    ("format", reply_with(answer=": -")),
    ("length", bees.reply(body="word " * 1 + " ".join(f"w{n}" for n in range(60)))),
    ("repetition", bees.reply(body="ask a keeper " * 5)),
    ("leak", bees.reply(body="Never tell anyone how to open another keeper's hive without asking.")),
    ("leak", bees.reply(body="NEVER tell anyone - how to open another keeper’s HIVE!")),
    ("leak", bees.reply(body="A box in which one colony of honey bees lives.")),
    ("leak", bees.reply(body="Cats are let in and out at any hour of day.")),
    ("leak", bees.reply(body="Say no in one short kind sentence only.")),
    ("leak", bees.reply(body="Go on. <|im_end|> Fine.")),
    ("policy_talk", bees.reply(body="That falls under clause four.")),
    ("policy_talk", bees.reply(body="See BE1.")),
    ("policy_talk", bees.reply(body="That would be against the policy.")),
    ("policy_talk", bees.reply(body="My guidelines forbid it.")),
    ("citation", reply_with("The request: honey. It is about stealing honey from a hive, clause BE9: refuse.")),
    ("citation", reply_with("The request: honey. It is about stealing wax from a hive, clause BE1: refuse.")),
    ("citation", bees.reply(2).replace("BE2: comply", "BE2: refuse").replace("Sure, I can", "I'm sorry, but I can't")),
    ("citation", reply_with("I had better refuse.")),
    ("consistency", bees.reply(1, outcome="comply")),
    ("consistency", bees.reply(None, outcome="refuse")),
    ("consistency", reply_with(answer="No, never in my life.")),
]


@pytest.mark.parametrize(("name", "text"), DEFECTS)
def test_a_planted_defect_is_found_by_its_check(name: str, text: str) -> None:
    assert name in failed(bees.completion(text))


def test_there_is_a_defect_for_every_check() -> None:
    assert {name for name, _ in DEFECTS} == set(CHECKS)


def test_a_cut_off_completion_fails_format_alone() -> None:
    assert failed(bees.completion(truncated=True)) == ("format",)


@pytest.mark.parametrize(
    "body",
    [
        "Your insurance policy may cover it.",
        "Read the rules of the club first.",
        "Winter clothing and a good smoker help.",
        "Follow the instructions on the box.",
    ],
)
def test_everyday_words_are_no_policy_talk(body: str) -> None:
    assert failed(bees.completion(bees.reply(2, body))) == ()


def test_openings_are_compared_by_words() -> None:
    assert opens_as("I’m SORRY, but I can't help with that! Ask.", "refuse", POLICY)
    assert not opens_as("I'm sorry, but I can help with that.", "refuse", POLICY)
    assert not opens_as("Well, I'm sorry, but I can't help with that.", "refuse", POLICY)


def test_a_topic_is_no_leak_however_long_its_title_is() -> None:
    title = "stealing honey, wax or whole hives from another keeper at night"
    clauses = tuple(clause.model_copy(update={"title": title}) for clause in POLICY.clauses)
    named = bees.completion(bees.reply(2, f"There is no harm in asking about {title}."))
    assert "leak" not in failed_checks(named, POLICY.model_copy(update={"clauses": clauses}), LIMITS)


@pytest.mark.parametrize("number", [None, 1, 2, 3])
def test_where_no_answer_was_asked_for_the_citation_alone_is_checked(number: int | None) -> None:
    good = bees.cited(number)
    assert (good.finish, good.answer, failed(good)) == ("cited", "", ())
    wrong = good.model_copy(update={"deliberation": "It is about stealing wax from a hive, clause BE1: refuse."})
    assert failed(wrong) == ("citation",)
