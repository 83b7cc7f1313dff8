"""The head computed where a token is learned gives what TRL's fused head gives."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.lib import training
from stages.lib.training import IGNORE
from tests.training.tiny import make_tiny

TEMPERATURE = 1.3


def scored(model: Any) -> tuple[Any, list[Any]]:
    """(outputs, gradients) of two rows, one of them padded, prompts without loss."""
    import torch

    ids = torch.arange(3, 27).view(2, 12)
    labels = ids.clone()
    labels[:, :5] = IGNORE
    labels[1, 9:] = IGNORE
    attention_mask = torch.ones_like(ids)
    attention_mask[1, 9:] = 0
    outputs = model(input_ids=ids, attention_mask=attention_mask, labels=labels, fused_lm_head=True)
    loss = -(outputs.log_probs * torch.arange(1.0, 12.0)).sum()
    return outputs, list(torch.autograd.grad(loss, list(model.parameters())))


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(make_tiny(tmp_path))
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy", "is_top1"))
    return model


def test_it_equals_trls_own(model: Any) -> None:
    import torch

    theirs, their_gradients = scored(model)
    training.lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    ours, our_gradients = scored(model)
    for name in ("log_probs", "entropy", "is_top1", "label_mask", "loss"):
        assert torch.allclose(getattr(ours, name).float(), getattr(theirs, name).float(), atol=1e-5), name
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_only_what_is_learned_reaches_the_head(model: Any) -> None:
    rows: list[int] = []
    training.lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    model.lm_head.register_forward_hook(lambda module, given, result: rows.append(len(given[0])))
    scored(model)
    assert rows == [7 + 4]


def test_without_labels_the_model_is_as_it_was(model: Any) -> None:
    import torch

    ids = torch.arange(3, 9).view(1, 6)
    before = model(input_ids=ids).logits
    training.lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-5)
