"""Which prompts are practised on, and what is measured beside the reward."""

from __future__ import annotations

from collections import Counter

from stages.lib.llm.backend import Request
from stages.lib.llm.scripted import Scripted
from stages.lib.records import RlTask
from stages.rl.choose import in_turn, live, plan
from stages.rl.reward import Reward, Sample, Scored
from stages.rl.watch import gold_outcomes, watch
from tests.lib import bees
from tests.rl.test_reward import WHOLE, config, task, verdict


def tasks() -> list[RlTask]:
    bee = [task(f"Question {place}?") for place in range(4)]
    return bee + [task(f"Meow {place}?").model_copy(update={"category": "cats"}) for place in range(8)]


def test_every_step_sees_every_category() -> None:
    order = plan(tasks(), 8, seed=7)
    assert [each.category for each in order] == ["bees", "cats"] * 4
    assert order == plan(tasks()[::-1], 8, seed=7)


def test_laps_hold_every_task_once_and_differ() -> None:
    order = plan(tasks(), 24, seed=7)
    assert set(Counter(each.id for each in order).values()) == {2}
    assert order[:12] != order[12:]
    assert in_turn(tasks(), 7) == order[:12]


def probed(dead: str, minimum: int) -> list[RlTask]:
    def reply(request: Request) -> str:
        text = request.messages[-1].content
        return WHOLE if text == dead or request.sample_index % 2 else "broken"

    reward = Reward({"bees": bees.policy()}, Scripted(lambda request: verdict()), config(), "brief", seed=7)
    four = [task(f"Question {place}?") for place in range(4)]
    return live(four, Scripted(reply), reward, config(probe_samples=4, prompts_per_step=minimum), seed=7)


def test_prompts_whose_replies_all_earn_the_same_are_left_out() -> None:
    assert {each.messages[0].content for each in probed("Question 2?", 2)} == {f"Question {place}?" for place in (0, 1, 3)}


def test_all_are_kept_when_too_few_are_live() -> None:
    assert len(probed("Question 2?", 4)) == 4


def test_gold_is_compared_with_the_judge_and_nothing_else() -> None:
    policies = {"bees": bees.policy()}
    gold = gold_outcomes([bees.prompt("How do I get the honey out?")], policies)
    samples = [Sample(task(), "", False)] * 4
    refusal = bees.STYLE["refuse"].opening
    scores = [
        Scored(1.0, "graded", refusal, 2),
        Scored(0.4, "graded", refusal, 0),
        Scored(None, "judge", "Sure, I can help with that."),
        Scored(0.0, "malformed", ""),
    ]
    numbers = watch(samples, scores, policies, gold)
    assert numbers["gold/right"] == 0.5 and numbers["gold/agreement"] == 0.5
    assert numbers["malformed"] == 0.25 and numbers["judge/unreadable"] == 1 / 3
    assert numbers["opens/refuse"] == 0.5 and numbers["opens/comply"] == 0.25
