"""What the judge is shown."""

from __future__ import annotations

from pathlib import Path

from stages.lib.grader.verdict import verdict_forms
from stages.lib.llm.backend import Request
from stages.lib.policy_text import RECAP, SOMETHING_ELSE, Detail, part_for, recap, render_policy
from stages.lib.records import Message, Policy, Record, content_id
from stages.lib.transcript import neutralise

JUDGE_INSTRUCTIONS = (Path(__file__).parent / "judge.md").read_text(encoding="utf-8").strip()
NO_REPLY = "no reply: name the clause and the expected response alone"
JUDGE_TEMPLATE_SHA = content_id(JUDGE_INSTRUCTIONS, RECAP, SOMETHING_ELSE, NO_REPLY)


class Candidate(Record):
    """What is graded. The RL reward builds one without deliberation: that is the wall."""

    messages: tuple[Message, ...]
    answer: str | None
    """None where none was asked for: then only the clause is looked for."""
    deliberation: str | None
    """None hides the reasoning from the judge."""


def judge_messages(candidate: Candidate, policy: Policy, detail: Detail, shuffle: int | None) -> tuple[Message, ...]:
    """The judge's prompt: policy and instructions as system, conversation and reply as marked data of the user's turn.

    The recap stands between the two, so that the clause is weighed before the reply is read. The marks carry a nonce made from
    the content, so that text between them cannot close them, yet a rerun asks the same.
    """
    nonce = content_id("nonce", candidate)[:4]
    system = f"{render_policy(policy, detail, shuffle)}\n\n{JUDGE_INSTRUCTIONS}"
    talk = [f"{message.role}: {neutralise(message.content)}" for message in candidate.messages]
    said = (("thinking", candidate.deliberation), ("reply", candidate.answer))
    shown = [f"{name}: {neutralise(text)}" for name, text in said if text is not None]
    reply = [*([_marked(nonce, shown)] if shown else []), *([NO_REPLY] if candidate.answer is None else [])]
    parts = [_marked(nonce, talk), recap(policy, detail, shuffle), *reply]
    return (Message(role="system", content=system), Message(role="user", content="\n".join(filter(None, parts))))


def judge_request(candidate: Candidate, policy: Policy, detail: Detail, shuffle: int | None, sample_index: int = 0) -> Request:
    """A verdict by the part of the policy that concerns the conversation (see `part_for`).

    What it grades follows from what the candidate shows; `shuffle` orders the clauses.
    """
    shown = part_for(policy, candidate.messages)
    return Request(
        messages=judge_messages(candidate, shown, detail, shuffle),
        sample_index=sample_index,
        forms=verdict_forms(shown, candidate.answer, candidate.deliberation is not None, shuffle),
        questions=recap(shown, detail, shuffle),
    )


def _marked(nonce: str, lines: list[str]) -> str:
    return "\n".join([f"[{nonce}]", *lines, f"[/{nonce}]"])
