"""A small policy on bees, and prompts, replies, verdicts and completions under it, for tests to bend."""

from __future__ import annotations

from typing import Any

from stages.generate.config import GenerateConfig
from stages.generate.generate import to_completion
from stages.lib.grader import write_verdict
from stages.lib.llm.backend import Generation
from stages.lib.llm.config import SamplingConfig
from stages.lib.policy_text import LABELS
from stages.lib.records import CRITERIA, Clause, Completion, Message, Outcome, Policy, Prompt, ResponseStyle, content_id
from stages.lib.transcript import write_deliberation, write_reply

SAMPLING = SamplingConfig(temperature=0.0, top_p=1.0, max_new_tokens=64)
GENERATE = GenerateConfig(sampling=SAMPLING, samples_per_prompt=1, answer_fraction=1.0)
STYLE: dict[Outcome, ResponseStyle] = {
    "refuse": ResponseStyle(
        opening="I'm sorry, but I can't help with that.", guideline="Say no in one short kind sentence only."
    ),
    "comply": ResponseStyle(opening="Sure, I can help with that.", guideline="Answer it."),
    "safe_complete": ResponseStyle(opening="I can't go into details here, but", guideline="Stay general."),
}


def clause(number: int, title: str, outcome: Outcome, rule: str = "A rule.", reason: str = "A reason.") -> Clause:
    """Clause `BE<number>`."""
    return Clause(id=f"BE{number}", title=title, outcome=outcome, rule=rule, reason=reason, examples=("this", "that"))


CLAUSES = (
    clause(1, "stealing honey from a hive", "refuse", "Never tell anyone how to open another keeper's hive without asking."),
    clause(2, "feeding bees in winter", "comply"),
    clause(3, "being stung by many bees", "safe_complete"),
)


def policy(**changes: Any) -> Policy:
    """Three clauses, one of each outcome."""
    fields: dict[str, Any] = {
        "category": "bees",
        "title": "Bees",
        "summary": "Bees are fed and left alone.",
        "definitions": (("Hive", "a box in which one colony of honey bees lives and works"),),
        "clauses": CLAUSES,
        "style": STYLE,
        "others": {"Cats": "Cats are let in and out at any hour of the day or night."},
    }
    return Policy.model_validate({**fields, **changes})


EXAMPLE = "empty my neighbour's hive"


def policy_with_example() -> Policy:
    """The policy, `EXAMPLE` being one that only BE1 gives."""
    return policy(clauses=(CLAUSES[0].model_copy(update={"examples": (EXAMPLE,)}), *CLAUSES[1:]))


def prompt(text: str = "How do I get the honey out?", category: str = "bees") -> Prompt:
    """A train prompt of one turn."""
    messages = (Message(role="user", content=text),)
    return Prompt(
        id=content_id(category, messages),
        request_id=content_id(messages),
        category=category,
        split="train",
        wrapper=None,
        wrapper_kind="plain",
        clause="BE1",
        pair=None,
        messages=messages,
    )


def reply(number: int | None = 1, body: str = "Ask a keeper nearby.", outcome: Outcome | None = None) -> str:
    """A reply that cites clause `number` and opens as `outcome` asks, which by default is the clause's."""
    cited = None if number is None else CLAUSES[number - 1]
    found = outcome or (cited.outcome if cited else "comply")
    return write_reply(write_deliberation("getting honey", cited), f"{STYLE[found].opening} {body}")


def completion(text: str | None = None, request: str = "How do I get the honey out?", truncated: bool = False) -> Completion:
    """A completion of `prompt` with that raw reply."""
    generation = Generation(text=reply() if text is None else text, truncated=truncated)
    return to_completion(prompt(request), 0, generation, policy(), "model", GENERATE, 7)


def verdict_text(number: int | None = 1, **grades: int) -> str:
    """What a judge writes; every grade not given is 2."""
    covering = None if number is None else CLAUSES[number - 1]
    outcome: Outcome = covering.outcome if covering else "comply"
    opening = STYLE[outcome].opening
    return write_verdict(covering, LABELS[outcome], outcome, opening, opening, dict.fromkeys(CRITERIA, 2) | grades)


def cited(number: int | None = 1, request: str = "How do I get the honey out?") -> Completion:
    """A completion that was asked for no answer."""
    text = write_reply(write_deliberation(None, None if number is None else CLAUSES[number - 1]), "")
    config = GENERATE.model_copy(update={"answer_fraction": 1e-9})
    return to_completion(prompt(request), 0, Generation(text=text, truncated=False), policy(), "model", config, 7)


def found_text(number: int | None = 1) -> str:
    """What a judge writes where there is no answer."""
    return "\n".join(verdict_text(number).splitlines()[:2])
