"""Requests in their wordings: what the generator is asked, what training shows, what evaluation holds out.

In:  data/policies/*.json, specs/<category>/requests.jsonl, specs/benign/requests.jsonl, specs/wrappers/{train,eval}.yaml,
     specs/<category>/<name>.jsonl for the names in `prompts.extra`; when `prompts.pyrit` is, the jailbreak templates of an
     installed distribution (read in place, held out only)
Out: data/prompts/{train,eval}/<category>.jsonl and benign.jsonl, one `Prompt` for each wording of each request
Invariants: a request belongs to one split, whatever its wording; train prompts use train wrappers only, and the two
wrapper lists share neither id nor text; which wrapper a request gets depends on the seed and that request alone, so
an edit of one request moves no other; training prompts do not depend on gold.
"""
