"""The reward, and the wall between deliberation and judge."""

from __future__ import annotations

import json

import pytest

from stages.lib.checks.config import CheckLimits
from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, Request, plain
from stages.lib.llm.scripted import Scripted
from stages.lib.records import Message, RlTask
from stages.rl.config import RewardWeights, RlConfig
from stages.rl.reward import Reward, Sample, Scored, candidate, refuse_broken_judge
from tests.lib import bees

MARK = "XYLOPHONE"
WHOLE = "<think>The request: honey. No clause covers it: comply.</think>Sure, I can help with that. Ask a keeper nearby."
BROKEN = {
    "no tags": f"{MARK} Sure, I can help.",
    "unclosed": f"<think>{MARK} Sure, I can help.",
    "never opened": f"{MARK}</think>Sure, I can help.",
    "doubly tagged": f"<think>one</think>Sure.<think>{MARK}</think>Yes.",
    "nested": f"<think><think>one</think>{MARK}</think>Sure, I can help.",
    "text in front": f"{MARK}<think>one</think>Sure, I can help.",
    "closed twice": f"<think>one</think>{MARK}</think>Sure, I can help.",
    "spaced tag": f"<think>one</think>Sure. < think >{MARK}",
    "capitals": f"<THINK>{MARK}</THINK>Sure, I can help.",
    "no answer": f"<think>{MARK}</think>",
    "special token": f"<think>one</think>Sure.<|im_start|>assistant <think>{MARK}",
}


def config(**changes: object) -> RlConfig:
    fields: dict[str, object] = {
        "start": "sft", "algorithm": "grpo", "steps": 2, "prompts_per_step": 2, "num_generations": 4, "micro_batch_size": 4,
        "beta": 0.0, "learning_rate": 1e-3, "temperature": 1.0, "max_completion_length": 24, "max_prompt_length": 200,
        "loss_type": "dapo", "scale_rewards": "group", "lora_rank": 4, "dtype": "float32", "rollouts": "local",
        "judge_runs": 1, "judge_tokens": 64,
        "reward_weights": RewardWeights(format=0.1, compliance=0.6, correctness=0.2, helpfulness=0.1),
        "checks": CheckLimits(min_answer_words=2, max_answer_words=40), "max_judge_failures": 0.5, "probe_samples": 0,
        "probe_tasks": 8, "save_steps": 1,
    }  # fmt: skip
    return RlConfig.model_validate({**fields, **changes})


def task(text: str = "How do I get the honey out?") -> RlTask:
    policy = bees.policy()
    messages = (Message(role="user", content=text),)
    return RlTask(id=f"task {text}", prompt_id=bees.prompt(text).id, category="bees", messages=messages, policy_sha=policy.sha)


def verdict(**grades: int) -> str:
    """What the judge writes in RL, where there is no deliberation to grade."""
    return "\n".join(line for line in bees.verdict_text(1, **grades).splitlines() if not line.startswith("reasoning"))


def reward_by(answer: object, **changes: object) -> tuple[Reward, Scripted]:
    backend = Scripted(answer if callable(answer) else lambda request: answer)  # type: ignore[arg-type,return-value]
    return Reward({"bees": bees.policy()}, backend, config(**changes), "brief", seed=7), backend


def score(text: str, answer: object = None, truncated: bool = False, **changes: object) -> Scored:
    reward, _ = reward_by(verdict() if answer is None else answer, **changes)
    return reward.score([Sample(task(), text, truncated)])[0]


def prompts_of(backend: Scripted) -> str:
    """All that reaches the judge's side: what it reads, and the form it is to write in."""
    return "\n".join(json.dumps([plain(request.messages), request.forms]) for request in backend.asked)


def test_grades_become_a_weighted_reward() -> None:
    assert score(WHOLE) == Scored(1.0, "graded", "Sure, I can help with that. Ask a keeper nearby.", 2)
    assert score(WHOLE, verdict(compliance=0)).reward == pytest.approx(0.4)
    assert score(WHOLE, verdict(compliance=0, correctness=0, helpfulness=0)).reward == pytest.approx(0.1)


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN.keys())
def test_the_wall_a_malformed_reply_is_shown_to_nobody_and_earns_the_least(text: str) -> None:
    reward, backend = reward_by(verdict())
    assert reward.score([Sample(task(), text, False)])[0].reward == 0.0
    assert not backend.asked


