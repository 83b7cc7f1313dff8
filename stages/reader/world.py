"""The made-up world: domains of neighbouring clauses, and rule sets drawn from it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from stages.lib.errors import StageError
from stages.lib.records import OUTCOMES, Clause, Outcome, Policy, ResponseStyle

HERE = Path(__file__).parent
_OUTCOME_WEIGHTS = (0.37, 0.38, 0.25)
_CODE_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Case(NamedTuple):
    """One request in several wordings."""

    phrase: str
    """Infinitive-like: "prune a rose bush"."""
    short: str
    """What a person would type, naming what is asked."""
    long: str
    """The same with a situation around it."""
    hint: str
    """As a person might say it who leaves much to be guessed."""


class Rule(NamedTuple):
    """A clause without id and outcome: those are drawn anew for every rule set."""

    titles: tuple[str, ...]
    """Wordings of the same scope; a rule set draws one, so that titles must be read and cannot be learned by heart."""
    cases: tuple[Case, ...]


class Domain(NamedTuple):
    """Neighbouring rules about one subject."""

    name: str
    summary: str
    held_out: bool
    """Never trained on: the reader is measured on it."""
    rules: tuple[Rule, ...]


class World(NamedTuple):
    """Everything rule sets are drawn from."""

    domains: tuple[Domain, ...]
    openings: dict[Outcome, tuple[str, ...]]
    bodies: dict[Outcome, tuple[str, ...]]
    requests: tuple[str, ...]
    """Wordings around a case's phrase."""
    wrappers: tuple[str, ...]
    earlier: tuple[tuple[str, str], ...]


class RuleSet(NamedTuple):
    """A policy of the world and, by clause id, the cases it may be asked about."""

    policy: Policy
    cases: dict[str, tuple[Case, ...]]
    """Cases that the policy does not give as examples."""
    shown: dict[str, tuple[Case, ...]]
    """Those that it gives."""
    uncovered: tuple[Case, ...]
    """Cases of the same domains that no clause of this set covers."""
    elsewhere: tuple[Case, ...]
    """Cases of a domain that no clause of this set touches: everyday requests under a policy about something else."""


def load_world(folder: Path = HERE) -> World:
    """Read the domains and phrases; a malformed line raises StageError naming file and domain."""
    reader = YAML(typ="safe")
    phrases = reader.load((folder / "phrases.yaml").read_text(encoding="utf-8"))
    domains = [
        _domain(entry, path)
        for path in sorted((folder / "world").glob("*.yaml"))
        for entry in reader.load(path.read_text(encoding="utf-8"))
    ]
    return World(
        domains=tuple(domains),
        openings={outcome: tuple(phrases["openings"][outcome]) for outcome in OUTCOMES},
        bodies={outcome: tuple(phrases["bodies"][outcome]) for outcome in OUTCOMES},
        requests=tuple(phrases["requests"]),
        wrappers=tuple(phrases["wrappers"]),
        earlier=tuple((first, second) for first, second in phrases["earlier"]),
    )


def split_world(world: World) -> tuple[World, World, World]:
    """(train, unseen cases, unseen domains).

    Whole domains are held out, by their own mark, so that a new domain moves no other to the other side; of the others'
    rules the last case is held out, so that "unseen cases" asks new requests of familiar domains while the clause examples
    come from the training cases.
    """
    unseen, seen = (tuple(domain for domain in world.domains if domain.held_out is held_out) for held_out in (True, False))
    train = (domain._replace(rules=tuple(rule._replace(cases=rule.cases[:-1]) for rule in domain.rules)) for domain in seen)
    return world._replace(domains=tuple(train)), world._replace(domains=seen), world._replace(domains=unseen)


