"""The fine-tuning run, by TRL's SFTTrainer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from stages.lib import curves, training
from stages.lib.llm.load import load_model, load_tokenizer
from stages.lib.records import SftExample
from stages.sft.config import SftConfig
from stages.sft.rows import Row, encode_all


def make_trainer(
    source: Path,
    rows: Sequence[SftExample],
    held_out: Sequence[SftExample],
    config: SftConfig,
    seed: int,
    work: Path,
    callbacks: list[Any],
) -> Any:
    """A trainer over checked rows."""
    from trl import SFTConfig, SFTTrainer

    from stages.lib.cpu_training import lean_on_cpu

    model, tokenizer = load_model(source, config.dtype), load_tokenizer(source)
    train, validation = (encode_all(part, tokenizer, config.max_length) for part in (rows, held_out))
    steps = math.ceil(config.epochs * math.ceil(len(train) / config.batch_size))
    settings = SFTConfig(
        **training.arguments(work, seed, config.dtype, config.save_steps),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=config.warmup_fraction,
        per_device_train_batch_size=config.micro_batch_size,
        per_device_eval_batch_size=config.micro_batch_size,
        gradient_accumulation_steps=training.accumulation(config.batch_size, config.micro_batch_size, "sft"),
        train_sampling_strategy="group_by_length",  # rows of like length in a batch: little padding
        logging_steps=config.log_steps,
        logging_first_step=True,
        eval_strategy="steps" if validation else "no",  # by epoch it would come behind the save, and a resumed run lack it
        eval_steps=max(1, steps // math.ceil(config.epochs)),  # about once an epoch, the last near the end
        pad_to_multiple_of=8,  # with ever new shapes the heap falls to pieces, and steps take a quarter longer after a while
        max_length=None,  # encode_all has refused what is too long
    )
    trainer = SFTTrainer(
        model=model,
        args=settings,
        train_dataset=_dataset(train),
        eval_dataset=_dataset(validation) if validation else None,
        processing_class=tokenizer,
        peft_config=training.lora(config.lora_rank, _skipped(model.config.num_hidden_layers, config.lora_layers)),
        callbacks=callbacks,
    )
    return lean_on_cpu(training.plain_spoken(trainer))


def summarise(points: curves.Points, rows: int, held_out: int) -> dict[str, float]:
    """reports/sft.json. Its losses are those of the runs, first and last, not of their mean."""
    first, last = curves.ends(points, "loss")
    eval_loss = [point["eval_loss"] for point in points if "eval_loss" in point]
    accuracy = [point["mean_token_accuracy"] for point in points if "mean_token_accuracy" in point]
    return {
        "rows": rows,
        "validation_rows": held_out,
        "steps": points[-1]["step"] if points else 0,
        "loss_first": first,
        "loss_last": last,
        **({"eval_loss": round(eval_loss[-1], 6)} if eval_loss else {}),
        **({"token_accuracy": round(accuracy[-1], 6)} if accuracy else {}),
    }


def _skipped(layers: int, share: float) -> int:
    """Of so many layers those below the uppermost `share`; one at least is left."""
    return layers - max(1, round(share * layers))


def _dataset(rows: Sequence[Row]) -> Any:
    from datasets import Dataset

    return Dataset.from_list([dict(row) for row in rows])
