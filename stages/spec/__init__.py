"""Turn the policies of a release into data: the firewall between an edit and what it costs.

In:  specs/<category>/<version>.md and specs/style/<version>.md, as the release (params `spec`) names them
Out: data/policies/<category>.json, one `Policy` for each declared category and no other file
Invariants: nothing is written unless every document of the release parses and passes the lint; whitespace, comments
and version names do not reach the data, so a cosmetic edit leaves its file identical, and an edit of one category
leaves the files of the others identical unless its one-line summary changed.
"""
