"""Rows that begin alike, read as one beginning with branches: what a template puts before every request is read once a batch.

The result is that of the rows one by one. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from transformers import AttentionInterface

from stages.lib.llm.load import attends_plainly

NAME = "branches"
WORTH = 8
"""Tokens: a shorter common beginning is not worth its handling."""


def common_beginning(model: Any, ids: torch.Tensor, mask: torch.Tensor, learned: torch.Tensor) -> int:
    """Tokens, their mask and whether they are learned, all [rows, columns] -> how many columns all rows begin with alike.

    They end before the token that predicts the first learned one. 0 where that is no gain, where rows are padded in front, or
    where the model's attention is not known to be plain.
    """
    if len(ids) < 2 or not attends_plainly(model.config) or bool((mask.diff(dim=1) > 0).any()):
        return 0
    alike = (ids == ids[:1]) & (mask == 1)
    alike[:, :-1] &= ~learned[:, 1:]
    length = int(alike.all(0).cumprod(0).sum())
    return length if WORTH <= length < ids.shape[1] else 0


def read_branches(model: Any, ids: torch.Tensor, shared: int) -> torch.Tensor:
    """Tokens [rows, columns], alike in the first `shared` columns, padded behind if at all -> what the head is given of the
    other columns [rows, columns - shared, d]."""
    rows, columns = ids.shape
    line = torch.cat([ids[0, :shared], ids[:, shared:].flatten()])[None]
    places = torch.arange(columns, device=ids.device)
    positions = torch.cat([places[:shared], places[shared:].repeat(rows)])[None]
    with _attending(model):
        output = model.base_model(input_ids=line, position_ids=positions, use_cache=False, branches=rows, beginning=shared)
    hidden: torch.Tensor = output.last_hidden_state[0, shared:]
    return hidden.view(rows, columns - shared, -1)


@contextmanager
def _attending(model: Any) -> Iterator[None]:
    before = model.config._attn_implementation
    AttentionInterface.register(NAME, attend)
    model.config._attn_implementation = NAME  # transformers makes no mask for an attention that it does not know
    try:
        yield
    finally:
        model.config._attn_implementation = before


def attend(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: None,
    *,
    scaling: float,
    branches: int,
    beginning: int,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface for a beginning and its branches in one line: query [1, H, tokens, d], key and value
    [1, kv heads, tokens, d] -> [1, tokens, H, d]. Heads that share keys stand side by side: no key is copied."""
    heads, tokens, width = query.shape[1:]
    kv = key.shape[1]
    group, own = heads // kv, (tokens - beginning) // branches
    asked = (query[0] * scaling).view(kv, group, tokens, width)
    keys, values = key[0, :, :beginning], value[0, :, :beginning]
    first = asked[:, :, :beginning].reshape(kv, group * beginning, width)
    first = (first @ keys.transpose(1, 2)).add_(_later(beginning, group, query)).softmax(-1) @ values
    asked = asked[:, :, beginning:].reshape(kv, group, branches, own, width).transpose(1, 2)
    asked = asked.reshape(kv, branches, group * own, width)
    own_keys, own_values = (each[0, :, beginning:].reshape(kv, branches, own, width) for each in (key, value))
    before = (asked.flatten(1, 2) @ keys.transpose(1, 2)).view(kv, branches, group * own, beginning)
    within = (asked @ own_keys.transpose(2, 3)).add_(_later(own, group, query))
    shares = torch.cat([before, within], dim=-1).softmax(-1)
    found = (shares[..., :beginning].flatten(1, 2) @ values).view_as(asked) + shares[..., beginning:] @ own_values
    found = found.view(kv, branches, group, own, width).transpose(1, 2).reshape(heads, branches * own, width)
    whole = torch.cat([first.view(heads, beginning, width), found], dim=1)
    return whole.transpose(0, 1)[None].contiguous(), None


def _later(length: int, group: int, like: torch.Tensor) -> torch.Tensor:
    """[group * length, length]: minus infinity where a token would see one behind it."""
    return like.new_full((length, length), float("-inf")).triu(1).repeat(group, 1)
