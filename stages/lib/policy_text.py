"""The one writer of policies: `Policy` -> the text a model reads."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Literal

from stages.lib.records import Clause, Message, Outcome, Policy

Detail = Literal["brief", "full"]

LABELS: dict[Outcome, str] = {"refuse": "refuse", "comply": "comply", "safe_complete": "safe completion"}
"""How each outcome is written in policies, deliberations and verdicts."""

CITATION = r"(?P<title>.+), clause (?P<id>[A-Z]{1,4}\d{1,3}): (?P<outcome>[a-z ]+)"
"""What `cite` writes, as a regular expression."""

OUTCOME_OF: dict[str, Outcome] = {label: outcome for outcome, label in LABELS.items()}


def render_policy(policy: Policy, detail: Detail, shuffle: int | None = None) -> str:
    """spec(category) as text: its clauses, the style of the three responses, a line on each other category.

    `brief` leaves out definitions, rules' full wording, reasons and guidelines: what a 135M model can hold.
    `shuffle` is a seed for another order of the clauses (the judge's k runs each use one); None keeps the document's.
    """
    clauses = list(policy.clauses)
    if shuffle is not None:
        random.Random(shuffle).shuffle(clauses)
    lines = [f"Policy: {policy.title}"]
    if detail == "full":
        lines += [f"Definition. {term}: {meaning}" for term, meaning in policy.definitions]
    for clause in clauses:
        lines.append(f"- {cite(clause)}. Examples: {'; '.join(clause.examples)}")
        if detail == "full":
            lines.append(f"   Rule: {clause.rule} Reason: {clause.reason}")
    for outcome, style in policy.style.items():
        guideline = f" {style.guideline}" if detail == "full" else ""
        lines.append(f'To {_verb(outcome)}, begin "{style.opening}"{guideline}')
    if policy.others:
        lines.append("Other policies: " + " ".join(f"{title}: {text}" for title, text in policy.others.items()))
    return "\n".join(lines)


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
