"""Guided decoding: a text keeps to a regular expression, and what can only go on in one way is not asked for.

By llguidance, which servers use for their structured outputs. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from llguidance import LLMatcher
from llguidance.hf import from_tokenizer


class Guides:
    """Guides for texts of one tokenizer, which is taken apart once."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = from_tokenizer(tokenizer)
        self._stop = tokenizer.eos_token_id

    def guide(self, regex: str) -> Guide:
        """For one text. Raises ValueError for what is no regular expression (in Rust's syntax)."""
        matcher = LLMatcher(self._tokenizer, LLMatcher.grammar_from_regex(regex), log_level=0)
        if matcher.is_error():
            raise ValueError(f"{regex!r}: {matcher.get_error()}")
        return Guide(matcher, self._stop)


class Guide:
    """What one text may say next."""

    def __init__(self, matcher: LLMatcher, stop: int) -> None:
        self._matcher = matcher
        self._stop = stop

    def follow(self, tokens: Sequence[int]) -> list[int]:
        """After `tokens`: those that must come next, with the end of the turn where nothing else may."""
        self._matcher.consume_tokens(list(tokens))
        forced = self._matcher.compute_ff_tokens()
        self._matcher.consume_tokens(forced)
        if self._matcher.is_error():
            raise ValueError(self._matcher.get_error())
        return [*forced, self._stop] if self._matcher.is_stopped() else forced

    def restrict(self, scores: torch.Tensor) -> None:
        """Put the scores [vocabulary] of all tokens that may not come next to minus infinity."""
        allowed = torch.frombuffer(bytearray(self._matcher.compute_logit_bias()), dtype=torch.uint8).to(scores.device)
        scores[: len(allowed)].masked_fill_(allowed == 0, float("-inf"))
        scores[len(allowed) :] = float("-inf")  # rows of the table that stand for no token
