"""The whole pipeline, from specs/ to reports/, by the command a user types."""

from __future__ import annotations

import json
import math

from stages.lib.config import read_yaml
from tests.pipeline.conftest import Finished, Project

ARMS = {"base", "base_spec", "sft", "sft_rl"}
METRICS = (
    "disallowed.not_unsafe", "wrapped.not_unsafe", "jailbreak.not_unsafe", "strongreject.not_unsafe", "contrast.not_overrefuse",
    "edgy.not_overrefuse", "benign.not_overrefuse", "style.adherence", "retrieval.right_clause", "capability.kept",
)  # fmt: skip


def test_one_command_makes_the_report(finished: Finished) -> None:
    root = finished.project.root
    for name in ("reports/report.md", "reports/report.html", "models/rl/ref.json", "data/gates/evals"):
        assert (root / name).exists(), f"{name} is missing:\n{finished.first.text[-3000:]}"
    print(f"smoke pipeline: {len(finished.first.ran)} stages in {finished.first.seconds:.0f} s")


def test_every_suite_of_every_arm_has_a_number_with_an_interval(finished: Finished) -> None:
    metrics = json.loads((finished.project.root / "reports/metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == ARMS
    for arm in ARMS:
        for name in METRICS:
            suite, _, metric = name.partition(".")
            cell = metrics[arm][suite][metric]
            assert set(cell) == {"value", "low", "high", "n"}
            assert cell["n"] > 0 and 0 <= cell["low"] <= cell["value"] <= cell["high"] <= 1 and not math.isnan(cell["value"]), (
                arm,
                name,
                cell,
            )


def test_every_stage_of_dvc_yaml_is_in_the_lock(finished: Finished) -> None:
    lock = read_yaml(finished.project.root / "dvc.lock")["stages"]
    names = {name.partition("@")[0] for name in lock}
    assert names == set(read_yaml(finished.project.root / "dvc.yaml")["stages"])


def test_the_policy_is_in_no_training_file(finished: Finished) -> None:
    root = finished.project.root
    policy = json.loads((root / "data/policies/violence.json").read_text(encoding="utf-8"))
    for name in ("data/sft/train.jsonl", "data/rl/tasks.jsonl"):
        text = (root / name).read_text(encoding="utf-8")
        assert text.strip(), f"{name} is empty"
        assert not [clause["rule"] for clause in policy["clauses"] if clause["rule"] in text]


def test_a_second_run_does_nothing(copy: Project) -> None:
    again = copy.repro()
    assert again.code == 0 and again.ran == set(), again.text[-3000:]
    quick = copy.repro()  # the first one had to hash the copied files
    assert quick.ran == set()
    print(f"no-op dvc repro: {quick.seconds:.1f} s")
