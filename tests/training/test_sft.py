"""`python -m stages.sft` on a tiny model: it learns, resumes, and leaves a whole checkpoint or none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from stages.lib import jsonl, paths, training
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.records import ModelRef, SftExample
from stages.sft.__main__ import TRAIN, VALIDATION, main
from stages.sft.config import WarmStart
from stages.sft.rows import encode_all
from stages.sft.train import make_trainer
from stages.sft.warm import unlearned
from tests.lib import bees


def loss(model: str) -> float:
    """Mean loss of a checkpoint over the training rows."""
    import torch

    loaded, tokenizer = load_model(paths.model(model), "float32"), load_tokenizer(paths.model("base"))
    rows = encode_all(jsonl.read_many(TRAIN, SftExample), tokenizer, 200)
    with torch.no_grad():
        return sum(float(loaded(**{name: torch.tensor([ids]) for name, ids in row.items()}).loss) for row in rows) / len(rows)


def test_four_steps_lower_the_loss_and_leave_a_plain_checkpoint(trainable: Path) -> None:
    before = loss("base")
    main([])
    assert loss("sft") < before - 0.3
    folder = paths.model("sft")
    ref = jsonl.read_one(folder / "ref.json", ModelRef)
    assert ref.sha == model_sha(folder) != model_sha(paths.model("base"))
    assert ref.parents == (model_sha(paths.model("base")), sha256_file(TRAIN), sha256_file(VALIDATION))
    assert ref.policy_shas == {"bees": bees.policy().sha}
    assert {path.suffix for path in folder.iterdir()} <= {".json", ".jinja", ".safetensors"}
    assert load_tokenizer(folder).chat_template == load_tokenizer(paths.model("base")).chat_template
    points = json.loads((paths.DATA / "curves" / "sft.json").read_text(encoding="utf-8"))
    assert [point["step"] for point in points] == [1, 2, 3, 4] and all("loss" in point for point in points)
    assert not any("runtime" in name or "second" in name for point in points for name in point)
    summary = json.loads((paths.REPORTS / "sft.json").read_text(encoding="utf-8"))
    assert summary["loss_last"] < summary["loss_first"] and summary["rows"] == 4 and "eval_loss" in summary


def stop_after(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the run die when it has logged that step."""
    whole = training.watcher

    def watcher(*args: Any) -> Any:
        found = whole(*args)
        log = found.on_log

        def on_log(arguments: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            log(arguments, state, control, logs, **kwargs)
            if state.global_step == step:
                raise KeyboardInterrupt

        found.on_log = on_log
        return found

    monkeypatch.setattr(training, "watcher", watcher)


def test_an_interrupted_run_ends_with_the_same_weights_and_curve(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        stop_after(3, patched)
        with pytest.raises(KeyboardInterrupt):
            main([])
    main([])
    (work,) = (paths.cache() / "train").glob("sft-*")
    assert training.resume_point(work) == str(work / "checkpoint-4")
    resumed, curve = model_sha(paths.model("sft")), (paths.DATA / "curves" / "sft.json").read_bytes()
    monkeypatch.setenv("DA_CACHE_DIR", str(trainable / "another"))
    main([])
    assert model_sha(paths.model("sft")) == resumed
    assert (paths.DATA / "curves" / "sft.json").read_bytes() == curve


def test_a_finished_run_is_not_paid_again(trainable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main([])
    first = model_sha(paths.model("sft"))
    capsys.readouterr()
    main([])
    assert model_sha(paths.model("sft")) == first
    assert "resumed at step 4 of 4" in capsys.readouterr().out


def test_a_checkpoint_torn_by_a_kill_is_not_resumed(tmp_path: Path) -> None:
    for step, whole in ((2, True), (10, True), (12, False)):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if whole:
            (tmp_path / f"checkpoint-{step}" / training.COMPLETE).touch()
    assert training.resume_point(tmp_path) == str(tmp_path / "checkpoint-10")
    assert not (tmp_path / "checkpoint-12").exists()
    assert training.resume_point(tmp_path / "absent") is None


def test_other_inputs_are_another_run(trainable: Path) -> None:
    def identity(**changes: Any) -> str:
        given: dict[str, Any] = {
            "stage": "sft",
            "config": [1],
            "files": [TRAIN],
            "shas": ["a"],
            "code": Path(training.__file__).parent,
        }
        return training.fingerprint(**{**given, **changes})

    others: list[dict[str, Any]] = [{"config": [2]}, {"files": [VALIDATION]}, {"shas": ["b"]}, {"stage": "rl"}]
    assert len({identity(), *(identity(**change) for change in others)}) == 5
    assert identity() == identity()


def test_what_the_trainer_learns_decodes_to_the_targets(trainable: Path) -> None:
    from stages.lib.config import load_section
    from stages.sft.config import SftConfig

    rows = list(jsonl.read_many(TRAIN, SftExample))
    trainer = make_trainer(paths.model("base"), rows, [], load_section("sft", SftConfig), 7, trainable / "work", [])
    tokenizer = trainer.processing_class
    learned = set()
    for batch in trainer.get_train_dataloader():
        for ids, labels in zip(batch["input_ids"].tolist(), batch["labels"].tolist(), strict=True):
            kept = [token for token in labels if token != -100]
            learned.add(tokenizer.decode(kept))
            assert [token for token, label in zip(ids, labels, strict=True) if label != -100] == kept
    assert learned == {f"<think>{row.deliberation}</think>{row.answer}<|im_end|>" for row in rows}


def test_lora_may_be_kept_to_the_upper_layers(trainable: Path) -> None:
    from safetensors import safe_open

    with_params("lora_layers: 1.0", "lora_layers: 0.5")
    before = loss("base")
    main([])
    assert loss("sft") < before
    (adapter,) = (paths.cache() / "train").glob("sft-*/adapter/adapter_model.safetensors")
    with safe_open(adapter, "pt") as weights:
        names = list(weights.keys())
    assert len(names) == 2 * 7 and all(".layers.1." in name for name in names)


def test_a_row_too_long_stops_the_stage_before_anything_is_written(trainable: Path) -> None:
    params = Path("params.yaml").read_text(encoding="utf-8")
    Path("params.yaml").write_text(params.replace("max_length: 200", "max_length: 40"), encoding="utf-8")
    (trainable / "models" / "sft" / "ref.json").unlink()
    with pytest.raises(StageError, match=r"sft\.max_length is 40"):
        main([])
    assert not (paths.model("sft") / "ref.json").exists() and not (paths.REPORTS / "sft.json").exists()


def test_a_step_that_cannot_be_cut_into_micro_batches_is_refused() -> None:
    assert training.accumulation(16, 4, "sft") == 4
    with pytest.raises(StageError, match=r"sft\.micro_batch_size"):
        training.accumulation(16, 5, "sft")


def test_a_warm_start_learns_what_is_new_and_replays_the_rest(trainable: Path) -> None:
    main([])
    checkpoint, warm = paths.model("sft"), WarmStart(revision="r", checkpoint="models/sft", replay=0.5)
    rows = list(jsonl.read_many(TRAIN, SftExample))
    with pytest.raises(StageError, match="models/sft of r has learned every policy of today"):
        unlearned(rows, checkpoint, warm, 7)
    edited = [row.model_copy(update={"policy_sha": "new"}) if number < 2 else row for number, row in enumerate(rows)]
    chosen = [unlearned(edited, checkpoint, warm, seed) for seed in range(6)]
    assert all(part[:2] == edited[:2] and len(part) == 3 for part in chosen)
    assert len({part[2].id for part in chosen}) == 2 and chosen[0] == unlearned(edited, checkpoint, warm, 0)


def with_params(old: str, new: str) -> None:
    params = Path("params.yaml")
    text = params.read_text(encoding="utf-8")
    assert old in text
    params.write_text(text.replace(old, new), encoding="utf-8")


def test_another_draw_is_another_run(trainable: Path) -> None:
    main([])
    first = model_sha(paths.model("sft"))
    with_params("draw: 0", "draw: 1")
    main([])
    assert model_sha(paths.model("sft")) != first


def test_two_runs_leave_the_mean_of_their_weights_and_pay_for_none_again(
    trainable: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def weights() -> dict[str, Any]:
        return dict(load_model(paths.model("sft"), "float32").state_dict())

    main([])
    first = weights()
    with_params("draw: 0", "draw: 1")
    main([])
    second = weights()
    with_params("draw: 1, runs: 1", "draw: 0, runs: 2")
    capsys.readouterr()
    main([])
    mean, said = weights(), capsys.readouterr().out
    assert "sft 1 of 2: resumed at step 4 of 4" in said and "sft 2 of 2: resumed at step 4 of 4" in said
    moved = 0
    for name, values in mean.items():
        halfway = (first[name] + second[name]) / 2
        assert (values - halfway).abs().max() <= 0.01 * halfway.abs().max()  # all three are rounded to bf16
        moved += bool((values - first[name]).abs().max() > 0.01 * halfway.abs().max())
    assert moved > 5
    points = json.loads((paths.DATA / "curves" / "sft.json").read_text(encoding="utf-8"))
    assert [point["step"] for point in points] == list(range(1, 9))


def test_runs_that_train_all_weights_are_not_averaged(trainable: Path) -> None:
    with_params("runs: 1", "runs: 2")
    with_params("lora_rank: 4", "lora_rank: null")
    with pytest.raises(StageError, match="runs above 1 average LoRA's updates: set lora_rank, or runs to 1"):
        main([])
