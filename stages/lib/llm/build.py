"""From the `llm` section to a backend, behind the cache."""

from __future__ import annotations

from stages.lib import paths
from stages.lib.llm.backend import Backend
from stages.lib.llm.cache import Cached
from stages.lib.llm.config import LlmConfig
from stages.lib.llm.load import precision


def build_backend(llm: LlmConfig, label: str = "requests") -> Cached:
    """The configured backend behind the request cache; weights are loaded when the first request is not in it."""
    salt = f"{llm.backend}/{precision(llm.dtype)}" if llm.backend in ("local", "vllm") else llm.backend
    return Cached(bare_backend(llm), paths.cache() / "requests", salt, label, llm.budget)


def bare_backend(llm: LlmConfig) -> Backend:
    """The configured backend without a cache."""
    if llm.backend == "local":
        from stages.lib.llm.local import Local

        return Local.from_folder(llm)
    if llm.backend == "vllm":
        from stages.lib.llm.vllm import Vllm

        return Vllm(llm)
    if llm.backend == "openai":
        from stages.lib.llm.openai import OpenAi

        return OpenAi.from_environment(llm)
    from stages.lib.llm.rules import follow_rules
    from stages.lib.llm.scripted import Scripted

    return Scripted(follow_rules)
