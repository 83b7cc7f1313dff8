"""The `llm` section of params.yaml: which model writes and which one judges. Where a server stands is not in it.

Endpoint and key of an `openai` backend come from DA_LLM_BASE_URL and DA_LLM_API_KEY: they say where a run happens, not what
it is.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.lib.config import Section
from stages.lib.llm.load import Dtype
from stages.lib.records import Sampling


class Price(Section):
    """What an API takes for a million tokens, in any currency."""

    read: float = Field(ge=0)
    written: float = Field(ge=0)


class LlmConfig(Section):
    """One model behind one backend."""

    backend: Literal["local", "openai", "vllm", "scripted"]
    """local: transformers in this process; vllm: its offline engine; openai: any compatible server; scripted: canned texts."""
    model: str
    """Folder of a checkpoint, or the name a server knows it by."""
    batch_size: int = Field(ge=1)
    """Requests at a time: rows of a batch, or calls in flight."""
    dtype: Dtype
    """Arithmetic of the local and the vllm backend; auto: bfloat16 where the machine multiplies it, else float32."""
    budget: int | None = Field(default=None, ge=0)
    """New requests that one run of one stage may ask; then it stops, and keeps what was paid. null: no limit."""
    price: Price | None = None
    """Only for the forecast of `python -m stages.spec impact`."""


class LlmSection(Section):
    """The two roles. They may be one model."""

    generator: LlmConfig
    judge: LlmConfig


class SamplingConfig(Section):
    """How text is drawn."""

    temperature: float = Field(ge=0)
    """0 is greedy."""
    top_p: float = Field(gt=0, le=1)
    max_new_tokens: int = Field(ge=1)
    no_repeat_ngram_size: int = Field(default=0, ge=0)
    """No sequence of so many tokens is written twice in one text; 0 allows it. For the local backend: small models fall into
    loops, the larger ones behind a server hardly do."""

    def record(self) -> Sampling:
        """As it is kept with every completion."""
        return Sampling(**self.model_dump())
