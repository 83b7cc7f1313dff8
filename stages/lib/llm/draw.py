"""Sampling that belongs to the request, not to its batch.

`argmax(logits / T + Gumbel noise)` is a draw from `softmax(logits / T)`. With the noise from one generator per request the
same request draws the same text in any batch, so a run that was killed and resumed ends like one that was not.
"""

from __future__ import annotations

from typing import Any

from stages.lib.records import Sampling


def seeded_draw(sampling: Sampling, seeds: list[int], device: Any) -> Any:
    """Logits processors that turn greedy decoding into sampling, one seed per row; none at temperature 0."""
    import torch
    from transformers import LogitsProcessor, LogitsProcessorList, TemperatureLogitsWarper, TopPLogitsWarper

    if sampling.temperature == 0:
        return LogitsProcessorList()

    class Noise(LogitsProcessor):
        """Adds each row's own noise; rows keep their place during `generate`."""

        def __init__(self) -> None:
            self.sources = [torch.Generator(device).manual_seed(seed) for seed in seeds]

        def __call__(self, input_ids: Any, scores: Any) -> Any:
            noise = torch.empty_like(scores, dtype=torch.float32)
            for row, source in zip(noise, self.sources, strict=True):
                row.exponential_(generator=source)
            return scores.float() - noise.log()

    warpers = [TemperatureLogitsWarper(float(sampling.temperature))]
    if sampling.top_p < 1:
        warpers.append(TopPLogitsWarper(sampling.top_p))
    return LogitsProcessorList([*warpers, Noise()])
