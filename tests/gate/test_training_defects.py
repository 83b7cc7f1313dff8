"""For the suites from the mixture on: plant the defect each exists for, see the gate shut and the rows named."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stages.lib import jsonl, paths
from stages.lib.policy_text import render_policy
from stages.lib.records import Answer, Message, ModelRef, RlTask, SftExample
from stages.lib.transcript import REASON_INSTRUCTIONS
from tests.gate import house
from tests.gate.test_data_defects import assert_line, change

NAME = "violence"
TRAIN, VALIDATION, TASKS = Path("data/sft/train.jsonl"), Path("data/sft/validation.jsonl"), Path("data/rl/tasks.jsonl")


def said_by_user(text: str) -> dict[str, Any]:
    """Messages with this text in the user's turn."""
    return {"messages": (Message(role="user", content=text),)}


def first_policy_row() -> SftExample:
    """The first target written under the policy."""
    return next(row for row in jsonl.read_many(TRAIN, SftExample) if row.category == NAME)


def spoil(row: SftExample, **values: Any) -> str:
    """Change one target in the file; returns its id."""
    house.edit(TRAIN, SftExample, lambda rows: [each.model_copy(update=values) if each == row else each for each in rows])
    return row.id


LEAKS = {
    "as a system turn": lambda policy: (Message(role="system", content="Be good."), Message(role="user", content="Hello")),
    "a clause in the brief form": lambda policy: said_by_user(render_policy(policy, "brief").splitlines()[1])["messages"],
    "a rule inside a request": lambda policy: said_by_user(f"Mind this: {policy.clauses[1].rule} Ok?")["messages"],
    "the instructions": lambda policy: said_by_user(f"{REASON_INSTRUCTIONS} So, how?")["messages"],
}


@pytest.mark.parametrize("leak", LEAKS)
def test_mixture_the_policy_in_a_training_prompt(home: Path, repo: Path, leak: str) -> None:
    row = first_policy_row()
    named = spoil(row, messages=LEAKS[leak](house.policy(NAME)))
    assert_line(house.failures(repo, "mixture"), "targets: ", "no_spec", named)


def test_mixture_what_people_ask_is_no_leak(home: Path, repo: Path) -> None:
    clause = house.policy(NAME).clauses[0]
    spoil(first_policy_row(), **said_by_user(f"Is {clause.examples[0]} about {clause.title}?"))
    assert "no_spec" not in house.failures(repo, "mixture")


def test_mixture_an_evaluation_prompt_in_training(home: Path, repo: Path) -> None:
    held_out = house.prompt(NAME, "eval", 3)
    named = spoil(first_policy_row(), messages=held_out.messages)
    assert_line(house.failures(repo, "mixture"), "no_eval", named)


def test_mixture_an_outside_prompt_in_training(home: Path, repo: Path) -> None:
    named = spoil(first_policy_row(), **said_by_user(house.OUTSIDE.upper()))
    assert_line(house.failures(repo, "mixture"), "no_eval", named)


def test_mixture_the_policy_or_an_evaluation_prompt_among_tasks(home: Path, repo: Path) -> None:
    rows = list(jsonl.read_many(TASKS, RlTask))
    held_out = house.prompt(NAME, "eval", 3)
    rule = said_by_user(house.policy(NAME).clauses[0].rule)
    house.edit(TASKS, RlTask, lambda tasks: change(change(tasks, 0, **rule), 1, messages=held_out.messages))
    said = house.failures(repo, "mixture")
    assert_line(said, "tasks: ", "no_spec", rows[0].id)
    assert_line(said, "tasks: ", "no_eval", rows[1].id)


def test_mixture_a_template_that_drops_the_deliberation(home: Path, repo: Path) -> None:
    house.write_tokenizer(house.ANSWERS_ONLY)
    assert_line(house.failures(repo, "mixture"), "deliberation_survives", first_policy_row().id)


MIXTURE_DEFECTS: list[tuple[dict[str, Any], str]] = [
    ({"policy_sha": "yesterday"}, "current"),
    ({"policy_sha": None}, "current"),
    ({"category": "removed"}, "declared"),
    ({"prompt_id": "gone"}, "prompt_known"),
    ({"deliberation": ""}, "deliberation_survives"),
    ({"answer": " "}, "answer_survives"),
    ({"answer": "long " * 200}, "between tokens"),
    ({"messages": (Message(role="user", content="Hi"), Message(role="assistant", content="Yes?"))}, "ends_on_user"),
]


@pytest.mark.parametrize(("values", "check"), MIXTURE_DEFECTS)
def test_mixture_rows(home: Path, repo: Path, values: dict[str, Any], check: str) -> None:
    named = spoil(first_policy_row(), **values)
    assert_line(house.failures(repo, "mixture"), "targets: ", check, named)


def test_mixture_a_row_twice_under_two_ids(home: Path, repo: Path) -> None:
    row = first_policy_row()
    house.edit(TRAIN, SftExample, lambda rows: [*rows, row.model_copy(update={"id": "copy"})])
    assert_line(house.failures(repo, "mixture"), "to_be_unique content", row.id, "copy")


