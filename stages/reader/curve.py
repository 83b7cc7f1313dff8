"""A cheap point of the learning curve: what the reader would choose and grade on unseen domains."""

from __future__ import annotations

import random
from typing import Any

from stages.lib.llm.weigh import yes_over_no
from stages.lib.policy_text import candidates
from stages.lib.records import Outcome, expected_outcome
from stages.lib.seeds import derive
from stages.lib.training import IGNORE
from stages.reader.roles import Lesson, judge_lesson, reason_lesson
from stages.reader.train import Read, make_pack, read
from stages.reader.world import World, draw_rule_set

PACKS = 12


def curve_point(model: Any, tokenizer: Any, world: World, seed: int) -> dict[str, float]:
    """Of both roles the loss, the clause weighed heaviest and its outcome; the judge's grades, given the right words before."""
    import torch

    point: dict[str, float] = {}
    direction, digits = yes_over_no(model, tokenizer), _digits(tokenizer)
    for role, make, count in (("reasoner", reason_lesson, 6), ("judge", judge_lesson, 5)):
        losses: list[float] = []
        clauses: list[bool] = []
        outcomes: list[bool] = []
        grades: list[bool] = []
        for number in range(PACKS):
            rng = random.Random(derive(seed, "curve", role, number))
            rules = draw_rule_set(world, rng)
            lessons = [make(rules, world, rng) for _ in range(count)]
            batch = make_pack(lessons, tokenizer)
            with torch.no_grad():
                seen = read(model, batch, direction)
            losses.append(float(seen.loss))
            chosen = seen.scores.argmax(-1).tolist()
            clauses += [mine == right for mine, right in zip(chosen, batch.right.tolist(), strict=True)]
            outcomes += [_outcome(lesson, mine) == lesson.outcome for lesson, mine in zip(lessons, chosen, strict=False)]
            grades += _graded(seen, batch, digits)
        point[f"{role}_loss"] = _mean(losses)
        point[f"{role}_clause"] = _mean(clauses)
        point[f"{role}_outcome"] = _mean(outcomes)
        if role == "judge":
            point["judge_grades"] = _mean(grades)
    return point


def _outcome(lesson: Lesson, chosen: int) -> Outcome:
    assert lesson.policy is not None  # both roles are shown one
    return expected_outcome(candidates(lesson.policy)[chosen])


def _graded(seen: Read, batch: Any, digits: set[int]) -> list[bool]:
    """Whether each of the last digits of the verdicts, which are the grades, would have been said."""
    labels = batch.labels[0, batch.labels[0] != IGNORE].tolist()
    before = [None, *labels[:-1]]
    return [
        right
        for label, previous, right in zip(labels, before, seen.is_top1.tolist(), strict=True)
        if label in digits and previous not in digits
    ]


def _digits(tokenizer: Any) -> set[int]:
    return {tokenizer(digit, add_special_tokens=False)["input_ids"][-1] for digit in "012"}


def _mean(values: list[Any]) -> float:
    return round(sum(values) / max(len(values), 1), 4)
