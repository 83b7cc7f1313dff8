"""Every request is paid once: a content-addressed store of generations in front of any backend.

Key: sha256 of model, sampling, rendered messages, salt and schema version, of the forms that the text keeps to if any, and of
seed and sample index where text is drawn.
Store: append-only JSONL segments under `<folder>/<model>/`, one per process, so that processes never write one file; it
lies outside DVC's outs, which DVC deletes when a stage starts. A line torn by a kill is skipped on reading and asked for
again.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO

from pydantic import ValidationError

from stages.lib.errors import StageError
from stages.lib.llm.backend import Backend, Generation, OnResult, Request
from stages.lib.records import Message, Sampling

SCHEMA = 3
"""Raise it when the meaning of a stored line changes."""
SYNC_SECONDS = 1.0
"""A kill loses nothing that was written; a power cut loses this much."""


class Cached:
    """A backend that asks another only for what is not in the store."""

    def __init__(
        self, backend: Backend, folder: Path, salt: str = "", label: str = "requests", budget: int | None = None
    ) -> None:
        self.backend = backend
        self.rows_new = 0
        self.rows_cached = 0
        self._folder = folder / backend.model_sha[:16]
        self._salt = salt
        self._label = label
        self._budget = budget

    @property
    def model_sha(self) -> str:
        """The wrapped backend's."""
        return self.backend.model_sha

    def render(self, messages: Sequence[Message]) -> str:
        """The wrapped backend's."""
        return self.backend.render(messages)

    def generate(
        self, requests: Sequence[Request], sampling: Sampling, seed: int, on_result: OnResult | None = None
    ) -> list[Generation]:
        """Stored texts where there are some; equal requests are asked once."""
        keys = [self._key(request, sampling, seed) for request in requests]
        known = read_segments(self._folder, set(keys))
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        missing = sorted(place for key, place in first.items() if key not in known)
        self._spend([requests[place] for place in missing], [keys[place] for place in missing], sampling, seed)
        self.rows_cached += len(requests) - len(missing)
        self.rows_new += len(missing)
        if missing:
            wanted = [keys[place] for place in missing]
            answers = self._ask([requests[place] for place in missing], wanted, sampling, seed)
            known |= dict(zip(wanted, answers, strict=True))
        done = [known[key] for key in keys]
        if on_result is not None:
            for place, generation in enumerate(done):
                on_result(place, generation)
        return done

    def known(self, requests: Sequence[Request], sampling: Sampling, seed: int) -> int:
        """How many of the requests would cost nothing."""
        keys = [self._key(request, sampling, seed) for request in requests]
        stored = read_segments(self._folder, set(keys))
        return len(keys) - len(set(keys) - set(stored))

    def _spend(self, missing: list[Request], keys: list[str], sampling: Sampling, seed: int) -> None:
        """Where the budget does not cover all that is missing, ask what it covers, keep that, and stop."""
        if self._budget is None or self.rows_new + len(missing) <= self._budget:
            return
        left = self._budget - self.rows_new
        if left:
            self._ask(missing[:left], keys[:left], sampling, seed)
        what = f"{self._label}: the budget of {self._budget} new requests is spent, {len(missing) - left} are still to be asked"
        raise StageError(what, "what was paid is kept: raise `budget` of the role in conf/llm, and run again")

    def _ask(self, requests: list[Request], keys: list[str], sampling: Sampling, seed: int) -> list[Generation]:
        from tqdm import tqdm

        with Segment(self._folder) as segment, tqdm(total=len(requests), desc=self._label, mininterval=2, unit="request") as bar:

            def keep(place: int, generation: Generation) -> None:
                if generation.error is None:
                    segment.append(keys[place], generation)
                bar.update()

            return self.backend.generate(requests, sampling, seed, keep)

    def _key(self, request: Request, sampling: Sampling, seed: int) -> str:
        drawn = (seed, request.sample_index) if sampling.temperature > 0 else None  # greedy text is the same in every draw
        parts = [SCHEMA, self.model_sha, self._salt, sampling.model_dump(mode="json"), drawn, self.render(request.messages)]
        parts += [request.forms, request.questions] if request.forms else []
        return hashlib.sha256(json.dumps(parts, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


class Segment:
    """A file this process alone appends to; made with the first line."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / f"{uuid.uuid4().hex}.jsonl"
        self._file: IO[str] | None = None
        self._synced = time.monotonic()

    def append(self, key: str, generation: Generation) -> None:
        """One line, handed to the system at once and to the disk now and then."""
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("a", encoding="utf-8")
        line = {"key": key, "text": generation.text, "truncated": generation.truncated}
        line |= {"shares": generation.shares} if generation.shares else {}
        self._file.write(json.dumps(line, ensure_ascii=False) + "\n")
        self._file.flush()
        if time.monotonic() - self._synced > SYNC_SECONDS:
            self._sync()

    def __enter__(self) -> Segment:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._sync()
            self._file.close()

    def _sync(self) -> None:
        assert self._file is not None
        os.fsync(self._file.fileno())
        self._synced = time.monotonic()


def read_segments(folder: Path, wanted: set[str]) -> dict[str, Generation]:
    """What the store holds of the wanted keys; memory grows with these, not with the store."""
    found: dict[str, Generation] = {}
    for path in sorted(folder.glob("*.jsonl")):
        found.update(_read(path, wanted))
    return found


def _read(path: Path, wanted: set[str]) -> Iterator[tuple[str, Generation]]:
    with path.open("rb") as lines:
        for line in lines:
            try:
                row = json.loads(line)
                if row["key"] in wanted:
                    yield row["key"], Generation(text=row["text"], truncated=row["truncated"], shares=row.get("shares", ()))
            except (ValueError, KeyError, TypeError, ValidationError):
                continue  # torn by a kill in mid-write; asking again is the repair
