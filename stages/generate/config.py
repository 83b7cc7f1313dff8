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
    answer_fraction: float = Field(gt=0, le=1)
    """Share of the prompts, drawn by their ids, whose replies are whole. Of the others a small model learns the deliberation
    alone, so that answers do not drown the citation; a backend that keeps to no form (see `Request.forms`) answers them, too."""
