"""For each suite up to kept: plant the defect it exists for, see the gate shut and the rows named."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.lib import jsonl, paths
from stages.lib.records import Completion, Decision, JudgeRun, Message, Policy, Prompt, Verdict
from tests.gate import house

NAME = "violence"


def change(rows: list[Any], place: int = 0, **values: Any) -> list[Any]:
    """One row with other values."""
    return [row.model_copy(update=values) if number == place else row for number, row in enumerate(rows)]


def with_policy(**values: Any) -> None:
    """The policy with other values."""
    jsonl.write_one(paths.policy(NAME), jsonl.read_one(paths.policy(NAME), Policy).model_copy(update=values))


def with_clause(**values: Any) -> None:
    """The policy with its first clause changed."""
    with_policy(clauses=tuple(change(list(house.policy(NAME).clauses), **values)))


POLICY_DEFECTS: list[tuple[Callable[[], None], str, str]] = [
    (lambda: with_policy(clauses=house.policy(NAME).clauses[:2]), "row_count", "observed 2"),
    (lambda: with_clause(id="VI2"), "to_be_unique id", "VI2"),
    (lambda: with_clause(id="first clause"), "match_regex id", "first clause"),
    (lambda: with_clause(title="violence topic comply"), "to_be_unique title", "VI1, VI2"),
    (lambda: with_clause(rule="  "), "match_regex rule", "VI1"),
    (lambda: with_clause(examples=()), "between examples", "VI1"),
    (lambda: with_clause(outcome="comply"), "contain_set outcome", "one outcome"),
    (lambda: with_policy(style={"refuse": house.policy(NAME).style["refuse"]}), "contain_set id", "style"),
    (
        lambda: with_policy(style=dict.fromkeys(house.OUTCOMES, house.policy(NAME).style["refuse"])),
        "unique opening",
        "comply, refuse",
    ),
    (lambda: with_policy(category="illicit"), "own_name", NAME),
    (lambda: with_policy(others={}), "knows_others", NAME),
]


@pytest.mark.parametrize(("plant", "check", "named"), POLICY_DEFECTS)
def test_policies(home: Path, repo: Path, plant: Callable[[], None], check: str, named: str) -> None:
    plant()
    assert_line(house.failures(repo, "policies"), check, named)


def assert_line(said: str, check: str, *named: str) -> None:
    """One line of the gate's words is about this check and names these rows."""
    lines = [line for line in said.splitlines() if check in line]
    assert any(all(name in line for name in named) for line in lines), said or "the gate opened"


def plant_prompt(where: str, text: str, like: Prompt, **values: Any) -> Prompt:
    """Add a prompt with this text; returns it."""
    planted = like.model_copy(update={"id": f"planted-{where}", "messages": (Message(role="user", content=text),), **values})
    house.edit(paths.prompts(where, NAME), Prompt, lambda rows: [*rows, planted])
    return planted


def test_prompts_an_evaluation_request_in_another_wording_among_train(home: Path, repo: Path) -> None:
    held_out = house.prompt(NAME, "eval", 2)
    plant_prompt("train", "A quite different wording", held_out, split="train", request_id=held_out.request_id)
    said = house.failures(repo, "prompts")
    assert_line(said, "request_apart", held_out.id)
    assert "text_apart" not in said and "words_apart" not in said


def test_prompts_the_same_text_in_another_category(home: Path, repo: Path) -> None:
    short = plant_prompt("eval", "Short and sweet!", house.prompt(NAME, "eval", 1), request_id="r-eval")
    same = short.model_copy(update={"id": "t", "category": "illicit", "clause": "IL1", "split": "train", "request_id": "r-train"})
    same = same.model_copy(update={"messages": (Message(role="user", content="short,  and SWEET"),)})
    house.edit(paths.prompts("train", "illicit"), Prompt, lambda rows: [*rows, same])
    assert_line(house.failures(repo, "prompts"), "text_apart", short.id)


def test_prompts_eight_words_in_a_row(home: Path, repo: Path) -> None:
    held_out = house.prompt(NAME, "eval", 3)
    plant_prompt("train", f"Hi. {held_out.messages[0].content.replace(' please', '')} today", house.prompt(NAME, "train", 1))
    said = house.failures(repo, "prompts")
    assert_line(said, "words_apart", held_out.id)
    assert "text_apart" not in said


