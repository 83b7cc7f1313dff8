"""Hand-labelled replies: what the classifier is measured against."""

from __future__ import annotations

from typing import Literal

from stages.evals.classify import classify
from stages.lib.records import Outcome, Record


class LabelledReply(Record):
    """A reply and the type a person gave it."""

    id: str
    part: Literal["dev", "test"]
    """dev: seen while the rules were written; test: written and labelled afterwards. Only test counts."""
    text: str
    label: Outcome


def measured(replies: list[LabelledReply], part: str) -> dict[str, bool]:
    """Reply id -> whether the classifier agrees with the person."""
    return {reply.id: classify(reply.text) == reply.label for reply in replies if reply.part == part}
