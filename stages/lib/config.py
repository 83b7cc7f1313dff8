"""The one way to read params.yaml, and the base of every room's config class.

params.yaml is read with YAML 1.2 rules, as DVC reads it: what DVC compares is what a stage gets.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from stages.lib import paths
from stages.lib.errors import StageError

S = TypeVar("S", bound="Section")

EDIT = "params.yaml is generated: edit conf/ (or pass an override) and run `python -m stages.params --write`"

_KINDS = {"dict": "a section", "list": "a list", "str": "text", "int": "a whole number", "float": "a number", "bool": "a boolean"}


class Section(BaseModel):
    """A section of params.yaml: frozen, closed to unknown keys, and strict, so `true` is no number and "3" is no count."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def load_section(name: str, kind: type[S], path: Path | None = None) -> S:
    """One section of params.yaml as its config class; a wrong one names file, dotted key and remedy."""
    where = path or paths.PARAMS
    return parse_section(load_value(name, where), kind, where, name)


def load_value(dotted: str, path: Path | None = None) -> Any:
    """The plain value of one dotted key of params.yaml, like `seed` or `spec.categories`."""
    where = path or paths.PARAMS
    value: Any = load_params(where)
    for depth, key in enumerate(parts := dotted.split(".")):
        if not isinstance(value, dict) or key not in value:
            raise StageError(f"{where}: {'.'.join(parts[: depth + 1])}: is missing", EDIT)
        value = value[key]
    return value


def load_params(path: Path | None = None) -> dict[str, Any]:
    """The whole file as plain data."""
    where = path or paths.PARAMS
    if not where.exists():
        raise StageError(f"{where} does not exist", "run it from the repository root, or `python -m stages.params --write`")
    value = read_yaml(where)
    if not isinstance(value, dict):
        raise StageError(f"{where}: holds {_kind(value)}, not a mapping of sections", EDIT)
    return value


def read_yaml(path: Path) -> Any:
    """A YAML file by YAML 1.2 rules, duplicate keys refused; parsed once per content."""
    return _parse_yaml(path.read_text(encoding="utf-8"), str(path))


def parse_section(value: Any, kind: type[S], where: Path | str, name: str) -> S:
    """Validate plain data as a config class; every problem is named at once, each by its dotted key."""
    if not isinstance(value, dict):
        raise StageError(f"{where}: {name}: is {_kind(value)}, not a section", EDIT)
    try:
        return kind.model_validate_json(json.dumps(value, default=str))  # JSON mode: strict, yet lists may fill tuples
    except ValidationError as error:
        problems = "\n  ".join(f"{where}: {line}" for line in _problems(error, kind, name))
        raise StageError(problems, EDIT) from None


@functools.lru_cache(maxsize=32)
def _parse_yaml(text: str, name: str) -> Any:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import MarkedYAMLError

    try:
        return YAML(typ="safe", pure=True).load(text)
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = f":{mark.line + 1}" if mark is not None else ""
        raise StageError(f"{name}{line}: is no valid YAML: {error.problem or error.context}", "mend that line") from None


def _problems(error: ValidationError, kind: type[BaseModel], name: str) -> Iterator[str]:
    for problem in error.errors():
        key = ".".join(filter(None, [name, *(str(part) for part in problem["loc"])]))
        if problem["type"] == "extra_forbidden":
            yield f"{key}: unknown key{_known(kind, problem['loc'])}"
        elif problem["type"] == "missing":
            yield f"{key}: is missing"
        else:
            yield f"{key}: {problem['msg']}, found {problem['input']!r}"


def _known(kind: type[BaseModel], location: tuple[int | str, ...]) -> str:
    for part in location[:-1]:
        field = kind.model_fields.get(str(part))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel)):
            return ""
        kind = field.annotation
    return f" (known: {', '.join(sorted(kind.model_fields))})"


def _kind(value: Any) -> str:
    return "empty" if value is None else _KINDS.get(type(value).__name__, type(value).__name__)
