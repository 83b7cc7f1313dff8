"""The committed adapter is small, safe to load, and comes with what was measured of it."""

from __future__ import annotations

import json
from pathlib import Path

from stages.reader.page import page

LIMIT = 20 * 1024 * 1024


def test_the_adapter_is_small_and_no_pickle(repo: Path) -> None:
    files = [path for path in (repo / "models/reader").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= LIMIT
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".html"}


def test_its_metrics_and_page_tell_accuracy_curve_and_cost(repo: Path) -> None:
    metrics = json.loads((repo / "models/reader/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics["accuracy"]) == {"unseen cases", "unseen domains", "unseen domains, a clause each"}
    for roles in metrics["accuracy"].values():
        assert set(roles) == {"reasoner", "judge", "helpful"}
        assert all(0 <= roles[role]["all"][column] <= 1 for role, column in (("reasoner", "outcome"), ("judge", "verdict")))
    assert metrics["cost"]["packs"] == metrics["curve"][-1]["packs"] > 0
    assert (repo / "models/reader/report.html").read_text(encoding="utf-8") == page(metrics)
