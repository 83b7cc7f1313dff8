"""The cheap step on a CPU gives what TRL's fused head and peft's layers give."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.lib import cpu_training
from stages.lib.cpu_training import lean_on_cpu
from stages.lib.training import IGNORE, lora
from tests.training.tiny import make_tiny

TEMPERATURE = 1.3


def scored(model: Any, weights: list[Any] | None = None) -> tuple[Any, list[Any]]:
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
    return outputs, list(torch.autograd.grad(loss, weights or list(model.parameters())))


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
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    ours, our_gradients = scored(model)
    for name in ("log_probs", "entropy", "is_top1", "label_mask", "loss"):
        assert torch.allclose(getattr(ours, name).float(), getattr(theirs, name).float(), atol=1e-5), name
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert torch.allclose(mine, other, atol=1e-4)


def test_only_what_is_learned_reaches_the_head(model: Any) -> None:
    rows: list[int] = []
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    model.lm_head.register_forward_hook(lambda module, given, result: rows.append(len(given[0])))
    scored(model)
    assert rows == [7 + 4]


def test_without_labels_the_model_is_as_it_was(model: Any) -> None:
    import torch

    ids = torch.arange(3, 9).view(1, 6)
    before = model(input_ids=ids).logits
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    assert torch.allclose(model(input_ids=ids).logits, before, atol=1e-5)


def adapted(folder: Path) -> Any:
    """A model with LoRA whose second half is not zero, so that both halves have a gradient."""
    import torch
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    model = AutoModelForCausalLM.from_pretrained(make_tiny(folder), attn_implementation="eager")
    add_fused_lm_head(model, temperature=TEMPERATURE, outputs=("log_probs", "entropy", "is_top1"))
    model = get_peft_model(model, lora(4))
    torch.manual_seed(1)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    return model


def trained(model: Any) -> list[Any]:
    return [weight for weight in model.parameters() if weight.requires_grad]


@pytest.mark.parametrize("chunk", [3, 64])
def test_adapters_and_a_frozen_head_learn_as_by_peft_and_trl(chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(cpu_training, "CHUNK", chunk)
    model = adapted(tmp_path)
    theirs, their_gradients = scored(model, trained(model))
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    ours, our_gradients = scored(model, trained(model))
    assert len(our_gradients) == 2 * 2 * 7  # two layers of seven linear ones, each with two halves
    for name in ("log_probs", "entropy", "is_top1", "label_mask", "loss"):
        assert torch.allclose(getattr(ours, name).float(), getattr(theirs, name).float(), atol=1e-5), name
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert other.abs().max() > 1e-3
        assert torch.allclose(mine, other, atol=1e-4)


def test_a_model_whose_adapters_are_off_is_the_model_below(tmp_path: Path) -> None:
    import torch

    model = adapted(tmp_path)
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    ids = torch.arange(3, 27).view(2, 12)
    with torch.no_grad():
        on = model(input_ids=ids).logits
        with model.disable_adapter():
            off = model(input_ids=ids).logits
        below = model.unload()(input_ids=ids).logits
    assert torch.allclose(off, below, atol=1e-5)
    assert not torch.allclose(on, off, atol=1e-3)


def test_layers_that_usually_share_their_input_need_not(tmp_path: Path) -> None:
    import torch

    model = adapted(tmp_path)
    attention = model.get_base_model().model.layers[0].self_attn
    first, other = torch.randn(2, 3, attention.q_proj.in_features, generator=torch.Generator().manual_seed(2))
    asked = [("q_proj", first), ("k_proj", other), ("v_proj", first), ("q_proj", first), ("k_proj", first)]
    theirs = [getattr(attention, name)(given) for name, given in asked]
    lean_on_cpu(SimpleNamespace(model=model), TEMPERATURE)
    ours = [getattr(attention, name)(given) for name, given in asked]
    for mine, peft in zip(ours, theirs, strict=True):
        assert torch.allclose(mine, peft, atol=1e-5)
