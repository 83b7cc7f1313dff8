"""Key-value caches in which rows that begin alike share their beginning.

transformers' DynamicCache gives every row its own copy of a policy, and copies the whole of it for each new token.
`PrefixCache` keeps each distinct beginning once, writes new tokens in place and attends by plain matrix products over both
parts. It serves models whose layers all attend in full, on a CPU; others get the DynamicCache, rows selected. Heavy imports:
to be imported where it is used.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from typing import Any

import torch
from transformers import AttentionInterface, AttentionMaskInterface, DynamicCache
from transformers.cache_utils import Cache, CacheLayerMixin
from transformers.masking_utils import eager_mask

from stages.lib.llm.load import attends_plainly

NAME = "shared_prefix"
BLOCK = 64
"""Columns that a cache grows by: growing moves every table, and columns that are not filled cost little."""

SCORED = 512
"""Queries of a key's head whose scores are held at a time."""

KEPT = 64
"""Beginnings kept in memory; a judge of seven policies in three orders has 21."""


class Prefixes:
    """What a model with fixed weights has read of the beginnings it was given."""

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        self._read: dict[tuple[int, ...], DynamicCache] = {}
        self._padded: tuple[list[tuple[int, ...]], DynamicCache] | None = None
        self._rooms: list[_Room] = []

    @contextmanager
    def rows(self, beginnings: Sequence[tuple[int, ...]], own: int) -> Iterator[Any]:
        """A cache for the model: row i goes on from `beginnings[i]` (may be empty), with `own` tokens at first.

        A `PrefixCache` where that fits the model, transformers' own elsewhere.
        """
        distinct = list(dict.fromkeys(beginnings))
        places = [distinct.index(beginning) for beginning in beginnings]
        config = self.model.config
        if not _fits(self.model):
            yield self._selected(distinct, places) if any(distinct) else DynamicCache(config=config)
            return
        caches = [self._prefilled(beginning) for beginning in distinct] if any(distinct) else []
        width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        if not self._rooms:
            kind = (config.num_key_value_heads, width, self.model.dtype, self.model.device)
            self._rooms = [_Room(*kind) for _ in range(2 * config.num_hidden_layers)]
        rooms = zip(self._rooms[::2], self._rooms[1::2], strict=True)
        layers = [_Layer(caches, number, *pair, len(places), own + BLOCK) for number, pair in enumerate(rooms)]
        cache = PrefixCache(layers, places)
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
            known = prefill(self.model, [beginning], self.pad_id)
        self._read[beginning] = known  # the last used stands last
        while len(self._read) > KEPT:
            del self._read[next(iter(self._read))]
        return known

    def _selected(self, distinct: list[tuple[int, ...]], places: Sequence[int]) -> DynamicCache:
        if self._padded is None or self._padded[0] != distinct:
            self._padded = (distinct, prefill(self.model, distinct, self.pad_id))
        cache = copy.deepcopy(self._padded[1])
        cache.batch_select_indices(torch.tensor(places, device=self.model.device))
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


def pad(rows: Sequence[Sequence[int]], shared: Sequence[int], pad_id: int, device: Any) -> tuple[Any, Any]:
    """Ids and mask of equal length: what comes from the cache ends in one column, the rest of every row in the last."""
    front, back = max(shared), max(len(row) - length for row, length in zip(rows, shared, strict=True))
    ids, mask = [], []
    for row, length in zip(rows, shared, strict=True):
        before, behind = front - length, back - (len(row) - length)
        ids.append([*[pad_id] * before, *row[:length], *[pad_id] * behind, *row[length:]])
        mask.append([0] * before + [1] * length + [0] * behind + [1] * (len(row) - length))
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _fits(model: Any) -> bool:
    return attends_plainly(model.config) and model.config._attn_implementation == "sdpa" and model.device.type == "cpu"


