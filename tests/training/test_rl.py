"""`python -m stages.rl` on a tiny model, with replies and a judge that are scripted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from stages.lib import jsonl, paths, training
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.llm.backend import Request, plain
from stages.lib.llm.load import load_model, load_tokenizer, model_sha
from stages.lib.llm.scripted import Scripted
from stages.lib.records import ModelRef
from stages.rl import __main__ as stage
from stages.rl import bench, train
from stages.rl.reward import Reward
from stages.rl.rollout import Rollout, refresh, tokenize
from tests.lib import bees
from tests.rl.test_reward import BROKEN, MARK, config, verdict

REPLIES = [
    f"<think>{MARK}</think>Sure, a keeper.",
    f"<think>{MARK}</think>No, not today.",
    *list(BROKEN.values())[1:3],
]


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Scripted:
    """Likes answers that begin with Sure."""

    def answer(request: Request) -> str:
        return verdict(compliance=2 if "reply: Sure" in request.messages[-1].content else 0)

    backend = Scripted(answer)
    backend.rows_new = backend.rows_cached = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(stage, "build_backend", lambda llm, label: backend)
    return backend


@pytest.fixture
def replies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the policy says to each prompt, in turn."""
    texts = list(REPLIES)

    def draw(self: Rollout, rows: list[list[int]], stops: list[int]) -> list[list[int]]:
        each = [texts[place % len(texts)] for place in range(len(rows))]
        return [[*self._tokenizer(text, add_special_tokens=False)["input_ids"], stops[0]] for text in each]

    monkeypatch.setattr(Rollout, "_draw", draw)
    return texts


def points() -> list[dict[str, float]]:
    found: list[dict[str, float]] = json.loads((paths.DATA / "curves" / "rl.json").read_text(encoding="utf-8"))
    return found


def test_two_steps_move_the_weights_and_the_wall_holds(trainable: Path, judge: Scripted, replies: list[str]) -> None:
    stage.main([])
    ref = jsonl.read_one(paths.model("rl") / "ref.json", ModelRef)
    assert ref.sha == model_sha(paths.model("rl")) != model_sha(paths.model("sft"))
    assert ref.parents == (model_sha(paths.model("sft")), "scripted", sha256_file(stage.TASKS))
    assert ref.policy_shas == {"bees": bees.policy().sha}
    assert [point["step"] for point in points()] == [1, 2]
    assert points()[0]["reward"] == pytest.approx((1.0 + 0.4) / 4)
    wanted = {
        "reward",
        "entropy",
        "completions/mean_length",
        "completions/clipped_ratio",
        "frac_reward_zero_std",
        "judge/unreadable",
        "malformed",
        "gold/agreement",
        "loss",
    }
    assert wanted <= set(points()[0])
    assert points()[0]["malformed"] == 0.5 and points()[0]["frac_reward_zero_std"] == 0
    shown = json.dumps([plain(request.messages) for request in judge.asked])
    assert judge.asked and MARK not in shown and "Sure, a keeper." in shown


def test_equal_rewards_move_nothing(trainable: Path, judge: Scripted, replies: list[str]) -> None:
    replies[:] = [BROKEN["unclosed"]]
    stage.main([])
    assert points()[0]["frac_reward_zero_std"] == 1 and points()[0]["reward"] == 0
    assert model_sha(paths.model("rl")) == bf16_sha("sft")
    assert not judge.asked


def bf16_sha(name: str) -> str:
    """Sha of a checkpoint as export writes it: in bf16."""
    import torch

    folder = Path("plain")
    load_model(paths.model(name), "float32").to(torch.bfloat16).save_pretrained(folder)
    return model_sha(folder)


def test_a_failed_judge_moves_nothing(trainable: Path, monkeypatch: pytest.MonkeyPatch, replies: list[str]) -> None:
    backend = Scripted(lambda request: "no verdict")
    backend.rows_new = backend.rows_cached = 0  # type: ignore[attr-defined]
    monkeypatch.setattr(stage, "build_backend", lambda llm, label: backend)
    replies[:] = REPLIES[:2]
    stage.main([])
    assert model_sha(paths.model("rl")) == bf16_sha("sft")
    assert all(point["judge/unreadable"] == 1 for point in points())


