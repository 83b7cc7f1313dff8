"""transformers in this process, on CPU or GPU; the part all prompts share is computed once.

In a stage every prompt begins with the same policy. It is prefilled once into a cache that all rows of a batch share (see
`prefix`), and only the rest of the prompts runs through the model (see `decode`). A batch may span policies, as when a step of
RL asks its judge: then each row goes on from the cache of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property, partial
from itertools import product
from typing import TYPE_CHECKING, Any

from stages.lib.llm.backend import Generation, OnResult, Request, plain, request_seed
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.draw import Draw
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.llm.weigh import question_places, yes_over_no
from stages.lib.records import Message, Sampling

if TYPE_CHECKING:
    from stages.lib.llm.decode import Weighing
    from stages.lib.llm.guide import Guide

MIN_SHARED = 32
"""A shorter common beginning is not worth a pass of its own."""


class Local:
    """A loaded checkpoint. With equal weights and requests the texts are equal, whatever the batches (float32; bf16 rounds)."""

    def __init__(self, load: Callable[[], Any], tokenizer: Any, model_sha: str, batch_size: int, share: bool = True) -> None:
        self.model_sha = model_sha
        self.tokenizer = tokenizer
        self._load = load
        self._batch_size = batch_size
        self._share = share
        self._known_forms: dict[str, bool] = {}

    @classmethod
    def from_folder(cls, llm: LlmConfig) -> Local:
        """The checkpoint of the config; its weights are read when they are first needed."""
        return cls(lambda: load_model(llm.model, llm.dtype), load_tokenizer(llm.model), model_sha(llm.model), llm.batch_size)

    @cached_property
    def model(self) -> Any:
        """The weights."""
        return self._load()

    def render(self, messages: Sequence[Message]) -> str:
        """Through the model's own chat template, open for its turn."""
        return str(self.tokenizer.apply_chat_template(plain(messages), tokenize=False, add_generation_prompt=True))

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """Sort by length and decode batch by batch; `on_result` hears of each request as it ends."""
        import torch

        from stages.lib.llm.decode import decode

        texts = [self.render(request.messages) for request in requests]
        open_ended = [not self._follows(request) for request in requests]
        ids, asked = self._tokens(requests, texts, open_ended)
        shared = self._shared(requests, ids, asked)
        seeds = [request_seed(seed, text, request) for text, request in zip(texts, requests, strict=True)]
        done: dict[int, Generation] = {}
        shares: dict[int, tuple[float, ...]] = {}
        with torch.inference_mode():
            for batch in self._batches(ids, shared, open_ended):

                def keep(row: int, tokens: list[int], batch: list[int] = batch) -> None:
                    done[batch[row]] = generation = self._read(tokens, shares.get(batch[row], ()))
                    if on_result is not None:
                        on_result(batch[row], generation)

                rows, lengths = [ids[place] for place in batch], [shared[place] for place in batch]
                choose = Draw(sampling, [seeds[place] for place in batch], self.model.device)
                told = [partial(shares.__setitem__, place) for place in batch]
                guides, weighings = self._forms(
                    [requests[place] for place in batch], rows, [asked[place] for place in batch], told
                )
                decode(
                    self._prefixes,
                    rows,
                    lengths,
                    sampling.max_new_tokens,
                    self._stops,
                    choose,
                    keep,
                    guides,
                    weighings,
                    sampling.no_repeat_ngram_size,
                )
        return [done[place] for place in range(len(requests))]

    def _follows(self, request: Request) -> bool:
        """Whether the reply follows from which question is answered yes, or from nothing: its forms leave no choice."""
        chosen = len(request.forms) == 1 or (request.forms and request.questions)
        return bool(chosen) and all(map(self._fixed, request.forms))

    def _fixed(self, form: str) -> bool:
        if form not in self._known_forms:
            guide = self._guides.guide(form)
            self._known_forms[form] = guide.follow(())[-1:] == [self.tokenizer.eos_token_id]
        return self._known_forms[form]

    def _tokens(
        self, requests: Sequence[Request], texts: Sequence[str], open_ended: Sequence[bool]
    ) -> tuple[list[list[int]], list[list[int]]]:
        """Of each request the tokens to read, and the places of those at which its questions end.

        What stands behind the last question is read only where the reply is open.
        """
        ids, asked = [], []
        for request, text, to_the_end in zip(requests, texts, open_ended, strict=True):
            read = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=bool(request.questions))
            places = question_places(text, request.questions, read["offset_mapping"]) if request.questions else []
            ids.append(list(read["input_ids"][: None if to_the_end or not places else max(places) + 1]))
            asked.append(places)
        return ids, asked

    def _forms(
        self,
        requests: Sequence[Request],
        rows: Sequence[list[int]],
        asked: Sequence[list[int]],
        told: Sequence[Callable[[tuple[float, ...]], None]],
    ) -> tuple[dict[int, Guide], dict[int, Weighing]]:
        """What the rows of a batch keep to: from the start, or once their questions are weighed."""
        from stages.lib.llm.decode import Weighing

        guides, weighings = {}, {}
        for row, (request, ids, places) in enumerate(zip(requests, rows, asked, strict=True)):
            if places:
                if len(places) != len(request.forms):
                    raise ValueError(f"{len(places)} questions for {len(request.forms)} forms")
                from_end = [place - len(ids) for place in places]
                weighings[row] = Weighing(from_end, self._direction, partial(self._guide_of, request), told[row])
            elif request.forms:
                guides[row] = self._guides.guide("|".join(request.forms))
        return guides, weighings

    def _guide_of(self, request: Request, form: int) -> Guide:
        return self._guides.guide(request.forms[form])

    def _shared(self, requests: Sequence[Request], ids: list[list[int]], asked: list[list[int]]) -> list[int]:
        """How many tokens of each request come from the cache of its system prompt: none that asks a question."""
        shared = [0] * len(requests)
        for group in groups(requests) if self._share else ():
            length = min(
                [common_prefix([ids[place] for place in group]), *(min(asked[place]) for place in group if asked[place])]
            )
            for place in group:
                shared[place] = length if length >= MIN_SHARED else 0
        return shared

    def _batches(self, ids: list[list[int]], shared: list[int], open_ended: list[bool]) -> Iterator[list[int]]:
        """Places of requests of like length, longest first; what shares a beginning apart from what does not, and what is
        decoded apart from what is only read."""
        kinds = [(bool(length), decoded) for length, decoded in zip(shared, open_ended, strict=True)]
        for wanted in product((True, False), repeat=2):
            part = [place for place, kind in enumerate(kinds) if kind == wanted]
            part.sort(key=lambda place: (shared[place] - len(ids[place]), place))
            count = -(-len(part) // self._batch_size)
            for number in range(count):  # of equal size: a small last batch decodes nearly as long as a full one
                yield part[number * len(part) // count : (number + 1) * len(part) // count]

    @cached_property
    def _prefixes(self) -> Any:
        from stages.lib.llm.prefix import Prefixes

        return Prefixes(self.model, self.tokenizer.pad_token_id)

    @cached_property
    def _guides(self) -> Any:
        from stages.lib.llm.guide import Guides

        return Guides(self.tokenizer)

    @cached_property
    def _direction(self) -> Any:
        return yes_over_no(self.model, self.tokenizer)

    @cached_property
    def _stops(self) -> set[int]:
        """End of turn by the tokenizer and by the checkpoint, which for some models are two tokens."""
        stops = self.model.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])} - {None}

    def _read(self, tokens: list[int], shares: tuple[float, ...] = ()) -> Generation:
        whole = tokens[-1] in self._stops
        text = self.tokenizer.decode(tokens[:-1] if whole else tokens, skip_special_tokens=True)
        return Generation(text=text, truncated=not whole, shares=shares)


def common_prefix(sequences: Sequence[list[int]]) -> int:
    """Length of the longest common beginning, at least one token short of the shortest sequence."""
    low, high = min(sequences), max(sequences)  # in sorted order the two ends differ first
    limit = min(map(len, sequences)) - 1
    return next((place for place in range(limit) if low[place] != high[place]), limit)


def groups(requests: Sequence[Request]) -> Iterator[list[int]]:
    """Places of the requests of each system prompt."""
    groups: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        first = request.messages[0]
        groups.setdefault(first.content if first.role == "system" else "", []).append(place)
    yield from groups.values()
