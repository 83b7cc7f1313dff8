"""Which checkpoint may be registered: over its limits, behind the champion nowhere, and without surprises."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from stages.report.behaviour import collateral
from stages.report.config import ReleaseConfig, ReportConfig
from stages.report.facts import Arm, Facts
from stages.report.words import compare


class Candidate(NamedTuple):
    """A checkpoint held against the release limits."""

    arm: str
    score: float
    """Mean of the limited metrics."""
    against: tuple[str, ...]
    """What speaks against it; empty means it passes."""


def candidates(facts: Facts, config: ReportConfig) -> list[Candidate]:
    """Every candidate, best first; one that passes stands before any that does not."""
    found = [_held(facts, name, config.release) for name in config.candidates]
    return sorted(found, key=lambda each: (bool(each.against), -each.score, each.arm))


def chosen(facts: Facts, config: ReportConfig) -> Candidate | None:
    """The one to register: the gates are open and it passes; None when there is none."""
    ranked = candidates(facts, config)
    return ranked[0] if ranked and not ranked[0].against and all(gate.ok for gate in facts.gates) else None


def _held(facts: Facts, name: str, config: ReleaseConfig) -> Candidate:
    arm = facts.arm(name)
    values = {dotted: arm.value(dotted) for dotted in config.limits}
    below = [f"{dotted} {values[dotted]:.2f} < {limit:.2f}" for dotted, limit in config.limits.items() if values[dotted] < limit]
    against = (*below, *_behind(facts, arm, config.max_collateral))
    return Candidate(name, sum(values.values()) / max(1, len(values)), against)


def _behind(facts: Facts, arm: Arm, max_collateral: float) -> Iterator[str]:
    """What was better, or is simply other, in the champion."""
    if facts.champion is None:
        return
    name, champion, policies = facts.champion
    for each in compare(champion, arm):
        if each.change == "worse":
            yield f"{each.row.suite}.{each.row.metric} {each.after.value:.2f}, worse than {each.before.value:.2f} of {name}"
    moved = collateral(champion, arm, policies, facts.policies)
    if moved.value > max_collateral:
        yield f"collateral {moved.value:.2f} > {max_collateral:.2f} against {name}"
