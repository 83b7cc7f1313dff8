"""Great-expectations on every boundary: what does not hold is named by row, and nothing downstream of it runs.

In: the files of one boundary for everything declared (policies, prompts, completions, verdicts, kept, mixture, sft, rl, evals);
    today's policies; `gate.<boundary>` of params.yaml
Out: data/gates/<boundary>/<name>.ok (the sha256 of what was checked; <name> is a category, an arm, or `all`) and
    reports/gates/<boundary>.json, the same bytes for the same inputs
Invariants: what was evaluated is what was declared; an empty file, an empty suite, a null and an undeclared file each fail;
a failing gate touches no data, so what was paid for stays; reports name ids, never texts. Suites: suites.py, one page.
"""
