"""GRPO without the passes that move nothing, and without reading a prompt once per reply.

A reply whose advantage is zero adds nothing to the gradient: its group agreed, or the judge failed. After fine-tuning that
is up to half of all replies, and on a CPU forward and backward are most of a step.
"""

from __future__ import annotations

from typing import Any

from stages.lib.llm.load import device
from stages.rl.shared import alike, shared_prompts

NORMALISED = ("dapo", "cispo")
"""Losses divided by the tokens of the whole step, so that leaving out zeros changes no gradient."""


def lean_trainer() -> Any:
    """GRPOTrainer that does less wherever that gives the same gradient."""
    from trl import GRPOTrainer

    class LeanTrainer(GRPOTrainer):
        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            alone = self.accelerator.num_processes == 1  # several processes must make the same collective calls
            if not alone or self.beta or self.use_vllm or self.loss_type not in NORMALISED:
                return super()._compute_loss(model, inputs)
            if not bool(inputs["advantages"].any()):
                return sum(weight.sum() * 0.0 for weight in model.parameters() if weight.requires_grad)
            return super()._compute_loss(model, without_zeros(inputs))

        def _get_per_token_logps_and_entropies(
            self, model: Any, input_ids: Any, attention_mask: Any, logits_to_keep: int, *args: Any, **kwargs: Any
        ) -> Any:
            columns = input_ids.shape[1] - logits_to_keep
            given = (model, input_ids, attention_mask, logits_to_keep)
            if device() == "cuda" or not alike(input_ids[:, :columns]):  # fused attention takes no mask of ours
                return super()._get_per_token_logps_and_entropies(*given, *args, **kwargs)
            bare = self.accelerator.unwrap_model(model)
            with shared_prompts(bare.get_base_model() if hasattr(bare, "get_base_model") else bare, columns):
                return super()._get_per_token_logps_and_entropies(*given, *args, **kwargs)

    return LeanTrainer


def without_zeros(inputs: dict[str, Any]) -> dict[str, Any]:
    """The rows with an advantage, and of their columns those that are not all padding."""
    keep = inputs["advantages"] != 0
    rows = len(keep)
    live = {name: value[keep] if getattr(value, "ndim", 0) and len(value) == rows else value for name, value in inputs.items()}
    start = int(live["prompt_mask"].any(dim=0).int().argmax())  # prompts are padded on the left
    end = int(live["completion_mask"].sum(dim=1).max())  # completions on the right
    for name, columns in (("prompt", slice(start, None)), ("completion", slice(None, end))):
        for part in ("ids", "mask"):
            live[f"{name}_{part}"] = live[f"{name}_{part}"][:, columns]
    return live
