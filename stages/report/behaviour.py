"""What moved between two states, clause by clause: what a change of the policy asked for, and what it did not ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stages.lib.policy_text import LABELS
from stages.lib.records import Answer, Clause, Outcome, Policy
from stages.report.bootstrap import drawn
from stages.report.facts import Arm, Number, share
from stages.report.states import State

UNTOUCHED = "untouched"
TRAINED = ("sft", "rl")
"""Kinds of checkpoint that have learned a policy."""
GRADES = ("right_type", "not_unsafe", "not_overrefuse")
"""What tells right from wrong, the most exact first: outside prompts have no clause that would name a type."""


class Pair(NamedTuple):
    """One prompt's answers in both states."""

    before: Answer
    after: Answer

    @property
    def flip(self) -> bool:
        """Whether the policy asks for another response now."""
        return None not in (self.before.expected, self.after.expected) and self.before.expected != self.after.expected

    @property
    def moved(self) -> bool:
        """Whether the response is of another type now."""
        return self.before.response_type != self.after.response_type

    @property
    def was_right(self) -> bool:
        """Whether it was what the policy asked for."""
        return right(self.before)

    @property
    def is_right(self) -> bool:
        """Whether it is what the policy asks for."""
        return right(self.after)

    @property
    def was_cited(self) -> bool:
        """Whether it cited the clause that covers the request: who did not recall a clause cannot notice that it changed."""
        return self.before.scores.get("right_clause") == 1.0


class Moved(NamedTuple):
    """One clause, or one suite that no clause covers."""

    name: str
    title: str
    edit: str
    """`untouched`, `comply -> refuse`, or what else was done to the clause."""
    pairs: tuple[Pair, ...]


class Change(NamedTuple):
    """One arm between two states."""

    arm: str
    moved: tuple[Moved, ...]
    expected: int
    """Prompts whose right response is another now."""
    observed: Number
    """Of those that were right before: now right by the new policy."""
    recalled: Number
    """Of those that were right before and cited the edited clause then: now right by the new policy."""
    collateral: Number
    """Of the prompts no edit touched: answered by another type of response now."""
    broke: int
    """Of those: right before, wrong now."""
    mended: int
    """Of those: wrong before, right now."""
    noise: Number | None
    """The same share between the old state and another run of its policies; None without one."""
    beyond: Number | None
    """Collateral minus noise."""
    matrix: tuple[tuple[Number, Number], tuple[Number, Number]]
    """Share right: rows trained on the old and new policies, columns graded by the old and new."""


def right(answer: Answer) -> bool:
    """Whether the reply was graded right by the policy of its own state."""
    return next((answer.scores[name] == 1.0 for name in GRADES if name in answer.scores), False)


def changes(old: State, new: State, noise: State | None) -> list[Change]:
    """Every trained arm that both states have."""
    names = [name for name, arm in new.arms.items() if name in old.arms and arm.lineage.kind in TRAINED]
    return [_change(old, new, noise, name) for name in names]


def edit_of(before: Clause | None, after: Clause | None) -> str:
    """What was done to a clause, by the most consequential word."""
    if before is None or after is None:
        return "added" if before is None else "removed"
    if before.outcome != after.outcome:
        return f"{LABELS[before.outcome]} -> {LABELS[after.outcome]}"
    return UNTOUCHED if before == after else "reworded"


def pairs(old: Arm, new: Arm) -> list[Pair]:
    """Prompts that both states asked; a prompt may have changed its suite."""
    before = {answer.prompt_id: answer for answer in old.answers}
    return [Pair(before[answer.prompt_id], answer) for answer in new.answers if answer.prompt_id in before]


def collateral(old: Arm, new: Arm, before: Mapping[str, Policy], after: Mapping[str, Policy]) -> Number:
    """Of the prompts whose clause nobody edited, or that no clause covers: answered by another type of response."""
    return _share(_rest(_moved(pairs(old, new), before, after)), lambda pair: pair.moved)


def difference(first: Mapping[str, bool], second: Mapping[str, bool], requests: Mapping[str, str]) -> Number:
    """Share of `first` minus share of `second` over the prompts of both, with its 95% bootstrap interval over requests."""
    both = {key: float(first[key]) - float(second[key]) for key in first if key in second}
    return drawn(both, requests, "moved").number() if both else Number(value=0.0, low=-1.0, high=1.0, n=0)


def plain_change(change: Change) -> dict[str, Any]:
    """For programs: shares with intervals, and the same as bare numbers for curves and comparisons."""
    fields = change._asdict()
    known = {name: value for name, value in fields.items() if isinstance(value, Number) and value.n}
    counts = {name: value for name, value in fields.items() if isinstance(value, int)}
    return {
        **{name: number.model_dump() for name, number in known.items()},
        "matrix": [[number.model_dump() for number in row] for row in change.matrix],
        "numbers": counts | {name: number.value for name, number in known.items()},
    }


