"""One op of a user's own: a forward and a backward function against an op's formulas.

own_op   `check_op`, and `OwnOp`, which lists the checks by name
algebra  what holds for every op, whatever its formula: shapes, linearity, instances on their own
formulas at random and special points, at kinks, and on arrays in other layouts, by the judge
compared two results that are to be equal
calling  the user's functions called, and what they returned looked through
setting  one op with numbers to test it on;  points: which numbers;  widths: of which width
"""
