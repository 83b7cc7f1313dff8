"""A process beside the stage that copies its record into MLflow, so that the stage does not wait for it.

Importing mlflow and opening its store takes seconds, in each of some forty short processes; here they pass while the next
stage starts. In: one JSON object a line on standard input, the opening first, then `{"call": ..., "arguments": [...]}`.
Invariants: mirrors write one after the other, in the order of their starting; a stage that dies without `end` is a KILLED run;
what ails MLflow is told once on standard error and never reaches the stage.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from stages.lib import paths
from stages.lib.mlflow_sink import MlflowSink, out_of_reach

_ALIVE = "mirrors"
_WORTH_WAITING = 30.0  # seconds a failing stage gives its mirror: whoever runs it may stop everything right after


class Mirror:
    """The stage's end: the calls of an `MlflowSink`, written to a pipe. Each raises OSError when the mirror is gone."""

    run_id: str | None = None  # MLflow's, which this end never learns

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        root = str(Path(__file__).parent.parent.parent)
        search = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
        with _lock(_ALIVE) as alive:
            fcntl.flock(alive, fcntl.LOCK_SH)  # the child inherits the open file, and with it the lock, until it ends
            self._process = subprocess.Popen(
                [sys.executable, "-m", "stages.lib.mlflow_mirror"],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
                encoding="utf-8",
                env={**os.environ, "PYTHONPATH": search},
                pass_fds=[alive.fileno()],
                start_new_session=True,  # Ctrl-C ends the stage; the mirror then writes down that it was killed
            )
        self._opening = {"uri": uri, "experiment": experiment, "artifacts": str(artifacts)}

    def start(self, name: str, tags: Mapping[str, str], params: Mapping[str, str], here: Mapping[str, str]) -> None:
        """See `MlflowSink.start`."""
        self._write({**self._opening, "start": [name, dict(tags), dict(params), dict(here)]})

    def metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """See `MlflowSink.metrics`."""
        self._call("metrics", dict(metrics), step)

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """See `MlflowSink.table`."""
        self._call("table", name, list(rows))

    def dataset(self, path: str, digest: str) -> None:
        """See `MlflowSink.dataset`."""
        self._call("dataset", path, digest)

    def tag(self, name: str, value: str) -> None:
        """See `MlflowSink.tag`."""
        self._call("tag", name, value)

    def end(self, status: str) -> None:
        """See `MlflowSink.end`. Waits for the mirror only where the stage failed."""
        self._call("end", status)
        assert self._process.stdin is not None
        self._process.stdin.close()
        if status == "FAILED":
            self._process.wait(_WORTH_WAITING)

    def _call(self, name: str, *arguments: Any) -> None:
        self._write({"call": name, "arguments": arguments})

    def _write(self, entry: Mapping[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(entry, default=str) + "\n")
        self._process.stdin.flush()


def settle(seconds: float = 60.0) -> bool:
    """Wait until all mirrors of this cache have written what they know; False when one still had not."""
    until = time.monotonic() + seconds
    with _lock(_ALIVE) as alive:
        while True:
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return True
            except BlockingIOError:
                if time.monotonic() > until:
                    return False
                time.sleep(0.05)


def main() -> None:
    """The mirror's end."""
    os.nice(10)  # the stage computes on every core, and each of its threads waits for the slowest
    entries: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(entries,), daemon=True).start()  # at once: the stage shall never wait for a full pipe
    if (opening := entries.get()) is None:
        return
    try:
        with _turn():
            _copy(opening, entries)
    except Exception as error:  # whatever ails a tracking server, the stage's work is worth more than its record
        print(out_of_reach(opening["uri"], error), file=sys.stderr, flush=True)
        while entries.get() is not None:  # hear the stage out
            pass


def _copy(opening: Mapping[str, Any], entries: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    sink = MlflowSink(opening["uri"], opening["experiment"], Path(opening["artifacts"]))
    sink.start(*opening["start"])
    ended = False
    while (entry := entries.get()) is not None:
        getattr(sink, entry["call"])(*entry["arguments"])
        ended = ended or entry["call"] == "end"
    if not ended:
        sink.end("KILLED")


def _read(entries: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        for line in sys.stdin:
            entries.put(json.loads(line))
    except ValueError:  # the half-written line of a killed stage
        pass
    entries.put(None)


@contextmanager
def _turn() -> Iterator[None]:
    """One at a time: sqlite has one writer, and a fresh store is set up once."""
    with _lock("turn") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _lock(name: str) -> IO[str]:
    path = paths.cache() / "tracking" / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.open("a")


if __name__ == "__main__":
    main()
