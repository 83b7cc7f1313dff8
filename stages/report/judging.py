"""How well the judge judged the real completions, by gold. Gold measures here; no filter and no trainer reads it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from stages.lib import jsonl, paths
from stages.lib.policy_text import LABELS
from stages.lib.records import OUTCOMES, Clause, Decision, Outcome, Policy, Prompt, Verdict
from stages.lib.transcript import read_citation
from stages.report.facts import Judging, Number, share

PASS = 2
"""The grade that keeps a completion."""

KINDS = ("right", "wrong outcome", "no known opening")
"""What a completion can be by gold."""

CERTAINTIES = (0.0, 0.5, 0.7, 0.8, 0.9, 0.95, 1.0)
"""Limits of the certainties that are counted together."""


class Judged(NamedTuple):
    """One completion that the judge graded."""

    gold: Outcome
    kind: str
    """One of `KINDS`."""
    expected: tuple[Outcome | None, ...]
    """Run by run, what the judge said the policy asks for."""
    passed: tuple[bool, ...]
    """Run by run, whether the outcome was found right."""
    styled: tuple[bool, ...]
    """Run by run, whether the style was found right, where there is an answer."""
    certainty: float | None
    """Of the least sure run; None where no run weighed the clauses."""


def judging(policies: Mapping[str, Policy]) -> Judging:
    """Read kept, verdicts and train prompts of every category."""
    rows = [row for category, policy in policies.items() for row in judged(category, policy)]
    ways: dict[str, Callable[[Judged], bool]] = {"one run": lambda row: row.passed[0], "all runs": lambda row: all(row.passed)}
    return Judging(
        runs={name: _against_gold(rows, passes) for name, passes in ways.items()},
        kinds={kind: _share(_graded_well(row) for row in rows if row.kind == kind) for kind in KINDS},
        confusion={LABELS[gold]: _said(row for row in rows if row.gold == gold) for gold in OUTCOMES},
        calibration={
            f"{count} of {runs}": _share(
                row.kind == KINDS[0] for row in rows if (sum(row.passed), len(row.passed)) == (count, runs)
            )
            for runs in sorted({len(row.passed) for row in rows})
            for count in range(runs + 1)
        },
        certainty=_by_certainty([row for row in rows if all(row.passed) and row.certainty is not None]),
    )


def judged(category: str, policy: Policy) -> Iterator[Judged]:
    """The graded completions of one category whose prompt falls under a clause."""
    gold = gold_clauses(category, policy)
    verdicts = {row.completion_id: row for row in jsonl.read_many(paths.verdicts(category), Verdict) if row.status == "graded"}
    for row in jsonl.read_many(paths.kept(category), Decision):
        verdict, wanted = verdicts.get(row.completion.id), gold.get(row.completion.prompt_id)
        if verdict is None or wanted is None:
            continue
        grades = [run.grades or {} for run in verdict.runs]
        yield Judged(
            gold=wanted.outcome,
            kind=_kind(row, policy, wanted.outcome),
            expected=tuple(run.expected for run in verdict.runs),
            passed=tuple(each.get("compliance") == PASS for each in grades),
            styled=tuple(each.get("correctness", PASS) == PASS for each in grades),
            certainty=min((run.certainty for run in verdict.runs if run.certainty is not None), default=None),
        )


def gold_clauses(category: str, policy: Policy) -> dict[str, Clause]:
    """Train prompt id -> the clause it falls under, as this release has it."""
    rows = ((prompt.id, policy.clause(prompt.clause)) for prompt in jsonl.read_many(paths.prompts("train", category), Prompt))
    return {prompt_id: clause for prompt_id, clause in rows if clause is not None}


def is_right(row: Decision, policy: Policy, gold: Clause | None) -> bool:
    """Gold's outcome is both cited and, where an answer was asked for, answered, the answer known by its opening."""
    return gold is not None and _kind(row, policy, gold.outcome) == KINDS[0]


def cites(row: Decision, gold: Clause | None) -> bool:
    """Whether the deliberation cites gold's clause."""
    return gold is not None and read_citation(row.completion.deliberation).clause_id == gold.id


def _kind(row: Decision, policy: Policy, gold: Outcome) -> str:
    cited, answer = read_citation(row.completion.deliberation).outcome, row.completion.answer.casefold()
    if not row.completion.answered:
        return KINDS[0] if cited == gold else KINDS[1]
    opens = next((outcome for outcome in OUTCOMES if answer.startswith(policy.style[outcome].opening.casefold())), None)
    if opens is None:
        return KINDS[2]
    return KINDS[0] if opens == gold == cited else KINDS[1]


def _graded_well(row: Judged) -> bool:
    if row.kind == KINDS[0]:
        return all(row.passed) and all(row.styled)
    return not all(row.passed) if row.kind == KINDS[1] else not all(row.styled)


def _against_gold(rows: list[Judged], passes: Callable[[Judged], bool]) -> tuple[Number, Number, Number]:
    right = [row.kind == KINDS[0] for row in rows]
    said = [passes(row) for row in rows]
    pairs = list(zip(right, said, strict=True))
    return (
        _share(one == other for one, other in pairs),
        _share(one for one, other in pairs if other),
        _share(other for one, other in pairs if one),
    )


def _by_certainty(rows: list[Judged]) -> dict[str, Number]:
    if not rows:
        return {}
    parts = [
        (low, high, [row for row in rows if low <= (row.certainty or 0) < high or row.certainty == high == CERTAINTIES[-1]])
        for low, high in pairwise(CERTAINTIES)
    ]
    return {f"{low} to {high}": _share(row.kind == KINDS[0] for row in part) for low, high, part in parts}


def _said(rows: Iterable[Judged]) -> dict[str, int]:
    counts = Counter(LABELS[each] if each else "nothing" for row in rows for each in row.expected)
    return {name: counts[name] for name in (*(LABELS[outcome] for outcome in OUTCOMES), "nothing")}


def _share(marks: Iterable[bool]) -> Number:
    found = list(marks)
    return share(sum(found), len(found))
