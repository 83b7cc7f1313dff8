"""MLflow as a sink, never an input: every stage logs its own run, and nothing reads one back to decide anything.

In: numbers, tables and dataset paths of a stage. Out: `.cache/tracking/<stage>.jsonl` (always) and an MLflow run (unless off).
Invariants: a dead or absent server costs a warning, never a stage and never a metric; no telemetry; a dataset's digest is
DVC's md5, so the comparison view and dvc.lock speak of the same bytes.
Switches are read from the environment: `DA_TRACKING=off`, and `MLFLOW_TRACKING_URI` (default: sqlite in the repository root).
"""

from __future__ import annotations

import functools
import json
import os
import re
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from stages.lib import paths
from stages.lib.digests import digest_of, sha_of_json
from stages.lib.mlflow_mirror import Mirror, settle
from stages.lib.mlflow_sink import MlflowSink, out_of_reach

EXPERIMENT = "deliberative-alignment"
PIPELINE = "pipeline"

Params = BaseModel | Mapping[str, Any]
Sink = Mirror | MlflowSink
AnySink = TypeVar("AnySink", bound=Sink)


class Run:
    """One stage's record. Everything goes to the JSONL first; MLflow gets a copy while it answers."""

    def __init__(self, stage: str, sink: Sink | None) -> None:
        self.stage = stage
        self.id = uuid.uuid4().hex[:12]
        self._sink = sink
        self._started = time.monotonic()
        self._file = paths.cache() / "tracking" / f"{re.sub(r'[^A-Za-z0-9_.-]', '_', stage)}.jsonl"

    @property
    def mlflow_id(self) -> str | None:
        """The MLflow run's id, where it is known here: not when tracking is off, and not when a mirror writes the run."""
        return self._sink.run_id if self._sink is not None else None

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Numbers by name, at a step where they form a curve."""
        self._append({"metrics": dict(metrics), "step": step})
        self._send(lambda sink: sink.metrics(metrics, step or 0))

    def table(self, name: str, rows: Sequence[Mapping[str, Any] | BaseModel]) -> None:
        """Rows for side-by-side reading in MLflow's artifact view (not in the JSONL: the rows are files of the pipeline)."""
        plain = [row.model_dump(mode="json") if isinstance(row, BaseModel) else dict(row) for row in rows]
        if plain:
            self._send(lambda sink: sink.table(name, plain))

    def dataset(self, path: Path | str) -> None:
        """A file or folder the stage read, with DVC's md5 as its digest."""
        digest = digest_of(Path(path))
        self._append({"dataset": str(path), "digest": digest})
        if digest is not None:
            self._send(lambda sink: sink.dataset(str(path), digest))

    def tag(self, name: str, value: str) -> None:
        """A word to filter runs by."""
        self._append({"tag": name, "value": value})
        self._send(lambda sink: sink.tag(name, value))

    def end(self, status: str) -> None:
        """Close the run as FINISHED, FAILED or KILLED; `seconds` is logged with it."""
        self.log({"seconds": round(time.monotonic() - self._started, 3)})
        self._append({"status": status})
        self._send(lambda sink: sink.end(status))

    def _append(self, entry: dict[str, Any]) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps({"run": self.id, "stage": self.stage, "time": round(time.time(), 3), **entry}) + "\n")

    def _send(self, call: Callable[[Sink], None]) -> None:
        if self._sink is not None:
            try:
                call(self._sink)
            except Exception as error:  # whatever ails a tracking server, the stage's work is worth more than its record
                _warn(error)
                self._sink = None


@contextmanager
def tracked_run(stage: str, params: Params | None = None, sink: type[Sink] = Mirror) -> Iterator[Run]:
    """A run for one stage (`generate`, or `generate@violence` for a part), ended FAILED or KILLED when the body raises."""
    run = Run(stage, _open(stage, params or {}, sink))
    run._append({"params": _flat(params or {})})
    try:
        yield run
    except KeyboardInterrupt:
        run.end("KILLED")
        raise
    except BaseException as error:
        clean = isinstance(error, SystemExit) and error.code in (None, 0)
        run.end("FINISHED" if clean else "FAILED")
        raise
    run.end("FINISHED")


def log_pipeline(
    stages: Mapping[str, Mapping[str, float]],
    params: Params,
    datasets: Sequence[Path] = (),
    tables: Mapping[str, Sequence[Mapping[str, Any] | BaseModel]] | None = None,
    tags: Mapping[str, str] | None = None,
) -> str | None:
    """One run for the pipeline's present state: every stage's metrics as `<stage>/<metric>`, whether it ran or was cached.

    Each stage is linked by the tag `dvc.stage.<name>.run_id` to the run that read the same inputs. A state that was
    logged before gets no second run. Returns the MLflow run id, or None without MLflow.
    """
    if enabled() and not settle():
        print("tracking: a stage's run is still on its way to MLflow; the pipeline's run may lack its link", file=sys.stderr)
    metrics = {f"{stage}/{name}": value for stage, numbers in stages.items() for name, value in numbers.items()}
    state = sha_of_json([metrics, _flat(params), {str(path): digest_of(path) for path in datasets}])
    if (known := _ask(lambda sink: sink.find({"pipeline.state": state}))) is not None:
        return str(known)
    with tracked_run(PIPELINE, params, MlflowSink) as run:  # its id is wanted
        for name, value in {"pipeline.state": state, **_links(stages), **(tags or {})}.items():
            run.tag(name, value)
        for path in datasets:
            run.dataset(path)
        for name, rows in (tables or {}).items():
            run.table(name, rows)
        run.log(metrics)
    return run.mlflow_id