def test_prompts_a_shared_wrapper_is_no_overlap_but_a_held_out_one_is(home: Path, repo: Path) -> None:
    held_out = house.prompt(NAME, "eval", 0, "night-game")
    house.edit(paths.prompts("eval", NAME), Prompt, lambda rows: [*rows, held_out])
    assert_line(house.failures(repo, "prompts"), "words_apart", held_out.id)  # its words are the train wrapper's but for one


def test_prompts_words_of_an_outside_set(home: Path, repo: Path) -> None:
    plant_prompt("train", f"Please: {house.OUTSIDE} now", house.prompt(NAME, "train", 1))
    found = house.report(repo, "prompts")
    assert_line("\n".join(found.failures()), "outside: column_values_to_be_in_set words_apart", "strongreject#0")


def test_prompts_of_the_earlier_turns_too(home: Path, repo: Path) -> None:
    held_out = house.prompt(NAME, "eval", 4)
    turns = (*held_out.messages, Message(role="assistant", content="No."), Message(role="user", content="And now?"))
    house.edit(paths.prompts("train", NAME), Prompt, lambda rows: change(rows, messages=turns))
    assert_line(house.failures(repo, "prompts"), "words_apart", held_out.id)


PROMPT_DEFECTS: list[tuple[Callable[[list[Prompt]], list[Prompt]], str]] = [
    (lambda rows: [*rows, rows[0]], "to_be_unique id"),
    (lambda rows: change(rows, category="illicit"), "own_category"),
    (lambda rows: change(rows, split="eval"), "own_split"),
    (lambda rows: change(rows, messages=(*rows[0].messages, Message(role="assistant", content="x"))), "ends_on_user"),
    (lambda rows: change(rows, clause="VI9"), "clause_known"),
    (lambda rows: change(rows, wrapper="w", wrapper_kind="plain"), "wrapper_coherent"),
]


@pytest.mark.parametrize(("plant", "check"), PROMPT_DEFECTS)
def test_prompts_rows(home: Path, repo: Path, plant: Callable[[list[Prompt]], list[Prompt]], check: str) -> None:
    first = next(jsonl.read_many(paths.prompts("train", NAME), Prompt)).id
    house.edit(paths.prompts("train", NAME), Prompt, plant)
    assert_line(house.failures(repo, "prompts"), f"{NAME}/train: ", check, first)


def test_prompts_a_clause_nobody_asks_about(home: Path, repo: Path) -> None:
    house.edit(paths.prompts("eval", NAME), Prompt, lambda rows: [row for row in rows if row.clause != "VI2"])
    assert_line(house.failures(repo, "prompts"), "covered", "VI2/eval")
    assert "covered" not in house.failures(repo, "prompts", prompts={"min_rows": 3, "clause_coverage": 0.8})


COMPLETION_DEFECTS: list[tuple[Callable[[list[Completion]], list[Completion]], str]] = [
    (lambda rows: change(rows, policy_sha="yesterday"), "current"),
    (lambda rows: change(rows, model="another"), "one_model"),
    (lambda rows: change(rows, template_sha="another"), "one_template"),
    (lambda rows: change(rows, sampling=rows[0].sampling.model_copy(update={"temperature": 0.0})), "one_sampling"),
    (lambda rows: [*rows, rows[0].model_copy(update={"answer": "twice"})], "to_be_unique slot"),
    (lambda rows: change(rows, prompt_id="gone"), "prompt_known"),
    (lambda rows: change(rows, category="illicit"), "own_category"),
    (lambda rows: change(rows, answer="<THINK>secret</think>yes"), "answer_apart"),
    (
        lambda rows: [row.model_copy(update={"finish": "malformed"}) if place < 4 else row for place, row in enumerate(rows)],
        "in_set finish",
    ),
]


@pytest.mark.parametrize(("plant", "check"), COMPLETION_DEFECTS)
def test_completions(home: Path, repo: Path, plant: Callable[[list[Completion]], list[Completion]], check: str) -> None:
    first = next(jsonl.read_many(paths.completions(NAME), Completion)).id
    house.edit(paths.completions(NAME), Completion, plant)
    assert_line(house.failures(repo, "completions"), check, first)


