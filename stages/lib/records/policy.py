"""A category's content policy, as parsed from `specs/<category>/<version>.md` and joined with the release's style."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record, content_id

Outcome = Literal["refuse", "comply", "safe_complete"]
OUTCOMES: tuple[Outcome, ...] = ("refuse", "comply", "safe_complete")


class Clause(Record):
    """One rule of a policy."""

    id: str
    """Stable across versions, like `VI1`."""
    title: str
    """A noun phrase that alone tells the clause from its neighbours."""
    outcome: Outcome
    rule: str
    reason: str
    examples: tuple[str, ...]
    """Two or three short requests the clause covers."""


def expected_outcome(clause: Clause | None) -> Outcome:
    """What a clause asks for; where none applies, a request is answered."""
    return "comply" if clause is None else clause.outcome


class ResponseStyle(Record):
    """How one of the three responses is written."""

    opening: str
    """The words a reply of this type begins with."""
    guideline: str


class Policy(Record):
    """spec(category) as data: this category in full, the style, and one line for each other category.

    It carries no version: a new version with the same content gives the same file, so nothing downstream runs.
    """

    category: str
    title: str
    summary: str
    definitions: tuple[tuple[str, str], ...]
    """(term, meaning) pairs, in the order of the document."""
    clauses: tuple[Clause, ...]
    style: dict[Outcome, ResponseStyle]
    others: dict[str, str]
    """Title -> one-line summary of every other category of the release."""

    @property
    def sha(self) -> str:
        """Identity of everything a model is shown of this policy."""
        return content_id(self)

    def clause(self, clause_id: str | None) -> Clause | None:
        """The clause with this id, or None."""
        return next((clause for clause in self.clauses if clause.id == clause_id), None)
