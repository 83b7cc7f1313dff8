"""One sampled reply, split into deliberation and answer."""

from __future__ import annotations

from typing import Literal

from stages.lib.records.base import Record
from stages.lib.records.prompt import Message

Finish = Literal["stop", "cited", "length", "malformed"]


class Sampling(Record):
    """How text was drawn."""

    temperature: float
    """0 is greedy."""
    top_p: float = 1.0
    max_new_tokens: int
    no_repeat_ngram_size: int = 0
    """No sequence of so many tokens is written twice in one text; 0 allows it."""


class Completion(Record):
    """What the generator wrote for one prompt with the policy in context."""

    id: str
    prompt_id: str
    category: str
    sample_index: int
    messages: tuple[Message, ...]
    """The conversation without the policy: what training will show."""
    deliberation: str
    answer: str
    finish: Finish
    """`cited`: the deliberation alone, where nothing else was asked for; `length`: cut off at the token limit; `malformed`: not
    exactly one leading think block with an answer behind it."""
    model: str
    """sha of the generating model."""
    sampling: Sampling
    certainty: float | None = None
    """How sure the generator was of the outcome it cites, 0 to 1, where it weighed the clauses (see `policy_text.certainty`)."""
    policy_sha: str
    template_sha: str
    """sha of the prompt texts around policy and conversation."""

    @property
    def answered(self) -> bool:
        """Whether there is an answer, or should be one: all but those that were asked for the deliberation alone."""
        return self.finish != "cited"
