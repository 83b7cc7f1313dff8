"""Two states of the pipeline: found by revision through DVC, compared clause by clause."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.policy_text import LABELS
from stages.lib.records import Outcome, Policy
from stages.report.__main__ import main
from stages.report.behaviour import Change, changes, difference, edit_of
from stages.report.behaviour_page import blocks, lead
from stages.report.blocks import as_html, as_markdown
from stages.report.facts import Arm, Lineage
from stages.report.states import State, read_state
from tests.evals import samples as evals_samples
from tests.report import samples

TEXT = "A reply that would help."


def edited(policy: Policy, clause_id: str, **new: object) -> Policy:
    clauses = tuple(clause.model_copy(update=new) if clause.id == clause_id else clause for clause in policy.clauses)
    return policy.model_copy(update={"clauses": clauses})


def state(name: str, policy: Policy, says: dict[str, Outcome], cites: tuple[str, ...] = ()) -> State:
    """Ten plain prompts per clause and ten everyday ones, each answered as `says` has it for the clause (or `benign`).

    Four replies under each clause of `cites` cite it, no other reply cites anything.
    """
    from stages.evals.score import grade, take_apart
    from stages.evals.suites import own_cases

    prompts = [evals_samples.prompt(None, f"benign {number}") for number in range(10)]
    prompts += [evals_samples.prompt(clause, f"{clause} {number}") for clause in ("BE1", "BE2", "BE3") for number in range(10)]
    answers = []
    for case in own_cases(prompts, {"bees": policy}, evals_samples.SEEN, seed=7):
        said = says[case.clause or "benign"]
        cited = case.clause in cites and int(case.messages[-1].content.split()[-1]) < 4
        thought = f"It is about it, clause {case.clause}: {LABELS[said]}." if cited else "About it."
        reply = f"<think>{thought}</think>{policy.style[said].opening} {TEXT}"
        answers.append(grade(case, take_apart(reply, False), "sft", True))
    about = Lineage(model="m", kind="sft", trained={"bees": policy.sha}, graded={"bees": policy.sha})
    return State(name, name, {"bees": policy}, {"sft": Arm("sft", {}, about, tuple(answers))}, {}, ())


SAID: dict[str, Outcome] = {"BE1": "refuse", "BE2": "comply", "BE3": "safe_complete", "benign": "comply"}


def compared(new_policy: Policy, says: dict[str, Outcome], noise: dict[str, Outcome] | None = None) -> Change:
    policy = evals_samples.policy()
    old = state("v1", policy, SAID)
    again = state("again", policy, SAID | noise) if noise is not None else None
    (change,) = changes(old, state("v2", new_policy, SAID | says), again)
    return change


def test_what_was_asked_for_is_told_from_what_was_not() -> None:
    change = compared(edited(evals_samples.policy(), "BE2", outcome="refuse"), {"BE2": "refuse", "BE3": "refuse"})
    assert (change.expected, change.observed.value, change.observed.n) == (10, 1.0, 10)
    assert (change.collateral.value, change.collateral.n) == (round(10 / 30, 4), 30), "BE1, BE3 and the everyday ones"
    assert (change.broke, change.mended, change.noise) == (10, 0, None)
    edits = {each.name: each.edit for each in change.moved}
    assert edits == {"BE1": "untouched", "BE2": "comply -> refuse", "BE3": "untouched", "benign": "untouched"}
    (trained_old, trained_new) = change.matrix
    assert [number.value for number in trained_old] == [1.0, round(2 / 3, 4)]
    assert [number.value for number in trained_new] == [round(1 / 3, 4), round(2 / 3, 4)]


def test_a_flip_that_did_not_happen_is_missed() -> None:
    change = compared(edited(evals_samples.policy(), "BE2", outcome="refuse"), {})
    assert change.expected == 10 and change.observed.value == 0.0 and change.collateral.value == 0.0


def test_flips_are_counted_once_more_where_the_clause_was_recalled() -> None:
    policy = evals_samples.policy()
    new = state("v2", edited(policy, "BE2", outcome="refuse"), SAID | {"BE2": "refuse"})
    (change,) = changes(state("v1", policy, SAID, cites=("BE2", "BE3")), new, None)
    assert (change.observed.n, change.recalled.n, change.recalled.value) == (10, 4, 1.0)
    (lost,) = changes(state("v1", policy, SAID | {"BE2": "refuse"}, cites=("BE2",)), new, None)
    assert lost.recalled.n == 0, "cited, but not answered as the clause asks"


def test_an_edited_clause_is_no_collateral() -> None:
    change = compared(edited(evals_samples.policy(), "BE3", rule="Another rule."), {"BE3": "refuse"})
    assert change.expected == 0 and change.collateral.value == 0.0 and change.collateral.n == 30
    assert {each.name: each.edit for each in change.moved}["BE3"] == "reworded"


def test_collateral_is_held_against_the_noise_of_a_second_run() -> None:
    policy = edited(evals_samples.policy(), "BE2", outcome="refuse")
    same = compared(policy, {"BE2": "refuse", "BE3": "comply"}, noise={"BE3": "comply"})
    assert same.noise == same.collateral and same.beyond is not None and (same.beyond.low, same.beyond.high) == (0.0, 0.0)
    more = compared(policy, {"BE2": "refuse", "BE3": "comply"}, noise={})
    assert more.beyond is not None and more.beyond.low > 0.1 and more.beyond.n == 30


def test_a_difference_needs_prompts_of_both() -> None:
    assert difference({"a": True}, {"b": True}, {}).n == 0
    found = difference({"a": True, "b": False}, {"a": False, "b": False}, {})
    assert (found.value, found.n) == (0.5, 2) and found.low <= 0.5 <= found.high


def test_edits_are_named_by_what_matters_most() -> None:
    clause = evals_samples.policy().clauses[0]
    assert edit_of(None, clause) == "added" and edit_of(clause, None) == "removed"
    assert edit_of(clause, clause.model_copy(update={"examples": ("three",)})) == "reworded"
    assert edit_of(clause, clause.model_copy(update={"outcome": "comply", "rule": "Other."})) == "refuse -> comply"


def test_the_pages_show_both_replies_but_no_help_with_harm() -> None:
    policy = evals_samples.policy()
    old = state("v1", policy, SAID)
    new = state("v2", edited(policy, "BE2", outcome="refuse"), SAID | {"BE1": "comply", "BE2": "refuse"})
    found = changes(old, new, None)
    page = blocks(old, new, found, 3)
    for text in (as_markdown("T", lead(old, new, found), page), as_html("T", lead(old, new, found), page)):
        assert f"From v1 to v2; changed: {policy.title}." in text
        assert "BE2 how bees live" in text and "trained on v2" in text and "expected and observed (10)" in text
        assert "collateral, right before and wrong now (10)" in text
        assert "10 prompts should be answered otherwise, 100% of the 10 that were right before do" in text
        assert text.count("not shown") >= 3
        for request in ("BE2", "BE1"):  # what complied under either policy's refusal is never printed
            helped = [line for line in text.splitlines() if request in line and "Sure, I can help" in line]
            assert not helped


def test_flips_that_could_not_be_seen_are_told_in_words() -> None:
    policy = evals_samples.policy()
    old = state("v1", policy, SAID | {"BE2": "refuse"})
    new = state("v2", edited(policy, "BE2", outcome="safe_complete"), SAID | {"BE2": "refuse"})
    assert "10 prompts should be answered otherwise, none of them was right before; " in lead(old, new, changes(old, new, None))


@pytest.fixture
def repository(project: Path) -> Path:
    """A git and DVC repository with two committed states."""

    def run(*command: str) -> None:
        done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"

    def commit(tag: str, policy: Policy) -> None:
        samples.write({"bees": policy}, prompts, [], evals_samples.SEEN)
        for arm in samples.SKILL:
            (paths.evals(arm) / "lineage.json").write_text(
                json.dumps({"model": arm, "kind": arm[:3], "trained": {}, "graded": {}}), encoding="utf-8"
            )
        values = {"spec": {"release": tag, "categories": {"bees": "v1"}}, "report": {"arms": list(samples.SKILL)}}
        jsonl.write_json(paths.PARAMS, values)
        run(sys.executable, "-m", "dvc", "add", "-q", "data/evals", "data/policies")
        run("git", "add", "-A")
        run("git", "-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-qm", tag)
        run("git", "tag", tag)

    prompts = [evals_samples.prompt(None, f"benign {number}") for number in range(4)]
    prompts += [
        evals_samples.prompt(clause, f"{clause} request {number}") for clause in ("BE1", "BE2", "BE3") for number in range(12)
    ]
    run("git", "init", "-q")
    run(sys.executable, "-m", "dvc", "init", "-q")
    policy = evals_samples.policy()
    commit("one", policy)
    commit("two", edited(policy, "BE2", outcome="refuse"))
    return project


def test_states_are_found_by_revision(repository: Path) -> None:
    assert read_state("one").policies["bees"].clauses[1].outcome == "comply"
    assert read_state("two").policies["bees"].clauses[1].outcome == "refuse"
    here = read_state(None)
    assert (here.name, here.release) == ("here and now", "two") and here.policies == read_state("HEAD").policies
    assert set(here.arms) == set(samples.SKILL)


@pytest.mark.parametrize(
    ("wanted", "message"), [("nope", r"'nope' is neither a git revision nor"), ("one", r"of one cannot be had")]
)
def test_what_cannot_be_found_is_named(repository: Path, wanted: str, message: str) -> None:
    if wanted == "one":
        for path in sorted((repository / ".dvc" / "cache").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    with pytest.raises(StageError, match=message):
        read_state(wanted)


def test_the_command_writes_its_pages(
    repository: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("stages.report.__main__.load_section", lambda *_: samples.config())
    main(["change", "one", "--noise", "one", "--json"])
    said = json.loads(capsys.readouterr().out)
    assert set(said) == {"sft", "sft_rl"} and said["sft"]["noise"]["value"] == 0.0
    assert said["sft"]["numbers"]["expected"] == 12
    assert (paths.REPORTS / "spec_change.md").read_text(encoding="utf-8").startswith("# What a change of the policies moved")
    assert (paths.REPORTS / "spec_change.html").exists() and (paths.REPORTS / "spec_change.json").exists()
