"""What the `mix` section of params.yaml may hold."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from stages.lib.config import Section


class MixConfig(Section):
    """What the training sets are made of."""

    helpful_fraction: float = Field(ge=0, lt=1)
    """Share of helpfulness rows among all rows, as far as there are enough: what keeps capability from eroding."""
    validation_fraction: float = Field(gt=0, lt=1)
    """Share of the requests whose rows are held out to watch the loss."""
    clause_ratio: float | None = Field(ge=1)
    """No cited clause gets more than this many times the rows of the middle one; null takes all."""
    wrapped_fraction: float = Field(ge=0, le=1)
    """Share of the rows that are taught once more in a wording that was not asked (`prompts.ask_wrapped`); of a rarer outcome
    more, until it has as many rows as the others."""
    outcome_ratio: float | None = Field(ge=1)
    """The same by cited outcome, of what is then there."""
    rl_from: Literal["kept", "all"]
    """Prompts RL may practise on: `kept`, those whose completion the filter kept; `all`, also those where it was dropped. A judge
    that reads a request now one way, now another rewards noise; where the filter kept, its runs agree."""
    rl_tasks: int | None = Field(ge=1)
    """How many prompts RL may practise on, spread over categories and cited outcomes; null takes all."""
