"""The report as one page of HTML that needs no script and no network.

`html` renders it; `sections` prepares what concerns the whole report, `cases` what concerns one
network (the `picture` of its `groups` of nodes, the heat map of its `cells`), and `plots` the
points of errors against bounds.
"""
