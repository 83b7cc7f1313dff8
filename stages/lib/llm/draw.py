"""Sampling that belongs to the request, not to its batch.

`argmax(logits / T + Gumbel noise)` is a draw from `softmax(logits / T)`. With the noise from one generator per request the
same request draws the same text in any batch, so a run that was killed and resumed ends like one that was not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stages.lib.records import Sampling


class Draw:
    """Chooses the next token of each row, with one seed per place in the batch; the likeliest at temperature 0."""

    def __init__(self, sampling: Sampling, seeds: Sequence[int], device: Any) -> None:
        import torch
        from transformers import TemperatureLogitsWarper, TopPLogitsWarper

        self._sources: list[Any] = []
        self._warpers: list[Any] = []
        if sampling.temperature > 0:
            self._sources = [torch.Generator(device).manual_seed(seed) for seed in seeds]
            self._warpers = [TemperatureLogitsWarper(float(sampling.temperature))]
            if sampling.top_p < 1:
                self._warpers.append(TopPLogitsWarper(sampling.top_p))

    def __call__(self, scores: Any, places: Sequence[int]) -> Any:
        """scores [n, vocabulary] of the rows at `places` -> n tokens."""
        import torch

        if not self._sources:
            return scores.max(-1).indices  # argmax takes four times as long on a CPU
        scores = scores.float()
        for warper in self._warpers:
            scores = warper(None, scores)
        noise = torch.empty_like(scores)
        for row, place in zip(noise, places, strict=True):
            row.exponential_(generator=self._sources[place])
        return (scores - noise.log()).argmax(-1)
