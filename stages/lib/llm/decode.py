"""Token by token for a whole batch: short prompts are not padded to long ones, and rows that have ended leave.

transformers' `generate` reads a batch as one rectangle and decodes every row until the last has ended. Texts of one batch
differ in length by an order of magnitude, so most of that is work on padding. Heavy imports: to be imported where it is used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, NamedTuple

import torch

from stages.lib.llm.guide import Guide
from stages.lib.llm.prefix import PrefixCache, Prefixes, pad

CHUNK = 4096
"""Tokens, padding included, that are read together: enough to keep the kernels busy, few enough to stay near the processor."""
LEAVE = 0.85
"""Rows are moved together when no more than this share of them goes on: moving costs about one token's time."""

STRIDE = 4
"""Rows with more tokens to read at once than these wait for each other: a rectangle is as wide as its longest row."""
PATIENCE = 8
"""Steps they wait at most."""

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
    guides: Mapping[int, Guide] = MappingProxyType({}),
    weighings: Mapping[int, Weighing] = MappingProxyType({}),
    no_repeat: int = 0,
) -> None:
    """Go on from every row until a stop token or for `limit` tokens; `done(place, tokens)` when a row has ended.

    The first `shared[i]` tokens of row i come from `prefixes`. The stop token is among the tokens. What `guides[i]` leaves no
    choice in is not asked for but read at once (jump-forward decoding). `weighings[i]` finds the guide of row i while its prompt
    is read. No sequence of `no_repeat` tokens is chosen twice in one text, unless a guide demands it; 0 allows it.
    """
    texts = {place: _Text(guides.get(place), limit, stops, no_repeat) for place in range(len(rows))}
    rows = [[*row, *texts[place].say()] for place, row in enumerate(rows)]
    own = [len(row) - length for row, length in zip(rows, shared, strict=True)]
    beginnings = [tuple(row[:length]) for row, length in zip(rows, shared, strict=True)]
    for place in [place for place, text in texts.items() if text.ended]:  # a guide left nothing to choose
        done(place, texts.pop(place).said)
    if not texts:
        return
    chunks = _chunks(own, beginnings)
    places = [place for chunk in chunks for place in chunk]
    ids, mask = pad(
        [rows[place] for place in places], [shared[place] for place in places], prefixes.pad_id, prefixes.model.device
    )
    with prefixes.rows([beginnings[place] for place in places], max(own)) as cache:
        asked = [weighings.get(place) for place in places]
        scores, found = _read(prefixes.model, cache, ids, mask, [[own[place] for place in chunk] for chunk in chunks], asked)
        for row, guide in found.items():
            texts[places[row]].keep_to(guide)
            if texts[places[row]].ended:
                done(places[row], texts.pop(places[row]).said)
        if not texts:
            return
        waiting = {places[row] for row in found if places[row] in texts and texts[places[row]].unread}
        together = sorted(range(len(places)), key=cache.places.__getitem__) if isinstance(cache, PrefixCache) else []
        if together != sorted(together):  # rows of one prefix side by side are one product
            cache.batch_select_indices(torch.tensor(together, device=ids.device))
            scores, mask, places = scores[together], mask[together], [places[row] for row in together]
        patience = PATIENCE
        while texts:
            told = [row for row, place in enumerate(places) if place not in waiting]
            scores = scores if len(told) == len(places) else scores[told]
            _say(texts, [places[row] for row in told], scores, choose, done)
            if not texts:
                return
            if len(texts) <= LEAVE * len(places):
                going = [row for row, place in enumerate(places) if place in texts]
                cache.batch_select_indices(torch.tensor(going, device=ids.device))
                mask, places = mask[going], [places[row] for row in going]
            waiting = {place for place, text in texts.items() if len(text.unread) > STRIDE}
            patience = patience - 1 if waiting else PATIENCE
            if len(waiting) == len(texts) or not patience:
                waiting, patience = set(), PATIENCE
            unread = [texts[place].read() if place in texts and place not in waiting else [] for place in places]
            ids, new = _behind(unread, prefixes.pad_id, ids.device)
            mask = torch.cat([mask, new], dim=1)
            scores = _go_on(prefixes.model, cache, ids, mask)


class Weighing(NamedTuple):
    """Questions of a prompt; which of them is likeliest to be answered yes decides how the text goes on."""

    places: Sequence[int]
    """Of the row's tokens those at which the questions end, counted from the row's end: -1 is its last."""
    direction: torch.Tensor
    """See `yes_over_no`."""
    guide: Callable[[int], Guide]
    """What the text keeps to, by the number of the question."""

    told: Callable[[tuple[float, ...]], None]
    """Hears the questions' shares, to four digits."""

    def weigh(self, hidden: torch.Tensor) -> Guide:
        """By the hidden states [tokens, d] of a row, which end where it ends."""
        weights = hidden[list(self.places)].float() @ self.direction.float()
        self.told(tuple(round(share, 4) for share in weights.softmax(-1).tolist()))
        return self.guide(int(weights.argmax()))


