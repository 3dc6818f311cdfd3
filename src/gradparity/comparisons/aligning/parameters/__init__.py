"""Which parameters of two programs are the same, and how one is made of the other."""