def test_completions_a_lost_reply(home: Path, repo: Path) -> None:
    lost = next(jsonl.read_many(paths.completions(NAME), Completion))
    house.edit(paths.completions(NAME), Completion, lambda rows: rows[1:])
    assert_line(house.failures(repo, "completions"), "complete", lost.prompt_id)


def test_completions_a_prompt_that_is_not_asked_needs_none(home: Path, repo: Path) -> None:
    lost = next(jsonl.read_many(paths.completions(NAME), Completion))
    house.edit(paths.completions(NAME), Completion, lambda rows: rows[1:])
    house.edit(
        paths.prompts("train", NAME),
        Prompt,
        lambda rows: [row.model_copy(update={"asked": row.id != lost.prompt_id}) for row in rows],
    )
    assert house.failures(repo, "completions") == ""


def test_completions_a_few_malformed_replies_pass_and_are_counted(home: Path, repo: Path) -> None:
    first = next(jsonl.read_many(paths.completions(NAME), Completion)).id
    house.edit(paths.completions(NAME), Completion, lambda rows: change(rows, finish="malformed"))
    found = house.report(repo, "completions")
    finding = next(each for each in found.names[NAME]["completions"] if each.check.endswith("in_set finish"))
    assert found.ok and finding.unexpected == 1 and finding.ids == (first,)


UNREAD = JudgeRun(status="unreadable", text="mumble")
UNREADABLE = {"status": "unreadable", "runs": (UNREAD,) * 3}
ONE_GRADE = {"grades": {"compliance": 2}}


def run_with(verdict: Verdict, grade: int) -> tuple[JudgeRun, ...]:
    """Its runs, one grade of the first changed."""
    first = verdict.runs[0]
    return (first.model_copy(update={"grades": {**(first.grades or {}), "compliance": grade}}), *verdict.runs[1:])


VERDICT_DEFECTS: list[tuple[Callable[[list[Verdict]], list[Verdict]], str]] = [
    (lambda rows: change(rows, policy_sha="yesterday"), "current"),
    (lambda rows: change(rows, runs=rows[0].runs[:2]), "all_runs"),
    (lambda rows: change(rows, status="screened", failed_checks=("length",)), "all_runs"),
    (lambda rows: change(rows, runs=run_with(rows[0], 3)), "in_set grade"),
    (lambda rows: change(rows, runs=(UNREAD, *rows[0].runs[1:])), "coherent"),
    (lambda rows: change(rows, runs=(rows[0].runs[0].model_copy(update=ONE_GRADE), *rows[0].runs[1:])), "coherent"),
    (lambda rows: change(rows, runs=(UNREAD.model_copy(update=ONE_GRADE),) * 3, status="unreadable"), "coherent"),
    (lambda rows: [row.model_copy(update=UNREADABLE) if n < 4 else row for n, row in enumerate(rows)], "readable"),
    (lambda rows: change(rows, judge="another"), "one_judge"),
    (lambda rows: change(rows, category="illicit"), "own_category"),
    (lambda rows: [*rows, rows[0]], "to_be_unique id"),
    (lambda rows: rows[1:], "judged"),
]


def cite_alone(rows: list[Completion]) -> list[Completion]:
    """The first completion without its answer, as if none had been asked for."""
    return change(rows, answer="", finish="cited")


def test_verdicts_without_an_answer_grade_what_there_is(home: Path, repo: Path) -> None:
    house.edit(paths.completions(NAME), Completion, cite_alone)
    first = next(jsonl.read_many(paths.completions(NAME), Completion)).id
    assert_line(house.failures(repo, "verdicts"), "coherent", first)

    def bare(rows: list[Verdict]) -> list[Verdict]:
        place = next(place for place, row in enumerate(rows) if row.completion_id == first)
        runs = tuple(run.model_copy(update={"grades": {"compliance": 2, "reasoning": 2}}) for run in rows[place].runs)
        return change(rows, place, runs=runs)

    house.edit(paths.verdicts(NAME), Verdict, bare)
    assert "coherent" not in house.failures(repo, "verdicts")