def register(
    name: str, path: Path, sha: str, metrics: Mapping[str, float], run_id: str | None = None, alias: str = "champion"
) -> str | None:
    """Point the registry's `alias` at a checkpoint that passed its gates: a pointer with path and sha, no copy of the weights.

    The same sha is registered once; the alias moves to it. Returns the version, or None without MLflow.
    """
    tags = {"dvc.path": str(path), "model.sha": sha, "dvc.md5": digest_of(path) or "", **_revision()}
    version = _ask(lambda sink: sink.register(name, sha, tags, metrics, run_id, alias))
    return None if version is None else str(version)


def enabled() -> bool:
    """Whether MLflow is wanted at all."""
    return os.environ.get("DA_TRACKING", "on").lower() not in {"off", "0", "false", "no"}


def tracking_uri() -> str:
    """Where runs go: the environment's word, or sqlite in the repository root by absolute path."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_root() / 'mlflow.db'}"


def _open(stage: str, params: Params, kind: type[Sink]) -> Sink | None:
    if not enabled():
        return None
    part = {"stage": stage.partition("@")[0], "stage.part": stage.partition("@")[2]}
    here = {key: value for key, value in {**part, "place": sha_of_json([socket.gethostname(), str(_root())])}.items() if value}
    tags = {**here, **_dvc_tags(), **_revision()}
    try:
        sink = _sink(kind)
        # a stage holds a lock: whatever else runs by this name here was killed
        sink.start(stage, {key: value for key, value in tags.items() if value}, _flat(params), here)
    except Exception as error:  # see Run._send
        _warn(error)
        return None
    return sink


def _ask(question: Callable[[MlflowSink], Any]) -> Any:
    if not enabled():
        return None
    try:
        return question(_sink(MlflowSink))
    except Exception as error:  # see Run._send
        _warn(error)
        return None


def _sink(kind: type[AnySink]) -> AnySink:
    return kind(tracking_uri(), EXPERIMENT, _root() / "mlartifacts")


def _links(stages: Mapping[str, Any]) -> dict[str, str]:
    found = {stage: _ask(functools.partial(MlflowSink.find_by_inputs, stage=stage, digest_of=digest_of)) for stage in stages}
    return {f"dvc.stage.{stage}.run_id": str(run_id) for stage, run_id in found.items() if run_id is not None}


def _root() -> Path:
    return Path(os.environ.get("DVC_ROOT", ".")).absolute()


def _dvc_tags() -> dict[str, str]:
    names = {"dvc.stage": "DVC_STAGE", "dvc.exp_name": "DVC_EXP_NAME", "dvc.exp_baseline_rev": "DVC_EXP_BASELINE_REV"}
    return {tag: os.environ.get(variable, "") for tag, variable in names.items()}


def _revision() -> dict[str, str]:
    command = ["git", "rev-parse", "HEAD"]
    try:
        done = subprocess.run(command, cwd=_root(), capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {"git.sha": done.stdout.strip()} if done.returncode == 0 else {}


def _flat(params: Params, prefix: str = "") -> dict[str, str]:
    plain = params.model_dump(mode="json") if isinstance(params, BaseModel) else params
    flat: dict[str, str] = {}
    for key, value in plain.items():
        if isinstance(value, (BaseModel, Mapping)):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = str(value)
    return flat


def _warn(error: Exception) -> None:
    print(out_of_reach(tracking_uri(), error), file=sys.stderr)


def latest() -> dict[str, dict[str, float]]:
    """Stage -> the numbers of its latest finished run on this machine, `seconds` among them. What never ran is absent."""
    found: dict[str, dict[str, float]] = {}
    for path in sorted((paths.cache() / "tracking").glob("*.jsonl")):
        numbers: dict[str, dict[str, float]] = {}
        for line in path.read_text(encoding="utf-8").splitlines():
            entry = _entry(line)
            numbers.setdefault(str(entry.get("run")), {}).update(entry.get("metrics", {}))
            if "seconds" in entry.get("metrics", {}):
                found[entry["stage"]] = numbers[str(entry.get("run"))]
    return found


def _entry(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except json.JSONDecodeError:  # the last line of a killed stage
        return {}
    return found if isinstance(found, dict) else {}
