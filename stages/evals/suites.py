"""The suites: which prompt is asked for which reason.

disallowed        our held-out requests that are to be refused or safely completed, asked plainly
wrapped           the same in jailbreak wrappers that training used
jailbreak         the same in jailbreak wrappers that training never saw, ours and outside ones
contrast          our held-out requests that are to be answered, though they look like the ones above
contrast_wrapped  the same in wrappers of either kind
strongreject      outside: harmful prompts
edgy              outside: benign questions that look risky
benign            our everyday requests, which no policy covers
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from stages.lib import seeds
from stages.lib.records import Message, Outcome, Policy, Prompt, content_id, expected_outcome
from stages.lib.sources import SourceConfig

BENIGN = "benign"
HARMFUL = frozenset({"disallowed", "wrapped", "jailbreak", "strongreject"})
"""Suites where complying is unsafe; in all others not complying is over-refusal."""
OUTSIDE = frozenset({"strongreject", "edgy"})
SUITES = ("disallowed", "wrapped", "jailbreak", "strongreject", "contrast", "contrast_wrapped", "edgy", "benign")


class Case(NamedTuple):
    """One prompt of one suite."""

    suite: str
    prompt_id: str
    request_id: str
    """Wordings of one request share it: they are drawn and resampled together."""
    category: str
    """Ours, or for outside sets theirs."""
    messages: tuple[Message, ...]
    policy: Policy
    """What an arm with the policy in context reads. Where no category of ours covers the prompt, one drawn by the seed."""
    graded: bool
    """Whether that policy covers the prompt, so that gold below is its word."""
    expected: Outcome | None
    clause: str | None = None
    pair: str | None = None
    wrapper: str | None = None
    shown: str | None = None
    """The request as it may be written down: an outside prompt not at all, in an outside wrapper only our part."""


def own_cases(prompts: Sequence[Prompt], policies: Mapping[str, Policy], seen_wrappers: frozenset[str], seed: int) -> list[Case]:
    """Our held-out prompts, sorted into suites by their gold outcome and wrapper."""
    plain = {prompt.request_id: prompt.messages[-1].content for prompt in prompts if prompt.wrapper is None}
    cases = []
    for prompt in prompts:
        policy = policies.get(prompt.category) or _drawn(policies, seed, prompt.id)
        clause = policy.clause(prompt.clause) if prompt.category in policies else None
        expected = expected_outcome(clause)
        suite = _suite(prompt, expected, seen_wrappers)
        if suite is not None:
            cases.append(
                Case(
                    suite=suite, prompt_id=prompt.id, request_id=prompt.request_id, category=prompt.category,
                    messages=prompt.messages, policy=policy, graded=prompt.category in policies, expected=expected,
                    clause=prompt.clause, pair=prompt.pair, wrapper=prompt.wrapper,
                    shown=plain.get(prompt.request_id) if is_outside(prompt.wrapper) else prompt.messages[-1].content,
                )
            )  # fmt: skip
    return cases


def outside_cases(
    suite: str, rows: Iterable[Mapping[str, Any]], column: str, source: SourceConfig, policies: Mapping[str, Policy], seed: int
) -> list[Case]:
    """Prompts of an outside set. Harmful ones have no gold outcome: refusing and safely completing are both right."""
    cases = []
    for row in rows:
        text = str(row[column]).strip()
        prompt_id = content_id(suite, text)
        cases.append(
            Case(
                suite=suite, prompt_id=prompt_id, request_id=prompt_id, category=str(row["category"]),
                messages=(Message(role="user", content=text),),
                policy=policies.get(source.categories.get(row["category"], "")) or _drawn(policies, seed, prompt_id),
                graded=False, expected=None if suite in HARMFUL else "comply",
            )
        )  # fmt: skip
    return cases


def capped(cases: Iterable[Case], caps: Mapping[str, int | None], seed: int) -> list[Case]:
    """At most `caps[suite]` requests of each suite with all their wordings, drawn by the seed."""
    groups: dict[str, dict[str, list[Case]]] = {}
    for case in cases:
        groups.setdefault(case.suite, {}).setdefault(case.request_id, []).append(case)
    kept = []
    for suite, requests in groups.items():
        drawn = seeds.shuffled(requests, str, seed, "evals", suite)
        kept += [case for request in drawn[: caps.get(suite)] for case in requests[request]]
    return kept


def is_outside(wrapper: str | None) -> bool:
    """Whether a wrapper is somebody else's text: those have ids like `pyrit/aim`."""
    return wrapper is not None and "/" in wrapper


def _suite(prompt: Prompt, expected: Outcome, seen: frozenset[str]) -> str | None:
    if prompt.category == BENIGN:
        return "benign"
    if expected == "comply":
        return "contrast" if prompt.wrapper is None else "contrast_wrapped"
    if prompt.wrapper is None:
        return "disallowed"
    if prompt.wrapper_kind != "jailbreak":
        return None
    return "wrapped" if prompt.wrapper in seen else "jailbreak"


def _drawn(policies: Mapping[str, Policy], seed: int, name: str) -> Policy:
    return policies[min(policies, key=lambda category: seeds.derive(seed, "shown", category, name))]
