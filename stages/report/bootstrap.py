"""Intervals of a difference that was taken prompt by prompt; wordings of one request are drawn together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from stages.lib.seeds import derive
from stages.report.facts import Number

RESAMPLES = 1000


class Drawn(NamedTuple):
    """A mean over prompts and what it was in each resample."""

    value: float
    resamples: Any
    """numpy array [RESAMPLES]."""
    n: int

    def number(self) -> Number:
        """With its 2.5th and 97.5th percentile."""
        import numpy

        low, high = numpy.percentile(self.resamples, [2.5, 97.5])
        return Number(value=round(self.value, 4), low=round(float(low), 4), high=round(float(high), 4), n=self.n)


def drawn(values: Mapping[str, float], requests: Mapping[str, str], use: str) -> Drawn:
    """The mean of prompt -> value. `requests` tells the request a prompt is a wording of; one it does not know is its own.

    Nothing at all is 0 with n = 0.
    """
    import numpy

    groups: dict[str, tuple[float, int]] = {}
    for prompt, value in values.items():
        total, count = groups.get(requests.get(prompt, prompt), (0.0, 0))
        groups[requests.get(prompt, prompt)] = (total + value, count + 1)
    table = numpy.array([groups[request] for request in sorted(groups)] or [(0.0, 1)])
    rows = numpy.random.default_rng(derive(0, "bootstrap", use)).integers(len(table), size=(RESAMPLES, len(table)))
    sums = table[rows].sum(axis=1)
    return Drawn(float(table[:, 0].sum() / table[:, 1].sum()), sums[:, 0] / sums[:, 1], len(values))
