"""From completions to verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from stages.judge.config import JudgeConfig
from stages.judge.judge import agreement, judge_all, summarise
from stages.lib.checks import CheckLimits
from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request
from stages.lib.llm.scripted import Scripted
from stages.lib.policy_text import SOMETHING_ELSE
from stages.lib.records import Clause, Completion, Policy, Verdict
from stages.lib.transcript import write_deliberation
from tests.lib import bees

CONFIG = JudgeConfig(
    k=3,
    reads_deliberation=True,
    sampling=bees.SAMPLING,
    min_certainty=0.5,
    checks=CheckLimits(min_answer_words=3, max_answer_words=40),
)


def judge(
    completions: list[Completion], backend: Scripted, policy: Policy | None = None, config: JudgeConfig = CONFIG
) -> list[Verdict]:
    return judge_all(completions, policy or bees.policy(), backend, config, "brief", 7)


def good(count: int = 2) -> list[Completion]:
    return [bees.completion(request=f"How do I get honey out of hive {number}?") for number in range(count)]


def test_every_run_is_kept_raw() -> None:
    texts = iter([bees.verdict_text(compliance=grade) for grade in (2, 1, 0)])
    (verdict,) = judge(good(1), Scripted(lambda request: next(texts)))
    assert verdict.status == "graded"
    assert [run.grades and run.grades["compliance"] for run in verdict.runs] == [2, 1, 0]
    assert [run.text for run in verdict.runs] == [bees.verdict_text(compliance=grade) for grade in (2, 1, 0)]


def test_each_run_sees_another_order_of_clauses_and_shares_it_over_the_batch() -> None:
    backend = Scripted(lambda request: bees.verdict_text())
    judge(good(4), backend)
    systems = [request.messages[0].content for request in backend.asked]
    assert [len(set(systems[start : start + 4])) for start in (0, 4, 8)] == [1, 1, 1]
    orders = {tuple(re.findall(r"^- .+, clause (BE\d):", system, re.MULTILINE)) for system in systems}
    assert len(orders) > 1


def test_an_example_of_the_policy_is_judged_by_the_clause_that_gives_it() -> None:
    policy, backend = bees.policy_with_example(), Scripted(lambda request: bees.verdict_text())
    completion = bees.completion(request=bees.EXAMPLE).model_copy(update={"policy_sha": policy.sha})
    (verdict,) = judge([completion], backend, policy)
    assert verdict.status == "graded"
    assert all("BE1" in request.messages[0].content and "BE2" not in request.messages[0].content for request in backend.asked)


def test_a_completion_that_fails_a_check_costs_no_call() -> None:
    backend = Scripted(lambda request: bees.verdict_text())
    bad, fine = judge([bees.completion("no think block"), *good(1)], backend)
    assert (bad.status, bad.failed_checks, bad.runs) == ("screened", ("format",), ())
    assert fine.status == "graded" and len(backend.asked) == CONFIG.k


@pytest.mark.parametrize(
    ("generation", "status"),
    [
        (Generation(text="Thought process:", truncated=False), "unreadable"),
        (Generation(text="", truncated=False), "unreadable"),
        (Generation(text=bees.verdict_text(), truncated=True), "unreadable"),
        (Generation(text="", truncated=False, error="HTTP 500"), "errored"),
    ],
)
def test_a_bad_run_is_never_a_score(generation: Generation, status: str) -> None:
    answers = iter([Generation(text=bees.verdict_text(), truncated=False), generation, generation])
    (verdict,) = judge(good(1), Scripted(lambda request: next(answers)))
    assert verdict.status == status
    assert [run.status for run in verdict.runs] == ["graded", status, status]
    assert all(run.grades is None for run in verdict.runs[1:])


def test_the_judge_sees_the_deliberation() -> None:
    backend = Scripted(lambda request: bees.verdict_text())
    judge(good(1), backend)
    assert "thinking: The request: getting honey." in backend.asked[0].messages[1].content


BLIND = CONFIG.model_copy(update={"reads_deliberation": False})


def blind_verdict(number: int) -> str:
    return "\n".join(line for line in bees.verdict_text(number).splitlines() if not line.startswith("reasoning"))


def test_a_judge_that_is_not_to_read_the_deliberation_is_never_shown_it() -> None:
    backend = Scripted(lambda request: blind_verdict(1))
    (verdict,) = judge([bees.completion(bees.reply(1))], backend, config=BLIND)
    assert verdict.status == "graded" and len(backend.asked) == 3
    deliberation = "getting honey"
    assert all(deliberation not in message.content for request in backend.asked for message in request.messages)


@pytest.mark.parametrize(("config", "written"), [(CONFIG, bees.verdict_text), (BLIND, blind_verdict)])
def test_the_judge_is_given_the_form_of_a_verdict_on_the_part_that_is_shown(
    config: JudgeConfig, written: Callable[[int], str]
) -> None:
    policy, backend = bees.policy_with_example(), Scripted(lambda request: written(1))
    completions = [bees.completion(bees.reply(1), request=request) for request in (bees.EXAMPLE, "How do I get the honey out?")]
    judge([one.model_copy(update={"policy_sha": policy.sha}) for one in completions], backend, policy, config)
    forms = ["|".join(request.forms) for request in backend.asked]
    assert all(re.fullmatch(form, written(1)) for form in forms)
    assert ["BE2" in form for form in forms] == [False, True] * 3


@pytest.mark.parametrize(
    ("cited", "found", "grade"),
    [
        (bees.CLAUSES[0], bees.CLAUSES[0], 2),
        (bees.CLAUSES[0].model_copy(update={"id": "BE9"}), bees.CLAUSES[0], 1),
        (bees.CLAUSES[1], bees.CLAUSES[0], 0),
        (None, bees.CLAUSES[0], 0),
    ],
)
def test_an_unread_deliberation_is_graded_by_what_the_judge_found(cited: Clause | None, found: Clause, grade: int) -> None:
    assert agreement(write_deliberation(None, cited), found.id, found.outcome) == grade


def test_one_run_that_finds_another_clause_grades_the_reasoning_down() -> None:
    texts = iter([blind_verdict(1), blind_verdict(1), blind_verdict(2)])
    (verdict,) = judge([bees.completion(bees.reply(1))], Scripted(lambda request: next(texts)), config=BLIND)
    assert [run.grades and run.grades["reasoning"] for run in verdict.runs] == [2, 2, 0]


def test_verdicts_keep_the_order_of_completions() -> None:
    def by_hive(request: Request) -> str:
        return bees.verdict_text(helpfulness=int("hive 1" in request.messages[1].content))

    completions = [good(3)[1], bees.completion("broken"), good(3)[0]]
    verdicts = judge(completions, Scripted(by_hive))
    assert [verdict.completion_id for verdict in verdicts] == [completion.id for completion in completions]
    assert [[run.grades and run.grades["helpfulness"] for run in verdict.runs] for verdict in verdicts] == [[1] * 3, [], [0] * 3]


def test_completions_of_another_policy_are_refused() -> None:
    with pytest.raises(StageError, match="another policy"):
        judge(good(), Scripted(), bees.policy(title="Wasps"))


def test_the_summary_counts() -> None:
    verdicts = judge([bees.completion("no think block"), *good()], Scripted(lambda request: bees.verdict_text()))
    counts = summarise(verdicts)
    assert (counts["rows"], counts["graded"], counts["screened"], counts["failed_format"], counts["runs_agree"]) == (
        3,
        2,
        1,
        1,
        1.0,
    )


def test_a_completion_whose_generator_was_unsure_costs_no_call() -> None:
    backend = Scripted(lambda request: bees.verdict_text())
    sure, unsure, unknown = good(3)
    rows = [sure.model_copy(update={"certainty": 0.5}), unsure.model_copy(update={"certainty": 0.49}), unknown]
    verdicts = judge(rows, backend)
    assert [verdict.failed_checks for verdict in verdicts] == [(), ("certainty",), ()]
    assert [len(verdict.runs) for verdict in verdicts] == [CONFIG.k, 0, CONFIG.k]


def test_a_run_says_how_sure_the_judge_is_of_the_outcome_whatever_the_order_of_the_clauses() -> None:
    by_title = {bees.CLAUSES[0].title: 0.5, bees.CLAUSES[1].title: 0.1, bees.CLAUSES[2].title: 0.1, SOMETHING_ELSE: 0.3}

    def weighed(request: Request) -> Generation:
        titles = [line[2:-1] for line in request.questions.splitlines()[1:]]
        number = 1 if "hive 0" in request.messages[1].content else 2
        return Generation(text=bees.verdict_text(number), truncated=False, shares=tuple(by_title[title] for title in titles))

    refusing, complying = judge(good(), Scripted(weighed))
    assert [run.certainty for run in refusing.runs] == [0.5] * 3
    assert [run.certainty for run in complying.runs] == [0.4] * 3, "a request that no clause covers is answered, too"


@pytest.mark.parametrize("sighted", [True, False])
@pytest.mark.parametrize(("found", "grades"), [(1, (2, 2)), (2, (0, 0)), (None, (0, 0))])
def test_without_an_answer_the_judge_finds_the_clause_and_never_sees_what_was_cited(
    found: int | None, grades: tuple[int, int], sighted: bool
) -> None:
    backend = Scripted(lambda request: bees.found_text(found))
    (verdict,) = judge([bees.cited(1)], backend, config=CONFIG.model_copy(update={"reads_deliberation": sighted}))
    assert verdict.status == "graded"
    assert [run.grades for run in verdict.runs] == [dict(zip(("compliance", "reasoning"), grades, strict=True))] * 3
    asked = "\n".join(message.content for request in backend.asked for message in request.messages[1:])
    assert "BE1" not in asked and "think" not in asked


def test_a_cited_neighbour_with_the_same_outcome_complies_but_reasons_less() -> None:
    twin = bees.CLAUSES[0].model_copy(update={"id": "BE9", "title": "selling stolen honey"})
    policy = bees.policy(clauses=(*bees.CLAUSES, twin))
    said = bees.found_text(1).replace("stealing honey from a hive, clause BE1", "selling stolen honey, clause BE9")
    completion = bees.cited(1).model_copy(update={"policy_sha": policy.sha})
    (verdict,) = judge([completion], Scripted(lambda request: said), policy)
    assert [run.grades for run in verdict.runs] == [{"compliance": 2, "reasoning": 1}] * 3
