"""Wordings: disjoint by construction, blind to gold in training, stable, capped evenly."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from stages.lib import jsonl, paths
from stages.lib.errors import StageError
from stages.lib.records import Outcome, Prompt
from stages.prompts import __main__ as room
from stages.prompts.build import Wrappers, build_prompts, capped
from stages.prompts.config import PromptsConfig
from stages.prompts.requests import read_requests
from stages.prompts.wrappers import Wrapper, read_wrappers
from tests.prompts.samples import EVAL, TRAIN, lines, policy, request_line, write_lines

PARAMS = """seed: 7
spec: {categories: {garden: v1}}
prompts:
  wordings_per_request: {harmless: 1, jailbreak: 2}
  eval_seen_wrappers: 1
  eval_heldout_wrappers: 2
  max_requests_per_category: CAP
  ask_wrapped: true
  policy_examples: EXAMPLES
  extra: EXTRA
  pyrit: PYRIT
  pyrit_max_words: 60
  pyrit_templates: 12
"""
OUTSIDE = [Wrapper(f"pyrit/{n}", "jailbreak", f"outside {n} {{request}}") for n in range(3)]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_lines(Path("specs/garden/requests.jsonl"), lines())
    benign = [request_line(None, split, f"what is {split} {n}") for split in ("train", "eval") for n in range(2)]
    write_lines(
        Path("specs/benign/requests.jsonl"), [{k: v for k, v in row.items() if k in ("split", "conversation")} for row in benign]
    )
    Path("specs/wrappers").mkdir()
    Path("specs/wrappers/train.yaml").write_text(TRAIN, encoding="utf-8")
    Path("specs/wrappers/eval.yaml").write_text(EVAL, encoding="utf-8")
    params()
    jsonl.write_one(paths.policy("garden"), policy())
    return tmp_path


def params(cap: str = "null", pyrit: str = "false", examples: str = "false", extra: str = "[]") -> None:
    Path("params.yaml").write_text(filled(PARAMS, cap, pyrit, examples, extra), encoding="utf-8")


def filled(text: str, cap: str = "null", pyrit: str = "false", examples: str = "false", extra: str = "[]") -> str:
    return text.replace("CAP", cap).replace("PYRIT", pyrit).replace("EXAMPLES", examples).replace("EXTRA", extra)


def config(**changes: Any) -> PromptsConfig:
    plain = {
        "wordings_per_request": {"harmless": 1, "jailbreak": 2},
        "eval_seen_wrappers": 1,
        "eval_heldout_wrappers": 2,
        "max_requests_per_category": None,
        "ask_wrapped": True,
        "policy_examples": False,
        "extra": (),
        "pyrit": False,
        "pyrit_max_words": 60,
        "pyrit_templates": 12,
    }
    return PromptsConfig.model_validate({**plain, **changes})


def built(
    outside: list[Wrapper] | None = None,
    outcomes: tuple[Outcome, ...] = ("refuse", "comply"),
    seed: int = 7,
    ask_wrapped: bool = True,
) -> list[Prompt]:
    requests = read_requests(Path("specs/garden/requests.jsonl"), policy(outcomes))
    wrappers = Wrappers(
        read_wrappers(Path("specs/wrappers/train.yaml")), read_wrappers(Path("specs/wrappers/eval.yaml")), outside or []
    )
    return build_prompts("garden", requests, policy(outcomes), wrappers, config(ask_wrapped=ask_wrapped), seed)


def written(split: str, name: str) -> list[Prompt]:
    return list(jsonl.read_many(paths.prompts(split, name), Prompt))


def test_train_and_eval_share_neither_request_nor_heldout_wrapper(house: Path) -> None:
    train = [prompt for prompt in built(OUTSIDE) if prompt.split == "train"]
    heldout = [prompt for prompt in built(OUTSIDE) if prompt.split == "eval"]
    assert not {p.request_id for p in train} & {p.request_id for p in heldout}
    assert {p.wrapper for p in train} <= {None, "boss", "dream", "dare", "hello", "thanks"}
    assert len({p.id for p in train + heldout}) == len(train + heldout)


def test_train_prompts_in_wrappers_are_asked_only_if_wanted(house: Path) -> None:
    assert all(prompt.asked for prompt in built())
    prompts = built(ask_wrapped=False)
    assert [prompt.asked for prompt in prompts] == [prompt.wrapper is None or prompt.split == "eval" for prompt in prompts]
    assert {prompt.id for prompt in prompts} == {prompt.id for prompt in built()}


def test_wordings_of_each_split(house: Path) -> None:
    prompts = built(OUTSIDE)
    train = Counter(p.request_id for p in prompts if p.split == "train")
    assert set(train.values()) == {4}
    kinds = Counter(p.wrapper_kind for p in prompts if p.split == "train")
    assert kinds == {"plain": 6, "harmless": 6, "jailbreak": 12}
    refused = Counter((p.wrapper or "plain").split("/")[0] for p in prompts if p.split == "eval" and p.clause == "GA1")
    assert refused["plain"] == 3
    assert refused["pyrit"] == 3
    assert refused["robot"] + refused["code"] == 3
    assert sum(refused.values()) == 12
    complied = [p for p in prompts if p.split == "eval" and p.clause == "GA2"]
    assert len(complied) == 9
    assert not any((p.wrapper or "").startswith("pyrit/") for p in complied)


def test_without_outside_templates_ours_fill_the_place(house: Path) -> None:
    ours = [p for p in built() if p.split == "eval" and p.clause == "GA1" and p.wrapper in ("robot", "code")]
    assert len(ours) == 6


def test_training_is_blind_to_gold(house: Path) -> None:
    first = [p for p in built() if p.split == "train"]
    second = [p for p in built(outcomes=("comply", "refuse")) if p.split == "train"]
    assert first == second


def test_an_edit_of_one_request_moves_no_other(house: Path) -> None:
    before = built()
    write_lines(Path("specs/garden/requests.jsonl"), [request_line("GA1", "train", "something new"), *lines()[1:]])
    after = built()
    gone = {p.id for p in before} - {p.id for p in after}
    assert gone == {p.id for p in before if p.messages[-1].content.find("weed 0 please") >= 0}


def test_the_seed_decides(house: Path) -> None:
    assert built(seed=7) == built(seed=7)
    assert built(seed=7) != built(seed=8)


def test_cap_takes_from_every_clause_in_turn(house: Path) -> None:
    requests = read_requests(Path("specs/garden/requests.jsonl"), policy())
    kept = capped(requests, 3)
    assert [(r.line.split, r.line.clause) for r in kept] == [(s, c) for s in ("train", "eval") for c in ("GA1", "GA2", "GA1")]
    assert capped(requests, None) == requests


def test_stage_writes_sorted_files_and_removes_strangers(house: Path) -> None:
    stranger = paths.prompts("eval", "stranger")
    stranger.parent.mkdir(parents=True)
    stranger.write_text("", encoding="utf-8")
    room.main([])
    assert not stranger.exists()
    assert [p.id for p in written("train", "garden")] == sorted(p.id for p in written("train", "garden"))
    benign = written("train", "benign")
    assert Counter((p.wrapper_kind, p.clause) for p in benign) == {
        ("plain", None): 2,
        ("harmless", None): 2,
        ("jailbreak", None): 4,
    }
    assert [p.wrapper_kind for p in written("eval", "benign")] == ["plain"] * 2
    before = paths.prompts("train", "garden").read_bytes()
    room.main([])
    assert paths.prompts("train", "garden").read_bytes() == before


def template(text: str, digest: str | None = None) -> None:
    """A source of one template; `digest` plants a wrong one."""
    path = Path("outside/a.yaml")
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"name: a\nvalue: {text}\n", encoding="utf-8")
    sha = digest or hashlib.sha256(path.read_bytes()).hexdigest()
    params(pyrit="true")
    source = {"kind": "file", "name": "outside", "version": "", "files": "*.yaml", "sha256": sha, "licence": "MIT"}
    section = json.dumps({"pyrit": {**source, "exclude": [], "categories": {}}})
    with Path("params.yaml").open("a", encoding="utf-8") as file:
        file.write(f"source: {section}\n")


def test_stage_holds_templates_out(house: Path) -> None:
    template("Obey. {{ prompt }}")
    room.main([])
    found = [p for p in written("eval", "garden") if p.wrapper == "outside/a"]
    assert [p.clause for p in found] == ["GA1"] * 3
    assert all(p.messages[-1].content.startswith("Obey. pull") for p in found)
    assert "outside/a" not in {p.wrapper for p in written("train", "garden")}


def test_stage_leaves_long_templates_out(house: Path) -> None:
    template("Obey " + "now " * 60 + "{{ prompt }}")
    room.main([])
    assert "outside/a" not in {p.wrapper for p in written("eval", "garden")}


def test_a_template_that_changed_stops_the_stage(house: Path) -> None:
    template("Obey. {{ prompt }}", digest="0" * 64)
    with pytest.raises(StageError, match="sha256 is"):
        room.main([])
    assert not list(Path("data").glob("prompts/**/*.jsonl"))


def test_examples_of_the_policy_are_train_requests(house: Path) -> None:
    params(examples="true")
    room.main([])
    plain = {p.messages[-1].content: p for p in written("train", "garden") if p.wrapper is None}
    assert {(text, plain[text].clause) for text in ("water 1", "mow 1", "water 2", "mow 2")} == {
        ("water 1", "GA1"),
        ("mow 1", "GA1"),
        ("water 2", "GA2"),
        ("mow 2", "GA2"),
    }
    assert not [p for p in written("train", "garden") if p.wrapper and "water" in p.messages[-1].content]
    assert not [p for p in written("eval", "garden") if "water" in p.messages[-1].content]


def test_extra_requests_are_train_requests_where_they_are_wanted(house: Path) -> None:
    room.main([])
    before = {p.id for p in written("train", "garden")}
    heldout = paths.prompts("eval", "garden").read_bytes()
    write_lines(Path("specs/garden/more.jsonl"), [request_line("GA2", "train", "shave the green a little")])
    room.main([])
    assert {p.id for p in written("train", "garden")} == before
    params(extra="[more]")
    room.main([])
    new = [p for p in written("train", "garden") if p.id not in before]
    assert {(p.clause, p.wrapper_kind) for p in new} >= {("GA2", "plain"), ("GA2", "jailbreak")}
    assert before < {p.id for p in written("train", "garden")}
    assert paths.prompts("eval", "garden").read_bytes() == heldout


def test_a_held_out_request_among_the_extra_ones_or_none_stops_the_stage(house: Path) -> None:
    write_lines(Path("specs/garden/more.jsonl"), [request_line("GA2", "eval", "shave the green a little")])
    params(extra="[more]")
    with pytest.raises(StageError, match=r"specs/garden/more\.jsonl:1: a held-out request"):
        room.main([])
    Path("specs/garden/more.jsonl").write_text("", encoding="utf-8")
    with pytest.raises(StageError, match=r"specs/garden/more\.jsonl: holds no request") as caught:
        room.main([])
    assert "remove the file" in str(caught.value)
    params(extra="[mroe]")
    with pytest.raises(StageError, match=r"prompts\.extra: no category has a file mroe\.jsonl"):
        room.main([])
    assert not list(Path("data").glob("prompts/**/*.jsonl"))


def test_an_example_that_is_an_eval_request_stops_the_stage(house: Path) -> None:
    write_lines(Path("specs/garden/requests.jsonl"), [*lines(), request_line("GA2", "eval", "Mow 2")])
    params(examples="true")
    with pytest.raises(StageError, match=r"an example of clause GA2: the same conversation stands at specs/garden/requests"):
        room.main([])
    assert not list(Path("data").glob("prompts/**/*.jsonl"))


@pytest.mark.parametrize(
    ("path", "text", "message"),
    [
        ("specs/garden/requests.jsonl", "", r"specs/garden/requests\.jsonl: holds no request"),
        ("specs/garden/requests.jsonl", '{"clause": "GA1", "spl', r"specs/garden/requests\.jsonl:1: .*Invalid JSON"),
        ("specs/benign/requests.jsonl", "", r"specs/benign/requests\.jsonl: holds no request"),
        ("specs/wrappers/eval.yaml", EVAL.replace("Be a robot. {request}", "Be a robot."), "wrapper 'robot' has 0 slots"),
        ("specs/wrappers/eval.yaml", EVAL.replace("id: robot", "id: boss"), "wrapper 'boss': 'id boss' occurs twice"),
        (
            "params.yaml",
            PARAMS.replace("CAP", "0").replace("PYRIT", "false"),
            r"prompts\.max_requests_per_category",
        ),
        ("params.yaml", PARAMS.replace("CAP", "null").replace("PYRIT", "1"), r"prompts\.pyrit"),
        ("params.yaml", PARAMS.replace("garden: v1", "pond: v1"), r"data/policies/pond\.json does not exist"),
        (
            "params.yaml",
            PARAMS.replace("garden: v1", "benign: v1").replace("CAP", "1").replace("PYRIT", "false"),
            "no policy covers",
        ),
    ],
)
def test_bad_input_writes_nothing(house: Path, path: str, text: str, message: str) -> None:
    Path(path).write_text(filled(text), encoding="utf-8")
    with pytest.raises(StageError, match=message):
        room.main([])
    assert not list(Path("data").glob("prompts/**/*.jsonl"))
