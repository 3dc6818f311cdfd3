"""The arithmetics that formulas are evaluated in: plain, bounded and varied arrays."""
