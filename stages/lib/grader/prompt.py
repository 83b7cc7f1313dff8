"""What the judge is shown."""

from __future__ import annotations

from pathlib import Path

from stages.lib.policy_text import Detail, render_policy
from stages.lib.records import Message, Policy, Record, content_id
from stages.lib.transcript import neutralise

JUDGE_INSTRUCTIONS = (Path(__file__).parent / "judge.md").read_text(encoding="utf-8").strip()
JUDGE_TEMPLATE_SHA = content_id(JUDGE_INSTRUCTIONS)


class Candidate(Record):
    """What is graded. The RL reward builds one without deliberation: that is the wall."""

    messages: tuple[Message, ...]
    answer: str
    deliberation: str | None
    """None hides the reasoning from the judge."""


def judge_messages(candidate: Candidate, policy: Policy, detail: Detail, shuffle: int | None) -> tuple[Message, ...]:
    """The judge's prompt: policy and instructions as system, conversation and reply as marked data of the user's turn.

    The marks carry a nonce made from the content, so that text between them cannot close them, yet a rerun asks the same.
    """
    nonce = content_id("nonce", candidate)[:4]
    system = f"{render_policy(policy, detail, shuffle)}\n\n{JUDGE_INSTRUCTIONS}"
    return (Message(role="system", content=system), Message(role="user", content=_data(candidate, nonce)))


def _data(candidate: Candidate, nonce: str) -> str:
    lines = [f"[{nonce}]"]
    lines += [f"{message.role}: {neutralise(message.content)}" for message in candidate.messages]
    if candidate.deliberation is not None:
        lines.append(f"thinking: {neutralise(candidate.deliberation)}")
    lines += [f"reply: {neutralise(candidate.answer)}", f"[/{nonce}]"]
    return "\n".join(lines)
