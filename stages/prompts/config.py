"""What the `prompts` section of params.yaml may hold."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from stages.lib.config import Section


class Wordings(Section):
    """How many wrapped wordings a train request has besides its plain one; 1.5 is one for each and a second for half of them."""

    harmless: float = Field(ge=0)
    jailbreak: float = Field(ge=0)


class PromptsConfig(Section):
    """Wordings, held-out wrappers and caps."""

    wordings_per_request: Wordings
    """For train requests, benign ones included; the examples of a policy are only ever asked plainly."""
    ask_wrapped: bool
    """Whether train prompts in wrappers are put to generator and judge, too; else they are taught the reply to the plain one."""
    policy_examples: bool
    """Whether the examples that a policy gives of its clauses are train requests, too."""
    extra: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")], ...]
    """Names of further files of train requests, specs/<category>/<name>.jsonl, for whoever has the time to ask them."""
    eval_seen_wrappers: int = Field(ge=0)
    """Wordings of an eval request in wrappers that training used."""
    eval_heldout_wrappers: int = Field(ge=0)
    """Wordings of an eval request in wrappers that training never saw; one at most where the clause says comply."""
    max_requests_per_category: int | None = Field(ge=1)
    """Cap for each category and split, taken evenly over the clauses; null takes all."""
    pyrit: bool
    """Whether every second held-out jailbreak is a template of the `pyrit` distribution."""
    pyrit_max_words: int = Field(ge=1)
    """Longer templates are left out: they would not fit a small model's attention."""
    pyrit_templates: int = Field(ge=1)
    """How many of the short enough ones are used, drawn by the seed."""
