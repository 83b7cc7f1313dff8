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
from torch.nn.functional import pad as pad_tensor
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import eager_mask

from stages.lib.llm.local import pad

NAME = "shared_prefix"
PLAIN = frozenset({"llama", "qwen2", "qwen3", "smollm3"})
"""Model types whose attention is softmax(qk)v and nothing else: no soft cap, no sinks, no bias."""

KEPT = 64
"""Beginnings kept in memory; a judge of seven policies in three orders has 21."""


class Prefixes:
    """What a model with fixed weights has read of the beginnings it was given."""

    def __init__(self, model: Any, pad_id: int) -> None:
        self._model = model
        self._pad_id = pad_id
        self._read: dict[tuple[int, ...], DynamicCache] = {}
        self._padded: tuple[list[tuple[int, ...]], DynamicCache] | None = None

    @contextmanager
    def rows(self, beginnings: Sequence[tuple[int, ...]], room: int) -> Iterator[Any]:
        """A cache to pass to `generate`: row i goes on from `beginnings[i]`, for up to `room` tokens (empty: of its own)."""
        distinct = list(dict.fromkeys(beginnings))
        places = [distinct.index(beginning) for beginning in beginnings]
        config = self._model.config
        if not _fits(self._model):
            yield self._selected(distinct, places) if any(distinct) else None
            return
        caches = [self._prefilled(beginning) for beginning in distinct] if any(distinct) else []
        cache = PrefixCache([_Layer(caches, number, room) for number in range(config.num_hidden_layers)], places)
        before = config._attn_implementation
        AttentionInterface.register(NAME, cache.attend)
        AttentionMaskInterface.register(NAME, eager_mask)
        config._attn_implementation = NAME
        try:
            yield cache
        finally:
            config._attn_implementation = before

    def _prefilled(self, beginning: tuple[int, ...]) -> DynamicCache:
        """Each alone: what is read of a beginning does not depend on what it is read with."""
        known = self._read.pop(beginning, None)
        if known is None:
            known = prefill(self._model, [beginning], self._pad_id)
        self._read[beginning] = known  # the last used stands last
        while len(self._read) > KEPT:
            del self._read[next(iter(self._read))]
        return known

    def _selected(self, distinct: list[tuple[int, ...]], places: Sequence[int]) -> DynamicCache:
        if self._padded is None or self._padded[0] != distinct:
            self._padded = (distinct, prefill(self._model, distinct, self._pad_id))
        cache = copy.deepcopy(self._padded[1])
        cache.batch_select_indices(torch.tensor(places, device=self._model.device))
        return cache


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


def _fits(model: Any) -> bool:
    config = model.config
    plain = config.model_type in PLAIN and config._attn_implementation == "sdpa"
    return (
        plain
        and model.device.type == "cpu"
        and set(getattr(config, "layer_types", None) or ["full_attention"]) == {"full_attention"}
    )


class PrefixCache(Cache):
    """See `Prefixes.rows`."""

    def __init__(self, layers: list[Any], places: Sequence[int]) -> None:
        super().__init__(layers=layers)
        self._runs: list[tuple[int, slice]] = []
        for place, rows in groupby(range(len(places)), key=places.__getitem__):
            mine = list(rows)
            self._runs.append((place, slice(mine[0], mine[-1] + 1)))

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
        prefix = layer.longest
        if prefix:
            scores = torch.cat([self._scores(asked, layer), scores], dim=-1)
        masked = scores.view(rows, kv, heads // kv, length, -1) + attention_mask[:, :, None]
        shares = masked.softmax(-1, dtype=torch.float32).to(query.dtype).view_as(scores)
        found = shares[..., prefix:] @ value
        if prefix:
            found = found + self._values(shares[..., :prefix], layer)
        return found.view(rows, heads, length, width).transpose(1, 2).contiguous(), None

    def _attend_many(
        self, layer: _Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor, scaling: float
    ) -> torch.Tensor:
        """As `attend`, for many tokens a row: here the table of scores is what costs, and the fused kernel makes none.

        Own tokens and prefix are attended apart and weighed by their log-sum-exp, so that no row gets a copy of its prefix.
        """
        groups = query.shape[1] // key.shape[1]
        prefix = mask.shape[-1] - key.shape[2]
        found, weight = _fused(
            query,
            key.repeat_interleave(groups, dim=1),
            value.repeat_interleave(groups, dim=1),
            scaling,
            mask[..., prefix:].contiguous(),
        )
        if not prefix:
            return found.transpose(1, 2).contiguous()
        for place, mine in self._runs:
            asked = query[mine].unflatten(1, (-1, groups)).permute(1, 0, 2, 3, 4)  # [kv, rows, groups, own, d]
            shape = asked.shape[:-1]
            beginning, share = _fused(asked.flatten(1, 3)[None], layer.prefix_keys[place], layer.prefix_values[place], scaling)
            share = share.view(shape).transpose(0, 1).flatten(1, 2)
            beginning = beginning.reshape(*shape, -1).transpose(0, 1).flatten(1, 2)
            found[mine] = found[mine].lerp(beginning, (share - weight[mine]).sigmoid().to(query.dtype)[..., None])
        return found.transpose(1, 2).contiguous()

    def _scores(self, asked: torch.Tensor, layer: _Layer) -> torch.Tensor:
        """[B, kv, n, d] -> [B, kv, n, longest prefix]: rows with the same prefix in one product, shorter ones padded before."""
        parts = []
        for place, mine in self._runs:
            keys = layer.prefix_keys[place][0]
            product = _fold(asked[mine], keys.transpose(1, 2))
            parts.append(pad_tensor(product, (layer.longest - keys.shape[1], 0)))
        return torch.cat(parts)

    def _values(self, shares: torch.Tensor, layer: _Layer) -> torch.Tensor:
        """[B, kv, n, longest prefix] -> [B, kv, n, d]."""
        parts = []
        for place, mine in self._runs:
            values = layer.prefix_values[place][0]
            parts.append(_fold(shares[mine, ..., layer.longest - values.shape[1] :], values))
        return torch.cat(parts)


def _fold(tensor: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """[B, kv, n, a] @ [kv, a, b] -> [B, kv, n, b], as one product per head."""
    rows, kv, count, _ = tensor.shape
    product = tensor.transpose(0, 1).flatten(1, 2) @ prefix
    return product.view(kv, rows, count, -1).transpose(0, 1)


def _fused(
    query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, scaling: float, mask: torch.Tensor | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """(what torch's fused attention finds, log-sum-exp of the scores): the public function keeps the second to itself."""
    found, weight = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(query, key, value, attn_mask=mask, scale=scaling)
    return found, weight


class _Layer(CacheLayerMixin):
    """Shared beginnings, and room for what is new, filled in place."""

    is_sliding = False

    def __init__(self, caches: Sequence[DynamicCache], number: int, room: int) -> None:
        super().__init__()
        self.prefix_keys: list[torch.Tensor] = [cache.layers[number].keys for cache in caches]
        self.prefix_values: list[torch.Tensor] = [cache.layers[number].values for cache in caches]
        self.longest = max((keys.shape[2] for keys in self.prefix_keys), default=0)
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
        return self._used + self.longest

    def get_max_length(self) -> int:
        return -1
