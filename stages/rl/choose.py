"""Which prompts are practised on, and in which order."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Sequence

from stages.lib.errors import StageError
from stages.lib.llm.backend import Backend, Request
from stages.lib.records import RlTask, Sampling
from stages.lib.seeds import derive
from stages.rl.config import RlConfig
from stages.rl.reward import Reward, Sample


def in_turn(tasks: Sequence[RlTask], seed: int, lap: int = 0) -> list[RlTask]:
    """All tasks, shuffled anew each lap, one of each category after the other: every step sees many categories."""
    groups: dict[str, list[RlTask]] = defaultdict(list)
    for task in sorted(tasks, key=lambda task: task.id):
        groups[task.category].append(task)
    for category, group in groups.items():
        random.Random(derive(seed, "rl", "order", lap, category)).shuffle(group)
    rounds = itertools.zip_longest(*(groups[category] for category in sorted(groups)))
    return [task for each in rounds for task in each if task is not None]


def plan(tasks: Sequence[RlTask], count: int, seed: int) -> list[RlTask]:
    """`count` tasks, lap after lap."""
    laps = (task for lap in itertools.count() for task in in_turn(tasks, seed, lap))
    return list(itertools.islice(laps, count))


def live(tasks: Sequence[RlTask], policy_model: Backend, reward: Reward, config: RlConfig, seed: int) -> list[RlTask]:
    """The tasks whose replies do not all earn the same: of the others a group has no variance, hence no gradient.

    All are kept when too few are live for one step. Generations and verdicts come from the request cache on a second run.
    """
    candidates = in_turn(tasks, seed)[: config.probe_tasks]
    asked = [(task, number) for task in candidates for number in range(config.probe_samples)]
    sampling = Sampling(temperature=config.temperature, max_new_tokens=config.max_completion_length)
    requests = [Request(messages=task.messages, sample_index=number) for task, number in asked]
    texts = policy_model.generate(requests, sampling, derive(seed, "rl", "probe"), None)
    failed = next((text.error for text in texts if text.error is not None), None)
    if failed is not None:
        raise StageError(f"probing failed: {failed}", f"see to models/{config.start}, or set rl.probe_samples to 0")
    samples = [Sample(task, text.text, text.truncated) for (task, _), text in zip(asked, texts, strict=True)]
    earned: dict[str, set[float]] = defaultdict(set)
    for sample, score in zip(samples, reward.score(samples), strict=True):
        if score.reward is not None:
            earned[sample.task.id].add(score.reward)
    kept = [task for task in candidates if len(earned[task.id]) > 1]
    return kept if len(kept) >= config.prompts_per_step else list(candidates)
