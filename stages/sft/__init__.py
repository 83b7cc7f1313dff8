"""Teach the base model its policy by heart: supervised fine-tuning with the policy gone from the prompt.

In:  models/base, data/sft/train.jsonl, data/sft/validation.jsonl
Out: models/sft (bf16 safetensors, tokenizer, chat template, ref.json), reports/sft.json, data/curves/sft.json
Invariants: loss falls on the think block and, where a row has one, on the answer and the end of the turn, never on the prompt; a
row that would be cut, or whose prompt is no token prefix of the whole, stops the stage; a killed run is continued where it stood.
"""
