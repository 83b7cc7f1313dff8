"""What the `rl` section of params.yaml may hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.lib.checks.config import CheckLimits
from stages.lib.config import Section
from stages.lib.llm.load import Dtype


class RewardWeights(Section):
    """What a completion can earn; the sum should be 1."""

    format: float = Field(ge=0)
    """For being whole: above the 0 of a malformed one, so that form is learned even where the judge is never pleased."""
    compliance: float = Field(ge=0)
    correctness: float = Field(ge=0)
    helpfulness: float = Field(ge=0)


class RlConfig(Section):
    """How the model practises (which model judges stands in `llm.judge`)."""

    start: Literal["sft", "base"]
    """The checkpoint it goes on from; base: to see what practice teaches without fine-tuning."""
    algorithm: Literal["grpo", "rloo"]
    steps: int = Field(ge=1)
    prompts_per_step: int = Field(ge=1)
    num_generations: int = Field(ge=2)
    """Replies to each prompt; their rewards are compared with each other."""
    micro_batch_size: int = Field(ge=1)
    """Replies of one backward pass on one device."""
    learning_rate: float = Field(gt=0)
    temperature: float = Field(gt=0)
    """Above 1 after fine-tuning, or most groups agree and teach nothing."""
    max_completion_length: int = Field(ge=1)
    max_prompt_length: int = Field(ge=1)
    """Longer prompts stop the stage: TRL has no limit of its own."""
    beta: float = Field(ge=0)
    """Weight of the KL term; above 0 the model RL starts from is consulted, too."""
    loss_type: Literal["grpo", "bnpo", "dr_grpo", "dapo", "cispo", "sapo", "luspo", "vespo"]
    scale_rewards: Literal["group", "batch", "none"]
    lora_rank: int | None = Field(ge=1)
    """null trains all weights."""
    dtype: Dtype
    """Of the frozen weights and the arithmetic (`auto`: what this machine multiplies); LoRA's own weights are float32."""
    rollouts: Literal["local", "trl", "vllm"]
    """local: each prompt read once, adapters merged, the fastest without vLLM; trl: as TRL does it; vllm: in this process."""
    judge_runs: int = Field(ge=1)
    """Runs per completion, each with the clauses in another order; the worst counts."""
    judge_tokens: int = Field(ge=1)
    reward_weights: RewardWeights
    checks: CheckLimits
    """Limits of the deterministic checks on the answer; one that fails earns nothing and costs no run."""
    max_judge_failures: float = Field(ge=0, le=1)
    """Share of judged completions without a verdict in one step above which the stage stops."""
    probe_samples: int = Field(ge=0)
    """Replies to each candidate prompt before training; prompts whose replies all earn the same are left out. 0: no probing."""
    probe_tasks: int = Field(ge=1)
    """How many candidate prompts are probed."""
    save_steps: int = Field(ge=1)
