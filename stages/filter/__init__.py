"""Decide which completions are good enough to learn from.

In:  data/completions/<category>.jsonl, data/verdicts/<category>.jsonl
Out: data/kept/<category>.jsonl: a decision on every completion, kept and dropped alike, with the rule that decided
Invariants: no model is asked; without k readable runs nothing is kept; completions and verdicts answer to each other one to one.
"""
