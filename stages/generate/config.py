"""What the `generate` section of params.yaml may hold."""

from __future__ import annotations

from pydantic import Field

from stages.lib.config import Section
from stages.lib.llm.config import SamplingConfig


class GenerateConfig(Section):
    """How replies are drawn from the generator (which model that is stands in `llm.generator`)."""

    sampling: SamplingConfig
    samples_per_prompt: int = Field(ge=1)
    """Replies to each prompt of a category, each under another order of the clauses; benign prompts get one."""
