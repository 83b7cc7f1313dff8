"""Files of completions, verdicts and decisions -> tables with one column per question a suite asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from stages.gate.world import Tables, World
from stages.lib import jsonl, paths
from stages.lib.records import CRITERIA, UNANSWERED_CRITERIA, Completion, Decision, JudgeRun, Verdict
from stages.lib.transcript import CLOSE, OPEN

NO_SCORE = ("screened", "unreadable", "errored")


def completion_files(_: World, name: str) -> tuple[Path, ...]:
    """The file of one category."""
    return (paths.completions(name),)


def completions(world: World, name: str) -> Tables:
    """Tables completions, prompts."""
    written = list(jsonl.read_many(paths.completions(name), Completion))
    asked = [prompt.id for prompt in world.prompts("train", name) if prompt.asked]
    samples = Counter(row.prompt_id for row in written)
    most = max(samples.values(), default=1)
    return {
        "completions": [
            _completion_row(world, row, name, set(asked)) | same for row, same in zip(written, _one_source(written), strict=True)
        ],
        "prompts": [{"id": prompt, "complete": samples[prompt] == most} for prompt in asked],
    }


def _completion_row(world: World, row: Completion, name: str, asked: set[str]) -> dict[str, object]:
    return {
        "id": row.id,
        "own_category": row.category == name,
        "current": row.policy_sha == world.shas[name],
        "slot": f"{row.prompt_id}/{row.sample_index}",
        "prompt_known": row.prompt_id in asked,
        "answer_apart": not any(tag in row.answer.lower() for tag in (OPEN, CLOSE)),
        "finish": row.finish,
    }


def _one_source(rows: list[Completion]) -> list[dict[str, bool]]:
    columns = {
        "one_model": like_most(row.model for row in rows),
        "one_template": like_most(row.template_sha for row in rows),
        "one_sampling": like_most(row.sampling.model_dump_json() for row in rows),
    }
    return _by_row(columns)


def _one_judge(rows: list[Verdict]) -> list[dict[str, bool]]:
    return _by_row(
        {"one_judge": like_most(row.judge for row in rows), "one_template": like_most(row.template_sha for row in rows)}
    )


def like_most(values: Iterable[str]) -> list[bool]:
    """For each value whether it is the most frequent one: so that a check for sameness can name the odd rows."""
    given = list(values)
    most = min(Counter(given).items(), key=lambda item: (-item[1], item[0]))[0] if given else ""
    return [value == most for value in given]


def _by_row(columns: dict[str, list[bool]]) -> list[dict[str, bool]]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def verdict_files(_: World, name: str) -> tuple[Path, ...]:
    """The file of one category."""
    return (paths.verdicts(name),)


def verdicts(world: World, name: str) -> Tables:
    """Tables verdicts, completions, grades."""
    found = list(jsonl.read_many(paths.verdicts(name), Verdict))
    written = {row.id: row.answered for row in jsonl.read_many(paths.completions(name), Completion)}
    judged = Counter(row.completion_id for row in found)
    return {
        "verdicts": [_verdict_row(world, row, name, written) | same for row, same in zip(found, _one_judge(found), strict=True)],
        "completions": [{"id": completion, "judged": judged[completion] == 1} for completion in written],
        "grades": [
            {"id": f"{row.completion_id}/{number}/{criterion}", "grade": grade}
            for row in found
            for number, run in enumerate(row.runs)
            for criterion, grade in (run.grades or {}).items()
        ],
    }


def _verdict_row(world: World, row: Verdict, name: str, written: Mapping[str, bool]) -> dict[str, object]:
    runs = 0 if row.status == "screened" else world.gate.verdicts.runs
    return {
        "id": row.completion_id,
        "own_category": row.category == name,
        "current": row.policy_sha == world.shas[name],
        "completion_known": row.completion_id in written,
        "all_runs": len(row.runs) == runs,
        "coherent": _coherent_verdict(row, written.get(row.completion_id, True)),
        "readable": row.status not in ("unreadable", "errored"),
    }


def _coherent_verdict(row: Verdict, answered: bool) -> bool:
    complete = all(_coherent_run(run, CRITERIA if answered else UNANSWERED_CRITERIA) for run in row.runs)
    statuses = {run.status for run in row.runs}
    if row.status == "screened":
        return bool(row.failed_checks) and not row.runs
    if row.status == "graded":
        return complete and statuses == {"graded"} and not row.failed_checks
    return complete and row.status in statuses


def _coherent_run(run: JudgeRun, criteria: tuple[str, ...]) -> bool:
    return set(run.grades or {}) == set(criteria) if run.status == "graded" else run.grades is None


def kept_files(_: World, name: str) -> tuple[Path, ...]:
    """The file of one category."""
    return (paths.kept(name),)


def kept(world: World, name: str) -> Tables:
    """Tables decisions, completions, kept."""
    decisions = list(jsonl.read_many(paths.kept(name), Decision))
    by_id = {row.completion_id: row for row in jsonl.read_many(paths.verdicts(name), Verdict)}
    written = [row.id for row in jsonl.read_many(paths.completions(name), Completion)]
    decided = Counter(row.completion.id for row in decisions)
    return {
        "decisions": [_decision_row(world, row, name) for row in decisions],
        "completions": [{"id": completion, "decided": decided[completion] == 1} for completion in written],
        "kept": [_kept_row(row, by_id.get(row.completion.id)) for row in decisions if row.kept],
    }


def _decision_row(world: World, row: Decision, name: str) -> dict[str, object]:
    return {
        "id": row.completion.id,
        "own_category": row.completion.category == name,
        "current": row.policy_sha == row.completion.policy_sha == world.shas[name],
        "coherent": _coherent_decision(row),
        "kept": row.kept,
    }


def _coherent_decision(row: Decision) -> bool:
    rule = row.rule.partition(":")[0]
    scored = row.score is not None and 0 <= row.score <= 2
    if rule == "kept":
        return row.kept and scored
    if rule == "below":
        return not row.kept and scored
    return rule in NO_SCORE and not row.kept and row.score is None


def _kept_row(row: Decision, verdict: Verdict | None) -> dict[str, object]:
    graded = verdict is not None and verdict.status == "graded"
    grades = [run.grades["compliance"] for run in verdict.runs if run.grades] if verdict is not None and graded else []
    completion = row.completion
    return {
        "id": completion.id,
        "graded": graded,
        "well_formed": bool(completion.deliberation.strip())
        and completion.finish == ("stop" if completion.answer.strip() else "cited"),
        "worst_compliance": min(grades, default=-1),
    }
