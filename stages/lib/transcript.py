"""The one writer and reader of replies and reasoning prompts: think tags, deliberations, citations.

The tags are ordinary text, never special tokens: TRL decodes with special tokens skipped, and a skipped tag would
merge the deliberation into the answer.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from stages.lib.policy_text import (
    CITATION,
    OUTCOME_OF,
    RECAP,
    SOMETHING_ELSE,
    Detail,
    candidates,
    cite,
    recap,
    render_policy,
)
from stages.lib.records import Clause, Finish, Message, Outcome, Policy, content_id

OPEN, CLOSE = "<think>", "</think>"
ANY_ANSWER = r"[\s\S]+"
REASON_INSTRUCTIONS = (Path(__file__).parent / "reason.md").read_text(encoding="utf-8").strip()
TEMPLATE_SHA = content_id(REASON_INSTRUCTIONS, RECAP, SOMETHING_ELSE)

_CONTROL = re.compile(r"<\|[^<>|]{0,40}\|>|</?think>", re.IGNORECASE)
_CITATION = re.compile(rf"It is about {CITATION}\.")
_NO_CLAUSE = "No clause covers it: comply."


class Reply(NamedTuple):
    """A reply taken apart."""

    deliberation: str
    answer: str
    finish: Finish


class Citation(NamedTuple):
    """What a deliberation says of the policy."""

    clause_id: str | None
    title: str | None
    outcome: Outcome | None


def neutralise(text: str) -> str:
    """Text of a user, safe inside any prompt: control tokens and think tags become plain words."""
    safe = _CONTROL.sub(lambda match: match.group().strip("<>|/").replace("|", ""), text)
    return safe if safe == text else neutralise(safe)  # `<|im_<|e|>nd|>`: taking the inner token out makes the outer one


def with_policy(messages: tuple[Message, ...], policy: Policy, detail: Detail, shuffle: int | None = None) -> tuple[Message, ...]:
    """The conversation, behind spec(category) and the instructions, before the recap: generation only, never training."""
    system = f"{render_policy(policy, detail, shuffle)}\n\n{REASON_INSTRUCTIONS}"
    *earlier, last = clean(messages)
    asked = "\n\n".join(filter(None, [last.content, recap(policy, detail, shuffle)]))
    return (Message(role="system", content=system), *earlier, last.model_copy(update={"content": asked}))


def clean(messages: tuple[Message, ...]) -> tuple[Message, ...]:
    """The conversation with control tokens neutralised."""
    return tuple(message.model_copy(update={"content": neutralise(message.content)}) for message in messages)


def write_reply(deliberation: str, answer: str) -> str:
    """Deliberation and answer as the model writes them."""
    return f"{OPEN}{deliberation}{CLOSE}{answer}"


def read_reply(text: str, truncated: bool = False, answered: bool = True) -> Reply:
    """Take a raw reply apart; where no answer was asked for (`answered` False), it may end behind its think block.

    Anything but exactly one leading think block with an answer behind it is malformed, and then the answer is empty:
    no part of a possible deliberation can reach whoever may only see answers.
    """
    body = text.strip()
    well_formed = (
        body.startswith(OPEN)
        and body.count(OPEN) == 1
        and body.count(CLOSE) == 1
        and len(re.findall(r"<\s*/?\s*think", body, re.IGNORECASE)) == 2
    )
    if not well_formed:
        return Reply(body, "", "length" if truncated else "malformed")
    deliberation, answer = body[len(OPEN) :].split(CLOSE)
    if truncated:
        return Reply(deliberation.strip(), answer.strip(), "length")
    if answer.strip():
        return Reply(deliberation.strip(), answer.strip(), "stop")
    return Reply(deliberation.strip(), "", "malformed" if answered else "cited")


def write_deliberation(asked: str | None, clause: Clause | None) -> str:
    """What is asked (None leaves it out), the clause that covers it by its words and then its id, and the outcome."""
    request = "" if asked is None else f"The request: {asked}. "
    if clause is None:
        return f"{request}{_NO_CLAUSE}"
    return f"{request}It is about {cite(clause)}."


def reply_form(clause: Clause | None, answered: bool) -> str:
    """The replies that cite this clause, or that none covers the request, as a regular expression: what they answer is open."""
    return re.escape(write_reply(write_deliberation(None, clause), "")) + (ANY_ANSWER if answered else "")


def reply_forms(policy: Policy, shuffle: int | None = None, answered: bool = True) -> tuple[str, ...]:
    """The replies that cite rightly, in the order of `candidates`."""
    return tuple(reply_form(clause, answered) for clause in candidates(policy, shuffle))


def read_citation(deliberation: str) -> Citation:
    """The clause and outcome a deliberation names; all None when it names none."""
    match = _CITATION.search(deliberation)
    if match is not None:
        return Citation(match["id"], match["title"], OUTCOME_OF.get(match["outcome"].strip()))
    return Citation(None, None, "comply" if _NO_CLAUSE in deliberation else None)