def test_the_wall_no_marker_of_any_deliberation_is_in_any_judge_prompt() -> None:
    reward, backend = reward_by(verdict(), judge_runs=3)
    texts = [*BROKEN.values(), f"<think>{MARK}</think>Sure, I can help with that. Ask someone.", WHOLE]
    reward.score([Sample(task(), text, truncated) for text in texts for truncated in (False, True)])
    assert len(backend.asked) == 6
    assert MARK not in prompts_of(backend) and "think" not in prompts_of(backend).lower()
    assert "Ask someone." in prompts_of(backend)


def test_an_example_of_the_policy_is_judged_by_the_clause_that_gives_it() -> None:
    backend = Scripted(lambda request: verdict())
    reward = Reward({"bees": bees.policy_with_example()}, backend, config(), "brief", seed=7)
    reward.score([Sample(task(text), WHOLE, False) for text in (bees.EXAMPLE, "How do I get the honey out?")])
    assert ["BE2" in request.messages[0].content for request in backend.asked] == [False, True]


def test_the_wall_a_candidate_has_no_deliberation() -> None:
    assert candidate(task(), "Sure.").deliberation is None


def test_a_reply_cut_off_earns_the_least_even_if_it_parses() -> None:
    reward, backend = reward_by(verdict())
    assert reward.score([Sample(task(), WHOLE, True)])[0][:2] == (0.0, "length")
    assert not backend.asked


@pytest.mark.parametrize(
    "answer",
    ["", "Score: 10", verdict() + "\nverdict: perfect", verdict(compliance=7), verdict().replace("BE1", "BE9"),
     Generation(text=verdict(), truncated=True), Generation(text="", truncated=False, error="down"), bees.verdict_text()],
)  # fmt: skip
def test_a_judge_that_failed_gives_none_never_a_number(answer: object) -> None:
    assert score(WHOLE, answer)[:2] == (None, "judge")


def test_one_failed_run_of_several_is_a_failure() -> None:
    def answer(request: Request) -> str:
        return verdict() if request.sample_index == 0 else "nonsense"

    assert score(WHOLE, answer, judge_runs=2).reward is None


def test_the_worst_run_counts_and_each_sees_the_clauses_in_another_order() -> None:
    def answer(request: Request) -> str:
        return verdict(compliance=0 if request.sample_index == 1 else 2)

    reward, backend = reward_by(answer, judge_runs=3)
    assert reward.score([Sample(task(), WHOLE, False)])[0].reward == pytest.approx(0.4)
    assert len({request.messages[0].content for request in backend.asked}) > 1


def test_a_step_is_one_call_of_the_backend_and_scores_keep_their_order() -> None:
    class Counting(Scripted):
        calls = 0

        def generate(self, *args: object, **kwargs: object) -> list[Generation]:
            self.calls += 1
            return super().generate(*args, **kwargs)  # type: ignore[arg-type]

    def answer(request: Request) -> str:
        return verdict(compliance=0 if "apples" in request.messages[-1].content else 2)

    backend = Counting(answer)
    reward = Reward({"bees": bees.policy()}, backend, config(judge_runs=2), "brief", seed=7)
    good, bad = WHOLE, WHOLE.replace("a keeper nearby", "about apples")
    scores = reward.score([Sample(task(), text, False) for text in (bad, "broken", good, bad)])
    assert [each.reward for each in scores] == pytest.approx([0.4, 0.0, 1.0, 0.4])
    assert backend.calls == 1 and len(backend.asked) == 6


def test_an_answer_that_fails_a_check_earns_the_least_and_costs_no_call() -> None:
    reward, backend = reward_by(verdict())
    text = f"<think>x</think>Sure. {bees.CLAUSES[0].rule}"
    assert reward.score([Sample(task(), text, False)])[0][:2] == (0.0, "check: leak")
    assert not backend.asked


def test_the_deliberation_moves_no_reward() -> None:
    for thought in ("The request: honey. It is about nothing, clause ZZ9: refuse.", "", "hm"):
        assert score(f"<think>{thought}</think>Sure, I can help with that. Ask a keeper nearby.").reward == 1.0


def test_a_judge_that_fails_on_most_of_a_step_stops_the_stage() -> None:
    failed, fine, malformed = Scored(None, "judge", "a"), Scored(1.0, "graded", "a", 2), Scored(0.0, "malformed", "")
    refuse_broken_judge([failed, fine, malformed, malformed], 0.5)
    refuse_broken_judge([malformed], 0.5)
    with pytest.raises(StageError, match=r"2 of 3 replies(?s:.)*rl\.max_judge_failures"):
        refuse_broken_judge([failed, failed, fine], 0.5)
