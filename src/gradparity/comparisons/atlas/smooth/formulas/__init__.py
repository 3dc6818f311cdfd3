"""Values and slopes of functions of one number, written for mpmath."""