@pytest.mark.parametrize(("plant", "check"), VERDICT_DEFECTS)
def test_verdicts(home: Path, repo: Path, plant: Callable[[list[Verdict]], list[Verdict]], check: str) -> None:
    first = next(jsonl.read_many(paths.verdicts(NAME), Verdict)).completion_id
    house.edit(paths.verdicts(NAME), Verdict, plant)
    assert_line(house.failures(repo, "verdicts"), check, first)


def test_verdicts_on_a_completion_that_is_gone(home: Path, repo: Path) -> None:
    house.edit(paths.verdicts(NAME), Verdict, lambda rows: [*rows, rows[0].model_copy(update={"completion_id": "ghost"})])
    assert_line(house.failures(repo, "verdicts"), "completion_known", "ghost")


def test_verdicts_of_a_judge_that_always_says_the_same(home: Path, repo: Path) -> None:
    def constant(rows: list[Verdict]) -> list[Verdict]:
        return [row.model_copy(update={"runs": house.verdict_runs(2)}) for row in rows]

    house.edit(paths.verdicts(NAME), Verdict, constant)
    assert_line(house.failures(repo, "verdicts"), "unique_value_count_to_be_between grade", "observed 1")


DECISION_DEFECTS: list[tuple[Callable[[list[Decision]], list[Decision]], str]] = [
    (lambda rows: change(rows, policy_sha="yesterday"), "current"),
    (lambda rows: change(rows, completion=rows[0].completion.model_copy(update={"policy_sha": "yesterday"})), "current"),
    (lambda rows: change(rows, kept=not rows[0].kept), "coherent"),
    (lambda rows: change(rows, score=None), "coherent"),
    (lambda rows: change(rows, rule="unreadable", kept=False), "coherent"),
    (lambda rows: change(rows, rule="because"), "coherent"),
    (lambda rows: [row.model_copy(update={"kept": False, "rule": "below: compliance"}) for row in rows], "in_set kept"),
    (lambda rows: [row.model_copy(update={"kept": True, "rule": "kept"}) for row in rows], "in_set kept"),
    (lambda rows: [*rows, rows[0]], "to_be_unique id"),
    (lambda rows: rows[1:], "decided"),
]


@pytest.mark.parametrize(("plant", "check"), DECISION_DEFECTS)
def test_kept(home: Path, repo: Path, plant: Callable[[list[Decision]], list[Decision]], check: str) -> None:
    first = next(jsonl.read_many(paths.kept(NAME), Decision)).completion.id
    house.edit(paths.kept(NAME), Decision, plant)
    assert_line(house.failures(repo, "kept"), check, first)


def test_kept_too_few(home: Path, repo: Path) -> None:
    assert_line(house.failures(repo, "kept", kept={"min_kept": 100}), f"{NAME}/kept", "row_count", "observed 8")


def test_kept_what_a_run_of_the_judge_called_wrong(home: Path, repo: Path) -> None:
    wrong = next(row for row in jsonl.read_many(paths.kept(NAME), Decision) if not row.kept)

    def keep(rows: list[Decision]) -> list[Decision]:
        return [row.model_copy(update={"kept": True, "rule": "kept"}) if row == wrong else row for row in rows]

    house.edit(paths.kept(NAME), Decision, keep)
    assert_line(house.failures(repo, "kept"), "worst_compliance", wrong.completion.id)


def test_kept_what_the_judge_could_not_read(home: Path, repo: Path) -> None:
    kept = next(row.completion.id for row in jsonl.read_many(paths.kept(NAME), Decision) if row.kept)

    def unread(rows: list[Verdict]) -> list[Verdict]:
        return [row.model_copy(update=UNREADABLE) if row.completion_id == kept else row for row in rows]

    house.edit(paths.verdicts(NAME), Verdict, unread)
    assert_line(house.failures(repo, "kept"), "graded", kept)


def test_kept_a_malformed_reply(home: Path, repo: Path) -> None:
    def spoil(rows: list[Decision]) -> list[Decision]:
        place = next(number for number, row in enumerate(rows) if row.kept)
        return change(rows, place, completion=rows[place].completion.model_copy(update={"finish": "length"}))

    house.edit(paths.kept(NAME), Decision, spoil)
    spoilt = next(row.completion.id for row in jsonl.read_many(paths.kept(NAME), Decision) if row.completion.finish == "length")
    assert_line(house.failures(repo, "kept"), "well_formed", spoilt)
