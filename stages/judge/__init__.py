"""Judge every completion by the policy: k raw verdicts, no threshold.

In:  data/completions/<category>.jsonl, data/policies/<category>.json, the judge's model
Out: data/verdicts/<category>.jsonl
Invariants: one verdict per completion; deterministic checks come first and a completion that fails one costs no call; an
unreadable verdict is never a score; every run is kept; a completion of another policy's sha is an error. Gold is not read.
Where the reply ends behind its deliberation, the judge is asked for the clause alone, and never sees what was cited.
"""
