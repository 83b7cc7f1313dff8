"""States of the pipeline side by side: the table of results with a column for each arm of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from stages.lib import curves
from stages.lib.errors import StageError
from stages.report import markdown
from stages.report.blocks import Block
from stages.report.facts import ROWS, Arm
from stages.report.paired import paired
from stages.report.states import State
from stages.report.words import arm_name

EXPLAINED = (
    "Shares with 95% bootstrap intervals over requests; higher is better. Every state is graded by its own policies and prompts."
)
PRACTICE = (
    ("reward", "reward"),
    ("gold/right", "right by gold"),
    ("gold/agreement", "judge agrees with gold"),
    ("frac_reward_zero_std", "dead groups"),
    ("entropy", "entropy"),
    ("completions/mean_length", "tokens"),
)
PRACTISED = (
    "Means of the first and of the last quarter of the steps; every step asks other prompts of the train side. Gold is measured, "
    "never rewarded; a group is dead when all its replies earn the same."
)


class Column(NamedTuple):
    """One arm of one state."""

    state: State
    arm: Arm

    @property
    def name(self) -> str:
        """As the page calls it."""
        return f"{arm_name(self.arm.name)}, {self.state.name}"


def columns(states: Sequence[State], arms: Sequence[str]) -> list[Column]:
    """The wanted arms, state by state. Raises StageError for a state that lacks one."""
    for state in states:
        for name in arms:
            if name not in state.arms:
                raise StageError(f"{state.name} has no arm {name!r}", f"name some of its arms: {', '.join(state.arms)}")
    return [Column(state, state.arms[name]) for state in states for name in arms]


def beside(found: Sequence[Column]) -> list[Block]:
    """All metrics, every column against the first prompt by prompt, and RL's curves. An arm that states share is one column."""
    shown = [each for index, each in enumerate(found) if each.arm not in [other.arm for other in found[:index]]]
    rows = [[row.label, *(markdown.cell(each.arm.number(row.suite, row.metric)) for each in shown)] for row in ROWS]
    first = shown[0]
    pairs = [
        [each.name, *markdown.differences(paired(first.arm, each.arm, {**first.state.requests, **each.state.requests}))]
        for each in shown[1:]
    ]
    return [
        Block(table=(["", *(each.name for each in shown)], rows)),
        *(Block(text=text) for text in _shared(shown, found)),
        Block(heading=f"Against {first.name}, prompt by prompt"),
        Block(table=(["", *markdown.DIFFERENCES], pairs)),
        Block(text=markdown.PAIRED),
        Block(heading="RL, step by step"),
        Block(table=(["", "steps", *(label for _, label in PRACTICE)], [_practised(state) for state in _states(found)])),
        Block(text=PRACTISED),
    ]


def _states(found: Sequence[Column]) -> list[State]:
    return list({each.state.name: each.state for each in found}.values())


def _practised(state: State) -> list[str]:
    return [state.name, str(len(state.practice)), *(_change(state.practice, metric) for metric, _ in PRACTICE)]


def _change(practice: curves.Points, metric: str) -> str:
    if not any(metric in point for point in practice):
        return "–"
    first, last = curves.ends(practice, metric)
    return f"{first:.2f} -> {last:.2f}"


def _shared(shown: Sequence[Column], found: Sequence[Column]) -> list[str]:
    """Which columns stand for others, too: reply by reply the same."""
    others = {each.name: [other.name for other in found if other.arm == each.arm and other.name != each.name] for each in shown}
    return [f"{name} is also {'; '.join(names)}." for name, names in others.items() if names]
