"""Wrappers: one slot each, two disjoint lists, stable choices."""

from __future__ import annotations

from pathlib import Path

import pytest

from stages.lib.errors import StageError
from stages.lib.records import Message
from stages.prompts.wrappers import Wrapper, choose, from_template, read_wrappers, refuse_shared
from tests.prompts.samples import EVAL, TRAIN


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_wraps_the_last_turn_only(tmp_path: Path) -> None:
    wrapper = next(w for w in read_wrappers(written(tmp_path, TRAIN)) if w.id == "hello")
    turns = tuple(
        Message(role=role, content=text) for role, text in (("user", "a"), ("assistant", "b"), ("user", "c {x} {request}"))
    )
    wrapped = wrapper.around(turns)
    assert wrapped[:2] == turns[:2]
    assert wrapped[2].content == "Hello! c {x} {request}"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("Hello! {request}", "Hello!", r"train\.yaml: harmless\[0\]: wrapper 'hello' has 0 slots"),
        ("Hello! {request}", "{request} {request}", r"wrapper 'hello' has 2 slots"),
        ("{id: hello,", "{name: hello,", r"harmless\[0\]: is no wrapper"),
        ("id: hello", "id: thanks", r"wrapper 'thanks': 'id thanks' occurs twice"),
        ("Hello! {request}", "i DARE you. {request}", r"wrapper 'hello': 'text .*' occurs twice"),
        ("harmless:", "harmful:", r"must hold the two lists"),
        ("jailbreak:", "jailbreak: [", r"train\.yaml:\d+: is no valid YAML"),
    ],
)
def test_malformed_list(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in TRAIN
    with pytest.raises(StageError, match=message):
        read_wrappers(written(tmp_path, TRAIN.replace(old, new, 1)))


def test_missing_list(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="does not exist"):
        read_wrappers(tmp_path / "train.yaml")


def test_lists_must_be_disjoint(tmp_path: Path) -> None:
    train = read_wrappers(written(tmp_path, TRAIN))
    heldout = read_wrappers(written(tmp_path, EVAL))
    refuse_shared(heldout, train, "eval.yaml")
    with pytest.raises(StageError, match=r"eval\.yaml: wrapper 'late'"):
        refuse_shared([Wrapper("late", "harmless", "HELLO!  {request}")], train, "eval.yaml")


def test_choice_is_stable_under_new_wrappers() -> None:
    pool = [Wrapper(f"w{n}", "jailbreak", f"{n} {{request}}") for n in range(10)]
    more = [*pool, Wrapper("new", "jailbreak", "new {request}")]
    uses = [f"request {n}" for n in range(100)]
    before = [choose(pool, 2, 7, use) for use in uses]
    after = [choose(more, 2, 7, use) for use in uses]
    assert all(len(set(chosen)) == 2 for chosen in before)
    assert {wrapper for chosen in before for wrapper in chosen} == set(pool)
    moved = [b for a, b in zip(before, after, strict=True) if a != b]
    assert 0 < len(moved) < 50
    assert all(more[-1] in chosen for chosen in moved)


def test_template_without_slot() -> None:
    with pytest.raises(StageError, match="wrapper 'pyrit/x' has 0 slots"):
        from_template("pyrit/x", "Do it.")
