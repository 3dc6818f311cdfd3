"""Networks of ops: named values, cases with numbers, forward and backward passes."""
