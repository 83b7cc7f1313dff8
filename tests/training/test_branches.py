"""Rows that begin alike are read as one beginning with branches, and learn what they would learn one by one."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from stages.lib import cpu_training
from stages.lib.cpu_training import lean_on_cpu
from stages.lib.llm.branches import WORTH, common_beginning
from stages.lib.training import IGNORE
from tests.training.test_head import adapted, trained

ROWS, COLUMNS, SHARED = 3, 20, WORTH + 2


def batch(shared: int = SHARED, prompt: int = SHARED + 3) -> dict[str, Any]:
    """Three rows of unequal length, alike in the first columns, that learn what follows the prompt."""
    import torch

    ids = torch.randint(3, 250, (ROWS, COLUMNS), generator=torch.Generator().manual_seed(3))
    ids[:, :shared] = ids[0, :shared]
    ids[:, shared] = torch.arange(10, 10 + ROWS)
    labels, mask = ids.clone(), torch.ones_like(ids)
    labels[:, :prompt] = IGNORE
    for row, length in enumerate((COLUMNS, COLUMNS - 4, COLUMNS - 1)):
        labels[row, length:], mask[row, length:], ids[row, length:] = IGNORE, 0, 0
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def learned(model: Any, given: dict[str, Any]) -> tuple[Any, list[Any]]:
    """(outputs, gradients)."""
    import torch

    outputs = model(**given, fused_lm_head=True)
    weights = torch.arange(1.0, COLUMNS)
    return outputs, list(torch.autograd.grad(-(outputs.log_probs * weights).sum(), trained(model)))


@pytest.fixture
def model(tmp_path: Path) -> Any:
    model = adapted(tmp_path)
    lean_on_cpu(SimpleNamespace(model=model))
    return model


def test_rows_learn_what_they_would_learn_one_by_one(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    lengths: list[int] = []
    layer = model.get_base_model().model.layers[0].mlp
    layer.register_forward_hook(lambda layer, given, result: lengths.append(given[0].shape[1]))
    ours, our_gradients = learned(model, batch())
    monkeypatch.setattr(cpu_training, "common_beginning", lambda *args: 0)
    theirs, their_gradients = learned(model, batch())
    assert lengths == [SHARED + ROWS * (COLUMNS - SHARED), COLUMNS]
    for name in ("log_probs", "entropy", "loss"):
        assert torch.allclose(getattr(ours, name), getattr(theirs, name), atol=1e-5), name
    for mine, other in zip(our_gradients, their_gradients, strict=True):
        assert other.abs().max() > 1e-3
        assert torch.allclose(mine, other, atol=1e-4)


def test_the_model_attends_as_before_afterwards(model: Any) -> None:
    before = model.config._attn_implementation
    learned(model, batch())
    assert model.config._attn_implementation == before


def beginning(model: Any, given: dict[str, Any]) -> int:
    """Its length in this batch."""
    return common_beginning(model.get_base_model(), given["input_ids"], given["attention_mask"], given["labels"] != IGNORE)


def test_what_is_learned_is_no_part_of_the_beginning(model: Any) -> None:
    assert beginning(model, batch()) == SHARED
    assert beginning(model, batch(prompt=SHARED)) == SHARED - 1
    assert beginning(model, batch(prompt=2)) == 0


def test_where_it_would_not_help_or_not_hold_there_is_none(model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert beginning(model, batch(shared=WORTH - 1)) == 0
    assert beginning(model, {name: each[:1] for name, each in batch().items()}) == 0
    in_front = batch()
    in_front["attention_mask"][1, 0] = 0
    assert beginning(model, in_front) == 0
    monkeypatch.setattr("stages.lib.llm.load.PLAIN", frozenset({"other"}))
    assert beginning(model, batch()) == 0
