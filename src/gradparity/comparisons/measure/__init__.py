"""Measure results against references: errors, bounds, kinks and detection power.

at_node       references at one node, on the implementation's own inputs there
levels        the same under several arithmetics, from the sharpest bound to the widest
kinks, flows  which gradients are valid at a kink, and which was taken
end_to_end    references of final results, with the rounding of the whole network
branches, multipliers   what may have been taken at kinks that are not seen
measured      errors and bounds of one quantity, its verdict and its finding
"""
