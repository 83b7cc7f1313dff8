"""How likely a checkpoint holds a text to be: the measure behind probes that need no generation."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from stages.lib.llm.load import Dtype, load_model, load_tokenizer


def mean_logprobs(checkpoint: Path | str, dtype: Dtype, texts: Sequence[str], batch_size: int = 64) -> list[float]:
    """Mean log-probability per token of each text, standing alone, in the order of `texts`."""
    import torch

    model, tokenizer = load_model(checkpoint, dtype), load_tokenizer(checkpoint)
    tokenizer.padding_side = "right"
    start = tokenizer.bos_token or tokenizer.eos_token
    means: list[float] = []
    with torch.inference_mode():
        for first in range(0, len(texts), batch_size):
            batch = [start + text for text in texts[first : first + batch_size]]
            rows = tokenizer(batch, return_tensors="pt", padding=True, add_special_tokens=False).to(model.device)
            logits = model(**rows).logits[:, :-1].float()
            chosen = logits.log_softmax(-1).gather(-1, rows["input_ids"][:, 1:, None]).squeeze(-1)
            mask = rows["attention_mask"][:, 1:]
            means += ((chosen * mask).sum(-1) / mask.sum(-1)).tolist()
    return means
