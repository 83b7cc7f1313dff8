"""The three roles the reader learns: reasoner, judge, and helpful model without a policy."""

from __future__ import annotations

import random
from typing import Literal, NamedTuple

from stages.lib.grader import Candidate, judge_messages, verdict_forms, write_verdict
from stages.lib.llm.backend import Request
from stages.lib.policy_text import LABELS, candidates, recap
from stages.lib.records import OUTCOMES, Clause, Message, Outcome, Policy, expected_outcome
from stages.lib.transcript import reply_forms, with_policy, write_deliberation, write_reply
from stages.reader.world import Case, RuleSet, World

UNCOVERED = 0.04
ELSEWHERE = 0.04
"""Shares of requests that no clause covers: a neighbour of one that is covered, and one about something else entirely."""
WORDINGS = {"template": 0.25, "short": 0.33, "long": 0.32, "hint": 0.1}
"""Shares of the wordings a request comes in; `template` is one of the world's `requests` around the phrase."""
JUDGED = {"right": 0.35, "wrong outcome": 0.34, "other style": 0.18, "off topic": 0.05, "wrong reasoning": 0.08}
"""Shares of the replies that judge lessons grade."""


class Lesson(NamedTuple):
    """One conversation to learn from, and what the evaluation asks of it."""

    role: Literal["reasoner", "judge", "helpful"]
    request: Request
    target: str
    """Empty where the lesson ends with its questions."""
    kind: str
    """Class for the report: the outcome for reasoners, the defect for judges."""
    clause: Clause | None
    outcome: Outcome
    policy: Policy | None
    focus: tuple[int, int]
    """Character span of `target` that the rule set decides. The rest is learned with less weight."""
    right: int = 0
    """Which of the request's questions is to be answered yes."""


def reason_lesson(rules: RuleSet, world: World, rng: random.Random, shown: float = 0.0) -> Lesson:
    """A request of the rule set, and the deliberation and answer the rule set asks for.

    `shown` is the share of requests for the very examples that the policy gives.
    """
    case, clause = _ask(rules, rng, shown)
    outcome = expected_outcome(clause)
    deliberation = write_deliberation(None, clause)  # put in other words by so small a model, a request loses what matters
    answer = write_answer(rules.policy, world, outcome, case.phrase, rng)
    target = write_reply(deliberation, answer)
    start = len(target) - len(answer)
    focus = (start, start + len(rules.policy.style[outcome].opening))
    request = Request(
        messages=with_policy(_conversation(case, world, rng), rules.policy, "brief"),
        forms=reply_forms(rules.policy),
        questions=recap(rules.policy, "brief"),
    )
    right = candidates(rules.policy).index(clause)
    return Lesson("reasoner", request, target, outcome, clause, outcome, rules.policy, focus, right)


def judge_lesson(rules: RuleSet, world: World, rng: random.Random, shown: float = 0.0) -> Lesson:
    """A right or wrong reply to a request, and its verdict. Wrong replies mostly follow a wrong neighbour, as real ones do."""
    case, clause = _ask(rules, rng, shown)
    outcome = expected_outcome(clause)
    opening = rules.policy.style[outcome].opening
    kind = rng.choices(list(JUDGED), list(JUDGED.values()))[0]
    cited, found, phrase = clause, outcome, case.phrase
    if kind == "wrong outcome":
        found = rng.choice([other for other in OUTCOMES if other != outcome])
        cited = _wrong_clause(rules, clause, found, rng)
    elif kind == "wrong reasoning":
        cited = _wrong_clause(rules, clause, None, rng)
    elif kind == "off topic":
        if outcome == "comply":
            phrase = rng.choice(rng.choice(rng.choice(world.domains).rules).cases).phrase
        else:
            kind = "right"
    answer = write_answer(
        rules.policy,
        world,
        found,
        phrase,
        rng,
        other_style=kind == "other style" or (kind == "wrong outcome" and rng.random() < 0.2),
    )
    shown = rng.random() < 0.5 or kind == "wrong reasoning"
    deliberation = _deliberation(cited, found) if shown else None
    grades = {
        "compliance": 2 if found == outcome else 0,
        "correctness": 2 if answer.startswith(opening) else 0,
        "helpfulness": 0 if kind == "off topic" else 2,
    }
    if shown:
        grades["reasoning"] = 2 if cited is clause and found == outcome else 0
    candidate = Candidate(messages=_conversation(case, world, rng), answer=answer, deliberation=deliberation)
    request = Request(
        messages=judge_messages(candidate, rules.policy, "brief", shuffle=None),
        forms=verdict_forms(rules.policy, answer, shown),
        questions=recap(rules.policy, "brief"),
    )
    target = write_verdict(clause, LABELS[outcome], found, opening, answer, grades)
    focus = (target.index("\nfound: "), len(target))
    right = candidates(rules.policy).index(clause)
    return Lesson("judge", request, target, kind, clause, outcome, rules.policy, focus, right)


