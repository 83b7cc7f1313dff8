"""What an edit costs: exactly the stages that it touches, and never a paid one that it does not."""

from __future__ import annotations

import re
from pathlib import Path

from tests.pipeline.conftest import Project

PAID = re.compile(r"^(generate|judge)\b|^generate_benign")


def _paid(ran: set[str]) -> set[str]:
    return {name for name in ran if PAID.match(name)}


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text, f"{path} has no {old!r}"
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def _reason(path: Path) -> str:
    """A sentence of the document that only its own category's policy carries."""
    match = re.search(r"^.*\b[Rr]eason\b.*?([A-Za-z][^.\n*:]{15,}\.)\s*$", path.read_text(encoding="utf-8"), re.MULTILINE)
    assert match, f"{path} gives no reason"
    return match[1]


def test_editing_one_policy_reruns_only_that_category(copy: Project) -> None:
    document = copy.root / "specs/violence/v1.md"
    sentence = _reason(document)
    _edit(document, sentence, f"{sentence[:-1]}, and lastingly so.")
    done = copy.repro("gate_kept")
    assert done.code == 0, done.text[-3000:]
    assert _paid(done.ran) == {"generate@violence", "judge@violence"}, done.ran
    assert "filter@harassment" not in done.ran and {"base", "reader"}.isdisjoint(done.ran), done.ran


def test_a_cosmetic_edit_stops_at_the_firewall(copy: Project) -> None:
    document = copy.root / "specs/violence/v1.md"
    document.write_text(document.read_text(encoding="utf-8") + "\n\n", encoding="utf-8")
    done = copy.repro()
    assert done.code == 0 and "spec" in done.ran, done.text[-3000:]
    assert done.ran <= {"spec", "prompts"}, done.ran


def test_moving_the_threshold_costs_no_call(copy: Project) -> None:
    copy.params("filter.min_score.helpfulness=0")
    done = copy.repro("gate_kept")
    assert done.code == 0 and _paid(done.ran) == set(), done.text[-3000:]
    assert {"filter@violence", "filter@harassment"} <= done.ran


def test_moving_a_gate_reruns_only_gates(copy: Project) -> None:
    gates = copy.root / "params.yaml"
    before = gates.read_text(encoding="utf-8")
    copy.params("gate.kept.min_kept=1")
    if gates.read_text(encoding="utf-8").partition("\n")[2] == before.partition("\n")[2]:
        copy.params("gate.kept.min_kept=2")
    done = copy.repro("mix")
    assert done.code == 0 and done.ran <= {"gate_kept"}, done.text[-3000:]


def test_taking_an_edit_back_runs_nothing(copy: Project) -> None:
    document = copy.root / "specs/harassment/v1.md"
    original = document.read_text(encoding="utf-8")
    sentence = _reason(document)
    _edit(document, sentence, f"{sentence[:-1]}, and lastingly so.")
    assert _paid(copy.repro("filter").ran) == {"generate@harassment", "judge@harassment"}
    document.write_text(original, encoding="utf-8")
    back = copy.repro("filter")
    assert back.code == 0 and _paid(back.ran) == set(), back.text[-3000:]


def test_a_failed_gate_keeps_what_was_paid(copy: Project) -> None:
    copy.params("gate.kept.min_kept=100000")
    stopped = copy.repro()
    assert stopped.code != 0 and "mix" not in stopped.ran
    assert (copy.root / "data/completions/violence.jsonl").exists()
    copy.params()
    again = copy.repro()
    assert again.code == 0 and _paid(again.ran) == set(), again.text[-3000:]
