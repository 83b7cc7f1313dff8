"""What a policy can get wrong although it parses: findings with file, line and remedy."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from stages.lib.errors import StageError
from stages.lib.policy_text import Detail, render_policy
from stages.lib.records import OUTCOMES, Policy
from stages.lib.transcript import neutralise
from stages.spec.parse import CLAUSE_ID, ClauseDocument, PolicyDocument, StyleDocument

SUMMARY_WORDS = 25
TOKENS_PER_WORD = 1.5
SHOWN = 12


class Finding(NamedTuple):
    """One thing to mend."""

    path: Path
    line: int
    what: str
    remedy: str


def refuse(findings: list[Finding]) -> None:
    """Raise when there is anything to mend: all of it on one screen."""
    if not findings:
        return
    shown = [f"{finding.path}:{finding.line}: {finding.what} -> {finding.remedy}" for finding in findings[:SHOWN]]
    more = f"\n  ... and {len(findings) - SHOWN} more" if len(findings) > SHOWN else ""
    raise StageError("\n  ".join(shown) + more, "mend these lines, then check with `python -m stages.spec lint`")


def lint_policy(document: PolicyDocument) -> list[Finding]:
    """Everything that can be said of one policy alone."""
    return [*_names(document), *_clause_ids(document), *_references(document), *_examples(document), *_texts(document)]


def lint_style(document: StyleDocument) -> list[Finding]:
    """Styles nobody could tell apart: one opening begins with another."""
    found = []
    for one in OUTCOMES:
        for other in OUTCOMES:
            first, second = document.styles[one].opening.casefold(), document.styles[other].opening.casefold()
            if one != other and first.startswith(second):
                what = f"the opening of `{one}` begins with the opening of `{other}`"
                found.append(Finding(document.path, document.lines[one], what, "give each response its own opening"))
    return found


def lint_release(documents: Mapping[str, PolicyDocument]) -> list[Finding]:
    """Titles and codes that two categories of one release share."""
    found = []
    for key in ("title", "code"):
        seen: dict[str, Path] = {}
        for document in documents.values():
            value = document.front[key]
            if value.text in seen:
                what = f"{key} {value.text!r} is also that of {seen[value.text]}"
                found.append(Finding(document.path, value.number, what, f"give each category its own {key}"))
            seen.setdefault(value.text, document.path)
    return found


def lint_budget(document: PolicyDocument, policy: Policy, detail: Detail, budget: int) -> list[Finding]:
    """Whether spec(category) fits what the model can hold."""
    tokens = estimated_tokens(policy, detail)
    if tokens <= budget:
        return []
    what = f"spec({policy.category}) takes about {tokens} tokens at detail `{detail}`, the budget is {budget}"
    return [Finding(document.path, 1, what, "shorten titles, examples or summaries, or raise spec.token_budget")]


def estimated_tokens(policy: Policy, detail: Detail) -> int:
    """Words of the rendered policy times 1.5: no tokenizer is at hand before there is a model."""
    return round(len(render_policy(policy, detail).split()) * TOKENS_PER_WORD)


def _names(document: PolicyDocument) -> Iterator[Finding]:
    path, front = document.path, document.front
    for key, expected in (("category", path.parent.name), ("version", path.stem)):
        if front[key].text != expected:
            what = f"{key} is {front[key].text!r}, the file says {expected!r}"
            yield Finding(path, front[key].number, what, "let front matter and file name agree")
    words = len(front["summary"].text.split())
    if words > SUMMARY_WORDS:
        yield Finding(path, front["summary"].number, f"the summary has {words} words", f"at most {SUMMARY_WORDS}")


def _clause_ids(document: PolicyDocument) -> Iterator[Finding]:
    code = document.front["code"].text
    seen: dict[str, int] = {}
    for clause, line, _ in document.clauses:
        for kind, value in (("clause id", clause.id), ("clause title", clause.title.casefold())):
            if value in seen:
                remedy = f"the first is on line {seen[value]}; ids and titles must be unique"
                yield Finding(document.path, line, f"duplicate {kind} {value!r}", remedy)
            seen.setdefault(value, line)
        if re.fullmatch(rf"{re.escape(code)}[0-9]+", clause.id) is None:
            yield Finding(
                document.path, line, f"clause id {clause.id!r} does not begin with the code {code!r}", f"name it {code}<number>"
            )


def _references(document: PolicyDocument) -> Iterator[Finding]:
    """Clause ids in running text that name no clause; an id must carry this policy's code to count as one."""
    known = {clause.id for clause, _, _ in document.clauses}
    pattern = re.compile(rf"\b{re.escape(document.front['code'].text)}[0-9]{{1,3}}\b")
    for line, text in _running_text(document):
        for name in pattern.findall(text):
            if CLAUSE_ID.fullmatch(name) and name not in known:
                yield Finding(document.path, line, f"refers to clause {name}, which does not exist", "name an existing clause")


def _examples(document: PolicyDocument) -> Iterator[Finding]:
    seen: dict[str, ClauseDocument] = {}
    for entry in document.clauses:
        if not 2 <= len(entry.clause.examples) <= 3:
            what = f"clause {entry.clause.id} has {len(entry.clause.examples)} example(s)"
            yield Finding(document.path, entry.line, what, "give two or three")
        for example, line in zip(entry.clause.examples, entry.example_lines, strict=True):
            first = seen.setdefault(_same(example), entry)
            if first is not entry:
                outcomes = f"{first.clause.id} ({first.clause.outcome}) and {entry.clause.id} ({entry.clause.outcome})"
                yield Finding(document.path, line, f"example {example!r} is covered by {outcomes}", "keep it under one clause")


def _texts(document: PolicyDocument) -> Iterator[Finding]:
    for line, text in _running_text(document):
        if neutralise(text) != text:
            yield Finding(document.path, line, "holds a control token or think tag", "say it in plain words")


def _running_text(document: PolicyDocument) -> Iterator[tuple[int, str]]:
    yield document.front["summary"].number, document.front["summary"].text
    for (term, meaning), line in zip(document.definitions, document.definition_lines, strict=True):
        yield line, f"{term}: {meaning}"
    for clause, line, _ in document.clauses:
        yield line, " ".join((clause.title, clause.rule, clause.reason, *clause.examples))


def _same(example: str) -> str:
    """Two examples with the same words are one example."""
    return " ".join(sorted(set(re.findall(r"[a-z0-9']+", example.casefold()))))
