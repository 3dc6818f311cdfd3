"""The report as one page of HTML that needs no script and no network.

`page` puts it together; `sections` says what holds for the whole report, `cases` what holds for
one network (its `picture` of `groups` of nodes, its heat map of `cells`), and `plots` places the
points of errors against bounds.
"""
