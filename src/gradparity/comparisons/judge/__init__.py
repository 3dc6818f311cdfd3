"""Judge results: from what an implementation returned to a verdict on every quantity.

node_by_node  a trace, each quantity on the implementation's own inputs
end_to_end    final results alone
by_name       some results: node by node where they allow it, end to end where they do not
traces, returned   checks of what was returned, before it is judged
hidden_rows   rows that a mask hides, named once
location      where the fault behind a wrong final result must lie
"""
