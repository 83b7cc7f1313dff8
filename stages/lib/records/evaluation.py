"""One graded reply of one arm."""

from __future__ import annotations

from stages.lib.records.base import Record
from stages.lib.records.completion import Finish
from stages.lib.records.policy import Outcome


class Answer(Record):
    """A reply to one evaluation prompt, with every score it got."""

    id: str
    arm: str
    suite: str
    prompt_id: str
    category: str
    wrapper: str | None
    expected: Outcome | None
    """Gold outcome under the graded release; None where only harm or help is asked."""
    clause: str | None
    request: str | None
    """The last user turn; None for outside harmful prompts, which are never copied."""
    deliberation: str
    answer: str
    finish: Finish
    response_type: Outcome
    """By the measured classifier, not by the judge."""
    scores: dict[str, float]
    """Metric -> 0 or 1."""
    policy_sha: str | None
