"""What the `sft` section of params.yaml may hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from stages.lib.config import Section
from stages.lib.llm.load import Dtype


class WarmStart(Section):
    """Where training goes on from instead of `models/base`."""

    revision: str
    """A git revision with a committed dvc.lock (a tag or a sha: a moving name is not looked up again), or a DVC experiment."""
    checkpoint: Literal["models/sft", "models/rl"]
    replay: float = Field(ge=0)
    """Rows learned before, drawn for every row that is new."""


class SftConfig(Section):
    """How the model is fine-tuned."""

    epochs: float = Field(gt=0)
    """How many times the rows are seen; what is left of a whole number sees a part of them, drawn."""
    learning_rate: float = Field(gt=0)
    batch_size: int = Field(ge=1)
    """Rows of one optimizer step, whatever the number of devices."""
    micro_batch_size: int = Field(ge=1)
    """Rows of one backward pass on one device."""
    warmup_fraction: float = Field(ge=0, lt=1)
    """Share of the steps in which the learning rate rises; then it falls as a cosine."""
    max_length: int = Field(ge=8)
    """Tokens of a rendered conversation with its target. A longer row stops the stage: nothing is ever cut."""
    lora_rank: int | None = Field(ge=1)
    """null trains all weights."""
    lora_layers: float = Field(gt=0, le=1)
    """Share of the layers that get LoRA, the uppermost; below them nothing needs a gradient. Where LoRA is off: no matter."""
    dtype: Dtype
    """Of the frozen weights and the arithmetic (`auto`: what this machine multiplies); LoRA's own weights are float32."""
    draw: int = Field(ge=0)
    """Another number draws another order and other first weights of LoRA: how far apart are two runs on the same rows?"""
    runs: int = Field(ge=1)
    """Runs on the same rows, each with the next draw. Their LoRA updates are averaged, so that chance shows less."""
    warm_start: WarmStart | None
    """null trains from `models/base` on everything."""
    save_steps: int = Field(ge=1)
    log_steps: int = Field(ge=1)

    @model_validator(mode="after")
    def _only_adapters_are_averaged(self) -> SftConfig:
        if self.runs > 1 and self.lora_rank is None:
            raise ValueError("runs above 1 average LoRA's updates: set lora_rank, or runs to 1")
        return self
