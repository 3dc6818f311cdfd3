"""Explain a result that the formula does not give: another form of it, a convention, or a mistake.

allowed       the conventions by name, and which of them the user allows
forms         usual forms of a formula, which lose digits
choices, other_norms, alternatives   other ops and losses; other reductions and changes of a tensor
at_node, end_to_end     which alternative explains a quantity at its node, or final results
fits, variants   other functions of a node's own op, and other numbers that it may be made with
plain, terms     a node in float64 without bounds, and its formula with a term left out
mistakes, faults, fault_sites   wrong derivations, and where each can be made
hints         what a wrong tensor is in terms of the right one
"""
