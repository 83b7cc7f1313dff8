"""Deliberative Alignment as a pipeline: every folder here is a DVC stage, except `lib`.

    spec -> prompts -> base -> generate -> judge -> filter -> mix -> sft -> rl -> evals -> report
    reader (frozen; its adapter is committed) -> base
    gate stands on every boundary; params.py composes conf/ into params.yaml.

A room never imports another room, only `stages.lib`.
"""
