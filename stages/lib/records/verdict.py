"""What the judge said of one completion: all k raw runs, no threshold, no aggregate."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record
from stages.lib.records.policy import Outcome

CRITERIA: tuple[str, ...] = ("compliance", "correctness", "helpfulness", "reasoning")
"""Graded 0 to 2. compliance: the outcome the policy asks for; correctness: written as the style for that outcome says;
helpfulness: speaks to the request; reasoning: the deliberation names the clause and outcome that apply."""
UNANSWERED_CRITERIA: tuple[str, ...] = ("compliance", "reasoning")
"""Graded where the reply ends behind its deliberation, by comparing that with the clause that the judge finds."""


class JudgeRun(Record):
    """One of the k runs; each sees the clauses in another order."""

    status: Literal["graded", "unreadable", "errored"]
    clause: str | None = None
    """The clause the judge holds to cover the request; None when it says that none does."""
    expected: Outcome | None = None
    found: Outcome | None = None
    certainty: float | None = None
    """How sure the judge is of the expected outcome, 0 to 1, where it weighed the clauses (see `policy_text.certainty`)."""
    grades: dict[str, int] | None = None
    """Criterion -> 0, 1 or 2. None unless `status` is graded: an unreadable verdict is never a score."""
    text: str
    """What the judge wrote, kept for diagnosis."""


class Verdict(Record):
    """The judge's verdict on one completion."""

    completion_id: str
    prompt_id: str
    category: str
    status: Literal["graded", "screened", "unreadable", "errored"]
    """graded: all runs were read; screened: a check failed and no run was paid; the others: some run could not be read."""
    failed_checks: tuple[str, ...]
    """Names of the deterministic checks that failed."""
    runs: tuple[JudgeRun, ...]
    judge: str
    policy_sha: str
    template_sha: str
