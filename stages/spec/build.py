"""A release and its documents -> one `Policy` a category."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from stages.lib.errors import StageError
from stages.lib.records import Policy
from stages.spec.config import SpecConfig
from stages.spec.lint import Finding, lint_budget, lint_policy, lint_release, lint_style, refuse
from stages.spec.parse import PolicyDocument, StyleDocument, parse_policy, parse_style

STYLE = "style"


def build_policies(config: SpecConfig, root: Path) -> dict[str, Policy]:
    """Read, lint and join the documents of a release; raises on the first unreadable file, or on everything the lint finds."""
    documents = {name: load_policy(root, name, version) for name, version in sorted(config.categories.items())}
    style = load_style(root, config.style)
    findings = [finding for document in documents.values() for finding in lint_policy(document)]
    refuse([*findings, *lint_style(style), *lint_release(documents)])
    policies = {name: to_policy(document, documents, style) for name, document in documents.items()}
    refuse([finding for name, policy in policies.items() for finding in _budget(documents[name], policy, config)])
    return policies


def to_policy(document: PolicyDocument, release: Mapping[str, PolicyDocument], style: StyleDocument) -> Policy:
    """Join a document with the release's style and the other categories' summaries.

    Mappings are sorted by key, as the JSON file is: a policy renders the same before and after writing.
    """
    front = document.front
    others = sorted((other.front["title"].text, other.front["summary"].text) for other in release.values())
    return Policy(
        category=front["category"].text,
        title=front["title"].text,
        summary=front["summary"].text,
        definitions=document.definitions,
        clauses=tuple(entry.clause for entry in document.clauses),
        style=dict(sorted(style.styles.items())),
        others={title: summary for title, summary in others if title != front["title"].text},
    )


def load_policy(root: Path, category: str, version: str) -> PolicyDocument:
    """Parse specs/<category>/<version>.md."""
    if category not in (known := categories(root)):
        raise StageError(
            f"spec.categories: unknown category {category!r}: {root}/ has {', '.join(known) or 'no policies'}",
            f"correct the name in conf/spec, or write {root}/{category}/{version}.md",
        )
    path = _existing(root / category, version, f"spec.categories.{category}")
    return parse_policy(_text(path), path)


def load_style(root: Path, version: str) -> StyleDocument:
    """Parse specs/style/<version>.md."""
    path = _existing(root / STYLE, version, "spec.style")
    return parse_style(_text(path), path)


def categories(root: Path) -> list[str]:
    """Folders that hold a policy."""
    return sorted({path.parent.name for path in root.glob("*/*.md")} - {STYLE})


def versions(folder: Path) -> list[str]:
    """Versions of one category, or of the style."""
    return sorted(path.stem for path in folder.glob("*.md"))


def _existing(folder: Path, version: str, key: str) -> Path:
    path = folder / f"{version}.md"
    if version not in (known := versions(folder)):
        raise StageError(
            f"{key}: {path} does not exist; versions there: {', '.join(known) or 'none'}",
            f"name one of them in conf/spec, or write {path}",
        )
    return path


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise StageError(f"{path}: is not UTF-8 text (byte {error.start})", "save it as UTF-8") from None


def _budget(document: PolicyDocument, policy: Policy, config: SpecConfig) -> list[Finding]:
    return lint_budget(document, policy, config.detail, config.token_budget)
