"""vLLM's offline engine: continuous batching and prefix caching on one machine's GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

from stages.lib.errors import StageError
from stages.lib.llm.backend import Generation, OnResult, Request, plain, request_seed
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.load import load_tokenizer, model_sha, precision
from stages.lib.records import Message, Sampling

CHUNK = 512
"""Requests per call of the engine: large enough to fill it, small enough to lose little at a kill."""


class Vllm:
    """A checkpoint folder in vLLM; the engine starts with the first request."""

    def __init__(self, llm: LlmConfig) -> None:
        self.model_sha = model_sha(llm.model)
        self.tokenizer = load_tokenizer(llm.model)
        self._llm = llm

    @cached_property
    def engine(self) -> Any:
        """The engine, which takes the GPU's memory."""
        try:
            from vllm import LLM
        except ImportError:
            what = "llm: backend is vllm, but vLLM is not installed"
            raise StageError(what, "pip install '.[vllm]', or use the local backend") from None
        return LLM(model=self._llm.model, dtype=precision(self._llm.dtype), enable_prefix_caching=True)

    def render(self, messages: Sequence[Message]) -> str:
        """Through the model's own chat template, open for its turn."""
        return str(self.tokenizer.apply_chat_template(plain(messages), tokenize=False, add_generation_prompt=True))

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """Chunk by chunk, so that a kill loses one chunk at most."""
        done: list[Generation] = []
        for start in range(0, len(requests), CHUNK):
            for generation in self._chunk(requests[start : start + CHUNK], sampling, seed):
                if on_result is not None:
                    on_result(len(done), generation)
                done.append(generation)
        return done

    def _chunk(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> list[Generation]:
        texts = [self.render(request.messages) for request in requests]
        prompts = [{"prompt_token_ids": self.tokenizer(text, add_special_tokens=False)["input_ids"]} for text in texts]
        seeds = [request_seed(seed, text, request) for text, request in zip(texts, requests, strict=True)]
        settings = [self._settings(sampling, each) for each in seeds]
        outputs = self.engine.generate(prompts, settings, use_tqdm=False)
        return [Generation(text=out.outputs[0].text, truncated=out.outputs[0].finish_reason == "length") for out in outputs]

    def _settings(self, sampling: Sampling, seed: int) -> Any:
        from vllm import SamplingParams

        return SamplingParams(
            temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=sampling.max_new_tokens, seed=seed
        )
