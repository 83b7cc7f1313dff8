"""Checkpoints from disk: safetensors only, no code of theirs is ever run."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path
from typing import Any, Literal

from stages.lib.digests import sha256_file
from stages.lib.errors import StageError

Dtype = Literal["auto", "bfloat16", "float32"]
"""What params say of arithmetic; see `precision`."""
Precision = Literal["bfloat16", "float32"]
BFLOAT16_UNITS = ("avx512_bf16", "amx_bf16", "bf16")
"""Names that `torch.cpu.get_capabilities` gives them on x86 and, the last one, on ARM."""

PLAIN = frozenset({"llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose attention is softmax(qk)v and nothing else: no soft cap, no sinks, no bias."""


def device() -> str:
    """The accelerator if there is one, else the CPU."""
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def precision(dtype: Dtype) -> Precision:
    """What weights are loaded in and computed with: `auto` is bfloat16 where the machine multiplies it, else float32.

    Other processors unpack bfloat16 first: an AVX2 one takes eight times as long for a product as in float32.
    """
    if dtype != "auto":
        return dtype
    return "bfloat16" if _multiplies_bfloat16() else "float32"


@functools.cache
def _multiplies_bfloat16() -> bool:
    import torch

    if device() == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = torch.cpu.get_capabilities()
    return any(able.get(name) for name in BFLOAT16_UNITS)


def attends_plainly(config: Any) -> bool:
    """Whether a model's attention is plain, and over the whole text in every layer."""
    layers = set(getattr(config, "layer_types", None) or ["full_attention"])
    return config.model_type in PLAIN and layers == {"full_attention"}


def load_model(path: Path | str, dtype: Dtype) -> Any:
    """A causal language model in evaluation mode on `device()`, computing in `precision(dtype)`."""
    import torch
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    folder = _checkpoint(path)
    logging.disable_progress_bar()  # a bar for two seconds of loading buries the stage's own
    weights = getattr(torch, precision(dtype))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=weights, use_safetensors=True, trust_remote_code=False)
    return model.to(device()).eval()


def load_tokenizer(path: Path | str) -> Any:
    """The checkpoint's tokenizer, padding on the left as generation needs it; trainers set their own side."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(_checkpoint(path, weights=False), trust_remote_code=False, padding_side="left")
    if tokenizer.chat_template is None:
        what = f"{path}: the tokenizer has no chat template"
        raise StageError(what, "use an instruction-tuned model, or add chat_template.jinja")
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def model_sha(path: Path | str) -> str:
    """sha256 over the weight files' sha256, in name order; an adapter's folder has one too."""
    whole = hashlib.sha256()
    for file in sorted(_checkpoint(path).glob("*.safetensors")):
        whole.update(f"{file.name}:{sha256_file(file)}\n".encode())
    return whole.hexdigest()


def _checkpoint(path: Path | str, weights: bool = True) -> Path:
    folder = Path(path)
    if not folder.is_dir():
        raise StageError(f"{folder} does not exist", "run `dvc repro`, which makes it, or name another checkpoint in conf/llm")
    if weights and not any(folder.glob("*.safetensors")):
        raise StageError(f"{folder} holds no *.safetensors", "convert the model with `save_pretrained`; pickles are not read")
    return folder
