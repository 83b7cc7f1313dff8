"""A prompt read once for all its replies gives what reading it once per reply gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from stages.rl.shared import alike, pack, shared_prompts, visible
from tests.training.tiny import make_tiny

PROMPT = 6
"""Columns of the prompt in `rows`."""


def rows() -> tuple[Any, Any]:
    """(ids, attention mask): three replies to a long prompt, two to a short one, one to a prompt of its own."""
    import torch

    long, short, alone = [5, 6, 7, 8, 9, 10], [11, 12, 13], [5, 6, 7, 8, 9, 11]
    replies = [(long, [20, 21, 22, 23]), (short, [30]), (long, [20, 25]), (alone, [40, 41]), (short, [31, 32]), (long, [26])]
    ids, mask = torch.zeros(6, 10, dtype=torch.long), torch.zeros(6, 10, dtype=torch.long)
    for row, (prompt, reply) in enumerate(replies):
        for start, tokens in ((PROMPT - len(prompt), prompt), (PROMPT, reply)):
            ids[row, start : start + len(tokens)] = torch.tensor(tokens)
            mask[row, start : start + len(tokens)] = 1
    return ids, mask


@pytest.fixture
def model(tmp_path: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(make_tiny(tmp_path), attn_implementation="eager")


def read(model: Any) -> tuple[Any, list[Any]]:
    """(hidden states of what is no padding, gradients)."""
    import torch

    ids, mask = rows()
    hidden = model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state[mask.bool()]
    weights = torch.linspace(-1, 1, hidden.numel()).view_as(hidden)
    return hidden.detach(), list(torch.autograd.grad((hidden * weights).sum(), list(model.base_model.parameters())))


def test_hidden_states_and_gradients_are_the_same(model: Any) -> None:
    import torch

    plain, gradients = read(model)
    with shared_prompts(model, PROMPT):
        shared, shared_gradients = read(model)
    assert torch.allclose(plain, shared, atol=1e-5)
    assert all(torch.allclose(one, other, atol=1e-4) for one, other in zip(gradients, shared_gradients, strict=True))
    after, _ = read(model)
    assert torch.equal(plain, after), "outside, the model is as it was"


def test_each_prompt_is_read_once() -> None:
    packed = pack(*rows(), PROMPT)
    assert packed.ids.tolist() == [
        [5, 6, 7, 8, 9, 10, 20, 21, 22, 23, 20, 25, 26],
        [11, 12, 13, 30, 31, 32, 0, 0, 0, 0, 0, 0, 0],
        [5, 6, 7, 8, 9, 11, 40, 41, 0, 0, 0, 0, 0],
    ]
    assert packed.positions[0].tolist() == [*range(6), 6, 7, 8, 9, 6, 7, 6]
    assert packed.part[1].tolist() == [0, 0, 0, 1, 2, 2, *[-1] * 7]


def test_a_reply_sees_its_prompt_and_itself() -> None:
    import torch

    seen = visible(torch.tensor([[0, 0, 1, 1, 2]]), torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [[1, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 0, 0, 1]]


def test_alike() -> None:
    ids, _ = rows()
    assert alike(ids[:, :PROMPT]) and not alike(ids[:2, :PROMPT])
