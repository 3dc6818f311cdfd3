"""Conventions: which named alternative explains a quantity.

choices        other ops and losses;  alternatives: other cases and tensors
local          which alternative explains a quantity at its node;  whole: final results
"""
