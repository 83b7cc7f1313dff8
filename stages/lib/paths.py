"""The only place where a data path is spelled. All are relative to the repository root, where DVC runs every stage."""

from __future__ import annotations

import os
from pathlib import Path

SPECS = Path("specs")
DATA = Path("data")
MODELS = Path("models")
REPORTS = Path("reports")
PARAMS = Path("params.yaml")


def policy(category: str) -> Path:
    """spec(category) as data."""
    return DATA / "policies" / f"{category}.json"


def prompts(split: str, category: str) -> Path:
    """Prompts of one split and category (`benign` counts as a category here)."""
    return DATA / "prompts" / split / f"{category}.jsonl"


def completions(category: str) -> Path:
    """Generated replies of one category."""
    return DATA / "completions" / f"{category}.jsonl"


def verdicts(category: str) -> Path:
    """Raw verdicts of one category."""
    return DATA / "verdicts" / f"{category}.jsonl"


def kept(category: str) -> Path:
    """Decisions of one category, kept and dropped alike."""
    return DATA / "kept" / f"{category}.jsonl"


def stamp(boundary: str, name: str) -> Path:
    """The gate's word that `name` passed at `boundary`: the sha of the checked file."""
    return DATA / "gates" / boundary / f"{name}.ok"


def gate_report(boundary: str) -> Path:
    """The gate's deterministic report."""
    return REPORTS / "gates" / f"{boundary}.json"


def model(name: str) -> Path:
    """A checkpoint folder."""
    return MODELS / name


def evals(arm: str) -> Path:
    """Folder of one arm's graded answers and metrics."""
    return DATA / "evals" / arm


def cache() -> Path:
    """Requests already paid and trainer checkpoints: outside every DVC out, shared by experiments through `DA_CACHE_DIR`."""
    return Path(os.environ.get("DA_CACHE_DIR", ".cache")).absolute()
