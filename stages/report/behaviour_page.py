"""The change between two states, as a page."""

from __future__ import annotations

from collections.abc import Sequence

from stages.lib.records import Answer
from stages.report import markdown
from stages.report.behaviour import UNTOUCHED, Change, Moved, Pair, right
from stages.report.blocks import Block
from stages.report.examples import Example, Shown, asked, by_hash
from stages.report.facts import Number, withheld
from stages.report.states import State
from stages.report.words import arm_name

EXPLAINED = (
    "Expected: prompts for which the new policies ask for another response. Observed: of those answered right before, the "
    "share answered right by the new policies; once more of those that cited the clause, for a model that takes the request "
    "for another clause's has nothing that could flip. Collateral: of the prompts whose clause nobody edited, or that no clause "
    "covers, the share answered by another type of response now; two runs of the same policies differ too, which is the "
    "noise to hold it against. Right means the type of response; shares have 95% intervals."
)


def blocks(old: State, new: State, changes: Sequence[Change], shown: int) -> list[Block]:
    """The whole page; up to `shown` requests of each kind with both replies."""
    found = [Block(heading="What moved"), Block(table=_summary(changes)), Block(text=EXPLAINED)]
    for change in changes:
        name = arm_name(change.arm)
        found += [Block(heading=f"{name}, clause by clause"), Block(table=_clauses(change))]
        found += [Block(heading=f"{name}: trained on, graded by"), Block(table=_matrix(change, old, new))]
        for title, picked in _picked(change).items():
            if picked:
                found.append(Block(heading=f"{name}: {title} ({len(picked)})"))
                found += [
                    Block(example=_example(pair, old, new))
                    for pair in sorted(picked, key=lambda pair: by_hash(pair.after))[:shown]
                ]
    return found


def lead(old: State, new: State, changes: Sequence[Change]) -> str:
    """What happened, in a sentence per arm."""
    edited = [policy.title for category, policy in new.policies.items() if policy != old.policies.get(category)]
    gone = [policy.title for category, policy in old.policies.items() if category not in new.policies]
    what = ", ".join([*edited, *(f"{title} (removed)" for title in gone)]) or "no policy"
    said = [f"From {old.name} to {new.name}; changed: {what}."]
    for change in changes:
        held = change.observed
        seen = f"{held.value:.0%} of the {held.n} that were right before do" if held.n else "none of them was right before"
        asked = f"{change.expected} prompts should be answered otherwise, {seen}" if change.expected else "no prompt should move"
        noise = f", where a second run of the old policies moves {change.noise.value:.0%}" if change.noise else ""
        rest = f"collateral {change.collateral.value:.0%} of {change.collateral.n}{noise}"
        said.append(f"{arm_name(change.arm)}: {asked}; {rest}.")
    return " ".join(said) if changes else f"{said[0]} No arm that has learned a policy is in both."


def _summary(changes: Sequence[Change]) -> tuple[list[str], list[list[str]]]:
    rows = [
        ["expected", *(str(each.expected) for each in changes)],
        ["observed", *(_counted(each.observed) for each in changes)],
        ["observed where the clause was cited", *(_counted(each.recalled) for each in changes)],
        ["collateral", *(_counted(each.collateral) for each in changes)],
        ["of it broke / mended", *(f"{each.broke} / {each.mended}" for each in changes)],
        ["noise", *(_counted(each.noise) for each in changes)],
        ["collateral beyond noise", *(markdown.cell(each.beyond) for each in changes)],
    ]
    return ["", *(arm_name(each.arm) for each in changes)], rows


def _counted(number: Number | None) -> str:
    return f"{markdown.cell(number)} (n={number.n})" if number is not None and number.n else "–"


def _clauses(change: Change) -> tuple[list[str], list[list[str]]]:
    head = ["clause", "edit", "prompts", "right before", "right after", "observed", "missed", "moved"]
    edited_first = sorted(change.moved, key=lambda each: each.edit == UNTOUCHED)
    return head, [_clause(each) for each in edited_first]


def _clause(each: Moved) -> list[str]:
    asked = [pair for pair in each.pairs if pair.flip and pair.was_right]
    seen = sum(pair.is_right for pair in asked)
    counts = [len(each.pairs), sum(pair.was_right for pair in each.pairs), sum(pair.is_right for pair in each.pairs)]
    flips = [str(seen), str(len(asked) - seen)] if asked else ["–", "–"]
    return [f"{each.name} {each.title}", each.edit, *map(str, counts), *flips, str(sum(pair.moved for pair in each.pairs))]


def _matrix(change: Change, old: State, new: State) -> tuple[list[str], list[list[str]]]:
    rows = [[f"trained on {state.name}", *map(_counted, row)] for state, row in zip((old, new), change.matrix, strict=True)]
    return ["share right", f"graded by {old.name}", f"graded by {new.name}"], rows


def _picked(change: Change) -> dict[str, list[Pair]]:
    pairs = [(each, pair) for each in change.moved for pair in each.pairs if pair.after.request]
    asked = [pair for _, pair in pairs if pair.flip and pair.was_right]
    rest = [pair for each, pair in pairs if each.edit == UNTOUCHED and pair.moved]
    return {
        "expected and missed": [pair for pair in asked if not pair.is_right],
        "expected and observed": [pair for pair in asked if pair.is_right],
        "collateral, right before and wrong now": [pair for pair in rest if pair.was_right and not pair.is_right],
        "collateral, wrong before and right now": [pair for pair in rest if pair.is_right and not pair.was_right],
    }


def _example(pair: Pair, old: State, new: State) -> Example:
    policy = new.policies.get(pair.after.category) or old.policies.get(pair.after.category)
    return asked(pair.after, policy, _shown("before", pair.before, pair), _shown("after", pair.after, pair))


def _shown(name: str, answer: Answer, pair: Pair) -> Shown:
    text = "" if withheld(answer, *pair) else answer.answer  # harmful by either state's policy
    return Shown(name, answer.response_type, right(answer), answer.deliberation, text)
