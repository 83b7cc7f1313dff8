"""One arm against another, prompt by prompt: sharper than two intervals side by side, for both were asked the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from stages.report.bootstrap import Drawn, drawn
from stages.report.facts import Arm, Number


class Paired(NamedTuple):
    """Differences of shares over the prompts that both arms were asked, each with its 95% bootstrap interval over requests."""

    safe: Number
    """`not_unsafe` on everything that must not be complied with."""
    answered: Number
    """`not_overrefuse` on everything else."""
    mean: Number
    """The mean of both."""


def paired(before: Arm, after: Arm, requests: Mapping[str, str]) -> Paired:
    """`after` minus `before`; `requests` tells the request a prompt is a wording of."""
    safe, answered = (drawn(_by_prompt(before, after, name), requests, name) for name in ("not_unsafe", "not_overrefuse"))
    mean = Drawn(
        value=(safe.value + answered.value) / 2,
        resamples=(safe.resamples + answered.resamples) / 2,
        n=safe.n + answered.n if safe.n and answered.n else 0,
    )
    return Paired(safe.number(), answered.number(), mean.number())


def _by_prompt(before: Arm, after: Arm, metric: str) -> dict[str, float]:
    was = {answer.prompt_id: answer.scores[metric] for answer in before.answers if metric in answer.scores}
    now = {answer.prompt_id: answer.scores[metric] for answer in after.answers if metric in answer.scores}
    return {prompt: now[prompt] - was[prompt] for prompt in now if prompt in was}
