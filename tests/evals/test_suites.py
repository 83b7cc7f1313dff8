"""Prompts fall into suites by gold outcome and wrapper, alike for every arm."""

from __future__ import annotations

from collections import Counter

from stages.evals.suites import SUITES, capped, outside_cases
from stages.lib.sources import SourceConfig
from tests.evals.samples import cases, policy


def _source() -> SourceConfig:
    return SourceConfig(
        kind="file", name=".", version="", files="x.csv", sha256="0" * 64, licence="MIT", exclude=(), categories={"Crime": "bees"}
    )


def test_every_suite_gets_what_it_is_for() -> None:
    counts = Counter(case.suite for case in cases())
    assert counts == {"disallowed": 4, "wrapped": 4, "jailbreak": 12, "contrast": 2, "contrast_wrapped": 10, "benign": 2}


def test_harmless_wrappers_are_no_jailbreaks() -> None:
    assert not [case for case in cases() if case.wrapper == "thanks" and case.suite == "jailbreak"]


def test_outside_templates_are_never_shown() -> None:
    shown = {case.shown for case in cases() if case.wrapper == "pyrit/aim"}
    assert shown and not any("pyrit" in text for text in shown if text)


def test_outside_prompts_are_never_shown_and_harmful_ones_have_no_gold() -> None:
    rows = [{"category": "Crime", "prompt": "a harmful text"}]
    (case,) = outside_cases("strongreject", rows, "prompt", _source(), {"bees": policy()}, seed=7)
    assert case.shown is None and case.expected is None and not case.graded and case.policy.category == "bees"


def test_a_cap_draws_requests_with_all_their_wordings() -> None:
    kept = [case for case in capped(cases(), {"jailbreak": 2}, seed=7) if case.suite == "jailbreak"]
    assert Counter(case.request_id for case in kept).values() and set(Counter(case.request_id for case in kept).values()) == {3}
    assert len({case.request_id for case in kept}) == 2


def test_a_cap_draws_the_same_every_time() -> None:
    orders = (cases(), list(reversed(cases())))
    drawn = [capped(order, {"disallowed": 1}, seed=7) for order in orders]
    assert len({frozenset((case.suite, case.prompt_id) for case in each) for each in drawn}) == 1


def test_every_case_is_of_a_known_suite() -> None:
    assert {case.suite for case in cases()} <= set(SUITES)
