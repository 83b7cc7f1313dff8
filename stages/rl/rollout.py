"""Replies to the prompts of a step, drawn from a merged copy of the policy.

TRL's own generation runs adapters unmerged, under autocast, and reads each prompt once per reply. Here a bf16 copy is
refreshed with the adapters merged in, each distinct prompt is read once, and its cache is repeated for its replies.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lib.llm.load import load_model
from stages.rl.config import RlConfig


class Rollout:
    """TRL's `rollout_func`."""

    def __init__(self, source: Path, tokenizer: Any, config: RlConfig) -> None:
        self._copy = load_model(source, config.dtype)
        self._tokenizer = tokenizer
        self._config = config

    def __call__(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:
        """One reply per entry of `prompts`, which repeats each prompt once per reply; drawn by torch's seeded state."""
        import torch

        rows = tokenize(self._tokenizer, prompts)
        with torch.no_grad():
            refresh(self._copy, trainer.accelerator.unwrap_model(trainer.model))
            replies = self._draw(rows, trainer.eos_token_ids)
        return {"prompt_ids": rows, "completion_ids": replies, "logprobs": None}

    def _draw(self, rows: list[list[int]], stops: list[int]) -> list[list[int]]:
        from stages.lib.llm.decode import decode
        from stages.lib.llm.prefix import Prefixes

        replies: dict[int, list[int]] = {}
        decode(
            Prefixes(self._copy, self._tokenizer.pad_token_id),
            rows,
            [len(row) - 1 for row in rows],
            self._config.max_completion_length,
            set(stops),
            self._choose,
            replies.__setitem__,
        )
        return [replies[row] for row in range(len(rows))]

    def _choose(self, scores: Any, places: Sequence[int]) -> Any:
        return (scores.float() / self._config.temperature).softmax(-1).multinomial(1)[:, 0]


def tokenize(tokenizer: Any, prompts: list[Any]) -> list[list[int]]:
    """Prompts as the model sees them, open for its turn."""
    return [list(tokenizer.apply_chat_template(prompt, add_generation_prompt=True, return_dict=False)) for prompt in prompts]


def refresh(copy: Any, model: Any) -> None:
    """Give the copy the policy's present weights, adapters merged."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        copy.load_state_dict(model.state_dict())
        return
    for name, layer in model.get_base_model().named_modules():
        if hasattr(layer, "get_delta_weight"):
            merged = layer.get_base_layer().weight.float() + layer.get_delta_weight("default").float()
            copy.get_submodule(name).weight.copy_(merged)
