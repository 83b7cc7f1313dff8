"""What came of what: by shas and ids, in both directions."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.records import Decision, ModelRef, RlTask, SftExample
from stages.lib.transcript import read_citation
from stages.report.__main__ import main
from stages.report.lineage import TASKS, TRAIN, VALIDATION, of_checkpoint, of_clause, of_example
from tests.evals import samples as evals_samples
from tests.report import samples

SHA = "0123456789abcdef"
"""Of the model that the sample's arms were graded with."""


@pytest.fixture
def rows(project: Path) -> list[SftExample]:
    samples.small()
    policy = evals_samples.policy()
    decisions = list(jsonl.read_many(paths.kept("bees"), Decision))
    train = [
        SftExample(
            id=f"s{each.completion.id}", prompt_id=each.completion.prompt_id, completion_id=each.completion.id, category="bees",
            source="policy", messages=each.completion.messages, deliberation=each.completion.deliberation,
            answer=each.completion.answer, policy_sha=policy.sha,
        )
        for each in decisions if each.kept
    ]  # fmt: skip
    jsonl.write_many(TRAIN, train[2:])
    jsonl.write_many(VALIDATION, train[:2])
    first = train[0]
    task = RlTask(id="t1", prompt_id=first.prompt_id, category="bees", messages=first.messages, policy_sha=policy.sha)
    jsonl.write_many(TASKS, [task])
    ref("base", "base", "b" * 16, [])
    ref("sft", "sft", SHA, ["b" * 16, sha256_file(TRAIN), sha256_file(VALIDATION)])
    ref("rl", "rl", "r" * 16, [SHA, "j" * 16, sha256_file(TASKS)])
    return train


def ref(folder: str, kind: str, sha: str, parents: list[str]) -> None:
    shas = {} if kind == "base" else {"bees": evals_samples.policy().sha}
    found = ModelRef.model_validate({"kind": kind, "source": "x", "sha": sha, "parents": parents, "policy_shas": shas})
    jsonl.write_one(paths.model(folder) / "ref.json", found)


def test_a_clause_leads_to_examples_checkpoints_and_scores(rows: list[SftExample]) -> None:
    said = "\n".join(of_clause("BE1"))
    citing = [row for row in rows[2:] if read_citation(row.deliberation).clause_id == "BE1"]
    assert f"training examples that cite it: {len(citing)} (" in said and citing[0].id in said
    assert "models/sft" in said and "models/rl" in said and "models/base" not in said
    answers = [line for line in said.splitlines() if "sft_rl disallowed.not_unsafe" in line]
    assert len(answers) == 1 and "(n=12)" in answers[0]


def test_an_example_leads_back_to_its_prompt_and_on_to_checkpoints(rows: list[SftExample]) -> None:
    for wanted in (rows[5].id, rows[5].completion_id):
        said = "\n".join(of_example(wanted))
        assert rows[5].prompt_id in said and "decision: kept" in said and f"in {TRAIN}" in said and "models/rl" in said
    assert f"in {VALIDATION}" in "\n".join(of_example(rows[0].id))


def test_what_was_dropped_taught_nobody(rows: list[SftExample]) -> None:
    dropped = next(each for each in jsonl.read_many(paths.kept("bees"), Decision) if not each.kept)
    said = "\n".join(of_example(dropped.completion.id))
    assert "dropped (below: compliance)" in said and "training example: none" in said and "models" not in said


def test_a_checkpoint_leads_to_its_parents_clauses_and_scores(rows: list[SftExample]) -> None:
    said = "\n".join(of_checkpoint(Path("models/sft")))
    assert f": {TRAIN}" in said and ": models/base" in said and "not the policy of today" not in said
    assert "BE1 " in said and "sft disallowed.not_unsafe" in said
    assert "scores on everything it was asked: none" in of_checkpoint(Path("models/rl"))


def test_other_data_and_another_policy_are_told_apart(rows: list[SftExample]) -> None:
    jsonl.write_many(TRAIN, rows[3:])
    policy = evals_samples.policy()
    jsonl.write_one(paths.policy("bees"), policy.model_copy(update={"summary": "Other."}))
    said = "\n".join(of_checkpoint(Path("models/sft")))
    assert "not among the files of today" in said and "not the policy of today" in said


@pytest.mark.parametrize(
    "words", [["--clause", "ZZ9"], ["--example", "nothing"], ["--example", "s"], ["--checkpoint", "models/x"]]
)
def test_what_is_not_there_is_an_error_that_helps(rows: list[SftExample], words: list[str]) -> None:
    with pytest.raises(StageError) as error:
        main(["lineage", *words])
    assert "remedy" in str(error.value)
