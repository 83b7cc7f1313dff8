"""GRPO without the passes that move nothing.

A reply whose advantage is zero adds nothing to the gradient: its group agreed, or the judge failed. After fine-tuning that
is half of all replies, and on a CPU forward and backward are most of a step.
"""

from __future__ import annotations

from typing import Any

NORMALISED = ("dapo", "cispo")
"""Losses divided by the tokens of the whole step, so that leaving out zeros changes no gradient."""


def lean_trainer() -> Any:
    """GRPOTrainer that runs only replies with an advantage through the model, wherever that gives the same gradient."""
    from trl import GRPOTrainer

    class LeanTrainer(GRPOTrainer):
        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            alone = self.accelerator.num_processes == 1  # several processes must make the same collective calls
            if not alone or self.beta or self.use_vllm or self.loss_type not in NORMALISED:
                return super()._compute_loss(model, inputs)
            if not bool(inputs["advantages"].any()):
                return sum(weight.sum() * 0.0 for weight in model.parameters() if weight.requires_grad)
            return super()._compute_loss(model, without_zeros(inputs))

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
