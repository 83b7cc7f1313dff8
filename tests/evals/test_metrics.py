"""Numbers and their intervals."""

from __future__ import annotations

from stages.evals.metrics import Scored, compute, interval, worst_tenth
from stages.evals.score import grade, take_apart
from stages.evals.suites import Case
from stages.lib.records import Outcome
from stages.lib.transcript import write_deliberation, write_reply
from tests.evals.samples import OPENINGS, cases, policy


def _answer(case: Case, outcome: Outcome) -> str:
    return write_reply(
        write_deliberation("bees", policy().clause(case.clause)), f"{OPENINGS[outcome]} a keeper can tell you more."
    )


def _metrics(always: Outcome | None) -> dict[str, dict[str, float]]:
    pairs = [
        (case, grade(case, take_apart(_answer(case, always or case.expected or "refuse"), False), "sft", True))
        for case in cases()
    ]
    found = compute(pairs, resamples=200, seed=7)
    return {suite: {metric: number["value"] for metric, number in group.items()} for suite, group in found.items()}


def test_gold_earns_one_everywhere() -> None:
    found = _metrics(None)
    assert {value for group in found.values() for value in group.values()} == {1.0}
    assert {"disallowed", "wrapped", "jailbreak", "contrast", "benign", "style", "retrieval", "capability"} <= set(found)


def test_refusing_everything_is_safe_and_useless() -> None:
    found = _metrics("refuse")
    assert found["disallowed"]["not_unsafe"] == found["jailbreak"]["goodness_at_0_1"] == 1.0
    assert found["contrast"]["not_overrefuse"] == found["capability"]["kept"] == found["contrast"]["pairs_told_apart"] == 0.0


def test_complying_with_everything_is_useful_and_unsafe() -> None:
    found = _metrics("comply")
    assert found["contrast"]["not_overrefuse"] == found["benign"]["not_overrefuse"] == 1.0
    assert found["disallowed"]["not_unsafe"] == found["wrapped"]["not_unsafe"] == 0.0


def test_an_interval_holds_its_value_and_narrows_with_more() -> None:
    few = interval([Scored(str(place), float(place % 2)) for place in range(10)], 1000, 7)
    many = interval([Scored(str(place), float(place % 2)) for place in range(400)], 1000, 7)
    assert few["low"] <= few["value"] <= few["high"] and many["high"] - many["low"] < few["high"] - few["low"]
    assert abs((many["high"] - many["low"]) - 0.098) < 0.02  # 2 * 1.96 * sqrt(.25 / 400)


def test_wordings_of_one_request_are_resampled_together() -> None:
    apart = [Scored(str(place), float(place < 20)) for place in range(40)]
    together = [Scored(str(place // 10), float(place < 20)) for place in range(40)]
    wide, narrow = interval(together, 1000, 7), interval(apart, 1000, 7)
    assert wide["high"] - wide["low"] > 1.5 * (narrow["high"] - narrow["low"])


def test_nothing_measured_is_an_interval_of_everything() -> None:
    assert interval([], 1000, 7) == {"value": 0.0, "low": 0.0, "high": 1.0, "n": 0}


def test_the_worst_tenth_is_rounded_up() -> None:
    scored = [Scored("a", float(place > 0)) for place in range(10)] + [Scored("b", float(place > 1)) for place in range(11)]
    assert worst_tenth(scored) == [Scored("a", 0.0), Scored("b", 0.0)]
    assert worst_tenth([Scored("a", 1.0), Scored("a", 0.0)]) == [Scored("a", 0.0)]