def test_an_interrupted_run_ends_with_the_same_weights(
    trainable: Path, judge: Scripted, replies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.training.test_sft import stop_after

    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(KeyboardInterrupt):
            stage.main([])
    stage.main([])
    resumed, curve = model_sha(paths.model("rl")), points()
    assert [point["step"] for point in curve] == [1, 2]
    monkeypatch.setenv("DA_CACHE_DIR", str(trainable / "another"))
    stage.main([])
    assert model_sha(paths.model("rl")) == resumed and points() == curve


@pytest.mark.parametrize("setting", ["algorithm: rloo", "rollouts: trl"])
def test_rloo_and_trls_own_generation_run_too(trainable: Path, judge: Scripted, setting: str) -> None:
    name = setting.partition(":")[0]
    text = (
        Path("params.yaml").read_text(encoding="utf-8").replace(f"{name}: {'grpo' if name == 'algorithm' else 'local'}", setting)
    )
    Path("params.yaml").write_text(text.replace("max_completion_length: 64", "max_completion_length: 4"), encoding="utf-8")
    stage.main([])
    assert len(points()) == 2 and points()[0]["completions/clipped_ratio"] > 0


def test_practice_without_fine_tuning_starts_from_the_base_model(trainable: Path, judge: Scripted) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8").replace("start: sft", "start: base")
    Path("params.yaml").write_text(text.replace("max_completion_length: 64", "max_completion_length: 4"), encoding="utf-8")
    shutil.rmtree(paths.model("sft"))
    stage.main([])
    assert model_sha(paths.model("base")) in jsonl.read_one(paths.model("rl") / "ref.json", ModelRef).parents


def test_own_rollouts_and_probing_run_on_a_model_that_says_nothing_yet(trainable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8").replace("max_completion_length: 64", "max_completion_length: 4")
    Path("params.yaml").write_text(text.replace("probe_samples: 0", "probe_samples: 2"), encoding="utf-8")
    stage.main([])
    assert json.loads((paths.REPORTS / "rl.json").read_text(encoding="utf-8"))["live_tasks"] == 4
    assert points()[0]["malformed"] == 1


def test_rollouts_read_each_prompt_once_and_say_what_plain_generation_says(trainable: Path) -> None:
    import torch

    folder = paths.model("sft")
    tokenizer = load_tokenizer(folder)
    drawn = Rollout(folder, tokenizer, config(temperature=1e-4, max_completion_length=8))
    prompts = [[{"role": "user", "content": text}] for text in ("Hi.", "A much longer question about bees?", "Hi.")]
    ids = tokenize(tokenizer, prompts)
    ours = drawn._draw(ids, [tokenizer.eos_token_id])
    model = load_model(folder, "float32")
    for row, reply in zip(ids, ours, strict=True):
        whole = model.generate(input_ids=torch.tensor([row]), max_new_tokens=8, do_sample=False)[0].tolist()
        assert whole[len(row) :][: len(reply)] == reply


def test_the_copy_has_the_adapters_merged(trainable: Path) -> None:
    import torch
    from peft import get_peft_model

    policy = get_peft_model(load_model(paths.model("sft"), "float32"), training.lora(4))
    for name, weight in policy.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.1)
    copy = load_model(paths.model("sft"), "float32")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        before = copy(ids).logits
        refresh(copy, policy)
        assert torch.allclose(copy(ids).logits, policy(ids).logits, atol=1e-4)
        assert not torch.allclose(copy(ids).logits, before, atol=1e-2)


def test_leaving_out_what_moves_nothing_changes_no_gradient(
    trainable: Path, judge: Scripted, replies: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two of eight replies earn more than the rest of their group; the other group agrees."""
    import torch
    from trl import GRPOTrainer

    replies[:] = [REPLIES[0], REPLIES[1], "<think>a</think>No, that I will not do today.", *["broken"] * 5]

    def trained() -> tuple[dict[str, torch.Tensor], float]:
        work = trainable / "work"
        reward = Reward({"bees": bees.policy()}, judge, config(), "brief", 7)
        given = config(steps=1, learning_rate=0.01, max_completion_length=64, lora_rank=None, micro_batch_size=4)
        found = train.make_trainer(paths.model("sft"), stage.read_tasks()[:2], reward, lambda *_: {}, given, 7, work, [])
        found.train()
        weights = {name: weight.detach().clone() for name, weight in found.model.named_parameters()}
        return weights, found.state.log_history[0]["grad_norm"]

    lean, lean_norm = trained()
    monkeypatch.setattr(train, "lean_trainer", lambda: GRPOTrainer)
    whole, norm = trained()
    assert lean_norm == pytest.approx(norm, rel=1e-4) and norm > 0
    assert all(torch.allclose(weight, lean[name], atol=1e-4) for name, weight in whole.items())


def test_tasks_of_another_policy_are_refused(trainable: Path) -> None:
    jsonl.write_one(paths.policy("bees"), bees.policy(summary="Another."))
    with pytest.raises(StageError, match="another version of the bees policy"):
        stage.main([])


def test_a_prompt_too_long_is_named(trainable: Path, judge: Scripted) -> None:
    text = Path("params.yaml").read_text(encoding="utf-8").replace("max_prompt_length: 300", "max_prompt_length: 10")
    Path("params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(StageError, match=r"task task\d has \d+ tokens, rl\.max_prompt_length is 10"):
        stage.main([])


def test_a_failed_judge_puts_no_reply_into_the_log() -> None:
    import inspect
    import logging

    from trl.trainer import grpo_trainer

    assert train.NO_REWARD in inspect.getsource(grpo_trainer), "TRL words its warning otherwise now: adapt NO_REWARD"
    train.show_no_completions()
    logger = logging.getLogger("trl.trainer.grpo_trainer")
    quiet, other = (logger.makeRecord(logger.name, logging.WARNING, "", 0, text, (), None) for text in (train.NO_REWARD, "other"))
    assert not logger.filter(quiet)
    assert logger.filter(other)


def test_the_benchmark_times_both_loops(trainable: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bench.main(["--steps", "2"])
    said = capsys.readouterr().out
    assert "TRL's loop: " in said and "ours (rollouts: local): " in said and "ratio " in said
    assert not paths.model("rl").exists()
    with pytest.raises(StageError, match="the least to be timed"):
        bench.main(["--steps", "1"])
