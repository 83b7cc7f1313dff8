"""Checkpoints -> tables with one column per question: where it came from, what lies in its folder, how training went."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from stages.gate.world import Rows, Tables, World
from stages.lib import curves, jsonl, paths
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.llm.load import model_sha
from stages.lib.records import ModelRef

MADE_OF: dict[str, tuple[Path, ...]] = {
    "sft": (paths.DATA / "sft" / "train.jsonl", paths.DATA / "sft" / "validation.jsonl"),
    "rl": (paths.DATA / "rl" / "tasks.jsonl",),
}
NEEDED = ("config.json", "tokenizer.json", "ref.json")
TEMPLATES = ("chat_template.jinja", "tokenizer_config.json")
PICKLES = {".bin", ".pt", ".pth", ".pkl", ".pickle", ".ckpt", ".joblib", ".npy", ".npz"}


def sft_files(_: World, __: str) -> tuple[Path, ...]:
    """ref.json stands for the checkpoint: it carries the weights' sha, which the gate compares with the weights."""
    return (_ref("sft"), curves.file("sft"))


def rl_files(_: World, __: str) -> tuple[Path, ...]:
    """As for sft."""
    return (_ref("rl"), curves.file("rl"))


def sft(world: World, _: str) -> Tables:
    """Tables lineage, files, needed, curve, trend."""
    curve = _curve("sft", "loss")
    first, last = curves.ends(curve, "loss")
    trend = [{"id": "loss", "ratio": _ratio(last, first)}] if curve else []
    return _checkpoint(world, "sft", "base") | {"curve": curve, "trend": trend}


def rl(world: World, _: str) -> Tables:
    """Tables lineage, files, needed, curve, trend."""
    curve = _curve("rl", "reward")
    unreadable = [row.get("judge/unreadable", 0.0) for row in curve]
    trend = {
        "id": "reward",
        "change": _change([row["reward"] for row in curve]),
        "unreadable": sum(unreadable) / max(1, len(unreadable)),
    }
    return _checkpoint(world, "rl", world.gate.rl.parent) | {"curve": curve, "trend": [trend] if curve else []}


def _checkpoint(world: World, kind: str, parent: str) -> Tables:
    folder = paths.model(kind)
    ref = jsonl.read_one(_ref(kind), ModelRef)
    inside = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "lineage": _lineage(world, kind, parent, ref),
        "files": [
            {"id": path.relative_to(folder).as_posix(), "no_pickle": path.suffix.lower() not in PICKLES} for path in inside
        ],
        "needed": [
            *({"id": name, "exists": (folder / name).is_file()} for name in NEEDED),
            {"id": "*.safetensors", "exists": any(path.suffix == ".safetensors" for path in inside)},
            {"id": "chat template", "exists": _has_template(folder)},
        ],
    }


def _lineage(world: World, kind: str, parent: str, ref: ModelRef) -> Rows:
    parent_sha = jsonl.read_one(_ref(parent), ModelRef).sha
    known = {
        "kind": ref.kind == kind,
        "weights": _weights(kind) == ref.sha,
        paths.model(parent).as_posix(): parent_sha in ref.parents,
    }
    known |= {path.as_posix(): path.is_file() and sha256_file(path) in ref.parents for path in MADE_OF[kind]}
    # A category none of whose rows was kept trained nothing; one that did must have trained on today's policy.
    known |= {
        f"policy {category}": world.policies[category].sha == sha
        for category, sha in ref.policy_shas.items()
        if category in world.policies
    }
    known |= {f"policy {category}": False for category in ref.policy_shas if category not in world.policies}
    known["policies"] = bool(ref.policy_shas)
    return [{"id": name, "recorded": recorded} for name, recorded in known.items()]


def _weights(kind: str) -> str | None:
    folder = paths.model(kind)
    return model_sha(folder) if any(folder.glob("*.safetensors")) else None


def _has_template(folder: Path) -> bool:
    return any(
        "chat_template" in path.name or '"chat_template"' in path.read_text(encoding="utf-8")
        for path in _there(folder, TEMPLATES)
    )


def _there(folder: Path, names: Iterable[str]) -> list[Path]:
    return [folder / name for name in names if (folder / name).is_file()]


def _curve(kind: str, wanted: str) -> list[dict[str, Any]]:
    """Logged steps that carry `wanted`; other log lines (evaluation, summaries) have no place in the curve."""
    path = curves.file(kind)
    try:
        points = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise StageError(f"{path}:{error.lineno}: is no valid JSON", f"delete it and run `dvc repro {kind}`") from None
    return [{**point, "id": str(point["step"])} for point in points if wanted in point]


def _ref(kind: str) -> Path:
    return paths.model(kind) / "ref.json"


def _change(values: list[float]) -> float:
    """Mean of the second half less that of the first, two standard errors given: every step practises on other prompts."""
    half = len(values) // 2
    if not half:
        return 0.0
    halves = (values[:half], values[-half:])
    before, after = map(_mean, halves)
    spread = sum((value - mean) ** 2 for part, mean in zip(halves, (before, after), strict=True) for value in part)
    error = math.sqrt(spread / (2 * half - 2) * 2 / half) if half > 1 else 0.0
    return after - before + 2 * error


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


def _ratio(last: float, first: float) -> float:
    return last / first if first else float("inf")