def moved_rows(change: Change) -> list[dict[str, Any]]:
    """One row per prompt of ours that moved or should have, without texts."""
    return [
        {
            "arm": change.arm, "clause": each.name, "edit": each.edit, "prompt_id": pair.after.prompt_id,
            "wrapper": pair.after.wrapper, "expected_before": pair.before.expected, "expected_after": pair.after.expected,
            "before": pair.before.response_type, "after": pair.after.response_type,
        }
        for each in change.moved for pair in each.pairs if pair.moved or pair.flip
    ]  # fmt: skip


def _change(old: State, new: State, noise: State | None, name: str) -> Change:
    moved = _moved(pairs(old.arms[name], new.arms[name]), old.policies, new.policies)
    asked = [pair for each in moved for pair in each.pairs if pair.flip]
    were_right = [pair for pair in asked if pair.was_right]
    rest = _rest(moved)
    floor = _again(old, noise, name, {pair.before.prompt_id for pair in rest}) if noise else None
    return Change(
        arm=name,
        moved=tuple(moved),
        expected=len(asked),
        observed=_share(were_right, lambda pair: pair.is_right),
        recalled=_share([pair for pair in were_right if pair.was_cited], lambda pair: pair.is_right),
        collateral=_share(rest, lambda pair: pair.moved),
        broke=sum(pair.was_right and not pair.is_right for pair in rest),
        mended=sum(pair.is_right and not pair.was_right for pair in rest),
        noise=_share(floor, lambda pair: pair.moved) if floor is not None else None,
        beyond=difference(_moves(rest), _moves(floor), old.requests) if floor is not None else None,
        matrix=_matrix(moved, old.policies, new.policies),
    )


def _rest(moved: Sequence[Moved]) -> list[Pair]:
    return [pair for each in moved if each.edit == UNTOUCHED for pair in each.pairs]


def _again(old: State, noise: State, name: str, wanted: set[str]) -> list[Pair]:
    found = pairs(old.arms[name], noise.arms[name]) if name in noise.arms else []
    return [pair for pair in found if pair.before.prompt_id in wanted]


def _moved(found: Iterable[Pair], old: Mapping[str, Policy], new: Mapping[str, Policy]) -> list[Moved]:
    """By clause in the order of the policies, then what no clause covers, by suite."""
    groups: dict[tuple[str, str], list[Pair]] = {}
    for pair in found:
        key = (pair.after.category, pair.after.clause) if pair.after.clause else ("", pair.after.suite)
        groups.setdefault(key, []).append(pair)
    clauses = {(category, clause.id): clause for category, policy in new.items() for clause in policy.clauses}
    former = {(category, clause.id): clause for category, policy in old.items() for clause in policy.clauses}
    order = [*dict.fromkeys([*clauses, *former]), *sorted(key for key in groups if not key[0])]
    rows = []
    for key in order:
        if key in groups:
            clause = clauses.get(key) or former.get(key)
            title, edit = (clause.title, edit_of(former.get(key), clauses.get(key))) if clause else ("no clause", UNTOUCHED)
            rows.append(Moved(key[1], title, edit, tuple(groups[key])))
    return rows


def _matrix(
    moved: Sequence[Moved], old: Mapping[str, Policy], new: Mapping[str, Policy]
) -> tuple[tuple[Number, Number], tuple[Number, Number]]:
    """By the type of response alone, for a reply has scores by the policies of its own state only."""
    asked = [[(answer, _wanted(answer, (old, new))) for answer in pair] for each in moved for pair in each.pairs]

    def graded(trained: int, by: int) -> Number:
        both = [pair[trained] for pair in asked if None not in pair[trained][1]]  # only what both releases have a word on
        marks = [answer.finish != "malformed" and answer.response_type == wanted[by] for answer, wanted in both]
        return share(sum(marks), len(marks))

    first, second = ((graded(trained, 0), graded(trained, 1)) for trained in (0, 1))
    return first, second


def _wanted(answer: Answer, releases: Sequence[Mapping[str, Policy]]) -> list[Outcome | None]:
    """What each release asks of the reply; None from one without that clause."""
    known = [policies.get(answer.category) for policies in releases]
    clauses = [policy.clause(answer.clause) if policy else None for policy in known]
    return [clause.outcome if clause else None for clause in clauses]


def _share(found: Sequence[Pair], holds: Callable[[Pair], bool]) -> Number:
    return share(sum(map(holds, found)), len(found))


def _moves(found: Sequence[Pair]) -> dict[str, bool]:
    return {pair.before.prompt_id: pair.moved for pair in found}
