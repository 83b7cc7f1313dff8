"""Mix what filter kept with helpfulness data: the training sets, the policy gone.

In:  data/kept/<category>.jsonl of every declared category, data/completions/benign.jsonl, data/prompts/train (request ids
     only), data/policies (shas and styles)
Out: data/sft/train.jsonl, data/sft/validation.jsonl, data/rl/tasks.jsonl
Invariants: a file of an undeclared category and a row of another policy's sha are errors; no message carries a policy; train
and validation share no request; balance goes by the clause and outcome a reply cites: gold is not read.
"""
