"""MLflow is a sink: metrics survive a dead server, off means off, and a state of the pipeline is logged once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from stages.lib import tracking
from stages.lib.digests import digest_of
from stages.lib.mlflow_mirror import settle
from stages.lib.mlflow_sink import MlflowSink

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


def logged(server: str, stage: str) -> list[Any]:
    """The MLflow runs of a stage, the newest first, when all mirrors are done."""
    from mlflow import MlflowClient

    assert settle()
    client = MlflowClient(server)
    experiment = client.get_experiment_by_name(tracking.EXPERIMENT)
    assert experiment is not None
    name = f"attributes.run_name = '{stage}'"
    return list(client.search_runs([experiment.experiment_id], name, order_by=["attributes.start_time DESC"]))


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


def test_a_dead_server_costs_a_warning_and_no_metric(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", DEAD)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracking.tracked_run("sft", {"lr": 1e-4}) as run:
        run.log({"loss": 1.5}, step=1)
        run.log({"loss": 0.5}, step=2)
    assert [entry["metrics"] for entry in journal("sft") if entry.get("step")] == [{"loss": 1.5}, {"loss": 0.5}]
    assert settle()
    assert capfd.readouterr().err.count("tracking:") == 1


def test_a_mirror_that_dies_midway_costs_a_warning_and_no_metric(
    server: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with tracking.tracked_run("rl") as run:
        run._sink._process.kill()  # type: ignore[union-attr]
        run._sink._process.wait()  # type: ignore[union-attr]
        run.log({"reward": 1.0}, step=1)
        run.log({"reward": 2.0}, step=2)
    assert [entry["metrics"] for entry in journal("rl") if entry.get("step")] == [{"reward": 1.0}, {"reward": 2.0}]
    assert capfd.readouterr().err.count("tracking:") == 1


def test_a_run_holds_params_steps_tables_and_dvc_digests(server: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (place / "data").mkdir()
    (place / "data" / "a.jsonl").write_text("{}\n", encoding="utf-8")
    with tracking.tracked_run("generate@violence", {"sampling": {"temperature": 0.7}, "n": 2}) as run:
        run.log({"rate (%)": 5, "loss": float("nan")}, step=3)
        run.table("samples", [{"id": "x", "grades": {"a": 1}}])
        run.dataset("data/a.jsonl")
    (found,) = logged(server, "generate@violence")
    assert found.data.params == {"sampling.temperature": "0.7", "n": "2"}
    assert found.data.metrics["rate ___"] == 5 and found.info.status == "FINISHED"
    assert found.data.tags["stage"] == "generate" and found.data.tags["stage.part"] == "violence"
    assert [entry.dataset.digest for entry in found.inputs.dataset_inputs] == [digest_of(Path("data/a.jsonl"))]


def test_a_failed_stage_is_a_failed_run_before_it_ends(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    with pytest.raises(ValueError, match="boom"), tracking.tracked_run("mix"):
        raise ValueError("boom")
    assert settle(0), "whoever runs a failed stage may stop the machine"
    assert [run.info.status for run in logged(server, "mix")] == ["FAILED"]


def test_what_a_killed_stage_logged_is_in_mlflow(server: str, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    (place / "killed.py").write_text(
        "import os, signal\n"
        "from stages.lib import tracking\n"
        "with tracking.tracked_run('sft') as run:\n"
        "    run.log({'loss': 1.5}, step=1)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n",
        encoding="utf-8",
    )
    root = str(Path(tracking.__file__).parent.parent.parent)
    done = subprocess.run([sys.executable, "killed.py"], env={**os.environ, "PYTHONPATH": root}, check=False)
    assert done.returncode == -signal.SIGKILL
    (run,) = logged(server, "sft")
    assert run.info.status == "KILLED" and run.data.metrics["loss"] == 1.5


def test_a_run_left_open_by_a_dead_machine_is_told_from_a_running_one(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    names = ("reader", "judge@violence", "judge@illicit")
    for name in names:
        tracking.Run(name, tracking._open(name, {}, MlflowSink))  # never ended
    for name in names[:2]:
        with tracking.tracked_run(name):
            pass
    statuses = {name: logged(server, name)[-1].info.status for name in names}
    assert list(statuses.values()) == ["KILLED", "KILLED", "RUNNING"], "another category's run may well be alive"


def test_mirrors_of_short_stages_share_a_fresh_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fresh = f"sqlite:///{tmp_path / 'fresh.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", fresh)
    names = [f"filter@{letter}" for letter in "abc"]
    for name in names:
        with tracking.tracked_run(name) as run:
            run.log({"kept": 1.0})
    runs = [logged(fresh, name) for name in names]
    assert [(len(found), found[0].info.status, found[0].data.metrics["kept"]) for found in runs] == [(1, "FINISHED", 1.0)] * 3


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
        runs.append(logged(server, "evals")[0].info.run_id)
    data.write_text("old", encoding="utf-8")
    first = tracking.log_pipeline({"evals": {"score": 0.5}}, {"seed": 7}, [Path("in.txt")], {"t": [{"a": 1}]})
    assert tracking.log_pipeline({"evals": {"score": 0.5}}, {"seed": 7}, [Path("in.txt")]) == first
    assert tracking.log_pipeline({"evals": {"score": 0.6}}, {"seed": 7}, [Path("in.txt")]) != first
    whole = MlflowClient(server).get_run(str(first))
    assert whole.data.metrics["evals/score"] == 0.5
    assert whole.data.tags["dvc.stage.evals.run_id"] == runs[0]


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


def test_a_password_in_the_address_is_not_printed(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with tracking.tracked_run("spec"):
        pass
    assert settle()
    said = capfd.readouterr().err
    assert "tracking:" in said and "secret" not in said
