"""What both trainers share: where they resume, what they log, how a trained model becomes a plain checkpoint.

A training run lives in `<cache>/train/<stage>-<fingerprint>`, outside DVC's outs, which DVC deletes when a stage starts. The
fingerprint covers everything that decides the weights, so a run is only ever continued with the inputs it was begun with.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from stages.lib import curves, jsonl, paths
from stages.lib.digests import sha256_file
from stages.lib.errors import StageError
from stages.lib.llm.load import Dtype, device, model_sha, precision
from stages.lib.records import ModelRef, content_id
from stages.lib.tracking import Run

IGNORE = -100
"""Label of a token that carries no loss."""
LIBRARIES = ("torch", "transformers", "trl", "peft", "accelerate")
COMPLETE = "complete"
"""Empty file in a checkpoint that was written to its end: a kill in mid-save leaves none."""


def quiet() -> None:
    """No telemetry, no notes on experimental features; to be called before the first heavy import."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "TRL_EXPERIMENTAL_SILENCE"):
        os.environ.setdefault(name, "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def fingerprint(stage: str, config: Any, files: Iterable[Path], shas: Iterable[str], code: Path) -> str:
    """Identity of a training run: config and seed, data, parent models, code, library versions, and what dtype `auto` is here."""
    libraries = [f"{name}=={version(name)}" for name in LIBRARIES]
    inputs = [sha256_file(path) for path in files]
    return content_id(stage, config, inputs, sorted(shas), code_sha(code), libraries, precision("auto"))


def code_sha(folder: Path) -> str:
    """sha256 of a room's code, and of what trainers share."""
    whole = hashlib.sha256()
    shared = [Path(__file__).parent / f"{name}.py" for name in ("training", "cpu_training", "llm/branches")]
    for path in [*sorted(folder.glob("*.py")), *shared]:
        whole.update(path.read_bytes())
    return whole.hexdigest()


def work_folder(stage: str, identity: str) -> Path:
    """Where the run's checkpoints lie."""
    return paths.cache() / "train" / f"{stage}-{identity}"


def resume_point(work: Path) -> str | None:
    """The newest whole checkpoint; those torn by a kill are removed."""
    whole = []
    for folder in work.glob("checkpoint-*"):
        if (folder / COMPLETE).exists():
            whole.append(folder)
        else:
            shutil.rmtree(folder)
    newest = max(whole, key=lambda folder: int(folder.name.rpartition("-")[2]), default=None)
    return None if newest is None else str(newest)


def accumulation(rows: int, micro: int, name: str) -> int:
    """Backward passes per optimizer step, so that a step sees `rows` rows on any number of devices."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if rows % (micro * world):
        what = f"{name}: a step of {rows} rows cannot be cut into parts of micro_batch_size {micro} on {world} device(s)"
        raise StageError(what, f"choose a {name}.micro_batch_size that divides {rows // world}")
    return rows // (micro * world)


def arguments(work: Path, seed: int, dtype: Dtype, save_steps: int) -> dict[str, Any]:
    """What SFTConfig and GRPOConfig are given alike. TRL's own defaults (bf16 on, checkpointing on) assume a GPU."""
    cuda = device() == "cuda"
    return {
        "output_dir": str(work),
        "seed": seed,
        "use_cpu": not cuda,
        "bf16": precision(dtype) == "bfloat16",
        "gradient_checkpointing": False,
        "dataloader_pin_memory": cuda,
        "save_strategy": "steps",
        "save_steps": save_steps,
        "save_total_limit": 2,
        "report_to": "none",
        "disable_tqdm": True,
    }


def lora(rank: int | None, skipped: int = 0) -> Any:
    """LoRA on every linear layer but the head and those of the lowest `skipped` blocks; None for training all weights."""
    from peft import LoraConfig

    if rank is None:
        return None
    lowest = "|".join(map(str, range(skipped)))
    return LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        exclude_modules=rf"\D*\.({lowest})\..*" if lowest else None,  # a block is the first number in a name
        task_type="CAUSAL_LM",
    )


