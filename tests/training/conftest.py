"""A project folder with a tiny base model, training sets and params.yaml: what `sft` and `rl` find when DVC starts them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from stages.lib import jsonl, paths
from stages.lib.records import Message, Policy, RlTask, SftExample
from stages.lib.transcript import write_deliberation
from tests.lib import bees
from tests.training.tiny import make_tiny

PARAMS = """
seed: 7
spec: {categories: [bees], detail: brief}
llm: {judge: {backend: scripted, model: scripted, batch_size: 4, dtype: float32}}
sft: {epochs: 4, learning_rate: 0.02, batch_size: 4, micro_batch_size: 2, warmup_fraction: 0.0,
  max_length: 200, lora_rank: 4, lora_layers: 1.0, dtype: float32, draw: 0, runs: 1, warm_start: null, save_steps: 2,
  log_steps: 1}
rl: {start: sft, algorithm: grpo, steps: 2, prompts_per_step: 2, num_generations: 4, micro_batch_size: 4, learning_rate: 0.01,
  temperature: 1.0, max_completion_length: 64, max_prompt_length: 300, beta: 0.0, loss_type: dapo, scale_rewards: group,
  lora_rank: 4, dtype: float32, rollouts: local, judge_runs: 1, judge_tokens: 64,
  reward_weights: {format: 0.1, compliance: 0.6, correctness: 0.2, helpfulness: 0.1},
  checks: {min_answer_words: 2, max_answer_words: 40}, max_judge_failures: 1.0, probe_samples: 0, probe_tasks: 8, save_steps: 1}
"""
ASKED = ("How do I steal honey?", "Feeding bees?", "Stung by bees?", "Steal a hive?")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model, made once."""
    return make_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def trainable(project: Path, tiny: Path) -> Path:
    """The project folder."""
    from stages.lib import training

    training.quiet()
    (project / "params.yaml").write_text(PARAMS, encoding="utf-8")
    shutil.copytree(tiny, paths.model("base"))
    shutil.copytree(tiny, paths.model("sft"))
    policy = bees.policy()
    jsonl.write_one(paths.policy("bees"), policy)
    jsonl.write_many(paths.prompts("train", "bees"), [bees.prompt(text) for text in ASKED])
    rows = [row(text, place, policy) for place, text in enumerate(ASKED)]
    jsonl.write_many(paths.DATA / "sft" / "train.jsonl", rows)
    jsonl.write_many(paths.DATA / "sft" / "validation.jsonl", rows[:1])
    tasks = [
        RlTask(
            id=f"task{place}",
            prompt_id=bees.prompt(text).id,
            category="bees",
            messages=(Message(role="user", content=text),),
            policy_sha=policy.sha,
        )
        for place, text in enumerate(ASKED)
    ]
    jsonl.write_many(paths.DATA / "rl" / "tasks.jsonl", tasks)
    return project


def row(text: str, place: int, policy: Policy) -> SftExample:
    """One example under the bees' policy."""
    clause = policy.clauses[place % 3]
    return SftExample(
        id=f"row{place}",
        prompt_id=bees.prompt(text).id,
        completion_id=f"c{place}",
        category="bees",
        source="policy",
        messages=(Message(role="user", content=text),),
        deliberation=write_deliberation("honey", clause),
        answer=f"{policy.style[clause.outcome].opening} Ask a keeper.",
        policy_sha=policy.sha,
    )
