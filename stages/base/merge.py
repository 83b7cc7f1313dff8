"""Pretrained weights and the reader's adapter, merged into one plain checkpoint."""

from __future__ import annotations

from pathlib import Path


def merge(pretrained: Path, adapter: Path | None, out: Path) -> None:
    """Write `out` as bf16 safetensors with tokenizer and chat template.

    The merge happens in float32: LoRA updates are smaller than bf16's steps around the weights they are added to.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model = AutoModelForCausalLM.from_pretrained(pretrained, dtype=torch.float32)
    if adapter is not None:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    out.mkdir(parents=True, exist_ok=True)
    model.to(torch.bfloat16).save_pretrained(out)
    AutoTokenizer.from_pretrained(pretrained).save_pretrained(out)
