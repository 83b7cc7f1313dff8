"""From verdicts to decisions."""

from __future__ import annotations

import pytest

from stages.filter.config import Aggregate, Aggregates, FilterConfig, MinScore
from stages.filter.filter import filter_all, summarise
from stages.judge.judge import to_run, to_verdict
from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation
from stages.lib.records import CRITERIA, Decision, JudgeRun, Verdict
from tests.lib import bees

MIN = MinScore(compliance=2, correctness=2, helpfulness=1, reasoning=2)


def run(**grades: int) -> JudgeRun:
    return to_run(Generation(text=bees.verdict_text(**grades), truncated=False), bees.policy())


def verdict(*runs: JudgeRun, failed: tuple[str, ...] = ()) -> Verdict:
    return to_verdict(bees.completion(), failed, runs, "judge")


def over(aggregate: Aggregate, **others: Aggregate) -> Aggregates:
    return Aggregates.model_validate(dict.fromkeys(CRITERIA, aggregate) | others)


def decide(one: Verdict, aggregate: Aggregate | Aggregates = "min", least: MinScore = MIN) -> Decision:
    way = over(aggregate) if isinstance(aggregate, str) else aggregate
    (decision,) = filter_all([bees.completion()], [one], FilterConfig(aggregate=way, min_score=least, min_certainty=0.8))
    return decision


def test_all_runs_must_agree_under_the_minimum() -> None:
    assert (decide(verdict(run(), run(), run())).kept, decide(verdict(run(), run(), run())).score) == (True, 2)
    dropped = decide(verdict(run(), run(), run(compliance=0)))
    assert (dropped.kept, dropped.score, dropped.rule) == (False, 0, "below: compliance")


def test_mean_and_median_are_milder() -> None:
    runs = (run(), run(), run(compliance=1))
    assert decide(verdict(*runs)).rule == "below: compliance"
    assert decide(verdict(*runs), "median").kept
    assert decide(verdict(*runs), "mean").rule == "below: compliance"
    assert decide(verdict(*runs), "mean", MIN.model_copy(update={"compliance": 1.5})).kept


def test_each_criterion_has_its_own_aggregate() -> None:
    most_cite_it = verdict(run(), run(), run(reasoning=0))
    assert decide(most_cite_it).rule == "below: reasoning"
    assert decide(most_cite_it, over("min", reasoning="median")).kept
    assert decide(verdict(run(), run(), run(compliance=0)), over("min", reasoning="median")).rule == "below: compliance"


def test_each_criterion_has_its_own_threshold() -> None:
    assert decide(verdict(run(helpfulness=1))).kept
    assert decide(verdict(run(helpfulness=0))).rule == "below: helpfulness"
    assert decide(verdict(run(reasoning=1))).rule == "below: reasoning"
    off = MinScore(compliance=0, correctness=0, helpfulness=0, reasoning=0)
    assert decide(verdict(run(compliance=0, reasoning=0)), "min", off).kept


def test_every_run_that_weighed_the_clauses_must_be_sure() -> None:
    def sure(certainty: float) -> JudgeRun:
        return run().model_copy(update={"certainty": certainty})

    assert decide(verdict(sure(0.8), sure(1.0), run())).kept
    dropped = decide(verdict(sure(0.79), sure(1.0), run()))
    assert (dropped.kept, dropped.score, dropped.rule) == (False, 2, "below: certainty")
    assert decide(verdict(sure(0.1), run(compliance=0))).rule == "below: compliance"


def test_without_readable_runs_nothing_is_kept_and_nothing_scored() -> None:
    off = MinScore(compliance=0, correctness=0, helpfulness=0, reasoning=0)
    unreadable = to_run(Generation(text="fine!", truncated=False), bees.policy())
    errored = to_run(Generation(text="", truncated=False, error="HTTP 500"), bees.policy())
    cases = [(verdict(run(), unreadable), "unreadable"), (verdict(run(), errored), "errored")]
    for one, rule in [*cases, (verdict(failed=("leak", "length")), "screened: leak")]:
        decision = decide(one, "min", off)
        assert (decision.kept, decision.score, decision.rule) == (False, None, rule)


def test_files_that_do_not_belong_together_are_refused() -> None:
    config = FilterConfig(aggregate=over("min"), min_score=MIN, min_certainty=0.8)
    one, other = bees.completion(), bees.completion(request="Another?")
    fine = verdict(run())
    for completions, verdicts in (
        ([one, other], [fine]),
        ([one], [fine, to_verdict(other, (), (), "judge")]),
        ([one], [fine, fine]),
        ([one, one], [fine]),
        ([one], [fine.model_copy(update={"policy_sha": "old"})]),
    ):
        with pytest.raises(StageError, match="do not belong together"):
            filter_all(completions, verdicts, config)


def test_the_summary_counts_by_rule() -> None:
    completions = [bees.completion(request=f"{number}?") for number in range(3)]
    verdicts = [to_verdict(each, (), (run(compliance=2 * (place > 0)),), "judge") for place, each in enumerate(completions)]
    counts = summarise(filter_all(completions, verdicts, FilterConfig(aggregate=over("min"), min_score=MIN, min_certainty=0.8)))
    assert counts == {"rows": 3, "kept_share": 2 / 3, "kept": 2, "below_compliance": 1}


def test_without_an_answer_compliance_and_reasoning_decide() -> None:
    completion = bees.cited(1)

    def decided(*found: int) -> Decision:
        texts = [Generation(text=bees.found_text(number), truncated=False) for number in found]
        runs = [to_run(text, bees.policy(), completion.deliberation, answered=False) for text in texts]
        config = FilterConfig(aggregate=over("min", reasoning="median"), min_score=MIN, min_certainty=0.8)
        (decision,) = filter_all([completion], [to_verdict(completion, (), runs, "judge")], config)
        return decision

    assert (decided(1, 1, 1).rule, decided(1, 1, 1).score) == ("kept", 2)
    assert decided(1, 1, 2).rule == "below: compliance"