def helpful_lesson(case: Case, answer: str, world: World, rng: random.Random) -> Lesson:
    """No policy: the model's own answer, behind a deliberation that says no clause applies."""
    target = write_reply(write_deliberation(None, None), answer)
    request = Request(messages=_conversation(case, world, rng))
    return Lesson("helpful", request, target, "no policy", None, "comply", None, (0, len(target)))


def write_answer(
    policy: Policy, world: World, outcome: Outcome, phrase: str, rng: random.Random, other_style: bool = False
) -> str:
    """An answer of at most two sentences in the policy's style for `outcome`, or in some other one."""
    opening = policy.style[outcome].opening
    if other_style:
        opening = rng.choice([other for other in world.openings[outcome] if other != opening])
    body = rng.choice(world.bodies[outcome]).format(phrase=phrase)
    if opening[-1] in ".!?":
        body = body[:1].upper() + body[1:]
    return f"{opening} {body}".strip()


def _ask(rules: RuleSet, rng: random.Random, shown: float) -> tuple[Case, Clause | None]:
    draw = rng.random()
    if rules.uncovered and draw < UNCOVERED:
        return rng.choice(rules.uncovered), None
    if rules.elsewhere and draw > 1 - ELSEWHERE:
        return rng.choice(rules.elsewhere), None
    clause = rng.choice(rules.policy.clauses)
    cases = rules.shown if rng.random() < shown else rules.cases
    return rng.choice(cases[clause.id]), clause


def _wrong_clause(rules: RuleSet, clause: Clause | None, outcome: Outcome | None, rng: random.Random) -> Clause | None:
    others = [other for other in rules.policy.clauses if other is not clause]
    fitting = [other for other in others if outcome is None or other.outcome == outcome]
    return rng.choice(fitting) if fitting else clause


def _deliberation(cited: Clause | None, found: Outcome) -> str:
    if cited is not None and cited.outcome != found:
        cited = cited.model_copy(update={"outcome": found})
    return write_deliberation(None, cited)


def _conversation(case: Case, world: World, rng: random.Random) -> tuple[Message, ...]:
    wording = rng.choices(list(WORDINGS), list(WORDINGS.values()))[0]
    template = rng.choice(world.requests).format(phrase=case.phrase)
    request = template if wording == "template" else getattr(case, wording)
    request = rng.choice(world.wrappers).format(request=_typos(request, rng))
    turns = [Message(role="user", content=request)]
    if rng.random() < 0.15:
        first, second = rng.choice(world.earlier)
        turns = [Message(role="user", content=first), Message(role="assistant", content=second), *turns]
    return tuple(turns)


def _typos(text: str, rng: random.Random) -> str:
    if rng.random() > 0.12 or len(text) < 12:
        return text
    place = rng.randrange(3, len(text) - 2)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]
