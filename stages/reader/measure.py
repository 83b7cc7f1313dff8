"""How well the reader reads: texts as the pipeline gets them, not teacher-forced, on worlds it was not trained on."""

from __future__ import annotations

import random
import re
from collections import defaultdict
from collections.abc import Sequence

from stages.lib.grader import VerdictError, read_verdict
from stages.lib.llm.backend import Backend, OnResult
from stages.lib.records import OUTCOMES, Outcome, Policy, Sampling
from stages.lib.seeds import derive
from stages.lib.transcript import read_citation, read_reply
from stages.reader.roles import Lesson, helpful_lesson, judge_lesson, reason_lesson
from stages.reader.world import Case, World, draw_rule_set

SAMPLING = Sampling(temperature=0.0, max_new_tokens=96)
REFUSAL = re.compile(r"\b(sorry|can't|cannot|won't|unable|decline)\b", re.IGNORECASE)
Table = dict[str, dict[str, float]]
"""Row -> column -> share right; column `lessons` is the count."""


def lessons_of(
    world: World, ask_last: bool, apart: bool, answers: Sequence[tuple[Case, str]], per_role: int, seed: int
) -> list[Lesson]:
    """A reasoner and a judge lesson per fresh rule set (see `draw_rule_set`), and helpful ones."""
    lessons: list[Lesson] = []
    for number in range(per_role):
        rng = random.Random(derive(seed, "measure", number))
        rules = draw_rule_set(world, rng, ask_last, apart)
        lessons += [reason_lesson(rules, world, rng), judge_lesson(rules, world, rng)]
    rng = random.Random(derive(seed, "measure", "helpful"))
    lessons += [
        helpful_lesson(case, text, world, rng) for case, text in rng.sample(list(answers), min(per_role // 3, len(answers)))
    ]
    return lessons


def complete(backend: Backend, lessons: Sequence[Lesson], progress: OnResult | None = None) -> list[str]:
    """Greedy texts, in the order of `lessons`, as the pipeline asks for them."""
    done = backend.generate([lesson.request for lesson in lessons], SAMPLING, 0, progress)
    return [generation.text for generation in done]


def score(lessons: Sequence[Lesson], texts: Sequence[str]) -> dict[str, Table]:
    """Accuracy tables: reasoner by outcome, judge by defect, helpful."""
    tally: dict[str, dict[str, dict[str, list[bool]]]] = defaultdict(lambda: defaultdict(lambda: defaultdict(list)))
    for lesson, text in zip(lessons, texts, strict=True):
        for column, right in _marks(lesson, text).items():
            for row in (lesson.kind, "all"):
                tally[lesson.role][row][column].append(right)
    return {role: {row: _shares(columns) for row, columns in sorted(rows.items())} for role, rows in tally.items()}


def _shares(columns: dict[str, list[bool]]) -> dict[str, float]:
    counts = {"lessons": float(max(map(len, columns.values())))}
    return counts | {column: round(sum(marks) / len(marks), 4) for column, marks in columns.items()}


def _marks(lesson: Lesson, text: str) -> dict[str, bool]:
    if lesson.role == "reasoner":
        return _reasoner_marks(lesson, text)
    if lesson.role == "judge":
        return _judge_marks(lesson, text)
    reply = read_reply(text)
    return {"complies": reply.finish == "stop" and not REFUSAL.search(reply.answer)}


def _reasoner_marks(lesson: Lesson, text: str) -> dict[str, bool]:
    assert lesson.policy is not None
    reply = read_reply(text)
    cited = read_citation(reply.deliberation)
    return {
        "outcome": outcome_of(reply.answer, lesson.policy) == lesson.outcome,
        "clause": cited.clause_id == (lesson.clause.id if lesson.clause else None) and cited.outcome is not None,
        "well formed": reply.finish == "stop",
    }


def _judge_marks(lesson: Lesson, text: str) -> dict[str, bool]:
    assert lesson.policy is not None
    shown = "reasoning:" in lesson.target
    truth = read_verdict(lesson.target, lesson.policy, shown)
    try:
        said = read_verdict(text, lesson.policy, shown)
    except VerdictError:
        return {"verdict": False, "clause": False, "readable": False}
    return {
        "verdict": all(said.grades[name] == truth.grades[name] for name in ("compliance", "correctness")),
        "helpfulness": said.grades["helpfulness"] == truth.grades["helpfulness"],
        "clause": said.clause_id == truth.clause_id,
        "readable": True,
        **({"reasoning": said.grades["reasoning"] == truth.grades["reasoning"]} if shown else {}),
    }


def outcome_of(answer: str, policy: Policy) -> Outcome | None:
    """The outcome whose opening the answer begins with: in the made-up world the style alone tells."""
    return next((outcome for outcome in OUTCOMES if answer.startswith(policy.style[outcome].opening)), None)
