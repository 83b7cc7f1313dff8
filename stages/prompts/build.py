"""Requests and wrappers -> prompts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from stages.lib.records import Policy, Prompt, content_id
from stages.lib.seeds import derive
from stages.prompts.config import PromptsConfig
from stages.prompts.requests import Request
from stages.prompts.wrappers import Wrapper, WrapperKind, choose

BENIGN = "benign"


class Wrappers(NamedTuple):
    """The lists, `outside` being templates from a distribution."""

    train: Sequence[Wrapper]
    heldout: Sequence[Wrapper]
    outside: Sequence[Wrapper]


def build_prompts(
    category: str, requests: Sequence[Request], policy: Policy | None, wrappers: Wrappers, config: PromptsConfig, seed: int
) -> list[Prompt]:
    """Every wording of the requests within the cap. A policy's examples and benign eval requests are only asked plainly."""
    prompts = []
    for request in capped(requests, config.max_requests_per_category):
        prompts.append(to_prompt(category, request, None))
        if request.example:
            continue
        if request.line.split == "train":
            prompts += [
                to_prompt(category, request, wrapper, config.ask_wrapped) for wrapper in _train(request, wrappers, config, seed)
            ]
        elif policy is not None:
            prompts += [to_prompt(category, request, wrapper) for wrapper in _eval(request, policy, wrappers, config, seed)]
    return prompts


def to_prompt(category: str, request: Request, wrapper: Wrapper | None, asked: bool = True) -> Prompt:
    """One request in one wording."""
    line = request.line
    messages = line.conversation if wrapper is None else wrapper.around(line.conversation)
    return Prompt(
        id=content_id(category, messages),
        request_id=request.id,
        category=category,
        split=line.split,
        wrapper=wrapper.id if wrapper else None,
        wrapper_kind=wrapper.kind if wrapper else "plain",
        clause=line.clause,
        pair=line.pair,
        messages=messages,
        asked=asked,
    )


def capped(requests: Sequence[Request], cap: int | None) -> list[Request]:
    """At most `cap` requests of each split, taken in turn from each clause, in the order of the file."""
    if cap is None:
        return list(requests)
    return [request for split in ("train", "eval") for request in _in_turn([r for r in requests if r.line.split == split])[:cap]]


def _in_turn(requests: Sequence[Request]) -> list[Request]:
    nth: dict[str | None, int] = {}
    ranked = []
    for request in requests:
        rank = nth[request.line.clause] = nth.get(request.line.clause, -1) + 1
        ranked.append((rank, request))
    return [request for _, request in sorted(ranked, key=lambda pair: pair[0])]


def _train(request: Request, wrappers: Wrappers, config: PromptsConfig, seed: int) -> Iterator[Wrapper]:
    """Blind to the clause: training must not know gold. Benign requests too, lest a wrapper alone mean harm to the model."""
    wordings = config.wordings_per_request
    kinds: tuple[tuple[WrapperKind, float], ...] = (("harmless", wordings.harmless), ("jailbreak", wordings.jailbreak))
    for kind, rate in kinds:
        draw = derive(seed, "wordings", kind, request.id) / 2**31
        yield from choose(_of(kind, wrappers.train), math.floor(rate + draw), seed, "train", request.id)


def _eval(request: Request, policy: Policy, wrappers: Wrappers, config: PromptsConfig, seed: int) -> Iterator[Wrapper]:
    """A request to comply with meets either kind of wrapper, once; any other meets jailbreaks, ours and outside ones in turn."""
    clause = policy.clause(request.line.clause)
    comply = clause is not None and clause.outcome == "comply"
    seen = wrappers.train if comply else _of("jailbreak", wrappers.train)
    yield from choose(seen, config.eval_seen_wrappers, seed, "seen", request.id)
    if comply:
        yield from choose(wrappers.heldout, min(1, config.eval_heldout_wrappers), seed, "heldout", request.id)
        return
    outside = min(config.eval_heldout_wrappers // 2, len(wrappers.outside))
    ours = config.eval_heldout_wrappers - outside
    yield from choose(_of("jailbreak", wrappers.heldout), ours, seed, "heldout", request.id)
    yield from choose(wrappers.outside, outside, seed, "outside", request.id)


def _of(kind: str, wrappers: Sequence[Wrapper]) -> list[Wrapper]:
    return [wrapper for wrapper in wrappers if wrapper.kind == kind]
