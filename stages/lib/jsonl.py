"""Typed reading and atomic, sorted writing of record files."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from stages.lib.errors import StageError
from stages.lib.records.base import Record

R = TypeVar("R", bound=Record)


def read_one(path: Path, kind: type[R]) -> R:
    """The single record in a JSON file."""
    return _parse(_text(path), kind, str(path))


def read_many(path: Path, kind: type[R]) -> Iterator[R]:
    """Stream the records of a JSONL file. A line that is no such record raises, naming file and line."""
    if not path.exists():
        raise StageError(f"{path} does not exist", "run `dvc repro`, which makes it")
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            yield _parse(line, kind, f"{path}:{number}")


def write_one(path: Path, record: Record) -> None:
    """Write one record as indented JSON, atomically."""
    write_text(path, json.dumps(record.model_dump(mode="json"), indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_many(path: Path, records: Iterable[Record]) -> int:
    """Write records sorted by their first field (the id), atomically; returns how many."""
    lines = sorted((_line(record) for record in records), key=lambda pair: pair[0])
    write_text(path, "".join(line + "\n" for _, line in lines))
    return len(lines)


def write_json(path: Path, value: Any) -> None:
    """Write plain data as canonical indented JSON, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write through a temporary file in the cache-free sibling `.tmp`, so that a reader never sees half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def _line(record: Record) -> tuple[str, str]:
    data = record.model_dump(mode="json")
    first = next(iter(data.values()))
    key = first["id"] if isinstance(first, dict) else str(first)
    return key, json.dumps(data, sort_keys=True, ensure_ascii=False)


def _text(path: Path) -> str:
    if not path.exists():
        raise StageError(f"{path} does not exist", "run `dvc repro`, which makes it")
    return path.read_text(encoding="utf-8")


def _parse(text: str, kind: type[R], where: str) -> R:
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the line"
        raise StageError(
            f"{where}: {key}: {first['msg']}",
            "the file is truncated or was written by other code: delete it and run `dvc repro` (paid requests stay in the cache)",
        ) from None
