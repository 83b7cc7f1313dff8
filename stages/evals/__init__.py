"""Ask one arm every evaluation prompt and say what its replies are: the policy is in context for `base_spec` alone.

In:  data/prompts/eval, data/policies, the outside sets of conf/source, the arm's checkpoint
Out: data/evals/<arm>/<suite>.jsonl (Answer), metrics.json ({suite: {metric: {value, low, high, n}}}), lineage.json
Invariants: the type of a reply is decided by one classifier, measured against tests/fixtures/replies.jsonl; a malformed or
empty reply earns nothing in any suite; every arm answers the same prompts; texts of outside prompts are written nowhere, nor
what an unaligned arm said to a harmful one.
"""
