"""The practice run, by TRL's GRPOTrainer (or RLOOTrainer)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import curves, training
from stages.lib.errors import StageError
from stages.lib.llm.load import load_model, load_tokenizer
from stages.lib.records import RlTask
from stages.rl.config import RlConfig
from stages.rl.lean import lean_trainer
from stages.rl.reward import Reward, Sample, Scored, refuse_broken_judge
from stages.rl.rollout import Rollout, tokenize

DROPPED = re.compile(r"^rewards/|^clip_ratio/|^completions/(min|max|mean_terminated)")
"""What TRL logs twice or beside the point."""
AVERAGED = {
    "dead_groups": "frac_reward_zero_std",
    "length": "completions/mean_length",
    "malformed": "malformed",
    "judge_unreadable": "judge/unreadable",
    "gold_agreement": "gold/agreement",
}
"""Name in reports/rl.json -> name in the curve."""

NO_REWARD = "All reward functions returned None"
"""How TRL's warning of a sample without a reward begins; the prompt and the completion follow."""

Watch = Callable[[Sequence[Sample], Sequence[Scored]], Mapping[str, float]]


def make_trainer(
    source: Path,
    tasks: Sequence[RlTask],
    reward: Reward,
    watch: Watch,
    config: RlConfig,
    seed: int,
    work: Path,
    callbacks: list[Any],
    lean: bool = True,
) -> Any:
    """A trainer that takes `tasks` in their order, `prompts_per_step` a step; without `lean`, TRL's GRPO as it is (see bench)."""
    from datasets import Dataset
    from trl import GRPOTrainer, RLOOTrainer

    from stages.lib.cpu_training import lean_on_cpu

    show_no_completions()
    tokenizer = load_tokenizer(source)
    rows = [{"prompt": [message.model_dump() for message in task.messages], "task": task.id} for task in tasks]
    _refuse_long(tasks, tokenizer, config.max_prompt_length)
    model = load_model(source, config.dtype)
    known = {task.id: task for task in tasks}
    given: dict[str, Any] = {
        "model": model,
        "reward_funcs": reward_function(reward, known, watch, _stops(model, tokenizer), config.max_judge_failures),
        "args": settings(config, seed, work),
        "train_dataset": Dataset.from_list(rows),
        "processing_class": tokenizer,
        "peft_config": training.lora(config.lora_rank),
        "callbacks": callbacks,
    }
    if not lean:
        return training.plain_spoken(GRPOTrainer(**given))
    if config.algorithm == "rloo":
        return lean_on_cpu(training.plain_spoken(RLOOTrainer(**given)), config.temperature)
    rollout = Rollout(source, tokenizer, config) if config.rollouts == "local" else None
    trainer = training.plain_spoken(lean_trainer()(**given, rollout_func=rollout))
    return lean_on_cpu(trainer, config.temperature)


def show_no_completions() -> None:
    """Keep replies to harmful requests out of the log. How many went without a reward is in the curve."""
    for name in ("grpo_trainer", "rloo_trainer"):
        logging.getLogger(f"trl.trainer.{name}").addFilter(lambda record: NO_REWARD not in str(record.msg))


def settings(config: RlConfig, seed: int, work: Path) -> Any:
    """TRL's own configuration object."""
    from trl import GRPOConfig, RLOOConfig

    rows = config.prompts_per_step * config.num_generations
    common: dict[str, Any] = {
        **training.arguments(work, seed, config.dtype, config.save_steps),
        "max_steps": config.steps,
        "per_device_train_batch_size": config.micro_batch_size,
        "gradient_accumulation_steps": training.accumulation(rows, config.micro_batch_size, "rl"),
        "num_generations": config.num_generations,
        "max_completion_length": config.max_completion_length,
        "temperature": config.temperature,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": "constant",
        "beta": config.beta,
        "shuffle_dataset": False,  # choose.plan has put the tasks in order
        "logging_steps": 1,
        **({"use_vllm": True, "vllm_mode": "colocate"} if config.rollouts == "vllm" else {}),
    }
    if config.algorithm == "rloo":
        return RLOOConfig(**common)
    return GRPOConfig(**common, loss_type=config.loss_type, scale_rewards=config.scale_rewards)


def reward_function(
    reward: Reward, tasks: Mapping[str, RlTask], watch: Watch, stops: set[int], max_failures: float
) -> Callable[..., list[float | None]]:
    """TRL's reward function. There is one only: TRL takes None for 0 where another function returned a number."""

    def judge(completions: Any, completion_ids: Any, task: Any, log_metric: Any, **_: Any) -> list[float | None]:
        samples = [
            Sample(tasks[name], turns[-1]["content"], not ids or ids[-1] not in stops)
            for name, turns, ids in zip(task, completions, completion_ids, strict=True)
        ]
        scores = reward.score(samples)
        refuse_broken_judge(scores, max_failures)
        for name, value in watch(samples, scores).items():
            log_metric(name, value)
        return [score.reward for score in scores]

    return judge


def curve(history: Sequence[Mapping[str, Any]]) -> list[dict[str, float]]:
    """The run's curve, by TRL's names."""
    return [{name: value for name, value in point.items() if not DROPPED.search(name)} for point in curves.points(history)]


def summarise(points: curves.Points, tasks: int, live: int) -> dict[str, float]:
    """reports/rl.json."""
    first, last = curves.ends(points, "reward")
    means = {name: curves.mean(points, logged) for name, logged in AVERAGED.items()}
    return {"steps": len(points), "tasks": tasks, "live_tasks": live, "reward_first": first, "reward_last": last, **means}


def _refuse_long(tasks: Sequence[RlTask], tokenizer: Any, limit: int) -> None:
    for task in tasks:
        (ids,) = tokenize(tokenizer, [[message.model_dump() for message in task.messages]])
        if len(ids) > limit:
            what = f"data/rl/tasks.jsonl: task {task.id} has {len(ids)} tokens, rl.max_prompt_length is {limit}"
            raise StageError(what, "raise rl.max_prompt_length, or let mix drop long conversations")


def _stops(model: Any, tokenizer: Any) -> set[int]:
    """Tokens that end a turn: by the tokenizer and by the checkpoint, which for some models are two."""
    found = model.generation_config.eos_token_id
    return {tokenizer.eos_token_id, *(found if isinstance(found, list) else [found])} - {None}