def draw_rule_set(world: World, rng: random.Random, ask_last: bool = False, apart: bool = False) -> RuleSet:
    """Draw a rule set: mostly neighbours of one domain, at times a mixture; ids, outcomes and style at random.

    `ask_last` asks only each rule's last case (the held-out one) and takes the examples from the others. `apart` draws every
    rule from another domain, the easier case.
    """
    rules, left_out = _draw_rules(world, rng, apart)
    code = "".join(rng.sample(_CODE_LETTERS, 2))
    start = rng.choice((1, 1, 1, 10, 20))
    clauses, cases, given = [], {}, {}
    for number, rule in enumerate(rules, start=start):
        asked, shown = _examples(rule, rng, ask_last)
        clause = Clause(
            id=f"{code}{number}",
            title=rng.choice(rule.titles),
            outcome=rng.choices(OUTCOMES, _OUTCOME_WEIGHTS)[0],
            rule="",
            reason="",
            examples=tuple(case.phrase for case in shown),
        )
        clauses.append(clause)
        cases[clause.id], given[clause.id] = asked, tuple(shown)
    rng.shuffle(clauses)
    main = next(domain for domain in world.domains if rules[0] in domain.rules)
    others = [domain for domain in world.domains if not any(rule in domain.rules for rule in rules)]
    named = rng.sample(others, min(rng.choice((0, 0, 3, 6)), len(others)))
    policy = Policy(
        category="made_up",
        title=main.name.capitalize(),
        summary=main.summary,
        definitions=(),
        clauses=tuple(clauses),
        style={outcome: ResponseStyle(opening=rng.choice(world.openings[outcome]), guideline="") for outcome in OUTCOMES},
        others={domain.name.capitalize(): domain.summary for domain in named},
    )
    far = rng.choice(others).rules if others else ()
    return RuleSet(
        policy,
        cases,
        given,
        uncovered=tuple(case for rule in left_out for case in rule.cases),
        elsewhere=tuple(case for rule in far for case in (rule.cases[-1:] if ask_last else rule.cases)),
    )


def _draw_rules(world: World, rng: random.Random, apart: bool) -> tuple[list[Rule], list[Rule]]:
    """The rules of the set, and neighbours left out of it (the hard cases that no clause covers)."""
    if not apart and rng.random() < 0.7:
        first, second = rng.sample(world.domains, 2)
        rules = list(first.rules)
        rng.shuffle(rules)
        kept = rng.choice((4, 4, 5) if len(rules) <= 5 else (5, 6, 7, 7))
        extra = rng.sample(second.rules, rng.choice((0, 0, 1, 2) if kept <= 5 else (0, 0, 1)))
        return rules[:kept] + extra, rules[kept:]
    domains = rng.sample(world.domains, rng.choice((4, 5, 6, 7)))
    chosen = [rng.choice(domain.rules) for domain in domains]
    return chosen, [rule for domain in domains for rule in domain.rules if rule not in chosen][:4]


def _examples(rule: Rule, rng: random.Random, ask_last: bool) -> tuple[tuple[Case, ...], list[Case]]:
    shown_count = rng.choice((2, 2, 3))
    if ask_last:
        return (rule.cases[-1],), rng.sample(rule.cases[:-1], min(shown_count, len(rule.cases) - 1))
    order = rng.sample(rule.cases, len(rule.cases))
    return tuple(order[shown_count:]), order[:shown_count]


def _domain(entry: dict[str, Any], path: Path) -> Domain:
    try:
        rules = tuple(
            Rule((clause["rule"], clause["also"]), tuple(_case(line) for line in clause["cases"])) for clause in entry["clauses"]
        )
        return Domain(str(entry["domain"]), str(entry["summary"]), bool(entry.get("held_out", False)), rules)
    except (KeyError, TypeError, ValueError) as error:
        raise StageError(
            f"{path}: domain {entry.get('domain')!r}: {error!r}",
            "give it domain, summary, perhaps held_out, and clauses of rule, also and cases `phrase | short | long | hint`",
        ) from None


def _case(line: str) -> Case:
    phrase, short, long, hint = (part.strip() for part in line.split("|"))
    return Case(phrase, short, long, hint)
