"""One op of a user's own: a forward and a backward function against an op's formulas.

own_op   `check_op`, and `OwnOp`, which lists the checks by name
calls    what is returned at all, and what calls do to arrays and to one another
algebra  what holds for every op, whatever its formula: linearity, instances on their own
formulas at random and special points, at kinks, and on arrays in other layouts, by the judge
frameworks  a framework's function alone, compiled, and with arguments that are not differentiated
compared two results that are to be equal
calling  the user's functions called, and what they returned looked through
task     what a check is given
setting  one op with numbers to test it on;  points: which numbers;  widths: of which width
"""
