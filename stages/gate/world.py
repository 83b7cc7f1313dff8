"""What every boundary is measured against: what is declared, today's policies, and the prompts kept for evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from stages.gate.checks import Suite
from stages.gate.config import GateConfig
from stages.gate.overlap import Index
from stages.lib import jsonl, paths
from stages.lib.records import Message, Policy, Prompt

BENIGN = "benign"
Rows = list[dict[str, Any]]
Tables = dict[str, Rows]


@dataclass(frozen=True, eq=False)  # its identity is its hash: what is read once is kept
class World:
    """The declared state of the pipeline."""

    categories: tuple[str, ...]
    gate: GateConfig
    outside: Callable[[], dict[str, list[str]]]
    """Public evaluation sets: name -> texts. Called only by the boundaries that compare with them."""

    @cached_property
    def policies(self) -> dict[str, Policy]:
        """Today's policies."""
        return {category: jsonl.read_one(paths.policy(category), Policy) for category in self.categories}

    @cached_property
    def shas(self) -> dict[str, str]:
        """Category -> sha of today's policy; benign rows were written under none."""
        return {category: policy.sha for category, policy in self.policies.items()} | {BENIGN: "none"}

    @property
    def names(self) -> tuple[str, ...]:
        """The categories and the benign requests."""
        return (*self.categories, BENIGN)

    def prompts(self, split: str, name: str) -> Iterator[Prompt]:
        """One file of prompts."""
        return jsonl.read_many(paths.prompts(split, name), Prompt)

    @cached_property
    def train_ids(self) -> dict[str, str]:
        """Train prompt -> its request."""
        return {prompt.id: prompt.request_id for name in self.names for prompt in self.prompts("train", name)}

    @cached_property
    def train_wrappers(self) -> frozenset[str]:
        """Wrappers a training prompt stands in."""
        found = {prompt.wrapper for name in self.names for prompt in self.prompts("train", name)}
        return frozenset(wrapper for wrapper in found if wrapper is not None)

    def held_out(self, n: int) -> Index:
        """Every text that training must not hold, by prompt id, and the outside sets as `<set>#<place>`.

        A wrapper that training uses too is shared on purpose: such a prompt is represented by its plain sibling.
        """
        index = Index(n)
        for name in self.names:
            prompts = list(self.prompts("eval", name))
            plain = {prompt.request_id for prompt in prompts if prompt.wrapper is None}
            for prompt in prompts:
                if prompt.wrapper not in self.train_wrappers or prompt.request_id not in plain:
                    add_turns(index, prompt.id, prompt.messages)
        for name, texts in self.outside().items():
            for place, text in enumerate(texts):
                index.add(f"{name}#{place}", text)
        return index


@dataclass(frozen=True)
class Boundary:
    """How one boundary is read and what must hold of it."""

    names: Callable[[World], tuple[str, ...]]
    files: Callable[[World, str], tuple[Path, ...]]
    """The files behind one name: what its stamp vouches for."""
    folders: tuple[tuple[Path, str], ...]
    """(folder, pattern): files there that belong to no declared name are strangers."""
    tables: Callable[[World, str], Tables]
    suite: Callable[[GateConfig], Suite]
    whole: Callable[[World], Tables] | None = None
    """Tables about all names at once."""
    whole_suite: Callable[[GateConfig], Suite] | None = None
    rates: Callable[[Tables], dict[str, float]] | None = None
    """Numbers the report shows beside the findings."""


def add_turns(index: Index, name: str, messages: tuple[Message, ...]) -> None:
    """A conversation's user turns; what the assistant said before is no request."""
    for message in messages:
        if message.role == "user":
            index.add(name, message.content)
