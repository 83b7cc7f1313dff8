"""From verdicts to decisions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean, median

from stages.filter.config import FilterConfig
from stages.lib.errors import StageError
from stages.lib.records import CRITERIA, Completion, Decision, Verdict

AGGREGATES: dict[str, Callable[[Sequence[int]], float]] = {"min": min, "mean": mean, "median": median}


def filter_all(completions: Sequence[Completion], verdicts: Sequence[Verdict], config: FilterConfig) -> list[Decision]:
    """A decision on each completion, in their order."""
    by_id = {verdict.completion_id: verdict for verdict in verdicts}
    _refuse_mismatch(completions, by_id, len(verdicts))
    return [decide(completion, by_id[completion.id], config) for completion in completions]


def decide(completion: Completion, verdict: Verdict, config: FilterConfig) -> Decision:
    """Kept when every criterion, aggregated over the runs, reaches its least score."""
    scores = aggregate(verdict, config) if verdict.status == "graded" else None
    rule = rule_of(verdict, scores, config)
    return Decision(
        completion=completion,
        kept=rule == "kept",
        score=math.floor(min(scores.values())) if scores else None,
        rule=rule,
        policy_sha=verdict.policy_sha,
    )


def aggregate(verdict: Verdict, config: FilterConfig) -> dict[str, float]:
    """Criterion -> grade over the runs, in the order of CRITERIA; those of an answer only where there is one."""
    runs = [run.grades or {} for run in verdict.runs]
    over = {name: AGGREGATES[getattr(config.aggregate, name)] for name in CRITERIA if name in runs[0]}
    return {name: float(grade([grades[name] for grades in runs])) for name, grade in over.items()}


def rule_of(verdict: Verdict, scores: dict[str, float] | None, config: FilterConfig) -> str:
    """`kept`, or the first rule that drops it."""
    if verdict.status == "screened":
        return f"screened: {verdict.failed_checks[0]}"
    if scores is None:
        return verdict.status
    below = [name for name, score in scores.items() if score < getattr(config.min_score, name)]
    below += ["certainty"] * any(run.certainty is not None and run.certainty < config.min_certainty for run in verdict.runs)
    return f"below: {below[0]}" if below else "kept"


def summarise(decisions: Sequence[Decision]) -> dict[str, float]:
    """Counts by rule and the share kept."""
    rules = Counter(decision.rule.replace(": ", "_") for decision in decisions)
    kept = sum(decision.kept for decision in decisions)
    return {"rows": len(decisions), "kept_share": kept / len(decisions) if decisions else 0.0, **dict(sorted(rules.items()))}


def _refuse_mismatch(completions: Sequence[Completion], verdicts: dict[str, Verdict], count: int) -> None:
    ids = {completion.id for completion in completions}
    odd = sorted(ids ^ set(verdicts))
    stale = [each.id for each in completions if each.id in verdicts and verdicts[each.id].policy_sha != each.policy_sha]
    if odd or stale or count != len(verdicts) or len(ids) != len(completions):
        found = (odd or stale or ["an id that comes twice"])[0]
        what = f"completions and verdicts do not belong together, the first that differs: {found}"
        raise StageError(what, "run `dvc repro judge`")
