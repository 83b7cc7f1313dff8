"""What a change of policies will cost, before it is paid: calls, tokens, minutes, money, and the behaviour expected to move."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

from stages.lib import jsonl, paths
from stages.lib.config import load_section, load_value
from stages.lib.errors import StageError
from stages.lib.llm.build import build_backend
from stages.lib.llm.cache import Cached
from stages.lib.llm.config import LlmConfig, SamplingConfig
from stages.lib.llm.requests import reason_request, wants_answer
from stages.lib.policy_text import LABELS, Detail, render_policy
from stages.lib.records import Message, Policy, Prompt, content_id
from stages.lib.seeds import order_of_sample
from stages.lib.tracking import latest
from stages.spec.diff import Release, reached

REST = ("filter", "mix", "sft", "rl", "evals", "report")
"""Rooms that run again behind a changed policy, whatever it costs before them."""
LETTERS_PER_TOKEN = 4.5
DELIBERATION_TOKENS, CLAUSE_TOKENS = 25, 30
"""What generator and judge write of a reply that ends behind its deliberation."""
VERDICT_TOKENS = 70
"""What the judge writes of a whole reply; the generator writes about half of what it may."""


class Cost(NamedTuple):
    """What one category will ask."""

    category: str
    generator_new: int
    generator_cached: int
    judge_new: int
    """At most: what the deterministic checks screen is not judged."""
    judge_cached: int
    tokens_read: int
    tokens_written: int


class Impact(NamedTuple):
    """The whole forecast."""

    costs: list[Cost]
    calls_of_a_full_run: int
    minutes: float | None
    """By this machine's last runs; None before there are any."""
    money: float | None
    """By `llm.<role>.price`; None where no price is set."""
    moves: dict[str, dict[str, int]]
    """Clause -> `comply -> refuse` -> held-out prompts that should move."""


def impact(old: Release, new: Release) -> Impact:
    """Compare the releases' policies and look into the request cache. Nothing is asked and nothing is written."""
    generator, judge = load_section("llm.generator", LlmConfig), load_section("llm.judge", LlmConfig)
    again = reached(old, new)
    backend = build_backend(generator)
    costs = [_cost(new.policies[name], old.policies.get(name), backend) for name in again]
    samples, k = int(load_value("generate.samples_per_prompt")), int(load_value("judge.k"))
    whole = sum(len(_asked(name)) for name in new.policies) * samples * (1 + k)
    return Impact(costs, whole, _minutes(costs) if again else 0.0, _money(costs, generator, judge), moves(old, new))


def moves(old: Release, new: Release) -> dict[str, dict[str, int]]:
    """Held-out prompts whose gold outcome differs between the releases, by clause."""
    found: dict[str, Counter[str]] = {}
    for name in sorted(set(old.policies) & set(new.policies)):
        for prompt in _prompts("eval", name):
            before, after = (release.policies[name].clause(prompt.clause) for release in (old, new))
            if before is not None and after is not None and before.outcome != after.outcome:
                found.setdefault(after.id, Counter())[f"{LABELS[before.outcome]} -> {LABELS[after.outcome]}"] += 1
    return {clause: dict(counts) for clause, counts in found.items()}


def show(found: Impact) -> str:
    """For reading in a terminal."""
    lines = [f"{'category':<18}{'generator':>22}{'judge (at most)':>22}{'tokens read':>14}{'written':>10}"]
    for cost in found.costs:
        generator = f"{cost.generator_new} new, {cost.generator_cached} cached"
        judge = f"{cost.judge_new} new, {cost.judge_cached} cached"
        lines.append(f"{cost.category:<18}{generator:>22}{judge:>22}{cost.tokens_read:>14,}{cost.tokens_written:>10,}")
    new = sum(cost.generator_new + cost.judge_new for cost in found.costs)
    whole = found.calls_of_a_full_run
    lines.append(f"{new} new calls at most, {new / max(1, whole):.0%} of the {whole} of a full run")
    known = "unknown, nothing ran here yet" if found.minutes is None else f"about {found.minutes:.0f} min, training included"
    lines.append(f"time: {known}")
    if found.money is not None:
        lines.append(f"money: about {found.money:.2f} by llm.generator.price and llm.judge.price")
    for clause, counts in found.moves.items():
        lines += [f"{clause}: {count} held-out prompts should move, {move}" for move, count in counts.items()]
    return "\n".join(lines)