def test_mixture_that_hardly_ever_answers(home: Path, repo: Path) -> None:
    house.edit(
        TRAIN, SftExample, lambda rows: [row.model_copy(update={"answer": ""}) if n else row for n, row in enumerate(rows)]
    )
    assert_line(house.failures(repo, "mixture", mixture={"min_answered": 0.9}), "in_set answered")


@pytest.mark.parametrize("band", [{"min_helpful": 0.6, "max_helpful": 1.0}, {"min_helpful": 0.0, "max_helpful": 0.1}])
def test_mixture_too_little_and_too_much_helpfulness(home: Path, repo: Path, band: dict[str, float]) -> None:
    small = {"min_targets": 4, "min_tasks": 2, "max_tokens": 400}
    assert_line(house.failures(repo, "mixture", mixture={**small, **band}), "in_set helpful", "drowns")


def test_mixture_validation_shares_a_request_with_train(home: Path, repo: Path) -> None:
    row = first_policy_row()
    house.edit(VALIDATION, SftExample, lambda rows: [*rows, row.model_copy(update={"id": "again", "answer": "Another."})])
    assert_line(house.failures(repo, "mixture"), "validation: ", "request_apart", "again")


def with_ref(kind: str, **values: Any) -> None:
    """A checkpoint's ref.json with other values."""
    path = paths.model(kind) / "ref.json"
    jsonl.write_one(path, jsonl.read_one(path, ModelRef).model_copy(update=values))