class _Text:
    """A row's text on its way."""

    def __init__(self, guide: Guide | None, limit: int, stops: set[int], no_repeat: int) -> None:
        self.said: list[int] = []
        self.unread: list[int] = []
        """The end of what is said, which the model has not read yet."""
        self.ended = False
        self._guide = guide
        self._limit = limit
        self._stops = stops
        self._no_repeat = no_repeat

    def keep_to(self, guide: Guide) -> None:
        """From here on, when nothing is said yet."""
        self._guide = guide
        self.say()

    def restrict(self, scores: torch.Tensor) -> None:
        """Leave only the tokens [vocabulary] that the text may go on with."""
        if self._guide is not None:
            self._guide.restrict(scores)
        again = self._repeats()
        if again and (self._guide is None or int(scores.isfinite().sum()) > len(set(again))):
            scores[again] = float("-inf")

    def say(self, *tokens: int) -> list[int]:
        """Take what was chosen, and what must follow it -> both."""
        new = [*tokens, *(self._guide.follow(tokens) if self._guide is not None else ())][: self._limit - len(self.said)]
        stop = next((place for place, token in enumerate(new) if token in self._stops), None)
        self.ended = stop is not None or len(self.said) + len(new) == self._limit
        self.unread = new if stop is None else new[: stop + 1]
        self.said += self.unread
        return self.unread

    def _repeats(self) -> list[int]:
        """Tokens with which the text would say a sequence once more."""
        size = self._no_repeat
        if not size or len(self.said) < size:
            return []
        begun = self.said[len(self.said) - size + 1 :]
        starts = range(len(self.said) - size + 1)
        return [self.said[start + size - 1] for start in starts if self.said[start : start + size - 1] == begun]

    def read(self) -> list[int]:
        """What is unread, handed to the model."""
        unread, self.unread = self.unread, []
        return unread


def _say(
    texts: dict[int, _Text],
    places: Sequence[int],
    scores: torch.Tensor,
    choose: Choose,
    done: Callable[[int, list[int]], None],
) -> None:
    """One choice more at each of these places, by its scores [vocabulary]; texts that end are handed over."""
    for row, place in enumerate(places):
        if place in texts:
            texts[place].restrict(scores[row])
    for place, token in zip(places, choose(scores, places).tolist(), strict=True):
        if place in texts:
            texts[place].say(token)
            if texts[place].ended:
                done(place, texts.pop(place).said)


def _chunks(own: Sequence[int], beginnings: Sequence[tuple[int, ...]]) -> list[list[int]]:
    """Places of rows of like length, the longest first: what does not fit memory fails early. Equal prefixes side by side."""
    chunks: list[list[int]] = []
    for place in sorted(range(len(own)), key=lambda place: (-own[place], place)):
        if not chunks or (len(chunks[-1]) + 1) * own[chunks[-1][0]] > CHUNK:
            chunks.append([])
        chunks[-1].append(place)
    number = {beginning: count for count, beginning in enumerate(dict.fromkeys(beginnings))}
    return [sorted(chunk, key=lambda place: number[beginnings[place]]) for chunk in chunks]


def _read(
    model: Any,
    cache: Any,
    ids: torch.Tensor,
    mask: torch.Tensor,
    own: Sequence[Sequence[int]],
    weighings: Sequence[Weighing | None],
) -> tuple[torch.Tensor, dict[int, Guide]]:
    """The prompts' own tokens, chunk by chunk -> scores of the first new token [rows, vocabulary], guides of rows that weigh."""
    widest = max(map(max, own))
    front = ids.shape[1] - widest
    scores: list[torch.Tensor] = []
    guides: dict[int, Guide] = {}

    def read(rows: slice, cache: Any, ids: torch.Tensor, mask: torch.Tensor) -> None:
        with _last_hidden(model) as hidden:
            scores.append(_forward(model, cache, ids, mask))
        for row, weighing in enumerate(weighings[rows]):
            if weighing is not None:
                guides[rows.start + row] = weighing.weigh(hidden[0][row])

    if not isinstance(cache, PrefixCache):
        read(slice(0, len(ids)), cache, ids[:, front:], mask)
        return scores[0], guides
    start = 0
    for lengths in own:
        chunk, width = slice(start, start + len(lengths)), max(lengths)
        seen = torch.cat([mask[chunk, :front], mask[chunk, -width:]], dim=1)
        with cache.part(chunk, widest - width, widest - width, widest) as part:
            read(chunk, part, ids[chunk, -width:], seen)
        start = chunk.stop
    return torch.cat(scores), guides


@contextmanager
def _last_hidden(model: Any) -> Iterator[list[torch.Tensor]]:
    """Collects what the head is given of all tokens: [rows, tokens, d] of each pass."""
    seen: list[torch.Tensor] = []
    hook = model.base_model.register_forward_hook(lambda module, given, output: seen.append(output.last_hidden_state))
    try:
        yield seen
    finally:
        hook.remove()


def _behind(tokens: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[torch.Tensor, torch.Tensor]:
    """Ids and mask [rows, most tokens of a row] of what is to be read next, each row's at the end."""
    width = max(map(len, tokens))
    ids = [[*[pad_id] * (width - len(row)), *row] for row in tokens]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in tokens]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def _go_on(model: Any, cache: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The next tokens of every row -> scores of what follows the last [rows, vocabulary]."""
    rows, width = ids.shape
    if width == 1 or not isinstance(cache, PrefixCache):
        return _forward(model, cache, ids, mask)
    cache.reserve(width)
    scores, used = [], cache.used
    for start in range(0, rows, size := max(1, CHUNK // width)):
        chunk = slice(start, start + size)
        with cache.part(chunk, 0, used, used + width) as part:
            scores.append(_forward(model, part, ids[chunk], mask[chunk]))
    return torch.cat(scores)


def _forward(model: Any, cache: Any, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    positions = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    output = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1
    )
    scores: torch.Tensor = output.logits[:, -1]
    return scores
