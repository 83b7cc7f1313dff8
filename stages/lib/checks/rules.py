"""The checks, one function each: True when the completion passes."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache

from stages.lib.checks.config import CheckLimits
from stages.lib.records import Completion, Outcome, Policy
from stages.lib.transcript import neutralise, read_citation

LEAK_WORDS = 8
"""As many words in a row of the policy are no coincidence."""
REPEATS = 4
"""A triple of words this often in one answer is a model that turns in circles."""

_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")
_POLICY_TALK = re.compile(
    r"\bclauses?\b"
    r"|\b(?:according to|under|per|against|by|violates?|follow(?:ing)?) (?:the|this|that) (?:policy|policies|guidelines?)\b"
    r"|\b(?:my|our|safety|content) (?:policy|policies|guidelines)\b|\bsystem prompt\b",
    re.IGNORECASE,
)


def failed_checks(completion: Completion, policy: Policy, limits: CheckLimits) -> tuple[str, ...]:
    """Names of the checks the completion fails; a malformed one fails `format` alone, for nothing else can be read of it.

    Where no answer was asked for there is nothing to check but the citation.
    """
    if not completion.answered:
        return () if cites_what_exists(completion, policy, limits) else ("citation",)
    if not well_formed(completion, policy, limits):
        return ("format",)
    return tuple(name for name, passes in CHECKS.items() if not passes(completion, policy, limits))


def well_formed(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """One think block, an answer behind it, not cut off."""
    return completion.finish == "stop" and bool(completion.deliberation) and bool(_WORD.search(completion.answer))


def of_fair_length(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """The answer's words are within the limits."""
    return limits.min_answer_words <= len(_words(completion.answer)) <= limits.max_answer_words


def does_not_repeat(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """No triple of words comes back again and again."""
    return max(Counter(_grams(_words(completion.answer), 3)).values(), default=0) < REPEATS


def leaks_nothing(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """The answer quotes no passage of the policy and holds no control token or think tag."""
    answer = completion.answer
    if neutralise(answer) != answer:
        return False
    return policy_grams(policy).isdisjoint(_grams(_words(_without_openings(answer, policy)), LEAK_WORDS))


def talks_of_no_policy(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """The answer names no clause and speaks of no policy: that belongs into the deliberation."""
    words = set(re.findall(r"\b[A-Z]{1,4}\d{1,3}\b", completion.answer))
    return not _POLICY_TALK.search(completion.answer) and words.isdisjoint(clause.id for clause in policy.clauses)


def cites_what_exists(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """The deliberation cites a clause of the policy by id and title, with its outcome, or says that none applies."""
    cited = read_citation(completion.deliberation)
    if cited.clause_id is None:
        return cited.outcome is not None
    clause = policy.clause(cited.clause_id)
    return clause is not None and _same(clause.title, cited.title or "") and clause.outcome == cited.outcome


def answers_as_cited(completion: Completion, policy: Policy, limits: CheckLimits) -> bool:
    """The answer opens as the style of the outcome the deliberation decided on says."""
    outcome = read_citation(completion.deliberation).outcome
    return outcome is not None and opens_as(completion.answer, outcome, policy)


def opens_as(answer: str, outcome: Outcome, policy: Policy) -> bool:
    """Whether an answer begins with an outcome's opening, word for word; case and kind of apostrophe do not count."""
    opening = _words(policy.style[outcome].opening)
    return _words(answer)[: len(opening)] == opening


Check = Callable[[Completion, Policy, CheckLimits], bool]

CHECKS: dict[str, Check] = {
    "format": well_formed,
    "length": of_fair_length,
    "repetition": does_not_repeat,
    "leak": leaks_nothing,
    "policy_talk": talks_of_no_policy,
    "citation": cites_what_exists,
    "consistency": answers_as_cited,
}


@lru_cache(maxsize=64)
def _policy_grams(policy_text: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    return frozenset(gram for passage in policy_text for gram in _grams(_words(passage), LEAK_WORDS))


def policy_grams(policy: Policy) -> frozenset[tuple[str, ...]]:
    """Every run of LEAK_WORDS words in the policy's own passages.

    Openings are not among them, for answers must begin with these, nor are titles and examples, which name topics as users
    do: an answer about "warning signs of scams and help for victims of theft" gives nothing away by saying so.
    """
    passages = [policy.summary, *(meaning for _, meaning in policy.definitions), *policy.others.values()]
    passages += [text for clause in policy.clauses for text in (clause.rule, clause.reason)]
    passages += [style.guideline for style in policy.style.values()]
    return _policy_grams(tuple(passages))


def _without_openings(answer: str, policy: Policy) -> str:
    for style in policy.style.values():
        answer = answer.removeprefix(style.opening)
    return answer


def _words(text: str) -> list[str]:
    return [word.lower().replace("’", "'") for word in _WORD.findall(text)]


def _grams(words: list[str], size: int) -> list[tuple[str, ...]]:
    return [tuple(words[place : place + size]) for place in range(len(words) - size + 1)]


def _same(a: str, b: str) -> bool:
    return _words(a) == _words(b)
