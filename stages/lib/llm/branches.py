"""Texts that begin alike in one line: what they share is read once, and behind it branches that cannot see each other.

Training reads so what a template puts before every request, and the reader a policy with its lessons. The result is that of the
texts one by one. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn.functional import pad
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


def read_rows(model: Any, ids: torch.Tensor, shared: int) -> torch.Tensor:
    """Tokens [rows, columns], alike in the first `shared` columns, padded behind if at all -> what the head is given of the
    other columns [rows, columns - shared, d]. Padding is read, too: branches of one length need not be copied apart."""
    rows, columns = ids.shape
    places = torch.arange(columns, device=ids.device).expand_as(ids)
    line, positions = (torch.cat([each[0, :shared], each[:, shared:].flatten()])[None] for each in (ids, places))
    segments = (shared, *[columns - shared] * rows)
    with branching(model):
        output = model.base_model(input_ids=line, position_ids=positions, use_cache=False, segments=segments)
    hidden: torch.Tensor = output.last_hidden_state[0, shared:]
    return hidden.view(rows, columns - shared, -1)


@contextmanager
def branching(model: Any) -> Iterator[None]:
    """Let `model` attend by segments, which are passed to its forward as `segments`: the lengths of the beginning, of every
    branch, and of what pads the line as if it were one. The beginning sees itself, every branch the beginning and itself."""
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
    segments: Sequence[int],
    **_: Any,
) -> tuple[torch.Tensor, None]:
    """transformers' attention interface: query [1, H, tokens, d], key and value [1, kv heads, tokens, d] -> [1, tokens, H, d].

    Heads that share keys stand side by side, so that no key is copied, and branches are padded to one length: a CPU takes plain
    products over them faster than the backward pass of a fused kernel over a masked square.
    """
    heads, tokens, width = query.shape[1:]
    kv, beginning, lengths = key.shape[1], segments[0], segments[1:]
    group, branches, longest = heads // kv, len(lengths), max(lengths)
    asked = (query[0] * scaling).view(kv, group, tokens, width)
    first, keys, values = asked[:, :, :beginning].flatten(1, 2), key[0, :, :beginning], value[0, :, :beginning]
    first = (first @ keys.transpose(1, 2)).add_(_later(beginning, group, query)).softmax(-1) @ values
    own = _apart(asked.flatten(0, 1)[:, beginning:], lengths).view(kv, group, branches, longest, width)
    own = own.transpose(1, 2).reshape(kv, branches, group * longest, width)
    own_keys, own_values = (_apart(each[0, :, beginning:], lengths) for each in (key, value))
    before = (own.flatten(1, 2) @ keys.transpose(1, 2)).view(kv, branches, group * longest, beginning)
    within = (own @ own_keys.transpose(2, 3)).add_(_later(longest, group, query))
    shares = torch.cat([before, within], dim=-1).softmax(-1)
    found = (shares[..., :beginning].flatten(1, 2) @ values).view_as(own) + shares[..., beginning:] @ own_values
    found = found.view(kv, branches, group, longest, width).transpose(1, 2).reshape(heads, branches, longest, width)
    whole = torch.cat([first.view(heads, beginning, width), _together(found, lengths)], dim=1)
    return whole.transpose(0, 1)[None].contiguous(), None


def _apart(line: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """[heads, tokens, d] -> [heads, branches, longest, d], padded behind: what is there, no token of the branch looks at."""
    if min(lengths) == max(lengths):
        return line.unflatten(1, (len(lengths), lengths[0]))
    rows = (pad(row, (0, 0, 0, max(lengths) - row.shape[1])) for row in line.split(list(lengths), dim=1))
    return torch.stack(list(rows), dim=1)


def _together(rows: torch.Tensor, lengths: Sequence[int]) -> torch.Tensor:
    """The inverse."""
    if min(lengths) == max(lengths):
        return rows.flatten(1, 2)
    return torch.cat([row[:, :length] for row, length in zip(rows.unbind(1), lengths, strict=True)], dim=1)


def _later(length: int, group: int, like: torch.Tensor) -> torch.Tensor:
    """[group * length, length]: minus infinity where a token would see one behind it."""
    return like.new_full((length, length), float("-inf")).triu(1).repeat(group, 1)
