"""The pages say what the files say, and keep to themselves what must not be shown."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.report.__main__ import metrics, numbers, shown
from stages.report.collect import collect, stage_seconds
from stages.report.config import ReportConfig
from stages.report.examples import by_category, by_wrapper, examples, failures
from stages.report.facts import ROWS, Champion, Facts, Number, share, total
from stages.report.html import html
from stages.report.markdown import markdown, quoted
from stages.report.release import candidates, chosen
from stages.report.words import change, compare, headline, say, trained_on
from tests.evals import samples as evals_samples
from tests.report import samples

VOID = {"meta", "br", "line"}


@pytest.fixture
def facts(project: Path) -> Facts:
    samples.small()
    return collect(samples.config().arms, samples.params({"bees": evals_samples.policy()}))


def test_both_pages_hold_every_row_and_arm(facts: Facts) -> None:
    pages = (markdown(facts, samples.config()), html(facts, samples.config()))
    for page in pages:
        for row in ROWS:
            assert row.label in page
        for arm in ("base + policy in context", "SFT + RL", "v1"):
            assert arm in page


def test_the_html_is_well_formed_and_fetches_nothing(facts: Facts) -> None:
    page = html(facts, samples.config())
    open_tags: list[str] = []

    class Balance(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            if tag not in VOID:
                open_tags.append(tag)

        def handle_endtag(self, tag: str) -> None:
            assert open_tags.pop() == tag

        def handle_startendtag(self, tag: str, attrs: object) -> None:
            assert tag in VOID

    Balance().feed(page)
    assert open_tags == []
    assert not re.search(r"<script|<link|<img|url\(|@import|https?://|\bsrc=", page)


def test_words_of_models_and_users_cannot_act(facts: Facts) -> None:
    assert "<b>request</b>" not in html(facts, samples.config()) and "&lt;b&gt;request" in html(facts, samples.config())
    assert "<b>" not in markdown(facts, samples.config())
    assert quoted("a\n# b | <c> *d*") == "a \\# b \\| \\<c\\> \\*d\\*"


def test_answers_to_harmful_requests_are_not_shown_when_complied(facts: Facts) -> None:
    for example in [*examples(facts, 4), *failures(facts, 9)]:
        for reply in example.replies:
            if example.expected != "comply":
                assert (reply.answer == "") == (reply.response_type == "comply")
    table = shown(facts, "base")
    assert table and all("not shown" in row["answer"] for row in table if row["suite"] == "disallowed")


def test_examples_are_pairs_of_every_arm(facts: Facts) -> None:
    drawn = examples(facts, 2)
    assert len(drawn) == 4 and all(len(example.replies) == 4 for example in drawn)
    assert {example.expected for example in drawn} >= {"comply"}


def test_metrics_have_the_promised_shape(facts: Facts) -> None:
    found = metrics(facts)
    assert list(found) == ["base", "base_spec", "sft", "sft_rl"]
    for arm in found.values():
        for suite, metric in (
            ("disallowed", "not_unsafe"),
            ("style", "adherence"),
            ("retrieval", "right_clause"),
            ("capability", "kept"),
        ):
            assert set(arm[suite][metric]) == {"value", "low", "high", "n"}


def test_a_change_needs_intervals_apart() -> None:
    low, high, wide = (Number(value=v, low=a, high=b, n=9) for v, a, b in ((0.2, 0.1, 0.3), (0.8, 0.7, 0.9), (0.5, 0.2, 0.8)))
    assert [change(low, high), change(high, low), change(low, wide), change(wide, high)] == [
        "better",
        "worse",
        "stayed",
        "stayed",
    ]


def test_the_words_follow_the_numbers(facts: Facts) -> None:
    compared = compare(facts.arm("base"), facts.arm("sft_rl"))
    text = say(compared, "base", "sft_rl")
    assert text.startswith("Against base, SFT + RL is better on") and "disallowed, asked plainly (0.00 to" in text
    assert "No clear change on:" in text
    assert "no change beyond" in say(compare(facts.arm("sft"), facts.arm("sft")), "sft", "sft")
    assert "declines or safely completes" in headline(facts)


def test_trained_and_graded_spec_are_told_apart(facts: Facts) -> None:
    arm = facts.arm("sft")
    assert trained_on(facts.arm("base"), "v2") == "none" and trained_on(arm, "v2") == "v2"
    moved = arm._replace(lineage=arm.lineage.model_copy(update={"graded": {"bees": "another"}}))
    assert trained_on(moved, "v2") == "v2, but not: bees"


def test_the_data_table_measures_judge_and_filter(facts: Facts) -> None:
    (row,) = facts.data
    decisions = paths.kept("bees").read_text(encoding="utf-8").splitlines()
    assert row.completions == len(decisions) and 0 < row.kept < row.completions
    assert row.right_after.value > row.right_before.value and 0.8 <= row.judge_agrees.value < 1
    assert row.clause_after.n == row.kept and row.clause_before.n == row.completions
    assert 0 < row.clause_before.value <= row.clause_after.value
    assert total(facts.data)[1:] == row[1:]


def test_a_share_is_never_certain() -> None:
    assert share(10, 10).low < 1.0 and share(0, 10).high > 0.0
    assert (share(0, 0).low, share(0, 0).high, share(0, 0).n) == (0.0, 1.0, 0)


def test_wrappers_come_worst_first_and_categories_all(facts: Facts) -> None:
    values = [number.value for _, number in by_wrapper(facts.arm("sft"))]
    assert values == sorted(values) and len(values) == 2
    assert set(by_category(facts.arm("sft"))) == {"bees"}


def test_times_add_up_parts_and_survive_a_torn_line(facts: Facts, monkeypatch: pytest.MonkeyPatch) -> None:
    assert facts.seconds["evals"] == 191.0 and facts.seconds["rl"] == 610.0
    monkeypatch.setenv("DA_CACHE_DIR", "nowhere")
    assert stage_seconds() == {}


def limited(limits: dict[str, float], max_collateral: float = 0.2) -> ReportConfig:
    release = {"limits": limits, "champion": None, "max_collateral": max_collateral}
    return samples.config(release=release, candidates={"base": "models/base", "sft_rl": "models/rl"})


def test_the_best_passing_checkpoint_is_chosen(facts: Facts) -> None:
    best = chosen(facts, samples.config())
    assert best is not None and best.arm == "sft_rl"
    assert chosen(facts, limited({"disallowed.not_unsafe": 1.0, "benign.not_overrefuse": 1.0, "no.such": 0.1})) is None
    shut = facts._replace(gates=(facts.gates[0]._replace(ok=False), *facts.gates[1:]))
    assert chosen(shut, samples.config()) is None


def test_nothing_is_released_that_falls_behind_the_champion(facts: Facts) -> None:
    limits = {"disallowed.not_unsafe": 0.0}
    held = facts._replace(champion=Champion("sft_rl of release-1", facts.arm("sft_rl"), facts.policies))
    found = {each.arm: each.against for each in candidates(held, limited(limits))}
    assert found["sft_rl"] == ()
    assert any("disallowed.not_unsafe 0.00, worse than" in word and "of release-1" in word for word in found["base"])
    assert any(word.startswith("collateral") for word in found["base"])
    best = chosen(held, limited(limits))
    assert best is not None and best.arm == "sft_rl"


def test_collateral_alone_can_hold_a_release_back(facts: Facts) -> None:
    weak = facts._replace(champion=Champion("base of release-1", facts.arm("base"), facts.policies))
    for most, words in ((0.2, 1), (1.0, 0)):
        found = {each.arm: each.against for each in candidates(weak, limited({}, max_collateral=most))}
        assert sum(word.startswith("collateral") for word in found["sft_rl"]) == words


def test_every_stage_is_in_the_pipelines_run(facts: Facts) -> None:
    names = set(numbers(facts))
    assert {"sft", "rl", "judge@bees", "filter@bees", "evals@base", "evals@sft_rl", "gate@evals"} <= names


def test_a_missing_or_torn_file_is_named(facts: Facts) -> None:
    jsonl.write_text(paths.REPORTS / "rl.json", '{"steps": ')
    with pytest.raises(StageError, match=r"rl\.json:1: is no valid JSON"):
        collect(samples.config().arms, samples.params({"bees": evals_samples.policy()}))
    (paths.evals("sft") / "metrics.json").unlink()
    with pytest.raises(StageError, match=r"sft/metrics\.json does not exist"):
        collect(samples.config().arms, samples.params({"bees": evals_samples.policy()}))
