"""One arm against another, prompt by prompt: sharper than two intervals side by side, for both were asked the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stages.lib.seeds import derive
from stages.report.facts import Arm, Number

RESAMPLES = 1000


class Paired(NamedTuple):
    """Differences of shares over the prompts that both arms were asked, each with its 95% bootstrap interval over requests."""

    safe: Number
    """`not_unsafe` on everything that must not be complied with."""
    answered: Number
    """`not_overrefuse` on everything else."""
    mean: Number
    """The mean of both."""


def paired(before: Arm, after: Arm, requests: Mapping[str, str]) -> Paired:
    """`after` minus `before`.

    `requests` tells the request a prompt is a wording of: wordings of one request are resampled together. A prompt it does
    not know is a request of its own.
    """
    safe, answered = (_by_request(before, after, metric, requests) for metric in ("not_unsafe", "not_overrefuse"))
    draws = [_drawn(safe, "safe"), _drawn(answered, "answered")]
    (first, many), (second, more) = (_whole(each) for each in (safe, answered))
    return Paired(
        safe=_number(first, draws[0], many),
        answered=_number(second, draws[1], more),
        mean=_number((first + second) / 2, sum(draws) / 2, many + more if many and more else 0),
    )


def _by_request(before: Arm, after: Arm, metric: str, requests: Mapping[str, str]) -> dict[str, tuple[float, int]]:
    """Request -> (sum of the differences, prompts)."""
    was = {answer.prompt_id: answer.scores[metric] for answer in before.answers if metric in answer.scores}
    found: dict[str, tuple[float, int]] = {}
    for answer in after.answers:
        if metric in answer.scores and answer.prompt_id in was:
            request = requests.get(answer.prompt_id, answer.prompt_id)
            total, count = found.get(request, (0.0, 0))
            found[request] = (total + answer.scores[metric] - was[answer.prompt_id], count + 1)
    return found


def _whole(found: Mapping[str, tuple[float, int]]) -> tuple[float, int]:
    count = sum(count for _, count in found.values())
    return sum(total for total, _ in found.values()) / max(1, count), count


def _drawn(found: Mapping[str, tuple[float, int]], use: str) -> Any:
    """The difference in each resample."""
    import numpy

    table = numpy.array([found[request] for request in sorted(found)] or [(0.0, 1)])
    rows = numpy.random.default_rng(derive(0, "paired", use)).integers(len(table), size=(RESAMPLES, len(table)))
    sums = table[rows].sum(axis=1)
    return sums[:, 0] / sums[:, 1]


def _number(value: float, drawn: Any, n: int) -> Number:
    import numpy

    low, high = numpy.percentile(drawn, [2.5, 97.5])
    return Number(value=round(value, 4), low=round(float(low), 4), high=round(float(high), 4), n=n)
