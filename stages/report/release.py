"""Which checkpoint may be registered."""

from __future__ import annotations

from typing import NamedTuple

from stages.report.config import ReportConfig
from stages.report.facts import Facts


class Candidate(NamedTuple):
    """A checkpoint held against the release limits."""

    arm: str
    score: float
    """Mean of the limited metrics."""
    below: tuple[str, ...]
    """Metrics under their limit; empty means it passes."""


def candidates(facts: Facts, config: ReportConfig) -> list[Candidate]:
    """Every candidate, best first; one that passes stands before any that does not."""
    found = [_held(facts, name, config.release) for name in config.candidates]
    return sorted(found, key=lambda each: (bool(each.below), -each.score, each.arm))


def chosen(facts: Facts, config: ReportConfig) -> Candidate | None:
    """The one to register: the gates are open and it passes; None when there is none."""
    ranked = candidates(facts, config)
    return ranked[0] if ranked and not ranked[0].below and all(gate.ok for gate in facts.gates) else None


def _held(facts: Facts, name: str, limits: dict[str, float]) -> Candidate:
    arm = facts.arm(name)
    values = {}
    for dotted in limits:
        suite, _, metric = dotted.partition(".")
        number = arm.number(suite, metric)
        values[dotted] = number.value if number else 0.0
    below = tuple(f"{dotted} {values[dotted]:.2f} < {limit:.2f}" for dotted, limit in limits.items() if values[dotted] < limit)
    return Candidate(name, sum(values.values()) / max(1, len(values)), below)
