"""The one error a user of the pipeline is meant to read."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class StageError(Exception):
    """A mistake in the input or the set-up: says what is wrong, where, and the remedy, on one screen."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(f"{what}\n  remedy: {remedy}")
        self.what = what
        self.remedy = remedy


@contextmanager
def user_errors() -> Iterator[None]:
    """Turn a `StageError` into its message on stderr and exit code 2: the user needs no traceback to act on it."""
    try:
        yield
    except StageError as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
