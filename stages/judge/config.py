"""What the `judge` section of params.yaml may hold."""

from __future__ import annotations

from pydantic import Field

from stages.lib.checks.config import CheckLimits
from stages.lib.config import Section
from stages.lib.llm.config import SamplingConfig


class JudgeConfig(Section):
    """How completions are judged (by which model stands in `llm.judge`)."""

    k: int = Field(ge=1)
    """Runs per completion; each sees the clauses in another order, so that their errors come apart."""
    reads_deliberation: bool
    """Whether the judge is shown the deliberation and grades it itself. A small judge copies the clause it reads there: false
    shows it request and answer alone, and the deliberation is graded by whether it cites what the judge found."""
    sampling: SamplingConfig
    """Greedy: what varies between runs is the order of the clauses."""
    min_certainty: float = Field(ge=0, le=1)
    """A completion whose generator was less sure of its outcome costs no run; 0 asks of all. Passes what has no certainty."""
    checks: CheckLimits
    """Limits of the deterministic checks that come first; a completion that fails one costs no run."""
