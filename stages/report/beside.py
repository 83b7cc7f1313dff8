"""States of the pipeline side by side: the table of results with a column for each arm of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

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
    """All metrics, then every column against the first, prompt by prompt."""
    rows = [[row.label, *(markdown.cell(each.arm.number(row.suite, row.metric)) for each in found)] for row in ROWS]
    first = found[0]
    pairs = [
        [each.name, *markdown.differences(paired(first.arm, each.arm, {**first.state.requests, **each.state.requests}))]
        for each in found[1:]
    ]
    return [
        Block(table=(["", *(each.name for each in found)], rows)),
        Block(heading=f"Against {first.name}, prompt by prompt"),
        Block(table=(["", *markdown.DIFFERENCES], pairs)),
        Block(text=markdown.PAIRED),
    ]
