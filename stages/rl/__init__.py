"""Practise: reinforcement learning from models/sft, rewarded by a judge that has the policy and never sees deliberation.

In:  models/sft, data/rl/tasks.jsonl, data/policies, the judge's model, data/prompts/train (gold, for one measured curve only)
Out: models/rl (bf16 safetensors, tokenizer, chat template, ref.json), reports/rl.json, data/curves/rl.json
Invariants: the wall: no part of a possible deliberation is in any prompt of the judge, of malformed replies nothing is; a
malformed or cut-off reply gets the lowest reward; None only when the judge failed; gold moves no reward; a killed run is
continued where it stood.
"""
