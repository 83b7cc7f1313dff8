"""What differs between two releases, clause by clause, and which categories it reaches."""

from __future__ import annotations

import difflib
import io
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from stages.lib import paths
from stages.lib.config import load_section, parse_section, read_yaml
from stages.lib.errors import StageError
from stages.lib.records import OUTCOMES, Policy
from stages.lib.records.base import Record
from stages.spec.build import STYLE, build_policies
from stages.spec.config import SpecConfig

COSMETIC = "cosmetic only"
EVERYONE = ("title changed", "summary changed", "style changed", "category added", "category removed")
"""Kinds that reach every category: each policy carries the style, and title and summary of each other category."""
RELEASES = Path("conf") / "spec"


class Change(Record):
    """One difference."""

    category: str
    """`style` for the style of the responses."""
    clause: str | None
    """Clause id, or the outcome whose style changed; None for what belongs to a whole category."""
    kind: str
    before: str
    after: str


class Release(NamedTuple):
    """A release and the files it came from."""

    name: str
    policies: dict[str, Policy]
    texts: dict[str, str]
    """Category (or `style`) -> the document as it is written."""


@contextmanager
def release(wanted: str | None) -> Iterator[Release]:
    """`v1` is conf/spec/v1.yaml, `v1@HEAD` the same at a git revision, `@HEAD` what params.yaml put in force there, None here."""
    name, _, revision = (wanted or "").partition("@")
    if not revision:
        yield _read(name, Path(), wanted or "here and now")
        return
    with tempfile.TemporaryDirectory() as folder:
        _checkout(revision, Path(folder))
        yield _read(name, Path(folder), wanted or revision)


def differences(old: Release, new: Release) -> list[Change]:
    """Every difference, in the order of categories and clauses."""
    found: list[Change] = list(_style_changes(old, new))
    for category in sorted(set(old.policies) | set(new.policies)):
        before, after = old.policies.get(category), new.policies.get(category)
        if before is None or after is None:
            there = after or before
            assert there is not None
            added = before is None
            kind = "category added" if added else "category removed"
            found.append(_change(category, None, kind, "" if added else there.title, there.title if added else ""))
        else:
            found += _policy_changes(before, after)
    touched = {change.category for change in found}
    for name in sorted(set(old.texts) & set(new.texts)):
        if name not in touched and old.texts[name] != new.texts[name]:
            found.append(_change(name, None, COSMETIC, "", ""))
    return found


def reached(old: Release, new: Release) -> list[str]:
    """Categories of the new release whose policy file differs: theirs is what generate and judge run again."""
    return [name for name, policy in new.policies.items() if name not in old.policies or old.policies[name].sha != policy.sha]


def show(changes: list[Change], old: Release, new: Release) -> str:
    """For reading in a terminal."""
    lines = [f"{old.name} -> {new.name}"]
    for change in changes:
        where = " ".join(filter(None, [change.category, change.clause]))
        lines.append(f"  {where}: {change.kind}")
        if change.before or change.after:
            lines += [f"    {line}" for line in _word_diff(change.before, change.after)]
    again = reached(old, new)
    everyone = sorted({change.kind for change in changes} & set(EVERYONE))
    reason = f" ({', '.join(everyone)} reaches every category)" if everyone else ""
    lines.append(f"{len(again)} of {len(new.policies)} categories run again{reason}: {', '.join(again) or 'none'}")
    return "\n".join(lines)


def as_json(changes: list[Change], old: Release, new: Release) -> dict[str, object]:
    """For programs."""
    return {
        "from": old.name,
        "to": new.name,
        "changes": [change.model_dump() for change in changes],
        "categories_run_again": reached(old, new),
    }


def substantive(changes: list[Change]) -> bool:
    """Whether anything a model is shown, or a reader of the policy relies on, has changed."""
    return any(change.kind != COSMETIC for change in changes)


