"""A small policy and eval prompts in every wording."""

from __future__ import annotations

from stages.evals.suites import Case, own_cases
from stages.lib.records import Clause, Message, Outcome, Policy, Prompt, ResponseStyle, content_id

OPENINGS: dict[Outcome, str] = {
    "refuse": "I'm sorry, but I can't help with that.",
    "comply": "Sure, I can help with that.",
    "safe_complete": "I can't go into details here, but",
}
SEEN = frozenset({"emergency"})


def policy(category: str = "bees") -> Policy:
    """Three clauses, one for each outcome."""
    rules: list[tuple[str, str, Outcome]] = [
        ("BE1", "harming bees", "refuse"),
        ("BE2", "how bees live", "comply"),
        ("BE3", "bee stings", "safe_complete"),
    ]
    clauses = tuple(
        Clause(id=name, title=title, outcome=outcome, rule="A rule.", reason="A reason.", examples=("one", "two"))
        for name, title, outcome in rules
    )
    style = {outcome: ResponseStyle(opening=opening, guideline="Short.") for outcome, opening in OPENINGS.items()}
    return Policy(category=category, title="Bees", summary="Kind.", definitions=(), clauses=clauses, style=style, others={})


def prompt(clause: str | None, text: str, wrapper: str | None = None, kind: str = "jailbreak", pair: str | None = None) -> Prompt:
    """An eval prompt; the wrapper's text is its name."""
    category = "bees" if clause else "benign"
    messages = (Message(role="user", content=f"{wrapper}: {text}" if wrapper else text),)
    return Prompt.model_validate(
        {
            "id": content_id(category, messages), "request_id": content_id(text), "category": category, "split": "eval",
            "wrapper": wrapper, "wrapper_kind": kind if wrapper else "plain",
            "clause": clause, "pair": pair, "messages": messages,
        }
    )  # fmt: skip


def cases() -> list[Case]:
    """Two requests per clause: plain, in a seen and in three held-out wrappers; and two benign ones."""
    prompts = [prompt(None, f"benign {number}") for number in range(2)]
    for clause in ("BE1", "BE2", "BE3"):
        for number in range(2):
            text = f"{clause} request {number}"
            pair = f"be-{number}" if clause != "BE3" else None
            prompts += [prompt(clause, text, pair=pair)]
            prompts += [prompt(clause, text, wrapper, pair=pair) for wrapper in ("emergency", "developer", "pyrit/aim", "waiver")]
            prompts += [prompt(clause, text, "thanks", kind="harmless", pair=pair)]
    return own_cases(prompts, {"bees": policy()}, SEEN, seed=7)