class PrefixCache(Cache):
    """See `Prefixes.rows`."""

    def __init__(self, layers: list[Any], places: Sequence[int]) -> None:
        super().__init__(layers=layers)
        self._arrange(list(places))
        self._now = self

    def _arrange(self, places: list[int]) -> None:
        self.places = places
        """Number of each row's prefix."""
        self._runs: list[tuple[int, slice]] = []
        for place, rows in groupby(range(len(places)), key=places.__getitem__):
            mine = list(rows)
            self._runs.append((place, slice(mine[0], mine[-1] + 1)))

    @property
    def used(self) -> int:
        """Columns that are filled."""
        return int(self.layers[0].used)

    def reserve(self, columns: int) -> None:
        """Make room for as many columns more."""
        for layer in self.layers:
            layer.reserve(columns)

    @contextmanager
    def part(self, rows: slice, first: int, start: int, end: int) -> Iterator[PrefixCache]:
        """Some rows alone, with their columns from `first` on; their next tokens fill the columns `start` to `end`."""
        self._now = PrefixCache([layer.part(rows, first, start, end) for layer in self.layers], self.places[rows])
        try:
            yield self._now
        finally:
            self._now = self
        for layer in self.layers:
            layer.used = end

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Only these rows, in this order."""
        for layer in self.layers:
            layer.batch_select_indices(indices)
        self._arrange([self.places[row] for row in indices.tolist()])

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
        return self._now._attend(self._now.layers[module.layer_idx], query * scaling, key, value, attention_mask), None

    def _attend(
        self, layer: _Layer, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, mask: torch.Tensor
    ) -> torch.Tensor:
        """Some rows of one prefix at a time, as many as keep their scores near the processor.

        Plain products over prefix and own tokens, one softmax over both: no row gets a copy of its prefix. Off a processor with
        matrix units that takes half the time of torch's fused kernel, which is slow there in bfloat16.
        """
        rows, heads, length, width = query.shape
        kv = key.shape[1]
        asked = query.reshape(rows, kv, heads // kv * length, width)  # heads that share keys side by side: no key is copied
        seen = mask[..., layer.longest :].repeat(1, 1, heads // kv, 1)
        found = torch.empty_like(asked)
        size = max(1, SCORED // asked.shape[2])
        for place, run in self._runs:
            for start in range(run.start, run.stop, size):
                mine = slice(start, min(start + size, run.stop))
                own = (asked[mine] @ key[mine].transpose(2, 3)).add_(seen[mine])
                if not layer.longest:
                    found[mine] = own.softmax(-1) @ value[mine]
                    continue
                keys, values = layer.prefix_keys[place][0], layer.prefix_values[place][0]
                shares = torch.cat([_fold(asked[mine], keys.transpose(1, 2)), own], dim=-1).softmax(-1)
                prefix = keys.shape[1]
                found[mine] = _fold(shares[..., :prefix], values).add_(shares[..., prefix:] @ value[mine])
        return found.view(rows, heads, length, width).transpose(1, 2).contiguous()


def _fold(tensor: torch.Tensor, prefix: torch.Tensor) -> torch.Tensor:
    """[B, kv, n, a] @ [kv, a, b] -> [B, kv, n, b], as one product per head."""
    rows, kv, count, _ = tensor.shape
    product = tensor.transpose(0, 1).flatten(1, 2) @ prefix
    return product.view(kv, rows, count, -1).transpose(0, 1)


class _Room:
    """Memory for one table, kept from batch to batch: the system hands out new memory as slowly as a layer computes."""

    def __init__(self, heads: int, width: int, dtype: torch.dtype, device: torch.device) -> None:
        self._heads = heads
        self._width = width
        self._memory = torch.zeros(0, dtype=dtype, device=device)

    def table(self, rows: int, columns: int) -> torch.Tensor:
        """[rows, heads, columns, width] of numbers: zeros or what stood there before. Tables of before are void."""
        shape = (rows, self._heads, columns, self._width)
        size = math.prod(shape)
        if len(self._memory) < size:
            self._memory = self._memory.new_zeros(size)
        return self._memory[:size].view(shape)

    def moved(self, filled: torch.Tensor, columns: int) -> torch.Tensor:
        """A table of so many columns that begins with [rows, heads, filled columns, width], which stands elsewhere."""
        table = self.table(len(filled), columns)
        table[:, :, : filled.shape[2]] = filled
        return table


class _Layer(CacheLayerMixin):
    """Shared beginnings, and room for what is new, filled in place."""

    is_sliding = False

    def __init__(self, caches: Sequence[DynamicCache], number: int, keys: _Room, values: _Room, rows: int, columns: int) -> None:
        super().__init__()
        self.prefix_keys: list[torch.Tensor] = [cache.layers[number].keys for cache in caches]
        self.prefix_values: list[torch.Tensor] = [cache.layers[number].values for cache in caches]
        self.longest = max((keys.shape[2] for keys in self.prefix_keys), default=0)
        self._rooms = (keys, values)
        self.keys, self.values = keys.table(rows, columns), values.table(rows, columns)
        self.is_initialized = True
        self.used = 0

    def lazy_initialization(self, key_states: torch.Tensor, value_states: torch.Tensor) -> None:
        """Nothing: there is room from the start."""

    def part(self, rows: slice, first: int, start: int, end: int) -> _Layer:
        """See `PrefixCache.part`."""
        part = copy.copy(self)
        part.keys, part.values, part.used = self.keys[rows, :, first:end], self.values[rows, :, first:end], start - first
        return part

    def reserve(self, columns: int) -> None:
        """See `PrefixCache.reserve`."""
        if self._columns(columns) > self.keys.shape[2]:
            self._move(lambda table: table.clone(), self._columns(columns))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Only these rows, in this order."""
        self._move(lambda table: table[indices], self.keys.shape[2])

    def _move(self, copied: Callable[[torch.Tensor], torch.Tensor], columns: int) -> None:
        tables = zip(self._rooms, (self.keys, self.values), strict=True)
        self.keys, self.values = (room.moved(copied(table[:, :, : self.used]), columns) for room, table in tables)

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The whole table: what lies behind the new tokens is masked."""
        self.reserve(key_states.shape[2])
        end = self.used + key_states.shape[2]
        self.keys[:, :, self.used : end] = key_states
        self.values[:, :, self.used : end] = value_states
        self.used = end
        return self.keys, self.values

    def _columns(self, new: int) -> int:
        columns: int = self.keys.shape[2]
        return columns + max(0, -(-(self.used + new - columns) // BLOCK)) * BLOCK

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.longest + self._columns(query_length), 0

    def get_seq_length(self) -> int:
        return self.used + self.longest

    def get_max_length(self) -> int:
        return -1
