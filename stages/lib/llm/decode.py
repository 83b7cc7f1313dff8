"""Token by token for a whole batch: short prompts are not padded to long ones, and rows that have ended leave.

transformers' `generate` reads a batch as one rectangle and decodes every row until the last has ended. Texts of one batch
differ in length by an order of magnitude, so most of that is work on padding. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from stages.lib.llm.prefix import PrefixCache, Prefixes, pad

CHUNK = 2048
"""Tokens, padding included, that are read together: enough to keep the kernels busy, few enough to stay near the processor."""
LEAVE = 0.85
"""Rows are moved together when no more than this share of them goes on: moving costs about one token's time."""

Choose = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]
"""(scores [n, vocabulary], the n places in the batch they belong to) -> n tokens."""


def decode(
    prefixes: Prefixes,
    rows: Sequence[Sequence[int]],
    shared: Sequence[int],
    limit: int,
    stops: set[int],
    choose: Choose,
    done: Callable[[int, list[int]], None],
) -> None:
    """Go on from every row until a stop token or for `limit` tokens; `done(place, tokens)` when a row has ended.

    The first `shared[i]` tokens of row i come from `prefixes`. The stop token is among the tokens.
    """
    own = [len(row) - length for row, length in zip(rows, shared, strict=True)]
    beginnings = [tuple(row[:length]) for row, length in zip(rows, shared, strict=True)]
    chunks = _chunks(own, beginnings)
    places = [place for chunk in chunks for place in chunk]
    said: dict[int, list[int]] = {place: [] for place in places}
    ids, mask = pad(
        [rows[place] for place in places], [shared[place] for place in places], prefixes.pad_id, prefixes.model.device
    )
    with prefixes.rows([beginnings[place] for place in places], max(own)) as cache:
        scores = _read(prefixes.model, cache, ids, mask, [[own[place] for place in chunk] for chunk in chunks])
        together = sorted(range(len(places)), key=cache.places.__getitem__) if isinstance(cache, PrefixCache) else []
        if together != sorted(together):  # rows of one prefix side by side are one product
            cache.batch_select_indices(torch.tensor(together, device=ids.device))
            scores, mask, places = scores[together], mask[together], [places[row] for row in together]
        while True:
            tokens = choose(scores, places).tolist()
            going = []
            for row, (place, token) in enumerate(zip(places, tokens, strict=True)):
                if place not in said:
                    continue
                said[place].append(token)
                if token in stops or len(said[place]) == limit:
                    done(place, said.pop(place))
                else:
                    going.append(row)
            if not going:
                return
            if len(going) <= LEAVE * len(places):
                cache.batch_select_indices(torch.tensor(going, device=ids.device))
                mask, places, tokens = mask[going], [places[row] for row in going], [tokens[row] for row in going]
            mask = torch.cat([mask, mask.new_ones(len(places), 1)], dim=1)
            scores = _forward(prefixes.model, cache, torch.tensor(tokens, device=ids.device)[:, None], mask)


def _chunks(own: Sequence[int], beginnings: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Places of rows of like length, the longest first: what does not fit memory fails early. Equal prefixes side by side."""
    chunks: list[list[int]] = []
    for place in sorted(range(len(own)), key=lambda place: (-own[place], place)):
        if not chunks or (len(chunks[-1]) + 1) * own[chunks[-1][0]] > CHUNK:
            chunks.append([])
        chunks[-1].append(place)
    number = {beginning: count for count, beginning in enumerate(dict.fromkeys(beginnings))}
    return [sorted(chunk, key=lambda place: number[beginnings[place]]) for chunk in chunks]


def _read(model: Any, cache: Any, ids: torch.Tensor, mask: torch.Tensor, own: Sequence[Sequence[int]]) -> torch.Tensor:
    """The prompts' own tokens, chunk by chunk -> scores of the first new token [rows, vocabulary]."""
    widest = max(map(max, own))
    front = ids.shape[1] - widest
    if not isinstance(cache, PrefixCache):
        return _forward(model, cache, ids[:, front:], mask)
    scores, start = [], 0
    for lengths in own:
        chunk, width = slice(start, start + len(lengths)), max(lengths)
        seen = torch.cat([mask[chunk, :front], mask[chunk, -width:]], dim=1)
        with cache.part(chunk, widest - width, widest) as part:
            scores.append(_forward(model, part, ids[chunk, -width:], seen))
        start = chunk.stop
    return torch.cat(scores)


def _forward(model: Any, cache: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    scores: torch.Tensor = output.logits[:, -1]
    return scores
