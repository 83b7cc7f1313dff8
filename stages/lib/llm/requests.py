"""What the generator is asked: the prompt, its questions, and the forms the reply may have."""

from __future__ import annotations

from stages.lib.llm.backend import Request
from stages.lib.policy_text import Detail, part_for, recap
from stages.lib.records import Message, Policy
from stages.lib.seeds import drawn
from stages.lib.transcript import reply_forms, with_policy


def wants_answer(prompt_id: str, fraction: float, seed: int) -> bool:
    """Whether the replies to this prompt are among the drawn `fraction` that is asked for whole."""
    return drawn(fraction, seed, "answers", prompt_id)


def reason_request(
    messages: tuple[Message, ...],
    policy: Policy,
    detail: Detail,
    shuffle: int | None = None,
    sample_index: int = 0,
    answered: bool = True,
) -> Request:
    """A reply by the part of the policy that concerns the conversation (see `part_for`); `shuffle` orders its clauses.

    Where it need not be `answered`, a backend that keeps to forms ends it behind the deliberation.
    """
    shown = part_for(policy, messages)
    guided = detail == "brief"  # models for full policies deliberate in their own words
    return Request(
        messages=with_policy(messages, shown, detail, shuffle),
        sample_index=sample_index,
        forms=reply_forms(shown, shuffle, answered) if guided else (),
        questions=recap(shown, detail, shuffle),
    )
