"""Teach a small model the one skill it lacks: to read a rule set it has never seen.

In:  the pretrained model; `world/*.yaml` (made-up domains), `phrases.yaml` (openings, wrappers, answer bodies)
Out: models/reader (LoRA adapter, committed), reports/reader.json (accuracy by role and class, learning curve, cost)
Invariants: no text of specs/ and no evaluation prompt is in the training stream; random ids, outcomes and styles, so
that nothing but the rule set in the prompt tells what is right; held-out domains are never trained on.
"""