def as_json(found: Impact) -> dict[str, Any]:
    """For programs."""
    return {**found._asdict(), "costs": [cost._asdict() for cost in found.costs]}


def _cost(policy: Policy, before: Policy | None, backend: Cached) -> Cost:
    detail: Detail = load_value("spec.detail")
    seed = int(load_value("seed"))
    conversations, fraction = _conversations(policy, before), float(load_value("generate.answer_fraction"))
    whole = {messages: wants_answer(content_id(policy.category, messages), fraction, seed) for messages in conversations}
    samples, k = range(int(load_value("generate.samples_per_prompt"))), int(load_value("judge.k"))
    asked = [
        reason_request(messages, policy, detail, order_of_sample(seed, number), number, whole[messages])
        for messages in conversations
        for number in samples
    ]
    sampling = load_section("generate.sampling", SamplingConfig).record()
    known = backend.known(asked, sampling, seed)
    same = before is not None and render_policy(before, detail) == render_policy(policy, detail)
    judged = 0 if same and known == len(asked) else k * len(asked)
    new, count = len(asked) - known, max(1, len(asked))
    read = sum(len(message.content) for request in asked for message in request.messages) / LETTERS_PER_TOKEN / count
    answered = sum(whole[messages] for messages in conversations) * len(samples) / count
    reply = answered * sampling.max_new_tokens / 2 + (1 - answered) * DELIBERATION_TOKENS
    verdict = answered * VERDICT_TOKENS + (1 - answered) * CLAUSE_TOKENS
    return Cost(
        category=policy.category,
        generator_new=new,
        generator_cached=known,
        judge_new=judged,
        judge_cached=k * len(asked) - judged,
        tokens_read=round(read * (new + judged)),
        tokens_written=round(reply * new + verdict * judged),
    )


def _conversations(policy: Policy, before: Policy | None) -> list[tuple[Message, ...]]:
    """Today's train prompts, with the examples of `policy` in place of those of `before` where examples are asked."""
    today = [prompt.messages for prompt in _asked(policy.category)]
    if before is None or not load_value("prompts.policy_examples"):
        return today
    old, new = (
        [(Message(role="user", content=example),) for clause in each.clauses for example in clause.examples]
        for each in (before, policy)
    )
    return list(dict.fromkeys([*(messages for messages in today if messages not in old), *new]))


def _minutes(costs: list[Cost]) -> float | None:
    runs = latest()
    seconds = sum(found["seconds"] for stage, found in runs.items() if stage.partition("@")[0] in REST)
    for room, counts in (
        ("generate", {cost.category: cost.generator_new for cost in costs}),
        ("judge", {cost.category: cost.judge_new for cost in costs}),
    ):
        paid = [found for stage, found in runs.items() if stage.partition("@")[0] == room and found.get("rows_new")]
        if not paid and any(counts.values()):
            return None
        each = sum(found["seconds"] for found in paid) / max(1.0, sum(found["rows_new"] for found in paid))
        seconds += each * sum(counts.values())
    return seconds / 60


def _money(costs: list[Cost], generator: LlmConfig, judge: LlmConfig) -> float | None:
    if generator.price is None and judge.price is None:
        return None
    total = 0.0
    for cost in costs:
        calls = max(1, cost.generator_new + cost.judge_new)
        for price, share in ((generator.price, cost.generator_new / calls), (judge.price, cost.judge_new / calls)):
            if price is not None:
                total += share * (cost.tokens_read * price.read + cost.tokens_written * price.written) / 1e6
    return total


def _asked(category: str) -> list[Prompt]:
    return [prompt for prompt in _prompts("train", category) if prompt.asked]


def _prompts(split: str, category: str) -> list[Prompt]:
    path = paths.prompts(split, category)
    if not path.exists():
        raise StageError(f"{path} does not exist, so its calls cannot be counted", "run `dvc repro prompts` first: it is free")
    return list(jsonl.read_many(path, Prompt))
