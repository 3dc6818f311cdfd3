"""Node by node: from a trace to a verdict on every quantity, each on its own inputs.

expected   what a correct implementation may have computed at one node (Bounded formulas)
levels     under which arithmetic, from the sharpest bound to the widest, and coarser ones
kinks      what is valid at a kink, and what was taken there
judge      from a trace to a verdict on every quantity;  traces: checked on the way in
"""
