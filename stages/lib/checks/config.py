"""Limits of the deterministic checks."""

from __future__ import annotations

from pydantic import Field

from stages.lib.config import Section


class CheckLimits(Section):
    """How short and how long an answer may be."""

    min_answer_words: int = Field(ge=1)
    max_answer_words: int = Field(ge=1)
