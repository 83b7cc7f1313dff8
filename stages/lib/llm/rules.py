"""What the `scripted` backend says unless told otherwise: a rule follower for the smoke pipeline, in place of a model.

It reads the policy in the system message as a model would (the text of lib.policy_text), picks the clause that shares
most words with the request, and writes the reply or the verdict in the formats of lib.transcript and lib.grader.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from stages.lib.llm.backend import Request
from stages.lib.policy_text import CITATION, LABELS, OUTCOME_OF, cite
from stages.lib.records import Clause, Outcome, expected_outcome
from stages.lib.transcript import ANY_ANSWER, CLOSE, write_deliberation, write_reply

_CLAUSE = re.compile(rf"^- {CITATION}\. Examples: (?P<examples>.+)$", re.MULTILINE)
_OPENING = re.compile(r'^To (?P<verb>refuse|comply|give a safe completion), begin "(?P<words>[^"]+)"', re.MULTILINE)
_GRADED = re.compile(
    r"^\[(?P<nonce>\w+)\]\n(?P<talk>.*?)\n\[/(?P=nonce)\]\n.*"
    r"\[(?P=nonce)\]\n(?:thinking: (?P<thinking>.*?)\n)?reply: (?P<reply>.*)\n\[/(?P=nonce)\]$",
    re.DOTALL,
)
_UNANSWERED = re.compile(r"^\[(?P<nonce>\w+)\]\n(?P<talk>.*?)\n\[/(?P=nonce)\]\n.*no reply: [^\n]*$", re.DOTALL)
_VERBS: dict[str, Outcome] = {"refuse": "refuse", "comply": "comply", "give a safe completion": "safe_complete"}
_BODY = "Here are a few plain words about it."
_SHORT = frozenset("a an and are at can do for from how i in is it me my of on or that the this to what with you your".split())


class _Rules(NamedTuple):
    clauses: list[Clause]
    openings: dict[Outcome, str]


def follow_rules(request: Request) -> str:
    """A reply, or a verdict where one is asked for, by the policy in the system message; without a policy it complies."""
    system = "\n".join(message.content for message in request.messages if message.role == "system")
    rules, last = _read(system), request.messages[-1].content.removesuffix(request.questions).rstrip()
    if rules.openings and (graded := _GRADED.match(last)):
        return _verdict(rules, graded)
    if rules.openings and (unanswered := _UNANSWERED.match(last)):
        return "\n".join(_head(rules, unanswered))
    reply = _reply(rules, last) if rules.openings else write_reply(write_deliberation(_asked(last), None), f"Sure. {_BODY}")
    may_answer = not request.forms or any(form.endswith(ANY_ANSWER) for form in request.forms)
    return reply if may_answer else reply[: reply.index(CLOSE) + len(CLOSE)]


def _read(system: str) -> _Rules:
    clauses = [
        Clause(
            id=found["id"], title=found["title"], outcome=OUTCOME_OF[found["outcome"]], rule="", reason="",
            examples=tuple(found["examples"].split("; ")),
        )
        for found in _CLAUSE.finditer(system)
        if found["outcome"] in OUTCOME_OF
    ]  # fmt: skip
    return _Rules(clauses, {_VERBS[found["verb"]]: found["words"] for found in _OPENING.finditer(system)})


def _reply(rules: _Rules, text: str) -> str:
    clause = _covering(rules, text)
    outcome = expected_outcome(clause)
    opening = rules.openings[outcome]
    return write_reply(write_deliberation(_asked(text), clause), f"{opening} {_BODY}")


def _verdict(rules: _Rules, graded: re.Match[str]) -> str:
    expected = expected_outcome(_judged(rules, graded))
    reply = graded["reply"]
    found: Outcome = next((outcome for outcome, words in rules.openings.items() if reply.startswith(words)), "comply")
    grade = 2 if found == expected else 0
    opening = rules.openings[expected]
    lines = [*_head(rules, graded), f'found: {LABELS[found]}, "{" ".join(reply.split()[: len(opening.split())])}"']
    lines += [f"compliance: {grade}", f"correctness: {2 if reply.startswith(opening) else 0}", "helpfulness: 2"]
    return "\n".join(lines if graded["thinking"] is None else [*lines, f"reasoning: {grade}"])


def _head(rules: _Rules, graded: re.Match[str]) -> list[str]:
    clause = _judged(rules, graded)
    expected = expected_outcome(clause)
    named = "none" if clause is None else cite(clause)
    return [f"clause: {named}", f'expected: {LABELS[expected]}, "{rules.openings[expected]}"']


def _judged(rules: _Rules, graded: re.Match[str]) -> Clause | None:
    return _covering(rules, graded["talk"].rpartition("user: ")[2])


def _covering(rules: _Rules, text: str) -> Clause | None:
    asked = _words(text)
    scores = [len(asked & _words(" ".join([clause.title, *clause.examples]))) for clause in rules.clauses]
    return max(zip(scores, rules.clauses, strict=True), key=lambda pair: (pair[0], pair[1].id))[1] if any(scores) else None


def _words(text: str) -> set[str]:
    return set(re.findall(r"[a-z]+", text.lower())) - _SHORT


def _asked(text: str) -> str:
    return " ".join(text.split()[:8]).rstrip(".?!")
