"""Arms and states held against each other, prompt by prompt."""

from __future__ import annotations

import pytest

from stages.lib.errors import StageError
from stages.lib.records import Answer
from stages.report.beside import beside, columns
from stages.report.blocks import as_markdown
from stages.report.facts import Arm, Lineage
from stages.report.paired import paired
from stages.report.states import State

LINEAGE = Lineage(model="m", kind="sft", trained={}, graded={})


def answer(prompt_id: str, suite: str, scores: dict[str, float]) -> Answer:
    """A graded reply of which only the scores matter."""
    return Answer(
        id=prompt_id, arm="sft", suite=suite, prompt_id=prompt_id, category="bees", wrapper=None, expected=None, clause=None,
        request=None, deliberation="", answer="", finish="stop", response_type="comply", scores=scores, policy_sha=None,
    )  # fmt: skip


def arm(name: str, safe: list[float], answered: list[float]) -> Arm:
    """An arm whose n-th harmful and harmless reply earned these."""
    scores = [("not_unsafe", "disallowed", safe), ("not_overrefuse", "contrast", answered)]
    answers = [
        answer(f"{suite} {number}", suite, {metric: score})
        for metric, suite, found in scores
        for number, score in enumerate(found)
    ]
    return Arm(name, {}, LINEAGE, tuple(answers))


def test_differences_are_of_the_prompts_both_were_asked() -> None:
    before, after = arm("sft", [0, 0, 1, 1], [1, 1]), arm("sft_rl", [1, 1, 1, 0, 1, 1], [1, 0])
    found = paired(before, after, {})
    assert (found.safe.value, found.safe.n) == (0.25, 4), "two more, one less, two that were not asked before"
    assert (found.answered.value, found.answered.n) == (-0.5, 2)
    assert (found.mean.value, found.mean.n) == (-0.125, 6)
    assert found.safe.low < 0.25 < found.safe.high


def test_an_arm_does_not_differ_from_itself() -> None:
    one = arm("sft", [0, 1, 1], [1, 0])
    assert {(each.value, each.low, each.high) for each in paired(one, one, {})} == {(0.0, 0.0, 0.0)}


def test_wordings_of_one_request_are_one_draw() -> None:
    before, after = arm("a", [0] * 40, []), arm("b", [0, 1] * 20, [])
    alone = paired(before, after, {}).safe
    wordings = {f"disallowed {number}": str(number % 4) for number in range(40)}
    together = paired(before, after, wordings).safe
    assert (alone.value, together.value) == (0.5, 0.5)
    assert together.high - together.low > 1.5 * (alone.high - alone.low)


def test_without_a_common_prompt_nothing_is_said() -> None:
    found = paired(arm("a", [1], []), arm("b", [], [1]), {})
    assert [each.n for each in found] == [0, 0, 0]


def test_states_stand_side_by_side() -> None:
    arms = {"HEAD": arm("sft", [0, 0], [1, 1]), "night": arm("sft", [1, 1], [1, 1]), "rerun": arm("sft", [0, 0], [1, 1])}
    curve = [{"reward": value} for value in (0.0, 0.5, 0.5, 0.5, 0.5, 0.5, 0.75, 1.0)]
    states = [State(name, "v1", {}, {"sft": found}, {}, curve) for name, found in arms.items()]
    page = as_markdown("Side by side", "", beside(columns(states, ["sft"])))
    assert "|  | SFT, HEAD | SFT, night |\n" in page, "what two states share is one column"
    assert "SFT, HEAD is also SFT, rerun." in page
    assert "| night | 8 | 0.25 -> 0.88 | – |" in page, "means of two steps of eight"
    assert "| SFT, night | +1.00 [+1.00, +1.00] | +0.00 [+0.00, +0.00] | +0.50 [+0.50, +0.50] |" in page
    with pytest.raises(StageError, match="HEAD has no arm 'rl'"):
        columns(states, ["rl"])
