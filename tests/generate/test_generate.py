"""From prompts to completions."""

from __future__ import annotations

import re

import pytest

from stages.generate.generate import generate_all, read_as, right_clause, summarise
from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request
from stages.lib.llm.rules import follow_rules
from stages.lib.llm.scripted import Scripted
from stages.lib.records import Message, Prompt
from stages.lib.transcript import read_citation
from tests.lib import bees

POLICY = bees.policy()


def asked_of(request: Request) -> str:
    """The conversation's last turn without the questions behind it."""
    return request.messages[-1].content.partition("\n\n")[0]


def prompts(count: int = 3) -> list[Prompt]:
    return [bees.prompt(f"How do I get honey out of hive {number}?") for number in range(count)]


def test_the_policy_is_asked_with_and_kept_nowhere() -> None:
    backend = Scripted(lambda request: bees.reply())
    done = generate_all(prompts(), POLICY, backend, bees.GENERATE, "brief", 7)
    assert all("stealing honey from a hive, clause BE1" in request.messages[0].content for request in backend.asked)
    assert [one.messages for one in done] == [one.messages for one in prompts()]
    assert not any(clause.title in message.content for one in done for message in one.messages for clause in POLICY.clauses)
    assert {one.policy_sha for one in done} == {POLICY.sha}


def test_an_example_of_the_policy_is_asked_with_the_clause_that_gives_it() -> None:
    policy, backend = bees.policy_with_example(), Scripted(lambda request: bees.reply())
    asked = [bees.prompt(bees.EXAMPLE), bees.prompt()]
    done = generate_all(asked, policy, backend, bees.GENERATE, "brief", 7)
    assert ["BE2" in request.messages[0].content for request in backend.asked] == [False, True]
    assert {one.policy_sha for one in done} == {policy.sha}


def test_samples_of_one_prompt_have_their_own_index_and_id() -> None:
    config = bees.GENERATE.model_copy(update={"samples_per_prompt": 3})
    backend = Scripted(lambda request: bees.reply())
    done = generate_all(prompts(2), POLICY, backend, config, "brief", 7)
    assert [one.sample_index for one in done] == [0, 1, 2, 0, 1, 2]
    assert len({one.id for one in done}) == 6
    assert [request.sample_index for request in backend.asked] == [0, 1, 2, 0, 1, 2]
    orders = [re.findall(r"clause (BE\d)", request.messages[0].content) for request in backend.asked]
    assert orders[0] == [clause.id for clause in POLICY.clauses]
    assert orders[:3] == orders[3:] and len({tuple(order) for order in orders}) > 1


def test_benign_requests_go_as_they_are() -> None:
    config = bees.GENERATE.model_copy(update={"samples_per_prompt": 3})
    backend = Scripted()
    (done,) = generate_all([bees.prompt("Why is the sky blue?", "benign")], None, backend, config, "brief", 7)
    assert [request.messages for request in backend.asked] == [(Message(role="user", content="Why is the sky blue?"),)]
    assert (done.policy_sha, done.template_sha, done.category) == ("none", "none", "benign")


def test_control_tokens_of_a_request_reach_neither_model_nor_training() -> None:
    backend = Scripted(lambda request: bees.reply())
    (done,) = generate_all([bees.prompt("Hi <|im_end|></think>")], POLICY, backend, bees.GENERATE, "brief", 7)
    assert "<|" not in backend.asked[0].messages[-1].content
    assert "<|" not in done.messages[-1].content and "think>" not in done.messages[-1].content


def test_finishes_are_told_apart() -> None:
    def answer(request: Request) -> Generation:
        number = int(asked_of(request).rstrip("?")[-1])
        texts = [bees.reply(), "no think block", "<think>cut"]
        return Generation(text=texts[number], truncated=number == 2)

    done = generate_all(prompts(), POLICY, Scripted(answer), bees.GENERATE, "brief", 7)
    assert [one.finish for one in done] == ["stop", "malformed", "length"]
    assert summarise(done) == {"rows": 3, "finish_stop": 1, "finish_cited": 0, "finish_malformed": 1, "finish_length": 1}


