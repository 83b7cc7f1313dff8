"""The forecast counts what would be asked, what the cache holds, and what should move; it asks and writes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from stages.generate.config import GenerateConfig
from stages.generate.generate import ask
from stages.lib import jsonl, paths
from stages.lib.config import load_section
from stages.lib.errors import StageError
from stages.lib.llm.build import build_backend
from stages.lib.llm.config import LlmConfig, Price
from stages.lib.records import Message, Prompt, Sampling, content_id
from stages.spec.__main__ import main
from stages.spec.build import build_policies
from stages.spec.config import SpecConfig
from stages.spec.diff import release
from stages.spec.impact import Impact, impact
from tests.spec.samples import GARDEN, STYLE

POND = GARDEN.replace("garden", "pond").replace("Garden", "Pond").replace("GA", "PO").replace("Weeds are", "Fish are")
RELEASE = "release: {name}\nstyle: {style}\ncategories: {{garden: {garden}, pond: v1}}\ndetail: {detail}\ntoken_budget: 700\n"
ROLE = "{backend: scripted, model: scripted, batch_size: 8, dtype: float32}"
REST = f"""seed: 7
llm: {{generator: {ROLE}, judge: {ROLE}}}
generate: {{sampling: {{temperature: 0.0, top_p: 1.0, max_new_tokens: 50}}, samples_per_prompt: 2, answer_fraction: 0.7}}
judge: {{k: 3}}
prompts: {{policy_examples: false}}
"""
TRAIN, HELD_OUT = 5, 4


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DA_CACHE_DIR", str(tmp_path / "cache"))
    for name, text in (("garden", GARDEN), ("pond", POND), ("style", STYLE)):
        put(f"specs/{name}/v1.md", text)
    put("conf/spec/v1.yaml", RELEASE.format(name="v1", style="v1", garden="v1", detail="brief"))
    params("brief")
    for category, code in (("garden", "GA"), ("pond", "PO")):
        for split, count in (("train", TRAIN), ("eval", HELD_OUT)):
            rows = [prompt(category, f"{code}{1 + number % 2}", split, number) for number in range(count)]
            silent = prompt(category, f"{code}1", split, count).model_copy(update={"asked": False})
            jsonl.write_many(paths.prompts(split, category), [*rows, silent] if split == "train" else rows)
    return tmp_path


def put(name: str, text: str) -> None:
    Path(name).parent.mkdir(parents=True, exist_ok=True)
    Path(name).write_text(text, encoding="utf-8")


def params(detail: str) -> None:
    spec = RELEASE.format(name="v1", style="v1", garden="v1", detail=detail)
    put("params.yaml", "spec:\n  " + spec.strip().replace("\n", "\n  ") + "\n" + REST)


def prompt(category: str, clause: str, split: str, number: int) -> Prompt:
    words = {"role": "user", "content": f"{split} {number}, please?"}
    row = {
        "id": f"{category}{split}{number}", "request_id": f"r{number}", "category": category, "split": split, "wrapper": None,
        "wrapper_kind": "plain", "clause": clause, "pair": None, "messages": [words],
    }  # fmt: skip
    return Prompt.model_validate_json(json.dumps(row))


def forecast(old: str = "", new: str = "", style: str = STYLE) -> Impact:
    """Of a v2 whose garden has `new` for `old`."""
    put("specs/garden/v2.md", GARDEN.replace("version: v1", "version: v2").replace(old, new) if old else GARDEN)
    put("specs/style/v2.md", style.replace("version: v1", "version: v2"))
    put("conf/spec/v2.yaml", RELEASE.format(name="v2", style="v2", garden="v2" if old else "v1", detail="brief"))
    with release("v1") as before, release("v2") as after:
        return impact(before, after)


def pay(release_name: str, category: str, count: int) -> None:
    """Ask the generator what it would be asked for the first `count` prompts of a category."""
    spec = SpecConfig(
        release="x", style="v1", categories={"garden": release_name, "pond": "v1"}, detail="brief", token_budget=700
    )
    policy = build_policies(spec, paths.SPECS)[category]
    rows = list(jsonl.read_many(paths.prompts("train", category), Prompt))[:count]
    config = load_section("generate", GenerateConfig)
    named = [row.model_copy(update={"id": content_id(category, row.messages)}) for row in rows]  # as `prompts` names them
    asked = [ask(row, number, policy, config, "brief", 7) for row in named for number in (0, 1)]
    assert len({request.forms for request in asked}) > 1 or count < TRAIN, "all are asked alike"
    llm = LlmConfig(backend="scripted", model="scripted", batch_size=8, dtype="float32")
    build_backend(llm).generate(asked, Sampling(temperature=0.0, top_p=1.0, max_new_tokens=50), 7)


def test_a_changed_clause_costs_its_category_and_moves_its_prompts(house: Path) -> None:
    found = forecast("outcome: refuse", "outcome: comply")
    (cost,) = found.costs
    assert (cost.category, cost.generator_new, cost.judge_new) == ("garden", TRAIN * 2, TRAIN * 2 * 3)
    assert found.calls_of_a_full_run == 2 * TRAIN * 2 * 4
    assert found.moves == {"GA1": {"refuse -> comply": HELD_OUT // 2}}
    assert found.minutes is None and found.money is None


def test_examples_of_the_new_policy_are_asked_in_place_of_the_old_ones(house: Path) -> None:
    put("params.yaml", Path("params.yaml").read_text(encoding="utf-8").replace("policy_examples: false", "policy_examples: true"))
    shown = ("pull a weed", "burn a thistle", "cut a rose", "sharpen the shears")
    rows = [prompt("garden", "GA1", "train", number) for number in range(TRAIN)]
    rows += [
        row.model_copy(update={"messages": (Message(role="user", content=text),)}) for row, text in zip(rows, shown, strict=False)
    ]
    jsonl.write_many(paths.prompts("train", "garden"), rows)
    for old, new, count in (("pull a weed", "pull a daisy", 4), ("cut a rose", "cut a rose\n- example: prune a rose", 5)):
        (cost,) = forecast(old, new).costs
        assert cost.generator_new == 2 * TRAIN + count  # an example's one clause has no other order for the second sample


def test_what_was_asked_before_is_cached(house: Path) -> None:
    forecast("outcome: refuse", "outcome: comply")
    pay("v2", "garden", 3)
    (cost,) = forecast("outcome: refuse", "outcome: comply").costs
    assert (cost.generator_new, cost.generator_cached, cost.judge_new) == (4, 6, TRAIN * 2 * 3)


def test_words_the_models_are_not_shown_cost_nothing_once_paid(house: Path) -> None:
    pay("v1", "garden", TRAIN)
    (cost,) = forecast("They have rights.", "They have a right to live.").costs
    assert (cost.generator_new, cost.judge_new, cost.judge_cached) == (0, 0, TRAIN * 2 * 3)


def test_a_style_reaches_everyone_and_layout_nobody(house: Path) -> None:
    assert [cost.category for cost in forecast(style=STYLE.replace("No.", "Never.")).costs] == ["garden", "pond"]
    assert forecast("## Clauses", "\n## Clauses").costs == []


def test_time_is_told_by_the_last_runs(house: Path) -> None:
    for stage, numbers in (
        ("generate@pond", {"rows_new": 10, "seconds": 20.0}), ("judge@pond", {"rows_new": 30, "seconds": 30.0}),
        ("sft", {"seconds": 60.0}), ("rl", {"seconds": 90.0}), ("reader", {"seconds": 9999.0}),
    ):  # fmt: skip
        lines = [{"run": "a", "stage": stage, "metrics": {name: value}} for name, value in numbers.items()]
        put(f"cache/tracking/{stage}.jsonl", "".join(json.dumps(line) + "\n" for line in lines) + '{"torn')
    minutes = forecast("outcome: refuse", "outcome: comply").minutes
    assert minutes == pytest.approx((10 * 2 + 30 * 1 + 60 + 90) / 60)


def test_money_is_told_by_the_price(house: Path) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8")
    put("params.yaml", text.replace("generator: {", "generator: {price: {read: 1000000, written: 0}, "))
    found = forecast("outcome: refuse", "outcome: comply")
    (cost,) = found.costs
    assert found.money == pytest.approx(cost.tokens_read / 4), "one call in four is the generator's"
    assert Price(read=1.0, written=2.0).written == 2.0


def test_a_reply_without_an_answer_costs_fewer_tokens(house: Path) -> None:
    written = []
    for fraction in ("1.0", "0.7", "0.0"):
        put(
            "params.yaml",
            Path("params.yaml").read_text(encoding="utf-8").replace("answer_fraction: 0.7", f"answer_fraction: {fraction}"),
        )
        written.append(forecast("outcome: refuse", "outcome: comply").costs[0].tokens_written)
        params("brief")
    whole, some, none = written
    assert (whole, none) == (TRAIN * 2 * (25 + 3 * 70), TRAIN * 2 * (25 + 3 * 30))
    assert none < some < whole


def test_the_command_writes_nothing(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    forecast("outcome: refuse", "outcome: comply")
    before = sorted(path for path in house.rglob("*") if path.is_file())
    main(["impact", "v2"])
    said = capsys.readouterr().out
    assert "40 new calls at most, 50% of the 80 of a full run" in said and "GA1: 2 held-out prompts should move" in said
    main(["impact", "v2", "v1", "--json"])
    assert json.loads(capsys.readouterr().out)["costs"][0]["generator_new"] == 10
    assert sorted(path for path in house.rglob("*") if path.is_file()) == before


def test_without_prompts_it_says_what_to_run(house: Path) -> None:
    paths.prompts("train", "garden").unlink()
    with pytest.raises(StageError, match="dvc repro prompts"):
        forecast("outcome: refuse", "outcome: comply")
