"""Knobs of the reader's training."""

from __future__ import annotations

from stages.lib.config import Section


class ReaderConfig(Section):
    """How the reader is trained and measured."""

    packs: int
    """Training sequences; each is one rule set with several lessons."""
    packs_per_step: int
    lessons_per_pack: dict[str, int]
    """Role -> lessons that share one rule set."""
    role_weights: dict[str, float]
    """Role -> share of the packs."""
    self_answers: int
    """How many harmless requests the pretrained model answers itself, as targets of the helpful role."""
    lora_rank: int
    learning_rate: float
    warmup: float
    """Share of the steps in which the learning rate rises."""
    measure_every: int
    """Packs between two points of the learning curve."""
    measure_lessons: int
    """Lessons per role and held-out world in the final measurement."""
