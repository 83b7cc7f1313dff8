"""MLflow is a sink: metrics survive a dead server, off means off, and a state of the pipeline is logged once."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from stages.lib import tracking
from stages.lib.digests import digest_of

DEAD = "http://127.0.0.1:9"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'mlflow.db'}"


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("DA_CACHE_DIR", str(tmp_path / ".cache"))
    monkeypatch.delenv("DA_TRACKING", raising=False)
    return tmp_path


def journal(stage: str) -> list[dict[str, object]]:
    text = Path(".cache/tracking", f"{stage}.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_off_writes_the_journal_and_touches_no_mlflow(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DA_TRACKING", "off")
    monkeypatch.setitem(sys.modules, "mlflow", None)  # an import would raise
    with tracking.tracked_run("judge@violence", {"k": 3}) as run:
        run.log({"graded": 4.0}, step=2)
        run.table("rows", [{"a": 1}])
    assert run.mlflow_id is None
    assert {"graded": 4.0} in [entry.get("metrics") for entry in journal("judge_violence")]
    assert tracking.log_pipeline({"judge": {"graded": 4.0}}, {}) is None
    assert tracking.register("policy", place, "abc", {}) is None
    assert [path.name for path in place.iterdir()] == [".cache"]


def test_a_dead_server_costs_a_warning_and_no_metric(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracking.tracked_run("sft", {"lr": 1e-4}) as run:
        run.log({"loss": 1.5}, step=1)
        run.log({"loss": 0.5}, step=2)
    assert [entry["metrics"] for entry in journal("sft") if entry.get("step")] == [{"loss": 1.5}, {"loss": 0.5}]
    assert capsys.readouterr().err.count("tracking:") == 1


def test_a_server_that_dies_midway_costs_no_metric(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with tracking.tracked_run("rl") as run:
        monkeypatch.setattr(run._sink, "metrics", lambda *_: (_ for _ in ()).throw(ConnectionError("gone")))
        run.log({"reward": 1.0}, step=1)
        run.log({"reward": 2.0}, step=2)
    assert [entry["metrics"] for entry in journal("rl") if entry.get("step")] == [{"reward": 1.0}, {"reward": 2.0}]
    assert run.mlflow_id is None


def test_a_run_holds_params_steps_tables_and_dvc_digests(server: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (place / "data").mkdir()
    (place / "data" / "a.jsonl").write_text("{}\n", encoding="utf-8")
    with tracking.tracked_run("generate@violence", {"sampling": {"temperature": 0.7}, "n": 2}) as run:
        run.log({"rate (%)": 5, "loss": float("nan")}, step=3)
        run.table("samples", [{"id": "x", "grades": {"a": 1}}])
        run.dataset("data/a.jsonl")
    client = MlflowClient(server)
    logged = client.get_run(str(run.mlflow_id))
    assert logged.data.params == {"sampling.temperature": "0.7", "n": "2"}
    assert logged.data.metrics["rate ___"] == 5 and logged.info.status == "FINISHED"
    assert logged.data.tags["stage"] == "generate" and logged.data.tags["stage.part"] == "violence"
    assert logged.inputs is not None
    assert [entry.dataset.digest for entry in logged.inputs.dataset_inputs] == [digest_of(Path("data/a.jsonl"))]


def test_a_failed_stage_is_a_failed_run(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with pytest.raises(ValueError, match="boom"), tracking.tracked_run("mix") as run:
        raise ValueError("boom")
    assert MlflowClient(server).get_run(str(run.mlflow_id)).info.status == "FAILED"


def test_a_killed_stage_is_told_from_a_running_one(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    killed = [tracking.Run(name, tracking._open(name, {})) for name in ("rl", "judge@violence", "judge@illicit")]  # never ended
    for name in ("rl", "judge@violence"):
        with tracking.tracked_run(name):
            pass
    statuses = [MlflowClient(server).get_run(run.mlflow_id or "").info.status for run in killed]
    assert statuses == ["KILLED", "KILLED", "RUNNING"], "another category's run may well be alive"


def test_one_pipeline_run_per_state_linked_to_the_stage_that_read_the_same_bytes(
    server: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    data = place / "in.txt"
    runs = []
    for text in ("old", "new"):
        data.write_text(text, encoding="utf-8")
        with tracking.tracked_run("evals") as stage:
            stage.dataset("in.txt")
        runs.append(stage.mlflow_id)
    data.write_text("old", encoding="utf-8")
    first = tracking.log_pipeline({"evals": {"score": 0.5}}, {"seed": 7}, [Path("in.txt")], {"t": [{"a": 1}]})
    assert tracking.log_pipeline({"evals": {"score": 0.5}}, {"seed": 7}, [Path("in.txt")]) == first
    assert tracking.log_pipeline({"evals": {"score": 0.6}}, {"seed": 7}, [Path("in.txt")]) != first
    logged = MlflowClient(server).get_run(str(first))
    assert logged.data.metrics["evals/score"] == 0.5
    assert logged.data.tags["dvc.stage.evals.run_id"] == runs[0]


def test_a_checkpoint_is_registered_once_and_the_alias_moves(server: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (place / "models").mkdir()
    made = [tracking.register("policy", Path("models"), sha, {"m": 0.9}) for sha in ("s1", "s2", "s1")]
    assert made == ["1", "2", "1"]
    assert str(MlflowClient(server).get_model_version_by_alias("policy", "champion").version) == "1"


def test_digests_are_dvcs(place: Path) -> None:
    folder = place / "d"
    folder.mkdir()
    (folder / "a.txt").write_text("a", encoding="utf-8")
    (folder / ".gitignore").write_text("/a.txt", encoding="utf-8")
    assert digest_of(Path("d/a.txt")) == "0cc175b9c0f1b6a831c399e269772661"
    assert str(digest_of(Path("d"))).endswith(".dir")
    assert digest_of(Path("absent")) is None
    (place / "dvc.lock").write_text("stages:\n  s:\n    outs:\n    - {path: d, md5: feed.dir}\n", encoding="utf-8")
    assert digest_of(Path("d")) == "feed.dir"


def test_a_password_in_the_address_is_not_printed(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracking.tracked_run("spec"):
        pass
    assert "secret" not in capsys.readouterr().err
