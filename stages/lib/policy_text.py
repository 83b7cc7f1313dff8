"""The one writer of policies: `Policy` -> the text a model reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from stages.lib.records import Clause, Message, Outcome, Policy, expected_outcome

Detail = Literal["brief", "full"]

LABELS: dict[Outcome, str] = {"refuse": "refuse", "comply": "comply", "safe_complete": "safe completion"}
"""How each outcome is written in policies, deliberations and verdicts."""

CITATION = r"(?P<title>.+), clause (?P<id>[A-Z]{1,4}\d{1,3}): (?P<outcome>[a-z ]+)"
"""What `cite` writes, as a regular expression."""

RECAP = "Which is it?"
SOMETHING_ELSE = "something else"

OUTCOME_OF: dict[str, Outcome] = {label: outcome for outcome, label in LABELS.items()}


def render_policy(policy: Policy, detail: Detail, shuffle: int | None = None) -> str:
    """spec(category) as text: its clauses, the style of the three responses, a line on each other category.

    `brief` leaves out definitions, rules' full wording, reasons and guidelines: what a 135M model can hold.
    `shuffle` is a seed for another order of the clauses (the judge's k runs each use one); None keeps the document's.
    """
    lines = [f"Policy: {policy.title}"]
    if detail == "full":
        lines += [f"Definition. {term}: {meaning}" for term, meaning in policy.definitions]
    for clause in ordered(policy, shuffle):
        lines.append(f"- {cite(clause)}. Examples: {'; '.join(clause.examples)}")
        if detail == "full":
            lines.append(f"   Rule: {clause.rule} Reason: {clause.reason}")
    for outcome, style in policy.style.items():
        guideline = f" {style.guideline}" if detail == "full" else ""
        lines.append(f'To {_verb(outcome)}, begin "{style.opening}"{guideline}')
    if policy.others:
        lines.append("Other policies: " + " ".join(f"{title}: {text}" for title, text in policy.others.items()))
    return "\n".join(lines)


def ordered(policy: Policy, shuffle: int | None) -> list[Clause]:
    """The clauses in the order in which `render_policy` writes them."""
    clauses = list(policy.clauses)
    if shuffle is not None:
        random.Random(shuffle).shuffle(clauses)
    return clauses


def candidates(policy: Policy, shuffle: int | None = None) -> list[Clause | None]:
    """What may be cited, in the order of the recap's questions: each clause, or none; where one clause is shown, that one."""
    clauses = ordered(policy, shuffle)
    return [*clauses, None] if len(clauses) > 1 else [*clauses]


def certainty(policy: Policy, shuffle: int | None, shares: Sequence[float], outcome: Outcome | None) -> float | None:
    """How much of the `shares` of `candidates` is of those that ask for the outcome, 0 to 1; None where there are no shares.

    Not the share of the one clause: neighbours that ask for the same outcome leave no doubt about the reply.
    """
    if not shares:
        return None
    asking = (expected_outcome(clause) for clause in candidates(policy, shuffle))
    return round(sum(share for share, asked in zip(shares, asking, strict=True) if asked == outcome), 4)


def recap(policy: Policy, detail: Detail, shuffle: int | None = None) -> str:
    """The clauses' titles as questions, a line each, to stand behind a request; the last asks for none of them.

    A model reads from left to right: it read the policy before it knew what is asked. At a question it knows both, which to a
    135M model makes a third of its errors. Empty in full detail, which is for models that need no such help, and where only
    one clause is shown.
    """
    if detail == "full" or len(policy.clauses) == 1:
        return ""
    return "\n".join([RECAP, *(f"- {clause.title}?" for clause in ordered(policy, shuffle)), f"- {SOMETHING_ELSE}?"])


def part_for(policy: Policy, messages: Sequence[Message]) -> Policy:
    """What of a policy is shown beside a conversation: all, or for one of its own examples the clause that gives it.

    The policy says itself where its examples belong, so nobody has to find it, and every clause gets rows that cite it rightly.
    """
    if len(messages) != 1:
        return policy
    giving = tuple(clause for clause in policy.clauses if messages[0].content in clause.examples)
    return policy.model_copy(update={"clauses": giving}) if giving else policy


def cite(clause: Clause) -> str:
    """A clause by its words, then its id and outcome: as policies state it, and as deliberations and verdicts repeat it.

    One unbroken stretch of the policy, so that a small model copies and need not assemble: with the id in front of the
    title and the outcome behind the examples, it named the right title with a neighbour's id. It has to be the same tokens,
    too: a title at the start of a line has no space before it, and the model's copies of that were garbled.
    """
    return f"{clause.title}, clause {clause.id}: {LABELS[clause.outcome]}"


def _verb(outcome: Outcome) -> str:
    return "give a safe completion" if outcome == "safe_complete" else outcome