def test_a_failed_request_stops_the_stage() -> None:
    broken = Scripted(lambda request: Generation(text="", truncated=False, error="HTTP 400"))
    with pytest.raises(StageError, match="3 of 3 requests failed"):
        generate_all(prompts(), POLICY, broken, bees.GENERATE, "brief", 7)


def test_ids_change_with_the_policy_and_repeat_otherwise() -> None:
    def ids(title: str) -> list[str]:
        done = generate_all(prompts(), bees.policy(title=title), Scripted(lambda _: bees.reply()), bees.GENERATE, "brief", 7)
        return [one.id for one in done]

    assert ids("Bees") == ids("Bees")
    assert not set(ids("Bees")) & set(ids("Wasps"))


def test_how_the_model_reads_the_policy_is_counted_by_gold_clause() -> None:
    asked = [bees.prompt(f"How do I get honey out of hive {number}?") for number in range(3)]
    asked = [prompt.model_copy(update={"clause": clause}) for prompt, clause in zip(asked, ("BE1", "BE1", "BE2"), strict=True)]
    said = [bees.reply(), "<think>No clause covers it: comply.</think>Sure.", bees.reply()]
    answers = dict(zip((prompt.messages[-1].content for prompt in asked), said, strict=True))
    backend = Scripted(lambda request: answers[asked_of(request)])
    cited = read_as(asked, generate_all(asked, POLICY, backend, bees.GENERATE, "brief", 7))
    assert cited == {"BE1": {"BE1": 1, "none": 1}, "BE2": {"BE1": 1}}
    assert right_clause(cited) == 0.25
    assert right_clause({}) == 0


def test_a_completion_says_how_sure_the_model_was_of_the_outcome_it_cites() -> None:
    shares = iter([(0.6, 0.1, 0.1, 0.2), (0.6, 0.1, 0.1, 0.2), ()])
    replies = iter([bees.reply(1), bees.reply(None), bees.reply(1)])
    backend = Scripted(lambda request: Generation(text=next(replies), truncated=False, shares=next(shares)))
    done = generate_all(prompts(), POLICY, backend, bees.GENERATE, "brief", 7)
    assert [one.certainty for one in done] == [0.6, 0.3, None]


def test_a_drawn_share_of_prompts_is_answered_and_the_others_are_cited_alone() -> None:
    asked, config = prompts(200), bees.GENERATE.model_copy(update={"answer_fraction": 0.25})

    def cite_or_answer(request: Request) -> str:
        return bees.reply() if request.forms[0].endswith("+") else bees.reply().partition("</think>")[0] + "</think>"

    done = generate_all(asked, POLICY, Scripted(cite_or_answer), config, "brief", 7)
    assert {(one.finish, bool(one.answer)) for one in done} == {("stop", True), ("cited", False)}
    assert 35 <= sum(one.finish == "stop" for one in done) <= 65
    alone = generate_all(asked[:50], POLICY, Scripted(cite_or_answer), config, "brief", 7)
    assert [one.id for one in alone] == [one.id for one in done[:50]], "other prompts decide who is answered"
    assert all(read_citation(one.deliberation).clause_id == "BE1" for one in done)


def test_a_benign_prompt_without_answer_is_told_what_it_will_cite() -> None:
    config = bees.GENERATE.model_copy(update={"answer_fraction": 1e-9})
    backend = Scripted(follow_rules)
    (done,) = generate_all([bees.prompt("Why is the sky blue?", "benign")], None, backend, config, "brief", 7)
    assert re.fullmatch(backend.asked[0].forms[0], "<think>No clause covers it: comply.</think>")
    assert done.finish == "cited" and read_citation(done.deliberation).outcome == "comply"


def test_a_backend_that_keeps_to_no_form_answers_all() -> None:
    config = bees.GENERATE.model_copy(update={"answer_fraction": 0.01})
    done = generate_all(prompts(), POLICY, Scripted(lambda request: bees.reply()), config, "brief", 7)
    assert {one.finish for one in done} == {"stop"} and all(one.answer for one in done)
