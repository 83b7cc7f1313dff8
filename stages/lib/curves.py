"""A training curve: one point a logged step, kept as `data/curves/<stage>.json` for DVC's plots, the gates and the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import jsonl, paths

Points = Sequence[Mapping[str, float]]
_TIMING = re.compile(r"runtime|per_second|_time$|^profiling|total_flos|num_tokens|^epoch$")
"""What differs between two equal runs, one of them resumed, has no place in a curve that DVC compares."""


def file(stage: str) -> Path:
    """Where a stage's curve lies."""
    return paths.DATA / "curves" / f"{stage}.json"


def finite(logs: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a log line that are numbers, timings left out."""
    numbers = {name: value for name, value in logs.items() if isinstance(value, (int, float)) and not _TIMING.search(name)}
    return {name: float(value) for name, value in numbers.items() if math.isfinite(value)}


def points(history: Sequence[Mapping[str, Any]], before: int = 0) -> list[dict[str, float]]:
    """A trainer's log, one point a step; evaluation joins the step it was made at. A resumed run has all of it.

    `before` steps of other runs stand before it in the same curve.
    """
    found: dict[int, dict[str, float]] = {}
    for entry in history:
        if not any(name.startswith("train_") for name in entry):  # the closing summary repeats the last step
            step = before + int(entry["step"])
            found.setdefault(step, {"step": step}).update(finite({**entry, "step": None}))
    return [found[step] for step in sorted(found)]


def write(stage: str, logged: Points) -> None:
    """The stage's curve, whole."""
    jsonl.write_json(file(stage), list(logged))


def ends(logged: Points, name: str) -> tuple[float, float]:
    """Means of the first and the last quarter of the steps that have `name`: single steps are noise. Zeros when none has."""
    values = [point[name] for point in logged if name in point]
    quarter = max(1, len(values) // 4)
    if not values:
        return (0.0, 0.0)
    return round(sum(values[:quarter]) / quarter, 6), round(sum(values[-quarter:]) / quarter, 6)


def mean(logged: Points, name: str) -> float:
    """Mean of the steps that have `name`; 0 when none has."""
    values = [point[name] for point in logged if name in point]
    return round(sum(values) / len(values), 6) if values else 0.0
