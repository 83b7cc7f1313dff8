"""Files of the pipeline -> `Facts`."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from stages.lib import curves, jsonl, paths, tracking
from stages.lib.errors import StageError
from stages.lib.records import Answer, Decision, Policy, Prompt, Verdict
from stages.report.facts import Arm, DataRow, Facts, Gate, Lineage, Number, share
from stages.report.judging import cites, gold_clauses, is_right, judging

BOUNDARIES = ("policies", "prompts", "completions", "verdicts", "kept", "mixture", "sft", "rl", "evals")
PIPELINE = ("spec", "prompts", "base", "generate", "judge", "filter", "mix", "sft", "rl", "evals", "gate")
"""Rooms whose time is told; reader is frozen and has a page of its own."""


def collect(arms: tuple[str, ...], params: dict[str, Any]) -> Facts:
    """Read everything. Raises StageError naming the file that is missing or torn."""
    policies = {category: jsonl.read_one(paths.policy(category), Policy) for category in params["spec"]["categories"]}
    return Facts(
        release=params["spec"]["release"],
        scale=params["scale"],
        arms=tuple(read_arm(name) for name in arms),
        data=tuple(data_row(category, policy) for category, policy in policies.items()),
        judging=judging(policies),
        gates=tuple(gate(boundary) for boundary in BOUNDARIES),
        training={name: plain(paths.REPORTS / f"{name}.json") for name in ("sft", "rl")},
        curves={name: tuple(plain(curves.file(name))) for name in ("sft", "rl")},
        seconds=stage_seconds(),
        sources=outside(params),
        policies=policies,
        requests=held_out(),
    )


def read_arm(name: str, root: Path = Path()) -> Arm:
    """One arm's numbers, lineage and answers, of the repository at `root`."""
    folder = root / paths.evals(name)
    metrics = {
        suite: {metric: Number(**number) for metric, number in group.items()}
        for suite, group in plain(folder / "metrics.json").items()
    }
    answers = tuple(answer for path in sorted(folder.glob("*.jsonl")) for answer in jsonl.read_many(path, Answer))
    return Arm(name, metrics, jsonl.read_one(folder / "lineage.json", Lineage), answers)


def held_out(root: Path = Path()) -> dict[str, str]:
    """Held-out prompt of ours -> the request it is a wording of."""
    files = sorted((root / paths.DATA / "prompts" / "eval").glob("*.jsonl"))
    return {prompt.id: prompt.request_id for path in files for prompt in jsonl.read_many(path, Prompt)}


def data_row(category: str, policy: Policy) -> DataRow:
    """Count one category, streaming."""
    gold = gold_clauses(category, policy)
    verdicts = {row.completion_id: (row.status, says_right(row)) for row in jsonl.read_many(paths.verdicts(category), Verdict)}
    count: Counter[str] = Counter()
    for row in jsonl.read_many(paths.kept(category), Decision):
        clause = gold.get(row.completion.prompt_id)
        right, cited = is_right(row, policy, clause), cites(row, clause)
        status, judged = verdicts.get(row.completion.id, ("errored", False))
        count.update(["all", status, *(["right"] if right else []), *(["kept"] if row.kept else [])])
        count.update(["cited"] if cited else [])
        count.update([*(["kept right"] if right else []), *(["kept cited"] if cited else [])] if row.kept else [])
        count.update(["agrees"] if status == "graded" and judged == right else [])
    return DataRow(
        category=category,
        completions=count["all"],
        screened=count["screened"],
        unread=count["unreadable"] + count["errored"],
        kept=count["kept"],
        right_before=share(count["right"], count["all"]),
        right_after=share(count["kept right"], count["kept"]),
        clause_before=share(count["cited"], count["all"]),
        clause_after=share(count["kept cited"], count["kept"]),
        judge_agrees=share(count["agrees"], count["graded"]),
    )


def says_right(verdict: Verdict) -> bool:
    """Whether every run found the outcome the policy asks for."""
    return bool(verdict.runs) and all((run.grades or {}).get("compliance") == 2 for run in verdict.runs)


def gate(boundary: str) -> Gate:
    """One gate's report in five numbers."""
    found = plain(paths.gate_report(boundary))
    tables = [findings for part in (found["whole"], *found["names"].values()) for findings in part.values()]
    rows = sum(findings[0]["rows"] for findings in tables if findings)
    return Gate(boundary, bool(found["ok"]), sum(map(len, tables)), rows, len(found["names"]))


def stage_seconds() -> dict[str, float]:
    """Room -> seconds, adding up the latest finished run of each of its parts. What never ran here is absent."""
    rooms: dict[str, list[float]] = {room: [] for room in PIPELINE}
    for stage, numbers in tracking.latest().items():
        rooms.get(stage.partition("@")[0], []).append(numbers["seconds"])
    return {room: sum(values) for room, values in rooms.items() if values}


def outside(params: dict[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """Every outside set: its name here, where it came from, its licence."""
    sources = params.get("source", {})
    return tuple((name, f"{each['name']} {each['version']}".strip(), each["licence"]) for name, each in sorted(sources.items()))


def plain(path: Path) -> Any:
    """A JSON file as plain data."""
    if not path.exists():
        raise StageError(f"{path} does not exist", "run `dvc repro`, which makes it")
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise StageError(f"{path}:{error.lineno}: is no valid JSON: {error.msg}", "delete it and run `dvc repro`") from None
