"""From completions to verdicts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from stages.judge.config import JudgeConfig
from stages.lib.checks import failed_checks
from stages.lib.errors import StageError
from stages.lib.grader import JUDGE_TEMPLATE_SHA, Candidate, VerdictError, judge_request, read_verdict
from stages.lib.llm.backend import Backend, Generation, Request
from stages.lib.policy_text import Detail, certainty, part_for
from stages.lib.records import Completion, JudgeRun, Outcome, Policy, Verdict
from stages.lib.seeds import derive
from stages.lib.transcript import read_citation

BAD: tuple[Literal["errored", "unreadable"], ...] = ("errored", "unreadable")


def judge_all(
    completions: Sequence[Completion], policy: Policy, backend: Backend, config: JudgeConfig, detail: Detail, seed: int
) -> list[Verdict]:
    """A verdict on each completion, in their order."""
    _refuse_stale(completions, policy)
    failed = {
        completion.id: (*failed_checks(completion, policy, config.checks), *_unsure(completion, config))
        for completion in completions
    }
    graded = [completion for completion in completions if not failed[completion.id]]
    runs: dict[str, list[JudgeRun]] = {completion.id: [] for completion in completions}
    asked = [(completion, number) for number in range(config.k) for completion in graded]
    requests = [_request(completion, policy, config, detail, seed, number) for completion, number in asked]
    generations = backend.generate(requests, config.sampling.record(), derive(seed, "judge", "draw"), None)
    for (completion, number), generation in zip(asked, generations, strict=True):
        shown = part_for(policy, completion.messages)
        unread = None if _reads(completion, config) else completion.deliberation
        runs[completion.id].append(to_run(generation, shown, unread, _order(seed, number), completion.answered))
    return [to_verdict(completion, failed[completion.id], runs[completion.id], backend.model_sha) for completion in completions]


def to_verdict(completion: Completion, failed: tuple[str, ...], runs: Sequence[JudgeRun], judge: str) -> Verdict:
    """The raw runs as one record; one bad run spoils the whole, for a minimum over fewer runs would be a milder judge."""
    statuses = {run.status for run in runs}
    return Verdict(
        completion_id=completion.id,
        prompt_id=completion.prompt_id,
        category=completion.category,
        status="screened" if failed else next((bad for bad in BAD if bad in statuses), "graded"),
        failed_checks=failed,
        runs=tuple(runs),
        judge=judge,
        policy_sha=completion.policy_sha,
        template_sha=JUDGE_TEMPLATE_SHA,
    )


def to_run(
    generation: Generation, policy: Policy, unread: str | None = None, shuffle: int | None = None, answered: bool = True
) -> JudgeRun:
    """What the judge wrote, read strictly. Text cut off at the limit is unreadable even if what is there would parse.

    `policy` is what the judge was shown, its clauses in the order of `shuffle`. `unread` is a deliberation that it was not
    shown: its grade is how far it agrees with what the judge found. Where nothing was `answered`, it is what is graded.
    """
    if generation.error is not None:
        return JudgeRun(status="errored", text=generation.error)
    try:
        if generation.truncated:
            raise VerdictError("cut off")
        read = read_verdict(generation.text, policy, unread is None, answered)
    except VerdictError:
        return JudgeRun(status="unreadable", text=generation.text)
    grades = dict(read.grades)
    if unread is not None:
        grades["reasoning"] = agreement(unread, read.clause_id, read.expected)
        if not answered:
            grades["compliance"] = 2 if grades["reasoning"] else 0
    return JudgeRun(
        status="graded",
        clause=read.clause_id,
        expected=read.expected,
        found=read.found,
        certainty=certainty(policy, shuffle, generation.shares, read.expected),
        grades=grades,
        text=generation.text,
    )


def agreement(deliberation: str, clause_id: str | None, expected: Outcome) -> int:
    """2 for citing this clause and outcome, 1 for the outcome alone, 0 for another."""
    cited = read_citation(deliberation)
    if cited.outcome != expected:
        return 0
    return 2 if cited.clause_id == clause_id else 1


def summarise(verdicts: Sequence[Verdict]) -> dict[str, float]:
    """Counts by status and failed check, and how often the k runs agree in every grade."""
    statuses = Counter(verdict.status for verdict in verdicts)
    checks = Counter(name for verdict in verdicts for name in verdict.failed_checks)
    graded = [verdict for verdict in verdicts if verdict.status == "graded"]
    agree = sum(all(run.grades == verdict.runs[0].grades for run in verdict.runs) for verdict in graded)
    return {
        "rows": len(verdicts),
        **{name: statuses[name] for name in ("graded", "screened", "unreadable", "errored")},
        **{f"failed_{name}": count for name, count in sorted(checks.items())},
        **({"runs_agree": agree / len(graded)} if graded else {}),
    }


def _request(completion: Completion, policy: Policy, config: JudgeConfig, detail: Detail, seed: int, number: int) -> Request:
    """Run `number` of a completion's grading: each shows the clauses in another order, the same for all completions."""
    candidate = Candidate(
        messages=completion.messages,
        answer=completion.answer if completion.answered else None,
        deliberation=completion.deliberation if _reads(completion, config) else None,
    )
    return judge_request(candidate, policy, detail, _order(seed, number), number)


def _reads(completion: Completion, config: JudgeConfig) -> bool:
    """Without an answer the judge looks for the clause alone, and the deliberation is compared with what it finds."""
    return config.reads_deliberation and completion.answered


def _order(seed: int, number: int) -> int:
    return derive(seed, "judge", number)


def _unsure(completion: Completion, config: JudgeConfig) -> tuple[str, ...]:
    """A generator that could not tell the clauses apart is no better read by a judge of the same model."""
    return () if completion.certainty is None or completion.certainty >= config.min_certainty else ("certainty",)


def _refuse_stale(completions: Sequence[Completion], policy: Policy) -> None:
    stale = [completion.id for completion in completions if completion.policy_sha != policy.sha]
    if stale:
        what = f"{len(stale)} completions of {policy.category} were written under another policy, the first is {stale[0]}"
        raise StageError(what, f"run `dvc repro generate@{policy.category}`")
