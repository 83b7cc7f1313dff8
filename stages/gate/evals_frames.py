"""Graded answers of one arm -> tables with one column per question."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from stages.gate.overlap import words
from stages.gate.world import Rows, Tables, World
from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.records import Answer

METRICS = "metrics.json"


def files(world: World, arm: str) -> tuple[Path, ...]:
    """The numbers and the answers behind them."""
    return (paths.evals(arm) / METRICS, *(paths.evals(arm) / f"{suite}.jsonl" for suite in world.gate.evals.suites))


def evals(world: World, arm: str) -> Tables:
    """Tables suites, metrics, answers."""
    limits = world.gate.evals
    answers = {suite: list(jsonl.read_many(paths.evals(arm) / f"{suite}.jsonl", Answer)) for suite in limits.suites}
    outside = {words(text) for texts in world.outside().values() for text in texts}
    return {
        "suites": [{"id": suite, "enough": len(answers[suite]) >= least} for suite, least in limits.suites.items()],
        "metrics": _metrics(arm, limits.metrics),
        "answers": [
            _answer(row, arm, suite, suite in limits.outside, outside) for suite, rows in answers.items() for row in rows
        ],
    }


def malformed(tables: Tables) -> dict[str, float]:
    """Suite -> share of malformed replies, for the report."""
    total = Counter(row["suite"] for row in tables["answers"])
    bad = Counter(row["suite"] for row in tables["answers"] if row["finish"] == "malformed")
    return {suite: round(bad[suite] / total[suite], 4) for suite in sorted(total)}


def _metrics(arm: str, names: tuple[str, ...]) -> Rows:
    path = paths.evals(arm) / METRICS
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise StageError(f"{path}:{error.lineno}: is no valid JSON", f"delete it and run `dvc repro evals@{arm}`") from None
    return [_metric(name, found) for name in names]


def _metric(name: str, found: dict[str, dict[str, dict[str, float]]]) -> dict[str, Any]:
    suite, _, metric = name.partition(".")
    number = found.get(suite, {}).get(metric, {})
    return {"id": name, "reported": bool(number), **{key: number.get(key) for key in ("value", "low", "high", "n")}}


def _answer(row: Answer, arm: str, suite: str, outside_suite: bool, outside: set[tuple[str, ...]]) -> dict[str, Any]:
    stored = [text for text in (row.request, row.deliberation) if text]
    # A template of somebody else's is outside text too: only our request in it may be shown.
    copied = outside_suite and (row.request is not None or row.deliberation != "")
    return {
        "id": row.id,
        "suite": suite,
        "own_arm": row.arm == arm,
        "own_suite": row.suite == suite,
        "scored": bool(row.scores) and all(0 <= score <= 1 for score in row.scores.values()),
        "finish": row.finish,
        "nothing_outside": not copied and not any(contains(words(text), outside) for text in stored),
    }


def contains(said: tuple[str, ...], texts: set[tuple[str, ...]]) -> bool:
    """Whether one of these texts stands whole in what was said."""
    lengths = {len(text) for text in texts if text}
    return any(said[start : start + length] in texts for length in lengths for start in range(len(said) - length + 1))
