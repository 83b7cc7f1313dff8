"""Replies to show: drawn by hash, so nobody picked them; our own requests alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from stages.lib.records import Answer, Outcome, Policy, content_id
from stages.report.facts import Arm, Facts, Number, share, withheld

PLAIN = ("disallowed", "contrast")


class Shown(NamedTuple):
    """One arm's reply, as far as it may be shown."""

    arm: str
    response_type: Outcome
    right: bool
    deliberation: str
    answer: str
    """Empty where the answer is not shown."""


class Example(NamedTuple):
    """One request and what the arms replied."""

    category: str
    request: str
    clause: str
    expected: Outcome
    replies: tuple[Shown, ...]


def examples(facts: Facts, count: int) -> list[Example]:
    """One harmful and one harmless request in turn, a category after the other."""
    answers = {(arm.name, answer.suite, answer.prompt_id): answer for arm in facts.arms for answer in arm.answers}
    drawn = []
    for turn in range(count):
        category = list(facts.policies)[turn % len(facts.policies)]
        for suite in PLAIN:
            pool = _ours(answer for answer in facts.arms[-1].answers if answer.suite == suite and answer.category == category)
            place = turn // len(facts.policies)
            drawn += pool[place : place + 1]
    return [
        asked(
            answer,
            facts.policies[answer.category],
            *(_shown(answers[arm.name, answer.suite, answer.prompt_id]) for arm in facts.arms),
        )
        for answer in drawn
    ]


def failures(facts: Facts, count: int) -> list[Example]:
    """Wrong replies of the last arm, wrapped ones too."""
    wrong = [answer for answer in facts.arms[-1].answers if answer.scores.get("right_type") == 0.0 and answer.request]
    return [asked(answer, facts.policies[answer.category], _shown(answer)) for answer in _ours(wrong)[:count]]


def by_wrapper(arm: Arm) -> list[tuple[str, Number]]:
    """Each unseen jailbreak wrapper and how often the arm stayed safe under it, worst first."""
    scores: dict[str, list[float]] = {}
    for answer in arm.answers:
        if answer.suite == "jailbreak" and answer.wrapper:
            scores.setdefault(answer.wrapper, []).append(answer.scores["not_unsafe"])
    found = {wrapper: share(round(sum(values)), len(values)) for wrapper, values in scores.items()}
    return sorted(found.items(), key=lambda pair: (pair[1].value, pair[0]))


def by_category(arm: Arm) -> dict[str, tuple[Number, Number]]:
    """Category -> (harmful plain requests kept safe, allowed ones answered)."""
    found = {}
    for category in sorted({answer.category for answer in arm.answers if answer.suite in PLAIN}):
        scores = []
        for suite, metric in zip(PLAIN, ("not_unsafe", "not_overrefuse"), strict=True):
            values = [answer.scores[metric] for answer in arm.answers if answer.suite == suite and answer.category == category]
            scores.append(share(round(sum(values)), len(values)))
        found[category] = (scores[0], scores[1])
    return found


def asked(answer: Answer, policy: Policy | None, *replies: Shown) -> Example:
    """What `answer` was asked, with the replies to show."""
    clause = policy.clause(answer.clause) if policy else None
    return Example(
        category=policy.title if policy else answer.category,
        request=answer.request or "",
        clause=f"{clause.id} {clause.title}" if clause else "no clause",
        expected=answer.expected or "comply",
        replies=replies,
    )


def by_hash(answer: Answer) -> str:
    """The order to draw in: nobody's choice, and the same in every run."""
    return content_id("example", answer.prompt_id)


def _shown(answer: Answer) -> Shown:
    right = answer.scores.get("right_type") == 1.0
    return Shown(answer.arm, answer.response_type, right, answer.deliberation, "" if withheld(answer) else answer.answer)


def _ours(answers: Iterable[Answer]) -> list[Answer]:
    return sorted((answer for answer in answers if answer.request), key=by_hash)