def watcher(stage: str, run: Run, shown: Sequence[str], before: int = 0) -> Any:
    """A trainer callback: every number to the tracker, one line a step to the terminal, a mark in whole checkpoints.

    `before` steps of other trainers stand before this one's in the same run of the tracker.
    """
    from transformers import TrainerCallback

    class Watcher(TrainerCallback):
        started = 0.0
        began = 0

        def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.started, self.began = time.monotonic(), state.global_step
            for point in curves.points(state.log_history, before):  # the tracker's run of a resumed stage is whole, too
                run.log({name: value for name, value in point.items() if name != "step"}, step=int(point["step"]))
            if self.began:
                print(f"{stage}: resumed at step {self.began} of {state.max_steps}", flush=True)

        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            numbers = curves.finite(logs or {})
            if numbers and "train_loss" not in numbers:
                run.log(numbers, step=before + state.global_step)
                self.show(state, numbers)

        def on_save(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.is_world_process_zero:
                (Path(args.output_dir) / f"checkpoint-{state.global_step}" / COMPLETE).touch()

        def show(self, state: Any, numbers: dict[str, float]) -> None:
            words = ", ".join(f"{name} {numbers[name]:.3g}" for name in shown if name in numbers)
            spent = time.monotonic() - self.started
            left = spent / max(1, state.global_step - self.began) * (state.max_steps - state.global_step)
            if words and state.is_world_process_zero:
                print(f"{stage}: step {state.global_step}/{state.max_steps}: {words} (about {left:.0f} s left)", flush=True)

    return Watcher()


def plain_spoken(trainer: Any) -> Any:
    """The trainer without its own print-out of every log line: the watcher's is the one to read."""
    from transformers import PrinterCallback

    trainer.remove_callback(PrinterCallback)
    return trainer


def save_adapter(model: Any, work: Path) -> Path | None:
    """What LoRA learned, in the run's folder; None when all weights were trained."""
    from peft import PeftModel

    if not isinstance(model, PeftModel):
        return None
    model.save_pretrained(work / "adapter")
    return work / "adapter"


def export(
    model: Any,
    source: Path,
    out: Path,
    adapters: Sequence[Path | None],
    kind: Literal["sft", "rl"],
    parents: Iterable[str],
    policy_shas: dict[str, str],
) -> ModelRef:
    """A trained model as a plain bf16 checkpoint with the source's tokenizer and template; `out` appears whole or not at all.

    Of several `adapters`, one a run, it gets the mean; None stands for all weights of the model.
    """
    temporary = out.with_name(f".{out.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    _merged(model, source, adapters).save_pretrained(temporary)
    _copy_missing(source, temporary)
    ref = ModelRef(
        kind=kind,
        source=os.path.relpath(source),
        sha=model_sha(temporary),
        parents=tuple(parents),
        policy_shas=dict(sorted(policy_shas.items())),
    )
    jsonl.write_one(temporary / "ref.json", ref)
    shutil.rmtree(out, ignore_errors=True)
    temporary.replace(out)
    return ref


def _copy_missing(source: Path, folder: Path) -> None:
    """Tokenizer, template and the like, byte by byte: what saving does not write, or would write differently."""
    for path in source.iterdir():
        kept = path.is_file() and path.name != "ref.json" and ".safetensors" not in path.name
        if kept and not (folder / path.name).exists():
            shutil.copy2(path, folder / path.name)


def _merged(model: Any, source: Path, adapters: Sequence[Path | None]) -> Any:
    """In float32: LoRA's updates are smaller than bf16's steps around the weights they are added to."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folders = [str(folder) for folder in adapters if folder is not None]
    if not folders:
        return model.to(torch.bfloat16)
    base = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, use_safetensors=True)
    adapted = PeftModel.from_pretrained(base, folders[0])
    if len(folders) > 1:
        names = ["default", *(f"run{number}" for number in range(2, len(folders) + 1))]
        for name, folder in zip(names[1:], folders[1:], strict=True):
            adapted.load_adapter(folder, adapter_name=name)
        adapted.add_weighted_adapter(names, [1 / len(names)] * len(names), "mean", combination_type="cat")
        adapted.set_adapter("mean")
    return adapted.merge_and_unload().to(torch.bfloat16)
