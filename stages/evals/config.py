"""What the `evals` section of params.yaml may hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.lib.config import Section
from stages.lib.llm.config import SamplingConfig
from stages.lib.llm.load import Dtype


class EvalsConfig(Section):
    """Which arms are asked, by what backend, and how much of each suite."""

    arms: dict[str, str] = Field(min_length=1)
    """Arm -> folder of its checkpoint."""
    with_policy: tuple[str, ...]
    """Arms that read the policy in context."""
    unaligned: tuple[str, ...]
    """Arms whose answers to outside harmful prompts are dropped, only their type kept."""
    backend: Literal["local", "openai", "vllm", "scripted"]
    batch_size: int = Field(ge=1)
    dtype: Dtype
    sampling: SamplingConfig
    """Greedy, so that two runs give one result. Longer answers than `max_new_tokens` are graded on what there is."""
    caps: dict[str, int | None]
    """Suite -> most requests asked, drawn by the seed, the same for every arm; null or absent asks all."""
    resamples: int = Field(ge=100)
    """Bootstrap resamples behind every interval."""
    probe: bool
    """Whether the public likelihood probe runs; it needs the weights at hand."""
