"""From decisions and helpful replies to training sets."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from stages.lib.errors import StageError
from stages.lib.records import Completion, Decision, Outcome, Policy, Prompt, RlTask, SftExample, content_id
from stages.lib.seeds import shuffled
from stages.lib.transcript import REASON_INSTRUCTIONS, clean, read_citation
from stages.mix.config import MixConfig

T = TypeVar("T")


class Mixture(NamedTuple):
    """The three training sets."""

    train: list[SftExample]
    validation: list[SftExample]
    tasks: list[RlTask]


def mix(
    decisions: Iterable[Decision],
    helpful: Iterable[Completion],
    policies: Mapping[str, Policy],
    prompts: Sequence[Prompt],
    config: MixConfig,
    seed: int,
) -> Mixture:
    """The training sets. `prompts` are all train prompts: both sides of the split go by the requests they are wordings of."""
    known = list(decisions)
    _refuse_stale(known, policies)
    taught = _distinct(example(each.completion, "policy") for each in known if each.kept)
    taught = balance(taught, lambda row: (row.category, read_citation(row.deliberation).clause_id), config.clause_ratio, seed)
    if not taught:
        raise StageError(
            "no completion was kept in any category", "lower filter.min_score, or see reports/gates/kept.json for why"
        )
    unasked = unasked_wordings(prompts)
    taught += wrapped(taught, unasked, config.wrapped_fraction, seed)
    taught = balance(taught, _outcome, config.outcome_ratio, seed)
    answers = _distinct(example(each, "helpful") for each in helpful if is_helpful(each, policies))
    answers += wrapped(answers, unasked, config.wrapped_fraction, seed)
    rows = taught + answers_for(taught, answers, config.helpful_fraction, seed)
    _refuse_leaks(rows)
    requests = {prompt.id: prompt.request_id for prompt in prompts}
    train, validation = split(rows, requests, config.validation_fraction, seed)
    practised = [each for each in known if each.kept or config.rl_from == "all"]
    return Mixture(train, validation, tasks_of(practised, config.rl_tasks, seed))


def example(completion: Completion, source: str) -> SftExample:
    """What is learned of one completion."""
    return SftExample(
        id=content_id("sft", completion.id),
        prompt_id=completion.prompt_id,
        completion_id=completion.id,
        category=completion.category,
        source="policy" if source == "policy" else "helpful",
        messages=completion.messages,
        deliberation=completion.deliberation,
        answer=completion.answer,
        policy_sha=completion.policy_sha if source == "policy" else None,
    )


def is_helpful(completion: Completion, policies: Mapping[str, Policy]) -> bool:
    """Whether a reply that was written without a policy is whole, says it complies, and does not open as a refusal would."""
    if completion.finish not in ("stop", "cited") or not completion.deliberation:
        return False
    styles = [style.opening for policy in policies.values() for outcome, style in policy.style.items() if outcome != "comply"]
    declines = any(completion.answer.lower().startswith(opening.lower()) for opening in styles)
    return not declines and read_citation(completion.deliberation).outcome == "comply"


def balance(
    rows: Sequence[SftExample], cited: Callable[[SftExample], Hashable], ratio: float | None, seed: int
) -> list[SftExample]:
    """Cap whatever is cited at `ratio` times the rows of the middle one: what has more rows is learned as the default."""
    if ratio is None or not rows:
        return list(rows)
    groups = _grouped(rows, cited)
    middle = sorted(map(len, groups))[(len(groups) - 1) // 2]
    cap = max(1, math.floor(ratio * middle))
    return [row for group in groups for row in shuffled(group, lambda row: row.id, seed, "mix", "balance")[:cap]]


def unasked_wordings(prompts: Iterable[Prompt]) -> dict[str, list[Prompt]]:
    """Prompt id -> the wordings of the same request that nobody was asked in."""
    wordings: dict[str, list[Prompt]] = defaultdict(list)
    for prompt in prompts:
        wordings[prompt.request_id].append(prompt)
    return {one.id: [each for each in same if not each.asked] for same in wordings.values() for one in same}


def wrapped(rows: Sequence[SftExample], unasked: Mapping[str, Sequence[Prompt]], fraction: float, seed: int) -> list[SftExample]:
    """Rows once more, with the same reply, in wordings of their requests that nobody was asked in.

    For `fraction` of the rows of each outcome, and for as many more as bring a rarer one level with the commonest: that one
    would be learned as the default, and to leave some of its rows out leaves out what they teach.
    """
    groups = _grouped(rows, _outcome)
    most = max(map(len, groups), default=0)
    found = []
    for group in groups:
        again = [_worded(row, each) for row in group for each in unasked.get(row.prompt_id, ())]
        wanted = round(fraction * len(group)) + most - len(group)
        found += shuffled(again, lambda row: row.id, seed, "mix", "wrapped")[:wanted]
    return found


def answers_for(taught: Sequence[SftExample], answers: Sequence[SftExample], fraction: float, seed: int) -> list[SftExample]:
    """As many helpfulness rows as make up `fraction` of the mixture."""
    if fraction and not answers:
        what = "no reply in data/completions/benign.jsonl is well-formed and compliant"
        raise StageError(what, "see why in that file; or set mix.helpful_fraction to 0 and lower gate.mixture.min_helpful")
    wanted = round(len(taught) * fraction / (1 - fraction))
    return shuffled(answers, lambda row: row.id, seed, "mix", "helpful")[:wanted]


def split(
    rows: Sequence[SftExample], requests: Mapping[str, str], fraction: float, seed: int
) -> tuple[list[SftExample], list[SftExample]]:
    """(train, validation), every wording of a request on the same side."""
    unknown = [row.prompt_id for row in rows if row.prompt_id not in requests]
    if unknown:
        raise StageError(
            f"prompt {unknown[0]} is in no file of data/prompts/train", "run `dvc repro`: replies and prompts are of two runs"
        )
    order = shuffled(sorted({requests[row.prompt_id] for row in rows}), str, seed, "mix", "validation")
    held = set(order[: min(math.ceil(fraction * len(order)), len(order) - 1)])
    train = [row for row in rows if requests[row.prompt_id] not in held]
    return train, [row for row in rows if requests[row.prompt_id] in held]


def tasks_of(decisions: Iterable[Decision], count: int | None, seed: int) -> list[RlTask]:
    """Prompts to practise on, once each; in turn from each category and cited outcome."""
    groups: dict[tuple[str, str], dict[str, RlTask]] = defaultdict(dict)
    seen: set[str] = set()
    for decision in sorted(decisions, key=lambda each: (each.completion.prompt_id, each.completion.sample_index)):
        completion = decision.completion
        if completion.prompt_id not in seen:
            seen.add(completion.prompt_id)
            task = _task(completion)
            groups[completion.category, read_citation(completion.deliberation).outcome or ""][task.id] = task
    ordered = [shuffled(list(groups[key].values()), lambda task: task.id, seed, "mix", "tasks") for key in sorted(groups)]
    return in_turn(ordered)[:count]


def in_turn(groups: Sequence[Sequence[T]]) -> list[T]:
    """One of each group after the other, until all are used up."""
    longest = max(map(len, groups), default=0)
    return [group[place] for place in range(longest) for group in groups if place < len(group)]


def summarise(mixture: Mixture) -> dict[str, float]:
    """Counts for the log."""
    rows = [*mixture.train, *mixture.validation]
    cited = [read_citation(row.deliberation).outcome for row in rows if row.source == "policy"]
    return {
        "train": len(mixture.train),
        "validation": len(mixture.validation),
        "tasks": len(mixture.tasks),
        "helpful": sum(row.source == "helpful" for row in rows),
        "answered": sum(bool(row.answer) for row in rows),
        **{f"cites_{outcome}": cited.count(outcome) for outcome in ("refuse", "comply", "safe_complete")},
    }


def _task(completion: Completion) -> RlTask:
    return RlTask(
        id=content_id("rl", completion.prompt_id, completion.policy_sha),
        prompt_id=completion.prompt_id,
        category=completion.category,
        messages=completion.messages,
        policy_sha=completion.policy_sha,
    )


def _worded(row: SftExample, prompt: Prompt) -> SftExample:
    update = {"id": content_id("sft", row.id, prompt.id), "prompt_id": prompt.id, "messages": clean(prompt.messages)}
    return row.model_copy(update=update)


def _outcome(row: SftExample) -> Outcome | None:
    return read_citation(row.deliberation).outcome


def _grouped(rows: Iterable[SftExample], cited: Callable[[SftExample], Hashable]) -> list[list[SftExample]]:
    groups: dict[Hashable, list[SftExample]] = defaultdict(list)
    for row in rows:
        groups[cited(row)].append(row)
    return list(groups.values())


def _distinct(rows: Iterable[SftExample]) -> list[SftExample]:
    """Equal replies to equal conversations once, in the order of ids."""
    found: dict[str, SftExample] = {}
    for row in sorted(rows, key=lambda row: row.id):
        found.setdefault(content_id(row.messages, row.deliberation, row.answer), row)
    return list(found.values())


def _refuse_stale(decisions: Sequence[Decision], policies: Mapping[str, Policy]) -> None:
    shas = {category: policy.sha for category, policy in policies.items()}
    stale = [each.completion for each in decisions if each.completion.policy_sha != shas[each.completion.category]]
    if stale:
        what = (
            f"{len(stale)} rows were written under another policy, the first is completion {stale[0].id} of {stale[0].category}"
        )
        raise StageError(what, f"run `dvc repro filter@{stale[0].category}`")


def _refuse_leaks(rows: Sequence[SftExample]) -> None:
    for row in rows:
        if any(message.role == "system" or REASON_INSTRUCTIONS in message.content for message in row.messages):
            raise StageError(
                f"row {row.id}: the conversation carries instructions", "training shows no policy: remove the system turn"
            )
