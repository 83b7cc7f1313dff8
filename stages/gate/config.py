"""What the `gate` section of params.yaml may hold: the thresholds of the nine boundaries."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.config import Section
from stages.lib.records import Outcome

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1)]


class PoliciesLimits(Section):
    """What a policy needs to be worth training on."""

    min_clauses: Count
    outcomes: tuple[Outcome, ...]
    """Outcomes every policy must have a clause for: a policy with one outcome teaches a constant."""


class PromptsLimits(Section):
    """Train and eval must be apart, and both must cover the policy."""

    min_rows: Count
    """Prompts per category and split."""
    clause_coverage: Share
    """Least share of (clause, split) pairs with a request; 1 unless requests are capped."""
    ngram: Count
    """So many words in a row, shared by a training and an evaluation text, count as overlap."""


class CompletionsLimits(Section):
    """What the generator wrote."""

    min_rows: Count
    max_malformed: Share
    """Largest share of replies cut off or without exactly one think block."""


class VerdictsLimits(Section):
    """What the judge wrote."""

    runs: Count
    """Judge runs per completion that was not screened."""
    max_unreadable: Share
    min_distinct_grades: Count
    """1 allows a judge that says the same of everything."""


class KeptLimits(Section):
    """What filter let through."""

    min_kept: Count
    min_rate: Share
    max_rate: Share
    min_worst_compliance: Annotated[int, Field(ge=0, le=2)]
    """No run may have graded the compliance of a kept completion below this."""


class MixtureLimits(Section):
    """What the trainers will read."""

    min_targets: Count
    min_validation: Count
    min_tasks: Count
    min_helpful: Share
    max_helpful: Share
    """Band for the share of helpfulness rows among the targets."""
    min_answered: Share
    """Least share of the targets that go on behind the deliberation."""
    max_tokens: Count
    """Longest rendered conversation with target."""
    ngram: Count


class SftLimits(Section):
    """A supervised checkpoint."""

    min_points: Count
    """Points of the loss curve."""
    max_loss_ratio: float = Field(gt=0)
    """Mean loss of the curve's last quarter over that of its first: below 1 it fell."""


class RlLimits(Section):
    """A checkpoint of reinforcement learning."""

    parent: Literal["sft", "base"]
    """The checkpoint it was made from."""
    min_points: Count
    max_reward_drop: float = Field(ge=0)
    """How much lower the second half's mean reward may be than the first's, beyond two standard errors of that difference."""
    max_unreadable: Share
    """Largest mean share of rewards the judge failed to give."""


class EvalsLimits(Section):
    """What the report may speak of."""

    arms: tuple[str, ...] = Field(min_length=1)
    suites: dict[str, Count] = Field(min_length=1)
    """Suite -> least number of graded answers."""
    metrics: tuple[str, ...] = Field(min_length=1)
    """`suite.metric` names every arm must report."""
    max_malformed: Share
    """Largest share of malformed replies of an arm. The share itself stands in the gate's report, suite by suite."""
    outside: tuple[str, ...]
    """Suites of outside prompts, whose texts are never stored."""


class GateConfig(Section):
    """Thresholds by boundary."""

    policies: PoliciesLimits
    prompts: PromptsLimits
    completions: CompletionsLimits
    verdicts: VerdictsLimits
    kept: KeptLimits
    mixture: MixtureLimits
    sft: SftLimits
    rl: RlLimits
    evals: EvalsLimits
