"""End-to-end judging: final results alone, with the rounding of the whole network allowed for.

reference     what is expected of final results, and how far the whole network rounds them
branches, multipliers   what may have been taken at kinks that are not seen
end_to_end    from some final results to a verdict on each;  results: checked on the way in
"""
