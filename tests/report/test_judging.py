"""The judge's tables are counts over its verdicts, by gold."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.records import Decision, Policy, Verdict
from stages.report.judging import KINDS, judged, judging
from tests.evals import samples as evals_samples
from tests.report import samples


@pytest.fixture
def policy(project: Path) -> Policy:
    samples.small()
    return evals_samples.policy()


def rewrite(change: object) -> None:
    """Every verdict with its runs replaced by `change(place, run)`."""
    assert callable(change)
    rows = list(jsonl.read_many(paths.verdicts("bees"), Verdict))
    changed = [row.model_copy(update={"runs": tuple(change(place, run) for place, run in enumerate(row.runs))}) for row in rows]
    jsonl.write_many(paths.verdicts("bees"), changed)


def test_agreement_purity_and_yield_are_counted(policy: Policy) -> None:
    rows = list(judged("bees", policy))
    right, passed = [row.kind == KINDS[0] for row in rows], [all(row.passed) for row in rows]
    agrees, purity, kept = judging({"bees": policy}).runs["all runs"]
    assert agrees.n == len(rows) and agrees.value == pytest.approx(
        sum(a == b for a, b in zip(right, passed, strict=True)) / len(rows), abs=1e-4
    )
    both = sum(a and b for a, b in zip(right, passed, strict=True))
    assert purity.value == pytest.approx(both / sum(passed), abs=1e-4) and kept.value == pytest.approx(
        both / sum(right), abs=1e-4
    )
    assert 0 < purity.value < 1


def test_one_run_that_objects_is_enough(policy: Policy) -> None:
    rewrite(lambda place, run: run.model_copy(update={"grades": {**run.grades, "compliance": 0 if place == 2 else 2}}))
    found = judging({"bees": policy})
    assert found.runs["all runs"][2].value == 0 and found.runs["one run"][2].value == 1
    assert found.calibration["2 of 3"].n == found.runs["one run"][0].n and found.calibration["3 of 3"].n == 0
    assert found.kinds["right"].value == 0 and found.kinds["wrong outcome"].value == 1


def test_the_confusion_counts_runs_by_what_they_expected(policy: Policy) -> None:
    rewrite(lambda place, run: run.model_copy(update={"expected": "comply" if place else None}))
    for counts in judging({"bees": policy}).confusion.values():
        assert counts["comply"] == 2 * counts["nothing"] > 0 and counts["refuse"] == 0


def test_an_opening_of_no_style_is_a_kind_of_its_own(policy: Policy) -> None:
    decisions = list(jsonl.read_many(paths.kept("bees"), Decision))
    odd = [row.model_copy(update={"completion": row.completion.model_copy(update={"answer": "Well, no."})}) for row in decisions]
    jsonl.write_many(paths.kept("bees"), odd)
    kinds = judging({"bees": policy}).kinds
    assert kinds["no known opening"].n == len(decisions) and kinds["no known opening"].value == 0 and kinds["right"].n == 0


def test_what_all_runs_passed_is_counted_by_its_least_certain_run(policy: Policy) -> None:
    assert judging({"bees": policy}).certainty == {}
    rewrite(lambda place, run: run.model_copy(update={"certainty": (0.9, 1.0, None)[place]}))
    found = judging({"bees": policy})
    assert {name: number.n for name, number in found.certainty.items() if number.n} == {
        "0.9 to 0.95": found.calibration["3 of 3"].n
    }
    assert found.certainty["0.9 to 0.95"].value == found.runs["all runs"][1].value
    rewrite(lambda place, run: run.model_copy(update={"certainty": 1.0}))
    assert judging({"bees": policy}).certainty["0.95 to 1.0"].n == found.calibration["3 of 3"].n


def test_without_an_answer_it_is_right_by_what_it_cites(policy: Policy) -> None:
    before = judging({"bees": policy}).kinds
    decisions = list(jsonl.read_many(paths.kept("bees"), Decision))
    bare = [
        row.model_copy(update={"completion": row.completion.model_copy(update={"answer": "", "finish": "cited"})})
        for row in decisions
    ]
    jsonl.write_many(paths.kept("bees"), bare)
    rewrite(lambda place, run: run.model_copy(update={"grades": {"compliance": 2, "reasoning": 2}}))
    kinds = judging({"bees": policy}).kinds
    assert kinds["no known opening"].n == 0 and kinds["right"].n > 0 and kinds["right"].value == 1
    assert kinds["right"].n + kinds["wrong outcome"].n == sum(kind.n for kind in before.values())