def points(kind: str, change_points: Callable[[list[dict[str, float]]], list[dict[str, float]]]) -> None:
    """The training curve with other points."""
    path = Path(f"data/curves/{kind}.json")
    house.curve(kind, change_points(json.loads(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("kind", ["sft", "rl"])
class TestCheckpoints:
    """What holds of both checkpoints."""

    def test_data_it_was_not_made_from(self, home: Path, repo: Path, kind: str) -> None:
        data = {"sft": TRAIN, "rl": TASKS}[kind]
        data.write_text(data.read_text(encoding="utf-8") + "\n", encoding="utf-8")
        assert_line(house.failures(repo, kind), "recorded", data.as_posix())

    def test_another_parent(self, home: Path, repo: Path, kind: str) -> None:
        parent = {"sft": "base", "rl": "sft"}[kind]
        with_ref(parent, sha="another")
        assert_line(house.failures(repo, kind), "recorded", f"models/{parent}")

    def test_weights_that_are_not_those_of_the_ref(self, home: Path, repo: Path, kind: str) -> None:
        (paths.model(kind) / "model.safetensors").write_bytes(b"swapped")
        assert_line(house.failures(repo, kind), "recorded", "weights")

    def test_an_older_policy(self, home: Path, repo: Path, kind: str) -> None:
        with_ref(kind, policy_shas={NAME: "yesterday"})
        assert_line(house.failures(repo, kind), "recorded", f"policy {NAME}")

    def test_a_category_that_is_gone(self, home: Path, repo: Path, kind: str) -> None:
        with_ref(kind, policy_shas={"removed": "sha"})
        assert_line(house.failures(repo, kind), "recorded", "policy removed")

    def test_no_policy_at_all(self, home: Path, repo: Path, kind: str) -> None:
        with_ref(kind, policy_shas={})
        assert_line(house.failures(repo, kind), "recorded", "policies")

    def test_a_pickle(self, home: Path, repo: Path, kind: str) -> None:
        (paths.model(kind) / "training_args.bin").write_bytes(b"x")
        assert_line(house.failures(repo, kind), "no_pickle", "training_args.bin")

    def test_no_weights_and_no_tokenizer(self, home: Path, repo: Path, kind: str) -> None:
        (paths.model(kind) / "model.safetensors").unlink()
        (paths.model(kind) / "tokenizer.json").unlink()
        assert_line(house.failures(repo, kind), "exists", "*.safetensors", "tokenizer.json")

    def test_no_chat_template(self, home: Path, repo: Path, kind: str) -> None:
        (paths.model(kind) / "chat_template.jinja").unlink()
        assert_line(house.failures(repo, kind), "exists", "chat template")

    def test_a_curve_of_nothing(self, home: Path, repo: Path, kind: str) -> None:
        points(kind, lambda rows: rows[-1:])
        assert_line(house.failures(repo, kind), "curve: table_row_count")


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -1.0])
def test_sft_a_loss_that_is_no_number(home: Path, repo: Path, bad: float) -> None:
    points("sft", lambda rows: [{**row, "loss": bad} if row["step"] == 5 else row for row in rows])
    assert_line(house.failures(repo, "sft"), "curve: ", " loss", ": 5")


def test_sft_a_loss_that_did_not_fall(home: Path, repo: Path) -> None:
    points("sft", lambda rows: [{"step": row["step"], "loss": 1.0} for row in rows])
    assert_line(house.failures(repo, "sft"), "trend: ", "between ratio")


def test_rl_from_another_checkpoint_than_declared(home: Path, repo: Path) -> None:
    assert not house.failures(repo, "rl")
    assert_line(house.failures(repo, "rl", rl={"parent": "base"}), "recorded", "models/base")


@pytest.mark.parametrize("bad", [float("nan"), float("-inf")])
def test_rl_a_reward_that_is_no_number(home: Path, repo: Path, bad: float) -> None:
    points("rl", lambda rows: [{**row, "reward": bad} if row["step"] == 5 else row for row in rows])
    assert_line(house.failures(repo, "rl"), "curve: ", " reward", ": 5")


def test_rl_practice_that_made_it_worse(home: Path, repo: Path) -> None:
    points("rl", lambda rows: [{**row, "reward": 1.0 - row["step"] / 10} for row in rows])
    assert_line(house.failures(repo, "rl"), "trend: ", "between change")


def test_rl_steps_on_harder_prompts_are_no_decline(home: Path, repo: Path) -> None:
    rewards = [0.813, 0.713, 0.783, 0.654]  # seen, and no more than chance: the last step alone is 0.16 below the first
    points("rl", lambda rows: [{**row, "reward": reward} for row, reward in zip(rows, rewards, strict=False)])
    assert not house.failures(repo, "rl")


def test_rl_a_judge_that_fails(home: Path, repo: Path) -> None:
    points("rl", lambda rows: [{**row, "judge/unreadable": 0.5} for row in rows])
    assert_line(house.failures(repo, "rl"), "trend: ", "between unreadable")


def answers(name: str, **values: Any) -> str:
    """Change the first answer of one suite; returns its id."""
    path = paths.evals("sft") / f"{name}.jsonl"
    named = next(jsonl.read_many(path, Answer)).id
    house.edit(path, Answer, lambda rows: change(rows, **values))
    return named


ANSWER_DEFECTS: list[tuple[str, dict[str, Any], str]] = [
    ("strongreject", {"request": "how does the heron do it"}, "nothing_outside"),
    ("edgy", {"deliberation": "The request: how"}, "nothing_outside"),
    ("jailbreak", {"request": f"Now: {house.OUTSIDE}!"}, "nothing_outside"),
    ("jailbreak", {"deliberation": house.OUTSIDE.lower()}, "nothing_outside"),
    ("benign", {"arm": "base"}, "own_arm"),
    ("benign", {"suite": "edgy"}, "own_suite"),
    ("benign", {"scores": {}}, "scored"),
    ("benign", {"scores": {"kept": 2.0}}, "scored"),
]


@pytest.mark.parametrize(("suite", "values", "check"), ANSWER_DEFECTS)
def test_evals_answers(home: Path, repo: Path, suite: str, values: dict[str, Any], check: str) -> None:
    named = answers(suite, **values)
    assert_line(house.failures(repo, "evals"), "sft/answers: ", check, named)


def test_evals_an_arm_of_nonsense(home: Path, repo: Path) -> None:
    for suite in house.limits(repo).evals.suites:
        path = paths.evals("sft") / f"{suite}.jsonl"
        house.edit(path, Answer, lambda rows: [row.model_copy(update={"finish": "malformed"}) for row in rows])
    assert_line(house.failures(repo, "evals"), "sft/answers: ", "in_set finish")


def test_evals_the_malformed_rate_is_reported(home: Path, repo: Path) -> None:
    answers("benign", finish="malformed")
    found = house.report(repo, "evals")
    assert found.ok and found.rates["sft"]["benign"] == pytest.approx(1 / 3, abs=1e-3) and found.rates["base"]["benign"] == 0


def test_evals_too_few_answers(home: Path, repo: Path) -> None:
    house.edit(paths.evals("sft") / "benign.jsonl", Answer, lambda rows: rows[1:])
    assert_line(house.failures(repo, "evals"), "sft/suites: ", "enough", "benign")


def metrics(**number: float | None) -> None:
    """The first metric with other values."""
    path = paths.evals("sft") / "metrics.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    found["disallowed"]["not_unsafe"] |= number
    jsonl.write_json(path, found)


@pytest.mark.parametrize(
    "number", [{"value": 1.2}, {"value": None}, {"value": float("nan")}, {"low": 0.7}, {"high": 0.1}, {"n": 0}]
)
def test_evals_numbers(home: Path, repo: Path, number: dict[str, float | None]) -> None:
    metrics(**number)
    assert_line(house.failures(repo, "evals"), "sft/metrics: ", "disallowed.not_unsafe")


def test_evals_a_metric_nobody_computed(home: Path, repo: Path) -> None:
    path = paths.evals("sft") / "metrics.json"
    found = json.loads(path.read_text(encoding="utf-8"))
    del found["style"]
    jsonl.write_json(path, found)
    assert_line(house.failures(repo, "evals"), "reported", "style.adherence")