def _policy_changes(before: Policy, after: Policy) -> Iterator[Change]:
    category = after.category
    for kind, old, new in (
        ("title changed", before.title, after.title),
        ("summary changed", before.summary, after.summary),
        ("definitions changed", _definitions(before), _definitions(after)),
    ):
        if old != new:
            yield _change(category, None, kind, old, new)
    for clause_id in dict.fromkeys([clause.id for policy in (before, after) for clause in policy.clauses]):
        old_clause, new_clause = before.clause(clause_id), after.clause(clause_id)
        if old_clause is None or new_clause is None:
            there = new_clause or old_clause
            assert there is not None
            words = f"{there.title}: {there.outcome}"
            added = old_clause is None
            yield _change(category, clause_id, "added" if added else "removed", "" if added else words, words if added else "")
            continue
        for kind, old, new in (
            ("outcome changed", old_clause.outcome, new_clause.outcome),
            *(("reworded", getattr(old_clause, part), getattr(new_clause, part)) for part in ("title", "rule", "reason")),
            ("examples changed", "; ".join(old_clause.examples), "; ".join(new_clause.examples)),
        ):
            if old != new:
                yield _change(category, clause_id, kind, old, new)
    order = [
        [clause.id for clause in one.clauses if other.clause(clause.id)] for one, other in ((before, after), (after, before))
    ]
    if order[0] != order[1]:
        yield _change(category, None, "order changed", " ".join(order[0]), " ".join(order[1]))


def _style_changes(old: Release, new: Release) -> Iterator[Change]:
    before, after = next(iter(old.policies.values())).style, next(iter(new.policies.values())).style
    for outcome in OUTCOMES:
        for part in ("opening", "guideline"):
            first, second = getattr(before[outcome], part), getattr(after[outcome], part)
            if first != second:
                yield _change(STYLE, outcome, "style changed", first, second)


def _definitions(policy: Policy) -> str:
    return "; ".join(f"{term}: {meaning}" for term, meaning in policy.definitions)


def _change(category: str, clause: str | None, kind: str, before: str, after: str) -> Change:
    return Change(category=category, clause=clause, kind=kind, before=before, after=after)


def _word_diff(before: str, after: str) -> list[str]:
    """Two lines, what was taken out and what was put in between brackets."""
    if not before or not after or max(len(before), len(after)) < 40:
        return [f"- {before}"] * bool(before) + [f"+ {after}"] * bool(after)
    old, new = before.split(), after.split()
    out: tuple[list[str], list[str]] = ([], [])
    for what, start, stop, begin, end in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        for line, words in ((out[0], old[start:stop]), (out[1], new[begin:end])):
            if words:
                line.append(" ".join(words) if what == "equal" else f"[{' '.join(words)}]")
    return [f"- {' '.join(out[0])}", f"+ {' '.join(out[1])}"]


def _read(name: str, root: Path, shown: str) -> Release:
    config = _config(name, root)
    documents: Mapping[str, str] = {**config.categories, STYLE: config.style}
    policies = build_policies(config, root / paths.SPECS)
    texts = {part: (root / paths.SPECS / part / f"{version}.md").read_text("utf-8") for part, version in documents.items()}
    return Release(shown if name else f"{shown} ({config.release})", policies, texts)


def _config(name: str, root: Path) -> SpecConfig:
    if not name:
        return load_section("spec", SpecConfig, root / paths.PARAMS)
    path = root / RELEASES / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(one.stem for one in (root / RELEASES).glob("*.yaml"))) or "none"
        raise StageError(f"{path} does not exist", f"name a release of conf/spec ({known}), at a git revision with `{name}@HEAD`")
    return parse_section(read_yaml(path), SpecConfig, path, "spec")


def _checkout(revision: str, folder: Path) -> None:
    """specs/, conf/spec and params.yaml of a git revision, unpacked."""
    wanted = [str(paths.SPECS), str(RELEASES), str(paths.PARAMS)]
    done = subprocess.run(["git", "archive", "--format=tar", revision, *wanted], capture_output=True, check=False)
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise StageError(f"git cannot show {', '.join(wanted)} at {revision!r}: {said}", "name a revision that `git log` knows")
    with tarfile.open(fileobj=io.BytesIO(done.stdout)) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)  # Python below 3.11.4 has none
        archive.extractall(folder)
