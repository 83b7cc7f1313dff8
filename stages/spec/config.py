"""What the `spec` section of params.yaml may hold."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from stages.lib.config import Section

Version = Annotated[str, Field(min_length=1)]


class SpecConfig(Section):
    """A release: which version of each document is in force."""

    release: str
    """Name of the release, only ever shown."""
    style: Version
    """Version of specs/style."""
    categories: dict[str, Version] = Field(min_length=1)
    """Category -> version of its policy. What is not here is not built, trained or evaluated."""
    detail: Literal["brief", "full"]
    """How much of a policy the models are shown; the token budget is counted at this detail."""
    token_budget: int = Field(ge=1)
    """Upper limit for spec(category) as a model reads it, in estimated tokens."""
