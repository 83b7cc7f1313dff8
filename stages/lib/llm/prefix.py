"""Key-value caches in which rows that begin alike share their beginning.

transformers' DynamicCache gives every row its own copy of a policy, and copies the whole of it for each new token.
`PrefixCache` keeps each distinct beginning once and writes new tokens in place. The rest of the prompts runs through
torch's fused attention, each further token through plain matrix products over both parts. It serves models whose layers all
attend in full, on a CPU; others get the DynamicCache, rows selected. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import eager_mask

from stages.lib.llm.local import pad

NAME = "shared_prefix"
PLAIN = frozenset({"llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose attention is softmax(qk)v and nothing else: no soft cap, no sinks, no bias."""


def prefill(model: Any, prefixes: Sequence[Sequence[int]], pad_id: int) -> DynamicCache:
    """One pass over distinct beginnings, padded on the left; row i of the cache holds prefix i."""
    input_ids, mask = pad(prefixes, [0] * len(prefixes), pad_id, model.device)
    cache = DynamicCache(config=model.config)
    model(
        input_ids=input_ids,
        attention_mask=mask,
        position_ids=(mask.cumsum(-1) - 1).clamp(min=0),
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=1,
    )
    return cache


@contextmanager
def row_cache(model: Any, prefilled: DynamicCache | None, places: Sequence[int], room: int) -> Iterator[Any]:
    """A cache for `len(places)` rows, to pass to `generate`: row i goes on from prefix `places[i]`, for up to `room` tokens.

    `prefilled` is left as it was. Without one the rows share nothing.
    """
    if not _fits(model):
        cache = None
        if prefilled is not None:
            cache = copy.deepcopy(prefilled)
            cache.batch_select_indices(torch.tensor(places, device=model.device))
        yield cache
        return
    layers = [_Layer(prefilled, number, room) for number in range(model.config.num_hidden_layers)]
    cache = PrefixCache(layers, places)
    before = model.config._attn_implementation
    AttentionInterface.register(NAME, cache.attend)
    AttentionMaskInterface.register(NAME, eager_mask)
    model.config._attn_implementation = NAME
    try:
        yield cache
    finally:
        model.config._attn_implementation = before


def _fits(model: Any) -> bool:
    config = model.config
    plain = config.model_type in PLAIN and config._attn_implementation == "sdpa"
    return (
        plain
        and model.device.type == "cpu"
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    )


class PrefixCache(Cache):
    """See `row_cache`."""

    def __init__(self, layers: list[Any], places: Sequence[int]) -> None:
        super().__init__(layers=layers)
        self._runs = [(place, len(list(rows))) for place, rows in groupby(places)]

    def attend(
        self,
        module: Any,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attention_mask: torch.Tensor,
        *,
        scaling: float,
        **_: Any,
    ) -> tuple[torch.Tensor, None]:
        """transformers' attention interface: query [B, H, q, d], key and value [B, kv heads, own tokens, d] -> [B, q, H, d]."""
        layer = self.layers[module.layer_idx]
        if query.shape[2] > 1:
            return self._attend_many(layer, query, key, value, attention_mask, scaling), None
        rows, heads, length, width = query.shape
        kv = key.shape[1]
        asked = (query * scaling).reshape(rows, kv, heads // kv * length, width)
        scores = asked @ key.transpose(2, 3)
        prefix = 0 if layer.prefix_keys is None else layer.prefix_keys.shape[2]
        if prefix:
            scores = torch.cat([self._each(asked, layer.prefix_keys.transpose(2, 3)), scores], dim=-1)
        masked = scores.view(rows, kv, heads // kv, length, -1) + attention_mask[:, :, None]
        shares = masked.softmax(-1, dtype=torch.float32).to(query.dtype).view_as(scores)
        found = shares[..., prefix:] @ value
        if prefix:
            found = found + self._each(shares[..., :prefix], layer.prefix_values)
        return found.view(rows, heads, length, width).transpose(1, 2).contiguous(), None

    def _attend_many(
        self, layer: _Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """As `attend`, for many tokens a row: here the table of scores is what costs, and the fused kernel makes none."""
        if layer.prefix_keys is not None and layer.prefix_values is not None:
            places = [place for place, rows in self._runs for _ in range(rows)]
            key = torch.cat([layer.prefix_keys[places], key], dim=2)
            value = torch.cat([layer.prefix_values[places], value], dim=2)
        groups = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(groups, dim=1), value.repeat_interleave(groups, dim=1)
        found = scaled_dot_product_attention(query, key, value, attn_mask=mask, scale=scaling)
        return found.transpose(1, 2).contiguous()

    def _each(self, tensor: torch.Tensor, prefixes: torch.Tensor) -> torch.Tensor:
        """[B, kv, n, a] @ [prefixes, kv, a, b] -> [B, kv, n, b]: rows with the same prefix in one product."""
        parts, start = [], 0
        for place, rows in self._runs:
            mine = tensor[start : start + rows].transpose(0, 1)
            product = mine.flatten(1, 2) @ prefixes[place]
            parts.append(product.view(*mine.shape[:3], -1).transpose(0, 1))
            start += rows
        return torch.cat(parts)


class _Layer(CacheLayerMixin):
    """Shared beginnings, and room for what is new, filled in place."""

    is_sliding = False

    def __init__(self, prefilled: DynamicCache | None, number: int, room: int) -> None:
        super().__init__()
        self.prefix_keys = None if prefilled is None else prefilled.layers[number].keys
        self.prefix_values = None if prefilled is None else prefilled.layers[number].values
        self._room = room
        self._used = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        rows, heads, _, width = key_states.shape
        self.keys = key_states.new_empty(rows, heads, self._room, width)
        self.values = value_states.new_empty(rows, heads, self._room, value_states.shape[-1])
        self.is_initialized = True

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        assert self.keys is not None and self.values is not None
        end = self._used + key_states.shape[2]
        self.keys[:, :, self._used : end] = key_states
        self.values[:, :, self._used : end] = value_states
        self._used = end
        return self.keys[:, :, :end], self.values[:, :, :end]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.get_seq_length() + query_length, 0

    def get_seq_length(self) -> int:
        return self._used + (0 if self.prefix_keys is None else self.prefix_keys.shape[2])

    def get_max_length(self) -> int:
        return -1
