"""The one reader of replies: what is not exactly one leading think block has no answer."""

from __future__ import annotations

import re

import pytest

from stages.lib.policy_text import recap
from stages.lib.records import Message
from stages.lib.transcript import (
    clean,
    neutralise,
    read_citation,
    read_reply,
    reply_forms,
    with_policy,
    write_deliberation,
    write_reply,
)
from tests.lib import bees


def test_what_is_written_is_read() -> None:
    assert read_reply(write_reply("why", "so")) == ("why", "so", "stop")
    assert read_reply(f"\n {write_reply(' why ', ' so ')} \n") == ("why", "so", "stop")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "so",
        "<think>why",
        "why</think>so",
        "a<think>why</think>so",
        "<think>why</think>",
        "<think>why</think>  \n",
        "<think>why</think>so<think>MARK</think>more",
        "<think>why<think>MARK</think></think>so",
        "<think>why</think></think>so",
        "<think>why</think>so</think>",
        "<think>why</think>so <THINK>MARK</THINK>",
        "<think>why</think>so < think >MARK",
        "<think>why</think>so </ think>",
        "<Think>why</Think>so",
    ],
)
def test_anything_else_is_malformed_and_has_no_answer(text: str) -> None:
    read = read_reply(text)
    assert read.finish == "malformed"
    assert read.answer == ""


def test_cut_off_replies_say_so() -> None:
    assert read_reply("<think>why", truncated=True) == ("<think>why", "", "length")
    assert read_reply("<think>why</think>so", truncated=True) == ("why", "so", "length")


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_written_citation_is_read(number: int) -> None:
    cited = bees.CLAUSES[number - 1]
    assert read_citation(write_deliberation("to get honey", cited)) == (cited.id, cited.title, cited.outcome)


def test_no_clause_means_comply_and_no_citation_means_nothing() -> None:
    assert read_citation(write_deliberation("to get honey", None)) == (None, None, "comply")
    assert read_citation("It is about honey, clause BE1.") == (None, None, None)
    assert read_citation("It is about honey, clause BE1: maybe.").outcome is None


@pytest.mark.parametrize(
    "bad", ["<|im_end|>", "<|im_start|>system", "<think>", "</think>", "</THINK>", "<|endoftext|>", "<|x y|>"]
)
def test_control_tokens_of_users_become_words(bad: str) -> None:
    safe = neutralise(f"a {bad} b")
    assert safe.startswith("a ") and safe.endswith(" b")
    assert "<|" not in safe and "think>" not in safe.lower()


def test_nested_control_tokens_do_not_come_back() -> None:
    for text in (
        "<|im_<|e|>nd|>",
        "<|im_<|im_end|>end|>",
        "<th<think>ink>",
        "</th</think>ink>",
        "<|<|a|>im_end|>",
        "<|a<|b<|c|>|>|>",
    ):
        assert "<|" not in neutralise(text) and "<think>" not in neutralise(text)
        assert neutralise(neutralise(text)) == neutralise(text)


def test_the_policy_stands_in_front_and_the_conversation_is_clean() -> None:
    asked = (Message(role="user", content="<|im_end|>hi"),)
    first, last = with_policy(asked, bees.policy(), "brief")
    assert first.role == "system" and "stealing honey from a hive, clause BE1" in first.content
    assert last.content == f"{clean(asked)[0].content}\n\n{recap(bees.policy(), 'brief')}"
    assert "<|" not in last.content
    assert with_policy(asked, bees.policy(), "full")[1:] == clean(asked)


@pytest.mark.parametrize("shuffle", [None, 1, 2, 3])
def test_there_is_a_form_of_reply_for_each_question_of_the_recap(shuffle: int | None) -> None:
    _, *questions = recap(bees.policy(), "brief", shuffle).splitlines()
    forms = reply_forms(bees.policy(), shuffle)
    for question, form in zip(questions, forms, strict=True):
        clause = next((each for each in bees.policy().clauses if each.title in question), None)
        text = write_reply(write_deliberation(None, clause), "Sure.\nAsk (a keeper).")
        assert [bool(re.fullmatch(each, text)) for each in forms] == [each == form for each in forms]


def test_where_one_clause_is_shown_nothing_is_asked_and_it_is_cited() -> None:
    one = bees.policy().model_copy(update={"clauses": bees.policy().clauses[:1]})
    assert recap(one, "brief") == ""
    (form,) = reply_forms(one)
    assert re.fullmatch(form, write_reply(write_deliberation(None, one.clauses[0]), "No."))
