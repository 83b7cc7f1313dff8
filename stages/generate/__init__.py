"""Write replies by context distillation: the policy stands in the prompt here, and is gone from everything kept of it.

In:  data/prompts/train/<category>.jsonl, data/policies/<category>.json, the generator's model
Out: data/completions/<category>.jsonl
Invariants: a completion's messages hold no policy; its id is a hash of its content; a request is paid once, also across a kill;
a request that failed for good stops the stage before anything is written. `benign` has no policy: its requests go as they are.
A reply whose answer `answer_fraction` does not draw ends behind its deliberation (finish `cited`): no more is learned of it.
"""
