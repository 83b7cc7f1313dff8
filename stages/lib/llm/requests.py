"""What the generator is asked: the prompt, its questions, and the forms the reply may have."""

from __future__ import annotations

from stages.lib.llm.backend import Request
from stages.lib.policy_text import Detail, part_for, recap
from stages.lib.records import Message, Policy
from stages.lib.transcript import reply_forms, with_policy


def reason_request(
    messages: tuple[Message, ...], policy: Policy, detail: Detail, shuffle: int | None = None, sample_index: int = 0
) -> Request:
    """A reply by the part of the policy that concerns the conversation (see `part_for`); `shuffle` orders its clauses."""
    shown = part_for(policy, messages)
    return Request(
        messages=with_policy(messages, shown, detail, shuffle),
        sample_index=sample_index,
        forms=reply_forms(shown, shuffle) if detail == "brief" else (),  # models for full policies deliberate in their own words
        questions=recap(shown, detail, shuffle),
    )
