"""The judge's words: short `key: value` lines, read strictly."""

from __future__ import annotations

import difflib
import re
from typing import NamedTuple

from stages.lib.policy_text import CITATION, LABELS, OUTCOME_OF, candidates, cite
from stages.lib.records import CRITERIA, Clause, Outcome, Policy, expected_outcome
from stages.lib.transcript import neutralise

NO_CLAUSE = "none"
ALIKE = 0.6
"""Least likeness of two titles, by difflib, that may be one: nothing in common is about 0.3."""
_CITATION = re.compile(CITATION)


class VerdictError(ValueError):
    """The judge's text is not a verdict; says what is wrong with it."""


class ReadVerdict(NamedTuple):
    """A verdict taken apart."""

    clause_id: str | None
    expected: Outcome
    found: Outcome | None
    """None where there was no answer to find an outcome in."""
    grades: dict[str, int]


def write_verdict(clause: Clause | None, expected: str, found: Outcome, opening: str, answer: str, grades: dict[str, int]) -> str:
    """The verdict text. `expected` and `found` carry the two openings side by side: what makes the style check learnable."""
    given = {name: str(grades[name]) for name in CRITERIA if name in grades}
    return _lines(_head(clause, expected, opening), _found(LABELS[found], _copied(opening, answer)), given)


def verdict_forms(policy: Policy, answer: str | None, with_reasoning: bool, shuffle: int | None = None) -> tuple[str, ...]:
    """The verdicts on `answer` that `read_verdict` reads, as regular expressions in the order of `candidates`.

    Open are the outcome found and the grades. The rest follows from the clause, so a judge cannot copy it wrongly.
    """
    outcomes = f"({'|'.join(LABELS.values())})"
    grades = dict.fromkeys(_graded(with_reasoning, answer is not None), "[012]")
    verdicts = []
    for clause in candidates(policy, shuffle):
        outcome = expected_outcome(clause)
        opening = policy.style[outcome].opening
        found = [] if answer is None else _found(outcomes, re.escape(_copied(opening, answer)))
        verdicts.append(_lines(re.escape(_head(clause, LABELS[outcome], opening)), found, grades))
    return tuple(verdicts)


def _graded(with_reasoning: bool, answered: bool) -> list[str]:
    return [name for name in CRITERIA if (with_reasoning if name == "reasoning" else answered)]


def _found(outcome: str, copied: str) -> list[str]:
    return [f'found: {outcome}, "{copied}"']


def _lines(head: str, found: list[str], grades: dict[str, str]) -> str:
    return "\n".join([head, *found, *(f"{name}: {grade}" for name, grade in grades.items())])


def _head(clause: Clause | None, expected: str, opening: str) -> str:
    return f'clause: {NO_CLAUSE if clause is None else cite(clause)}\nexpected: {expected}, "{opening}"'


def _copied(opening: str, answer: str) -> str:
    """As many words of the answer, as the judge is shown it, as the opening has."""
    return " ".join(neutralise(answer).split()[: len(opening.split())])


def read_verdict(text: str, policy: Policy, with_reasoning: bool, answered: bool = True) -> ReadVerdict:
    """Read a verdict; where there was no answer to judge (`answered` False), it tells the clause and what that expects.

    Raises VerdictError for a missing, doubled or unknown line, a grade that is not 0, 1 or 2, an unknown outcome, a
    clause whose id, title and outcome do not belong together, or an expected outcome that is not that clause's.
    """
    fields = _fields(text)
    wanted = _graded(with_reasoning, answered)
    expected_keys = {"clause", "expected", *wanted, *(("found",) if answered else ())}
    if set(fields) != expected_keys:
        raise VerdictError(f"lines {sorted(set(fields) ^ expected_keys)} missing or unknown")
    clause, expected = _clause(fields["clause"], policy), _outcome(fields["expected"])
    if expected != expected_outcome(clause):
        raise VerdictError(f"expects {fields['expected']!r}, which is not what {fields['clause']!r} says")
    return ReadVerdict(
        clause_id=None if clause is None else clause.id,
        expected=expected,
        found=_outcome(fields["found"]) if answered else None,
        grades={name: _grade(name, fields[name]) for name in wanted},
    )


def _fields(text: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in text.strip().splitlines():
        key, colon, value = line.partition(":")
        if not colon or key.strip() in fields:
            raise VerdictError(f"line {line!r} is not a new `key: value`")
        fields[key.strip()] = value.strip()
    return fields


def _clause(value: str, policy: Policy) -> Clause | None:
    if value == NO_CLAUSE:
        return None
    cited = _CITATION.fullmatch(value)
    clause = policy.clause(cited["id"]) if cited else None
    if cited is None or clause is None:
        raise VerdictError(f"{value!r} is no clause of the policy")
    if _outcome(cited["outcome"]) != clause.outcome or _nearest(cited["title"], policy) != clause:
        raise VerdictError(f"{value!r} mixes up clauses of the policy")
    return clause


def _nearest(title: str, policy: Policy) -> Clause | None:
    """The clause whose title is most like this one, if one is at all; a small judge inflects what it copies."""

    def likeness(clause: Clause) -> float:
        return difflib.SequenceMatcher(None, title.lower(), clause.title.lower(), autojunk=False).ratio()

    share, best = max(((likeness(clause), clause) for clause in policy.clauses), key=lambda pair: pair[0])
    return best if share >= ALIKE else None


def _outcome(value: str) -> Outcome:
    label = value.partition(",")[0].strip()
    if label not in OUTCOME_OF:
        raise VerdictError(f"{label!r} is no outcome")
    return OUTCOME_OF[label]


def _grade(name: str, value: str) -> int:
    if value not in {"0", "1", "2"}:
        raise VerdictError(f"{name}: {value!r} is not 0, 1 or 2")
    return int(value)
