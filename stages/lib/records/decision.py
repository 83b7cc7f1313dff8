"""Whether a completion is kept for training, and by which rule."""

from __future__ import annotations

from stages.lib.records.base import Record
from stages.lib.records.completion import Completion


class Decision(Record):
    """A completion and what filter decided of it."""

    completion: Completion
    kept: bool
    score: int | None
    """Aggregate (default: minimum) over runs and criteria, 0 to 2; None when there was no readable verdict."""
    rule: str
    """The rule that decided: `kept`, `screened: <check>`, `unreadable`, `errored`, or `below: <criterion or certainty>`."""
    policy_sha: str
