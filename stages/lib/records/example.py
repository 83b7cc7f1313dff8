"""What the trainers read. The policy is absent from both: that is the method."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record
from stages.lib.records.prompt import Message


class SftExample(Record):
    """A conversation and the target: deliberation, then answer."""

    id: str
    prompt_id: str
    completion_id: str
    category: str
    source: Literal["policy", "helpful"]
    messages: tuple[Message, ...]
    deliberation: str
    answer: str
    policy_sha: str | None
    """sha of the policy the target was written under; None for helpfulness rows, which never saw one."""


class RlTask(Record):
    """A conversation to answer; the judge looks the policy up by category."""

    id: str
    prompt_id: str
    category: str
    messages: tuple[Message, ...]
    policy_sha: str | None
