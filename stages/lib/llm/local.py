"""transformers in this process, on CPU or GPU; the part all prompts share is computed once.

In a stage every prompt begins with the same policy. It is prefilled once into a cache that all rows of a batch share (see
`prefix`), and only the rest of the prompts, padded on the left, runs through the model. A batch may span policies, as when a
step of RL asks its judge: then each row goes on from the cache of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any

from stages.lib.llm.backend import Generation, OnResult, Request, plain, request_seed
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.draw import seeded_draw
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.records import Message, Sampling

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
        """Group by system prompt, sort by length, and decode batch by batch."""
        import torch

        texts = [self.render(request.messages) for request in requests]
        ids = [list(self.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        seeds = [request_seed(seed, text, request) for text, request in zip(texts, requests, strict=True)]
        done: dict[int, Generation] = {}
        with torch.inference_mode():
            for batch, shared in self._batches(requests, ids):
                generations = self._batch([ids[place] for place in batch], shared, [seeds[place] for place in batch], sampling)
                for place, generation in zip(batch, generations, strict=True):
                    done[place] = generation
                    if on_result is not None:
                        on_result(place, generation)
        return [done[place] for place in range(len(requests))]

    def _batches(self, requests: Sequence[Request], ids: list[list[int]]) -> Iterator[tuple[list[int], list[int]]]:
        """(places, how many tokens of each come from the shared cache): requests of like length together, longest first."""
        common: dict[int, int] = {}
        system: dict[int, int] = {}
        for number, group in enumerate(groups(requests)):
            length = common_prefix([ids[place] for place in group]) if self._share else 0
            common |= dict.fromkeys(group, length if length >= MIN_SHARED else 0)
            system |= dict.fromkeys(group, number)
        for wanted in (True, False):
            part = [place for place in common if bool(common[place]) is wanted]
            part.sort(key=lambda place: (common[place] - len(ids[place]), place))  # what does not fit memory fails early
            count = -(-len(part) // self._batch_size)
            for number in range(count):  # of equal size: a small last batch decodes nearly as long as a full one
                batch = part[number * len(part) // count : (number + 1) * len(part) // count]
                batch.sort(key=lambda place: (system[place], common[place] - len(ids[place]), place))
                yield batch, [common[place] for place in batch]

    def _batch(self, rows: list[list[int]], shared: list[int], seeds: list[int], sampling: Sampling) -> list[Generation]:
        input_ids, attention_mask = pad(rows, shared, self.tokenizer.pad_token_id, self.model.device)
        room = input_ids.shape[1] - max(shared) + sampling.max_new_tokens
        with self._prefixes.rows([tuple(row[:length]) for row, length in zip(rows, shared, strict=True)], room) as cache:
            output = self.model.generate(
                input_ids=input_ids,
                attention_mask=attention_mask,
                past_key_values=cache,
                generation_config=self._settings(sampling),
                logits_processor=seeded_draw(sampling, seeds, self.model.device),
            )
        return [self._read(row, sampling) for row in output[:, input_ids.shape[1] :].tolist()]

    @cached_property
    def _prefixes(self) -> Any:
        from stages.lib.llm.prefix import Prefixes

        return Prefixes(self.model, self.tokenizer.pad_token_id)

    def _settings(self, sampling: Sampling) -> Any:
        """Always greedy to `generate`: sampling is noise on the logits, drawn per request (see `draw`)."""
        from transformers import GenerationConfig

        return GenerationConfig(
            max_new_tokens=sampling.max_new_tokens,
            do_sample=False,
            num_beams=1,
            repetition_penalty=1.0,
            eos_token_id=sorted(self._stops),
            pad_token_id=self.tokenizer.pad_token_id,
            use_cache=True,
        )

    @cached_property
    def _stops(self) -> set[int]:
        """End of turn by the tokenizer and by the checkpoint, which for some models are two tokens."""
        stops = self.model.generation_config.eos_token_id
        return {self.tokenizer.eos_token_id, *(stops if isinstance(stops, list) else [stops])} - {None}

    def _read(self, tokens: list[int], sampling: Sampling) -> Generation:
        end = next((place for place, token in enumerate(tokens) if token in self._stops), None)
        text = self.tokenizer.decode(tokens[:end], skip_special_tokens=True)
        return Generation(text=text, truncated=end is None and len(tokens) >= sampling.max_new_tokens)


def common_prefix(sequences: Sequence[list[int]]) -> int:
    """Length of the longest common beginning, at least one token short of the shortest sequence."""
    low, high = min(sequences), max(sequences)  # in sorted order the two ends differ first
    limit = min(map(len, sequences)) - 1
    return next((place for place in range(limit) if low[place] != high[place]), limit)


def pad(rows: Sequence[Sequence[int]], shared: Sequence[int], pad_id: int, device: Any) -> tuple[Any, Any]:
    """Ids and mask of equal length: what comes from the cache ends in one column, the rest of every row in the last."""
    import torch

    front, back = max(shared), max(len(row) - length for row, length in zip(rows, shared, strict=True))
    ids, mask = [], []
    for row, length in zip(rows, shared, strict=True):
        before, behind = front - length, back - (len(row) - length)
        ids.append([*[pad_id] * before, *row[:length], *[pad_id] * behind, *row[length:]])
        mask.append([0] * before + [1] * length + [0] * behind + [1] * (len(row) - length))
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)


def groups(requests: Sequence[Request]) -> Iterator[list[int]]:
    """Places of the requests of each system prompt."""
    groups: dict[str, list[int]] = {}
    for place, request in enumerate(requests):
        first = request.messages[0]
        groups.setdefault(first.content if first.role == "system" else "", []).append(place)
    yield from groups.values()
