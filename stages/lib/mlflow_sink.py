"""The one door to mlflow: a run's life by explicit client calls, so no global state of mlflow's leaks between stages.

Raises whatever mlflow raises; `tracking` decides that none of it may kill a stage.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stages.lib import paths

_NAME = re.compile(r"[^A-Za-z0-9_\-. :/]")  # what mlflow accepts in a metric's name
_BATCH = 100
_LONGEST = 5000  # mlflow cuts params at 6000 and tags at 8000 characters by raising
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",  # the default is minutes of waiting for a server that is not there
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "GIT_PYTHON_REFRESH": "quiet",
}


class MlflowSink:
    """One MLflow run, from `start` to `end`."""

    def __init__(self, uri: str, experiment: str, artifacts: Path) -> None:
        for name, value in _QUIET.items():
            os.environ.setdefault(name, value)
        for noisy in ("alembic", "mlflow"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        from mlflow import MlflowClient

        self.run_id: str | None = None
        self._uri = uri
        self._client = MlflowClient(tracking_uri=uri, registry_uri=uri)
        self._experiment = self._experiment_id(experiment, artifacts)

    def start(self, name: str, tags: Mapping[str, str], params: Mapping[str, str], here: Mapping[str, str]) -> None:
        """Open the run with its tags and params; a param is written once, since mlflow refuses a second value.

        Runs with the tags `here` that are still open were killed together with what should have closed them: they are closed.
        """
        from mlflow.entities import Param

        for left in self._search(here, 50, "RUNNING"):
            self._client.set_terminated(left.info.run_id, "KILLED")
        run = self._client.create_run(self._experiment, tags=dict(tags), run_name=name)
        self.run_id = run.info.run_id
        entries = [Param(_NAME.sub("_", key), value[:_LONGEST]) for key, value in params.items()]
        for start in range(0, len(entries), _BATCH):
            self._client.log_batch(self._run(), params=entries[start : start + _BATCH])

    def metrics(self, metrics: Mapping[str, float], step: int) -> None:
        """Numbers at one step."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        entries = [Metric(_NAME.sub("_", name), float(value), now, step) for name, value in metrics.items()]
        for start in range(0, len(entries), 10 * _BATCH):
            self._client.log_batch(self._run(), metrics=entries[start : start + 10 * _BATCH])

    def table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Rows as a table artifact; nested values are written as JSON text."""
        columns = list(dict.fromkeys(key for row in rows for key in row))
        data = {column: [_cell(row.get(column)) for row in rows] for column in columns}
        self._client.log_table(self._run(), data, f"{name.removesuffix('.json')}.json")

    def dataset(self, path: str, digest: str) -> None:
        """A dataset by path and digest."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        entity = Dataset(name=path, digest=digest, source_type="local", source=json.dumps({"uri": path}))
        self._client.log_inputs(self._run(), datasets=[DatasetInput(entity, [InputTag("mlflow.data.context", "input")])])

    def tag(self, name: str, value: str) -> None:
        """One tag."""
        self._client.set_tag(self._run(), name, value[:_LONGEST])

    def end(self, status: str) -> None:
        """Close the run."""
        self._client.set_terminated(self._run(), status)

    def find(self, tags: Mapping[str, str]) -> str | None:
        """The newest finished run with these tags."""
        runs = self._search(tags, 1)
        return runs[0].info.run_id if runs else None

    def find_by_inputs(self, stage: str, digest_of: Callable[[Path], str | None]) -> str | None:
        """The newest finished run of a stage whose every input still has the digest it had then."""
        for run in self._search({"stage": stage}, 50):
            inputs = [entry.dataset for entry in run.inputs.dataset_inputs]
            if all(digest_of(Path(dataset.name)) == dataset.digest for dataset in inputs):
                return str(run.info.run_id)
        return None

    def register(
        self, name: str, sha: str, tags: Mapping[str, str], metrics: Mapping[str, float], run_id: str | None, alias: str
    ) -> str:
        """A version of the registered model `name` for this sha, made once, with the alias set on it."""
        version = self._version_of(name, sha) or self._new_version(name, dict(tags), metrics, run_id)
        self._client.set_registered_model_alias(name, alias, version)
        return version

    def _version_of(self, name: str, sha: str) -> str | None:
        if not any(model.name == name for model in self._client.search_registered_models(f"name = '{name}'")):
            self._client.create_registered_model(name)
        known = self._client.search_model_versions(f"name = '{name}'")
        return next((str(version.version) for version in known if version.tags.get("model.sha") == sha), None)

    def _new_version(self, name: str, tags: dict[str, str], metrics: Mapping[str, float], run_id: str | None) -> str:
        import mlflow

        mlflow.set_tracking_uri(self._uri)  # create_external_model has no client form
        model = mlflow.create_external_model(name=name, source_run_id=run_id, tags=tags, experiment_id=self._experiment)
        shown = {**tags, **{_NAME.sub("_", key): f"{value:.4g}" for key, value in metrics.items()}}
        made = self._client.create_model_version(name, model.model_uri, run_id=run_id, tags=shown, model_id=model.model_id)
        return str(made.version)

    def _experiment_id(self, name: str, artifacts: Path) -> str:
        known = self._client.get_experiment_by_name(name)
        if known is None:
            # A server keeps artifacts where it is told to; a plain sqlite file has no such place of its own.
            place = artifacts.as_uri() if self._uri.startswith("sqlite:") else None
            return str(self._client.create_experiment(name, artifact_location=place))
        return str(known.experiment_id)

    def _search(self, tags: Mapping[str, str], most: int, status: str = "FINISHED") -> list[Any]:
        wanted = " and ".join(f"tags.`{key}` = '{value}'" for key, value in tags.items())
        query = f"{wanted} and attributes.status = '{status}'"
        return list(
            self._client.search_runs([self._experiment], query, max_results=most, order_by=["attributes.start_time DESC"])
        )

    def _run(self) -> str:
        assert self.run_id is not None, "start comes first"
        return self.run_id


def out_of_reach(uri: str, error: Exception) -> str:
    """One line on what ails MLflow and where the numbers are; a password in the address is not told."""
    first = (str(error).strip().splitlines() or [""])[0][:200]
    said = f"tracking: MLflow at {uri} is out ({type(error).__name__}: {first}); metrics stay in {paths.cache() / 'tracking'}"
    return re.sub(r"//[^/@\s]+@", "//***@", said)


def _cell(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, (dict, list, tuple)) else value
