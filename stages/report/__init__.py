"""Say in one page what the pipeline did and what got better, worse or stayed.

In:  data/evals (metrics, lineage, answers), data/{policies,prompts/train,verdicts,kept}, data/curves, models/{sft,rl}/ref.json,
     reports/gates, reports/{sft,rl}.json
Out: reports/report.md, reports/report.html (self-contained), reports/metrics.json; one MLflow run per pipeline state, and the
     best checkpoint that is fit for release registered; by `change`, reports/spec_change.{md,html,json} on two states
Invariants: every number stands with its interval and the policy it was trained on and graded by; texts are of our own
requests alone, and what an arm said to a harmful one it complied with is left out; times are of this machine and feed nothing.
"""
