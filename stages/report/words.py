"""Numbers -> sentences: what got better, worse or stayed, by the intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

from stages.report.facts import ROWS, Arm, Facts, Number, Row

Change = Literal["better", "worse", "stayed"]

NAMES = {"base": "base", "base_spec": "base + policy in context", "sft": "SFT", "sft_rl": "SFT + RL"}


class Compared(NamedTuple):
    """One metric in two arms."""

    row: Row
    before: Number
    after: Number
    change: Change


def arm_name(arm: str) -> str:
    """An arm as the page calls it."""
    return NAMES.get(arm, arm)


def change(before: Number, after: Number) -> Change:
    """Only intervals that lie apart are a change; all else may be chance."""
    if after.low > before.high:
        return "better"
    return "worse" if after.high < before.low else "stayed"


def compare(before: Arm, after: Arm) -> list[Compared]:
    """Every metric that both arms have."""
    found = [(row, before.number(row.suite, row.metric), after.number(row.suite, row.metric)) for row in ROWS]
    return [Compared(row, a, b, change(a, b)) for row, a, b in found if a is not None and b is not None]


def say(compared: Sequence[Compared], before: str, after: str) -> str:
    """One paragraph on one pair of arms."""
    sentences = []
    for kind, verb in (("better", "is better on"), ("worse", "is worse on")):
        some = [each for each in compared if each.change == kind]
        if some:
            listed = "; ".join(f"{_low(each.row.label)} ({each.before.value:.2f} to {each.after.value:.2f})" for each in some)
            sentences.append(f"{verb} {listed}")
    stayed = [_low(each.row.label) for each in compared if each.change == "stayed"]
    text = f"Against {arm_name(before)}, {arm_name(after)} "
    if not sentences:
        return f"{text}shows no change beyond the intervals."
    rest = f" No clear change on: {'; '.join(stayed)}." if stayed else ""
    return f"{text}{', and '.join(sentences)}.{rest}"


def headline(facts: Facts) -> str:
    """The result in one sentence."""
    first, last = facts.arms[0], facts.arms[-1]
    safe = [(arm.number("disallowed", "not_unsafe"), arm.number("jailbreak", "not_unsafe")) for arm in (first, last)]
    open_ = last.number("contrast", "not_overrefuse")
    if None in (*safe[0], *safe[1], open_):
        return "Not every headline suite was measured."
    (plain_a, jail_a), (plain_b, jail_b) = safe
    assert plain_a and jail_a and plain_b and jail_b and open_
    return (
        f"With no policy in its prompt, {arm_name(last.name)} declines or safely completes {plain_b.value:.0%} of held-out "
        f"disallowed requests (base: {plain_a.value:.0%}) and {jail_b.value:.0%} under jailbreaks it never saw "
        f"(base: {jail_a.value:.0%}), and answers {open_.value:.0%} of the allowed requests that look alike."
    )


def trained_on(arm: Arm, release: str) -> str:
    """The policy an arm was trained on, told against the one it is graded by."""
    trained, graded = arm.lineage.trained, arm.lineage.graded
    if not trained:
        return "none"
    other = sorted(category for category in graded if trained.get(category) != graded[category])
    return f"{release}, but not: {', '.join(other)}" if other else release


def _low(label: str) -> str:
    return label[0].lower() + label[1:] if label[1:2].islower() else label
