"""What is measured beside the reward. Gold is read here and nowhere else in this room, and nothing here returns to the reward."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from stages.lib.checks.rules import opens_as
from stages.lib.records import OUTCOMES, Outcome, Policy, Prompt, expected_outcome
from stages.rl.reward import MAX_GRADE, Sample, Scored


def gold_outcomes(prompts: Sequence[Prompt], policies: Mapping[str, Policy]) -> dict[str, Outcome]:
    """Prompt -> what the policy in force asks for; a prompt without a clause is to be answered."""
    return {prompt.id: expected_outcome(policies[prompt.category].clause(prompt.clause)) for prompt in prompts}


def watch(
    samples: Sequence[Sample], scores: Sequence[Scored], policies: Mapping[str, Policy], gold: Mapping[str, Outcome]
) -> dict[str, float]:
    """Shares over one step: form, failures of the judge, openings, and how often judge and gold say the same."""
    judged = [score for score in scores if score.why in ("graded", "judge")]
    numbers = {
        "malformed": _share([score.why in ("malformed", "length") for score in scores]),
        "check_failed": _share([score.why.startswith("check") for score in scores]),
        "judge/unreadable": _share([score.reward is None for score in judged]),
    }
    pairs = list(zip(samples, scores, strict=True))
    for outcome in OUTCOMES:
        opens = [opens_as(score.answer, outcome, policies[sample.task.category]) for sample, score in pairs]
        numbers[f"opens/{outcome}"] = _share(opens)
    return numbers | _against_gold(pairs, policies, gold)


def _against_gold(
    pairs: Sequence[tuple[Sample, Scored]], policies: Mapping[str, Policy], gold: Mapping[str, Outcome]
) -> dict[str, float]:
    right, agree = [], []
    for sample, score in pairs:
        expected = gold.get(sample.task.prompt_id)
        if expected is None:
            continue
        fits = opens_as(score.answer, expected, policies[sample.task.category])
        right.append(fits)
        if score.compliance is not None:
            agree.append(fits == (score.compliance == MAX_GRADE))
    numbers = {"gold/right": _share(right)} if right else {}
    return numbers | ({"gold/agreement": _share(agree)} if agree else {})


def _share(marks: Sequence[bool]) -> float:
    return sum(marks) / len(marks) if marks else 0.0
